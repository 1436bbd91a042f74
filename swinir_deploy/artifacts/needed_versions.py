"""Which version of a runtime opens which ONNX file: measured by tools/runtime_table.py."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version

__all__ = [
    "OPENVINO_FOR_OPSET",
    "ORT_FOR_OPSET",
    "needed_version",
    "openvino_too_old",
    "ort_too_old",
    "ort_version",
]

ORT_FOR_OPSET = {17: (1, 17), 20: (1, 17), 21: (1, 18), 22: (1, 20), 23: (1, 23)}
"""Operator set -> the first ONNX Runtime that runs exports with it and all older ones."""

OPENVINO_FOR_OPSET = {17: (2024, 0), 23: (2025, 3)}
"""Operator set -> the first OpenVINO, likewise."""


def needed_version(opset: int, table: dict[int, tuple[int, int]]) -> str:
    """Return the version of a table that an operator set needs, such as ``1.23``."""
    fitting = [found for known, found in table.items() if known >= opset] or [max(table.values())]
    return ".".join(map(str, min(fitting)))


_OPSET_OF_IR = {8: 17, 9: 20, 10: 22, 11: 23, 12: 24, 13: 25}
"""Version of the ONNX file format -> the newest operator set that needs no newer one."""

_ORT_REASONS = (
    (re.compile(r"Unsupported model IR version: (\d+)"), _OPSET_OF_IR),
    (re.compile(r"Opset (\d+) is under development"), None),
    (re.compile(r"for domain ai\.onnx is till opset (\d+)"), None),
    (re.compile(r"Could not find an implementation for \w+\((\d+)\)"), None),
    (re.compile(r"No Op registered for \w+ with domain_version of (\d+)"), None),
)
"""What ONNX Runtime says of files that are too new for it."""


def ort_too_old(reason: str, installed: str, path: str) -> str | None:
    """Return the message for a file that is too new for the installed ONNX Runtime, or None.

    Args:
        reason: the message of ONNX Runtime's exception.
        installed: its version.
        path: path of the file.
    """
    for pattern, opset_of in _ORT_REASONS:
        match = pattern.search(reason)
        if match is None:
            continue
        number = int(match[1])
        opset = number if opset_of is None else opset_of.get(number, max(opset_of.values()))
        if opset_of is None and "till opset" in pattern.pattern:
            opset += 1
        needed = needed_version(opset, ORT_FOR_OPSET)
        if tuple(map(int, needed.split("."))) <= tuple(map(int, installed.split(".")[:2])):
            return None
        return (
            f"{path} needs ONNX Runtime >= {needed}; {installed} is installed and cannot run its "
            f"operators (opset {opset}). Update it (pip install --upgrade onnxruntime), or export "
            "the model with an older one: --opset 20, and not --for ort."
        )
    return None


def openvino_too_old(reason: str, installed: str, path: str) -> str | None:
    """Return the message for a file that is too new for the installed OpenVINO, or None."""
    needed = needed_version(max(OPENVINO_FOR_OPSET), OPENVINO_FOR_OPSET)
    is_old = tuple(map(int, re.findall(r"\d+", installed)[:2])) < tuple(map(int, needed.split(".")))
    if not is_old or not re.search("does not support|not supported|No conversion", reason):
        return None
    return (
        f"{path} needs OpenVINO >= {needed}; {installed} is installed and does not know all its "
        "operators. Update it (pip install --upgrade openvino), or export the model for it: "
        "--for openvino."
    )


def ort_version() -> tuple[int, int] | None:
    """Return the installed ONNX Runtime's version, without importing it; None if it is missing."""
    for name in ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-openvino"):
        try:
            numbers = re.findall(r"\d+", version(name))
        except PackageNotFoundError:
            continue
        return int(numbers[0]), int(numbers[1])
    return None
