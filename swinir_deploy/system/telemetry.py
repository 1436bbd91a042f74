"""Load ONNX Runtime and OpenVINO without their telemetry, so that nothing leaves the machine.

Both send usage data by default. ONNX Runtime (from 1.29 on; on Windows before, too) looks up a host
of Microsoft and keeps an id of the device in the home folder. OpenVINO's Python package does so
with a host of Google, through the package ``openvino-telemetry``.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

__all__ = ["ORT_VARIABLE", "refuse_onnxruntime_telemetry", "without_telemetry"]

ORT_VARIABLE = "ORT_DISABLE_TELEMETRY"
"""The environment variable that ONNX Runtime reads when it is loaded. A user who sets it to 0 has
its telemetry."""

_OPENVINO_TELEMETRY = "openvino_telemetry"
_ABSENT = object()


def refuse_onnxruntime_telemetry() -> None:
    """Set the variable that switches ONNX Runtime's telemetry off, if it is not set.

    Other packages load ONNX Runtime as well (Polygraphy, onnxsim), so this runs when this package
    is imported.
    """
    os.environ.setdefault(ORT_VARIABLE, "1")


@contextlib.contextmanager
def without_telemetry() -> Iterator[None]:
    """Import ONNX Runtime or OpenVINO in this block, and they send nothing.

    OpenVINO imports the package that sends if it is there, and does without it else; so it is
    hidden during the block. What the process imported before stays as it is.
    """
    refuse_onnxruntime_telemetry()
    hidden = "openvino" not in sys.modules
    before = sys.modules.get(_OPENVINO_TELEMETRY, _ABSENT)
    if hidden:
        sys.modules[_OPENVINO_TELEMETRY] = None  # type: ignore[assignment] # its import fails
    try:
        yield
    finally:
        if hidden:
            del sys.modules[_OPENVINO_TELEMETRY]
            if before is not _ABSENT:
                sys.modules[_OPENVINO_TELEMETRY] = before  # type: ignore[assignment]
    switch = getattr(sys.modules.get("onnxruntime"), "disable_telemetry_events", None)
    if switch is not None and os.environ.get(ORT_VARIABLE) != "0":
        switch()  # Windows' own telemetry does not know the variable
