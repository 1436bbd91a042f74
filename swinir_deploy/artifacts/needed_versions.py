"""Which version of a runtime opens which ONNX file: measured by tools/runtime_table.py."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version

from swinir_deploy.artifacts.metadata import ArtifactMetadata

__all__ = [
    "OPENVINO_FOR_ATTENTION",
    "OPENVINO_FOR_OPSET",
    "ORT_FOR_OPSET",
    "needed_version",
    "openvino_gives_wrong_pixels",
    "openvino_too_old",
    "ort_too_old",
    "ort_version",
]

ORT_FOR_OPSET = {20: (1, 17), 21: (1, 18), 22: (1, 21), 23: (1, 23)}
"""Operator set -> the first ONNX Runtime that runs exports with it and all older ones."""

OPENVINO_FOR_OPSET = {19: (2024, 1), 23: (2024, 2)}
"""Operator set -> the first OpenVINO, likewise. 2024.0 fails on every export's dynamic shapes."""

OPENVINO_FOR_ATTENTION = (2026, 3)
"""The first OpenVINO that is right with the operator Attention, which exports for ONNX Runtime
have. 2026.1 and 2026.2 take it and give wrong pixels (35 dB), without any message."""


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
    """Return the message for a file that is too new for the installed OpenVINO, or None.

    Args:
        reason: the message of OpenVINO's exception.
        installed: its version.
        path: path of the file.
    """
    is_attention = re.search(r"not support.* operations: Attention", reason) is not None
    needed = OPENVINO_FOR_ATTENTION if is_attention else max(OPENVINO_FOR_OPSET.values())
    own = tuple(map(int, re.findall(r"\d+", installed)[:2]))
    # An old version says many things; what cannot be parsed is damaged.
    if own >= needed or re.search("pars|protobuf|empty", reason, re.IGNORECASE):
        return None
    return _update_openvino(path, needed, installed, "does not know all its operators")


def openvino_gives_wrong_pixels(
    metadata: ArtifactMetadata, installed: str, path: str
) -> str | None:
    """Return the message for a file that the installed OpenVINO computes wrongly, or None.

    Args:
        metadata: metadata of the file.
        installed: version of OpenVINO.
        path: path of the file.
    """
    own = tuple(map(int, re.findall(r"\d+", installed)[:2]))
    has_attention = metadata.target == "ort" and metadata.precision == "fp32"
    if own >= OPENVINO_FOR_ATTENTION or not has_attention or metadata.opset < max(ORT_FOR_OPSET):
        return None
    return _update_openvino(
        path, OPENVINO_FOR_ATTENTION, installed, "computes its operator Attention wrongly"
    )


def _update_openvino(path: str, needed: tuple[int, int], installed: str, reason: str) -> str:
    return (
        f"{path} needs OpenVINO >= {needed[0]}.{needed[1]}; {installed} is installed and {reason}. "
        "Update it (pip install --upgrade openvino), or export the model for it: --for openvino."
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
