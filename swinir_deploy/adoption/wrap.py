"""Put the conversions around a foreign graph that make it take and give pictures as ours do."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from swinir_deploy.adoption.convention import Convention
from swinir_deploy.adoption.foreign import ForeignModel, subgraphs
from swinir_deploy.adoption.probe import Sizes
from swinir_deploy.artifacts.metadata import IoLayout

__all__ = ["io_of", "wrapped_model"]

_PREFIX = "swinir_deploy/"
"""Begins the names of added nodes and values."""

_TO_NCHW, _TO_NHWC = (0, 3, 1, 2), (0, 2, 3, 1)


def io_of(convention: Convention) -> IoLayout:
    """Return the layout of the adopted copy: bytes stay bytes, all else becomes ``tensor``."""
    return "image" if convention.input_dtype == "uint8" else "tensor"


def wrapped_model(
    foreign: ForeignModel, convention: Convention, sizes: Sizes, scale: int
) -> onnx.ModelProto:
    """Return a copy of the model that takes NCHW float32 in 0..1, or NHWC uint8.

    The nodes of the model stay as they are. Outputs that hold no picture are removed, and so is
    what only they need. Where sides must be multiples of a number, the picture is padded by
    reflection before and cropped behind. The operators are those of opset 11.

    Args:
        foreign: the model.
        convention: how it takes and gives pictures.
        sizes: the sizes that it takes.
        scale: output side divided by input side.
    """
    model = onnx.ModelProto()
    model.CopyFrom(foreign.model)
    graph = model.graph
    opening = _opening(convention, sizes)
    restored = f"{_PREFIX}restored"
    closing = _closing(convention, sizes, scale, restored)
    if closing.nodes:
        _rename(graph, convention.output_name, restored)
        closing.nodes[-1].output[0] = convention.output_name
    if opening.nodes:
        _rename(graph, convention.input_name, opening.value)
    inner = list(graph.node)
    del graph.node[:]
    graph.node.extend([*opening.nodes, *inner, *closing.nodes])
    graph.initializer.extend([*opening.constants, *closing.constants])
    for values, name, factor in (
        (graph.input, convention.input_name, 1),
        (graph.output, convention.output_name, scale),
    ):
        del values[:]
        values.append(_port(convention, sizes, name, factor))
    del graph.value_info[:]
    _remove_unused(graph)
    model.ir_version = helper.find_min_ir_version_for(model.opset_import, True)
    return model


class _Chain:
    """Nodes one behind the other.

    Attributes:
        value: name of the last one's result.
        nodes: the nodes.
        constants: the tensors that they need.
    """

    def __init__(self, label: str, value: str) -> None:
        self.value, self._label = value, label
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def then(self, operator: str, *others: Any, **attributes: Any) -> None:
        """Add a node that takes the last result and further operands (names or arrays)."""
        self.value = self.side(operator, self.value, *others, **attributes)

    def side(self, operator: str, *operands: Any, **attributes: Any) -> str:
        """Add a node that is no part of the chain, and return the name of its result."""
        name = f"{_PREFIX}{self._label}/{operator}_{len(self.nodes)}"
        names = [
            operand if isinstance(operand, str) else self._constant(name, operand)
            for operand in operands
        ]
        self.nodes.append(helper.make_node(operator, names, [name], name, **attributes))
        return name

    def _constant(self, owner: str, values: Any) -> str:
        name = f"{owner}/operand_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name


def _floats(value: float) -> Any:
    return np.array(value, np.float32)


def _ints(*values: int) -> Any:
    return np.array(values, np.int64)


def _opening(own: Convention, sizes: Sizes) -> _Chain:
    """Return the nodes from the new input to what the graph takes."""
    chain = _Chain("opening", own.input_name)
    is_image = io_of(own) == "image"
    multiples = _multiples(sizes)
    if multiples is not None:
        _pad(chain, own.input_name, multiples, 1 if is_image else 2)
    if own.bgr:
        chain.then("Gather", _ints(2, 1, 0), axis=3 if is_image else 1)
    if is_image:
        if own.input_layout == "nchw":
            chain.then("Transpose", perm=_TO_NCHW)
        return chain
    span, low = own.input_range.high - own.input_range.low, own.input_range.low
    if span != 1:
        chain.then("Mul", _floats(span))
    if low:
        chain.then("Add", _floats(low))
    if own.input_layout == "nhwc":
        chain.then("Transpose", perm=_TO_NHWC)
    if own.input_dtype != "float32":
        chain.then("Cast", to=helper.np_dtype_to_tensor_dtype(np.dtype(own.input_dtype)))
    return chain


def _closing(own: Convention, sizes: Sizes, scale: int, restored: str) -> _Chain:
    """Return the nodes from what the graph gives to the new output."""
    chain = _Chain("closing", restored)
    is_image = io_of(own) == "image"
    is_bytes = own.output_dtype == "uint8"
    if own.output_dtype != "float32" and not (is_image and is_bytes):
        chain.then("Cast", to=TensorProto.FLOAT)
    wanted = "nhwc" if is_image else "nchw"
    if own.output_layout != wanted:
        chain.then("Transpose", perm=_TO_NHWC if is_image else _TO_NCHW)
    if not (is_image and is_bytes):
        _rescale(chain, own, 255.0 if is_image else 1.0)
    if is_image and not is_bytes:
        chain.then("Clip", _floats(0), _floats(255))
        chain.then("Round")
        chain.then("Cast", to=TensorProto.UINT8)
    if own.bgr:
        chain.then("Gather", _ints(2, 1, 0), axis=3 if is_image else 1)
    if _multiples(sizes) is not None:
        _crop(chain, own.input_name, scale, 1 if is_image else 2)
    return chain


def _rescale(chain: _Chain, own: Convention, white: float) -> None:
    """Bring the output's range to 0..``white``."""
    low, span = own.output_range.low, own.output_range.high - own.output_range.low
    if low:
        chain.then("Sub", _floats(low))
    if span != white:
        if white != 1:
            chain.then("Mul", _floats(white))
        if span != 1:
            chain.then("Div", _floats(span))


def _multiples(sizes: Sizes) -> Any:
    """Return the multiples of height and width that padding must reach; None without padding."""
    found = [1 if side else sizes.multiple for side in (sizes.height, sizes.width)]
    return _ints(*found) if max(found) > 1 else None


def _pad(chain: _Chain, picture: str, multiples: Any, axis: int) -> None:
    """Pad the picture at the right and at the bottom by reflection; ``axis`` is its height's."""
    sides = _sides(chain, picture, axis)
    reaching = chain.side("Add", sides, multiples - 1)
    whole = chain.side("Mul", chain.side("Div", reaching, multiples), multiples)
    missing = chain.side("Sub", whole, sides)
    begin, end = np.zeros(4 + axis, np.int64), np.zeros(2 - axis, np.int64)
    pads = chain.side("Concat", begin, missing, *([end] if len(end) else []), axis=0)
    chain.then("Pad", pads, mode="reflect")


def _crop(chain: _Chain, picture: str, scale: int, axis: int) -> None:
    ends = chain.side("Mul", _sides(chain, picture, axis), _ints(scale, scale))
    chain.then("Slice", np.zeros(2, np.int64), ends, _ints(axis, axis + 1))


def _sides(chain: _Chain, picture: str, axis: int) -> str:
    """Return the name of the height and width of a picture, int64 [2]."""
    shape = chain.side("Shape", picture)
    return chain.side("Slice", shape, _ints(axis), _ints(axis + 2), _ints(0))


def _port(own: Convention, sizes: Sizes, name: str, scale: int) -> onnx.ValueInfoProto:
    def side(fixed: int | None, symbol: str) -> int | str:
        if fixed is not None:
            return fixed * scale
        return symbol if scale == 1 else f"{scale}*{symbol}"

    batch, height, width = (
        sizes.batch or "batch",
        side(sizes.height, "height"),
        side(sizes.width, "width"),
    )
    if io_of(own) == "image":
        shape = [batch, height, width, own.channels]
        return helper.make_tensor_value_info(name, TensorProto.UINT8, shape)
    shape = [batch, own.channels, height, width]
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def _rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    """Rename a value wherever nodes make or use it, inside their subgraphs too."""
    for node in graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
        node.output[:] = [new if name == old else name for name in node.output]
        for inner in subgraphs(node):
            _rename(inner, old, new)
            for value in inner.output:
                if value.name == old:
                    value.name = new


def _remove_unused(graph: onnx.GraphProto) -> None:
    """Remove the nodes and weights that no output needs."""
    needed = {value.name for value in graph.output}
    kept = []
    for node in reversed(graph.node):
        if needed.isdisjoint(node.output):
            continue
        kept.append(node)
        needed.update(_used_names(node))
    weights = [tensor for tensor in graph.initializer if tensor.name in needed]
    del graph.node[:]
    graph.node.extend(reversed(kept))
    del graph.initializer[:]
    graph.initializer.extend(weights)


def _used_names(node: onnx.NodeProto) -> set[str]:
    """Return the names that a node and its subgraphs take."""
    names = set(node.input)
    for inner in subgraphs(node):
        names.update(value.name for value in inner.output)
        for part in inner.node:
            names |= _used_names(part)
    return names
