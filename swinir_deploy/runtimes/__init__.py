"""One interface over every back end; each is imported only when it is asked for.

``open_runtime("model.onnx")`` gives a :class:`~swinir_deploy.runtimes.base.Runtime` whose ``run``
takes and gives arrays. The same input gives the same output on every back end, within the
tolerance of its precision.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from swinir_deploy.errors import BackendUnavailableError, UsageError
from swinir_deploy.runtimes.base import Runtime, RuntimeSpec, RuntimeStats

__all__ = [
    "BACKENDS",
    "Backend",
    "Runtime",
    "RuntimeSpec",
    "RuntimeStats",
    "available_backends",
    "backend_for",
    "open_runtime",
]


@dataclass(frozen=True)
class Backend:
    """One entry of :data:`BACKENDS`.

    Attributes:
        name: what ``--backend`` takes.
        factory: ``module:class`` of its :class:`Runtime`.
        requires: import names that it needs.
        extra: of this distribution, which installs them.
        opens: file suffixes; empty for checkpoints and catalogue ids.
        summary: one line.
    """

    name: str
    factory: str
    requires: tuple[str, ...]
    extra: str
    opens: tuple[str, ...]
    summary: str

    def missing(self) -> str | None:
        """Why it cannot be used here, with the remedy, or None."""
        absent = [name for name in self.requires if not _importable(name)]
        if not absent:
            return None
        return (
            f"the back end {self.name!r} needs {' and '.join(absent)}, which "
            f"{'is' if len(absent) == 1 else 'are'} not installed: "
            f"pip install 'swinir-deploy[{self.extra}]'"
        )


BACKENDS: dict[str, Backend] = {
    backend.name: backend
    for backend in (
        Backend(
            "ort",
            "swinir_deploy.runtimes.onnxruntime:OnnxRuntime",
            ("onnxruntime",),
            "ort",
            (".onnx",),
            "ONNX Runtime: an exported .onnx file, without torch",
        ),
        Backend(
            "openvino",
            "swinir_deploy.runtimes.openvino:OpenVinoRuntime",
            ("openvino",),
            "openvino",
            (".onnx",),
            "OpenVINO: an exported .onnx file on a CPU, GPU or NPU, without torch",
        ),
        Backend(
            "torch",
            "swinir_deploy.runtimes.torch:TorchRuntime",
            ("torch", "safetensors"),
            "export",
            (),
            "PyTorch: a checkpoint or catalogue id; the reference of every comparison",
        ),
    )
}
"""Name -> back end, in the order in which they are tried."""


def available_backends() -> dict[str, str | None]:
    """Every back end's name -> None if its packages are here, else what is missing."""
    return {name: backend.missing() for name, backend in BACKENDS.items()}


def backend_for(model: str | os.PathLike[str], backend: str | None = None) -> Backend:
    """The back end that opens ``model``: the one named, else the one its suffix asks for.

    Raises:
        UsageError: no back end of that name, or it does not open such a file.
    """
    suffix = Path(model).suffix.lower()
    if backend is None:
        by_suffix = (b for b in BACKENDS.values() if suffix in b.opens)
        return next(by_suffix, BACKENDS["torch"])
    if backend not in BACKENDS:
        near = difflib.get_close_matches(backend, BACKENDS, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise UsageError(f"No back end {backend!r}; there are {', '.join(BACKENDS)}.{hint}")
    chosen = BACKENDS[backend]
    if chosen.opens and suffix not in chosen.opens:
        raise UsageError(
            f"The back end {backend!r} opens {' and '.join(chosen.opens)} files, not "
            f"{os.fspath(model)!r}. Export the model first: swinir-deploy export --model "
            f"{os.fspath(model)}"
        )
    taken = [b for b in BACKENDS.values() if suffix in b.opens]
    if not chosen.opens and taken:
        raise UsageError(
            f"The back end {backend!r} opens checkpoints and catalogue ids, not "
            f"{os.fspath(model)!r}. Use --backend {taken[0].name}, or name the checkpoint."
        )
    return chosen


def open_runtime(
    model: str | os.PathLike[str],
    backend: str | None = None,
    device: str | None = None,
    **options: Any,
) -> Runtime:
    """Open a model on a back end; use it in a ``with`` block or close it.

    Args:
        model: an exported file; for ``torch`` a checkpoint or a catalogue id.
        backend: a name from :data:`BACKENDS`; None chooses by the file's suffix.
        device: such as ``cpu`` or ``cuda:0``; None is the back end's default.
        options: of the back end's class, such as ``threads=2``.

    Raises:
        BackendUnavailableError: its packages, driver or device are missing.
        InputError: the file is damaged or was not made by this package.
        UsageError: no such back end or option, or a file that it does not open.
    """
    chosen = backend_for(model, backend)
    reason = chosen.missing()
    if reason is not None:
        raise BackendUnavailableError(f"Cannot open {os.fspath(model)}: {reason}.")
    module, _, name = chosen.factory.partition(":")
    factory: type[Runtime] = getattr(importlib.import_module(module), name)
    known = [p for p in inspect.signature(factory).parameters if p not in ("model", "device")]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise UsageError(
            f"The back end {chosen.name!r} has no option {', '.join(unknown)}; "
            f"it has {', '.join(known)}."
        )
    return factory(model, device=device, **options)  # type: ignore[call-arg]


def _importable(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):
        return False
