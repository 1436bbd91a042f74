"""Parse the list of kernels that TensorRT for RTX logs at the end of a verbose build.

A line of the list has the form ``Name: N, LayerType: T, Inputs: [..], Constants: [..], Outputs:
[..], TacticName: .., StreamId: .., Metadata: [ONNX Layer: A][ONNX Layer: B]``. The name of a
generated kernel lists its operations, up to four letters each: ``__myl_CastMeanSubMulMean..``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from swinir_deploy.nvidia.tensorrt_library import Message

__all__ = ["Kernel", "Tensor", "activation_bytes", "block_of_each", "parse_kernels", "weight_bytes"]

_LINE = re.compile(r"^Name: (?P<name>.+?), LayerType: (?P<type>\w+), (?P<rest>.*)$", re.MULTILINE)
_SECTION = re.compile(r"\b(Inputs|Constants|Outputs): \[")
_TENSOR = re.compile(r"\{ Name: (?P<name>.+?), (?P<fields>.*?)\}(?=,|\s*\])")
_DIMENSIONS = re.compile(r"Dimensions: \[([-\d,\s]*)\]")
_DATATYPE = re.compile(r"Datatype: (\w+)")
_ONNX_LAYER = re.compile(r"\[ONNX Layer: ([^\]]*)\]")
_BLOCK = re.compile(r"layers\.\d+\.residual_group\.blocks\.\d+(?=\.|/|$)")
_OPERATIONS = re.compile(r"[A-Z][a-z0-9]*")
_ACTIVATIONS = re.compile(r"Total Activation Memory: (\d+) bytes")
_WEIGHTS = re.compile(r"Total Weights Memory: (\d+) bytes")

_BYTES = {
    "Float": 4,
    "Half": 2,
    "BFloat16": 2,
    "Int64": 8,
    "Int32": 4,
    "Int8": 1,
    "UInt8": 1,
    "Bool": 1,
    "FP8": 1,
}

_MOVING = {"Resh", "Tran", "Slic", "Move", "Conc", "Gath", "Repl", "Pad", "Etc"}
"""Operations that only move or reshape data."""

_HOST_LAYERS = {"shape_call", "ShapeHostToDevice", "signal", "wait"}
"""Layers that compute shapes or wait for streams; they do not compute activations."""


@dataclass(frozen=True)
class Tensor:
    """A tensor that a kernel reads or writes.

    Attributes:
        name: the compiler's name.
        shape: the shape; -1 marks a dynamic size.
        dtype: TensorRT's name of the type, such as ``Half``.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def size_bytes(self) -> int | None:
        """Size of the tensor in bytes; None if a size is dynamic or the type is unknown."""
        if any(size < 0 for size in self.shape) or self.dtype not in _BYTES:
            return None
        count = 1
        for size in self.shape:
            count *= size
        return count * _BYTES[self.dtype]


@dataclass(frozen=True)
class Kernel:
    """One kernel of the list.

    Attributes:
        name: the compiler's name.
        layer_type: the compiler's class, such as ``kgen`` or ``gemm``.
        inputs: activations that the kernel reads.
        outputs: activations that the kernel writes.
        onnx_nodes: names of the ONNX nodes that the kernel computes; empty where the compiler
            merged nodes and lost their names.
    """

    name: str
    layer_type: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    onnx_nodes: tuple[str, ...]

    @property
    def operations(self) -> tuple[str, ...]:
        """Operations of a generated kernel, such as ``("Cast", "Mean", "Sub")``; else empty."""
        match = re.match(r"__myl_([A-Za-z0-9]+)", self.name)
        return tuple(_OPERATIONS.findall(match[1])) if match else ()

    @property
    def is_host(self) -> bool:
        """Whether the kernel computes shapes instead of activations."""
        if self.layer_type in _HOST_LAYERS:
            return True
        sizes = [tensor.size_bytes for tensor in self.outputs]
        return (
            bool(self.outputs)
            and all(size is not None and size <= 8 for size in sizes)
            and all(tensor.dtype.startswith("Int") for tensor in self.outputs)
        )

    @property
    def kind(self) -> str:
        """Kind of the kernel by what it computes.

        One of attention, convolution, matmul, normalization, cast, relayout, pointwise and shape.
        """
        operations = set(self.operations)
        if self.is_host:
            return "shape"
        if "mha" in self.name.lower():
            return "attention"
        if self.layer_type in ("correlation", "convolution", "deconvolution"):
            return "convolution"
        if self.layer_type in ("gemm", "matmul", "runtime_fusion") or "Fc" in operations:
            return "matmul"
        normalizes = any("LayerNormalization" in node for node in self.onnx_nodes)
        if normalizes or "Mean" in operations or "Sqrt" in operations:
            return "normalization"
        if self.layer_type == "cast" or ("Cast" in operations and operations <= _MOVING | {"Cast"}):
            return "cast"
        if self.layer_type == "reshape" or (operations and operations <= _MOVING):
            return "relayout"
        return "pointwise"


def parse_kernels(messages: Iterable[Message]) -> list[Kernel]:
    """Return the kernels of the engine in the order in which they run; empty without a list."""
    return [
        _parse_line(match)
        for message in messages
        if "LayerType: " in message.text
        for match in _LINE.finditer(message.text)
    ]


def _parse_line(match: re.Match[str]) -> Kernel:
    rest = match["rest"]
    sections = {}
    starts = list(_SECTION.finditer(rest))
    for start, after in zip(starts, [*starts[1:], None], strict=True):
        end = after.start() if after is not None else len(rest)
        sections[start[1]] = rest[start.end() : end]
    outputs = sections.get("Outputs", "").partition("], TacticName:")[0] + "]"
    return Kernel(
        name=match["name"],
        layer_type=match["type"],
        inputs=_parse_tensors(sections.get("Inputs", "")),
        outputs=_parse_tensors(outputs),
        onnx_nodes=tuple(_ONNX_LAYER.findall(rest)),
    )


def _parse_tensors(text: str) -> tuple[Tensor, ...]:
    tensors = []
    for match in _TENSOR.finditer(text):
        dimensions = _DIMENSIONS.search(match["fields"])
        datatype = _DATATYPE.search(match["fields"])
        sizes = (
            [int(size) for size in dimensions[1].split(",") if size.strip()] if dimensions else []
        )
        tensors.append(Tensor(match["name"], tuple(sizes), datatype[1] if datatype else "unknown"))
    return tuple(tensors)


def block_of_each(kernels: Sequence[Kernel]) -> list[str | None]:
    """Return the Swin Transformer block of each kernel; None outside of the blocks.

    A kernel with nodes of several blocks belongs to the block with most of them. A kernel without
    node names belongs to the block of the next kernel, because kernels are listed in the order in
    which they run.
    """
    blocks: list[str | None] = []
    for kernel in kernels:
        names = [match[0] for node in kernel.onnx_nodes if (match := _BLOCK.search(node))]
        blocks.append(Counter(names).most_common(1)[0][0] if names else None)
    following: str | None = None
    for index in reversed(range(len(kernels))):
        if kernels[index].onnx_nodes:
            following = blocks[index]
        elif kernels[index].kind != "shape":
            blocks[index] = following
    return blocks


def activation_bytes(messages: Iterable[Message]) -> int:
    """Return the device memory in bytes for one context's activations; 0 if not in the log."""
    return _largest(_ACTIVATIONS, messages)


def weight_bytes(messages: Iterable[Message]) -> int:
    """Return the device memory in bytes for the weights; 0 if not in the log."""
    return _largest(_WEIGHTS, messages)


def _largest(pattern: re.Pattern[str], messages: Iterable[Message]) -> int:
    sizes = [int(match[1]) for message in messages if (match := pattern.search(message.text))]
    return max(sizes, default=0)
