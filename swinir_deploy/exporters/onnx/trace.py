"""Trace each kind of unit of a network once, with symbolic sizes.

A SwinIR is a chain of a few kinds of units (see :mod:`swinir_deploy.network.swinir`). One trace
holds one unit of each kind, side by side. Copies of them with the weights of every unit
(:mod:`swinir_deploy.exporters.onnx.assemble`) give the same graph as tracing the whole network,
in a time that hardly grows with its depth.
"""

from __future__ import annotations

import contextlib
import gc
import io
import itertools
import logging
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import onnx
import torch
from torch import Tensor, nn
from torch.export import Dim

from swinir_deploy.network.swinir import RSTB, SwinIR, SwinTransformerBlock
from swinir_deploy.precision.plan import dtype_of

__all__ = ["TracedUnit", "block_kind", "junction_kind", "trace_network"]

_OLDEST_TRACED_OPSET = 18
"""The oldest operator set that torch.onnx writes."""

_NEW_IN_OPSET_18 = ("Resize", ("antialias", "keep_aspect_ratio_policy"))
"""Attributes that opset 18 added to our operators; a trace sets them to the old behaviour."""

_EXAMPLE_BATCH, _EXAMPLE_ROWS, _EXAMPLE_COLUMNS = 2, 3, 5
"""Sizes for tracing. They differ from each other and from 0 and 1, which tracing would fix."""

_Example = tuple[Tensor, dict[int, Dim]]


@dataclass(frozen=True)
class TracedUnit:
    """One kind of unit as ONNX nodes.

    Attributes:
        graph: the graph. Its inputs and outputs have the names of the unit's arguments and
            results; its initializers are named ``place.parameter``.
        place: path in the network of the module whose weights were traced, with a dot at the end;
            empty for units without a module of their own.
    """

    graph: onnx.GraphProto
    place: str


class _Unit(nn.Module):
    """Base of the units; ``place`` is the path of the traced module in the network."""

    outputs: tuple[str, ...]

    def __init__(self, place: str = "") -> None:
        super().__init__()
        self.place = place

    def examples(self, sizes: _Sizes) -> dict[str, _Example]:
        """Return name of an argument -> example tensor and its symbolic sizes."""
        raise NotImplementedError

    def compute(self, network: SwinIR, arguments: list[Tensor]) -> tuple[Tensor, ...]:
        """Compute the unit with the weights of ``network``."""
        raise NotImplementedError


class _Sizes:
    """Example tensors for one unit, with size symbols that no other unit uses."""

    def __init__(self, network: SwinIR, unit: int) -> None:
        config = network.config
        self.channels, self.dim, self.window = (
            config.in_chans,
            config.embed_dim,
            config.window_size,
        )
        self.unshuffle = config.unshuffle
        self.stream_dim = self.dim + network.spare_channels
        self.axes, self.mask_axes = network.layout.axes, network.layout.mask_axes
        self.device = network.mean.device
        self.picture_dtype = network.mean.dtype
        self.shallow_dtype = dtype_of(network.conv_first)
        self.stream_dtype = network.stream_dtype or self.shallow_dtype
        self.batch = Dim(f"batch{unit}", min=1, max=2**16)
        self.rows = Dim(f"rows{unit}", min=1, max=2**16)
        self.columns = Dim(f"columns{unit}", min=1, max=2**16)
        self.fixed_side = config.img_size if config.ape else None

    def picture(self, fixed_side: int | None = None) -> _Example:
        """Return an example [B, in_chans, H, W]; with ``fixed_side`` only the batch is symbolic."""
        side = self.window * self.unshuffle
        return self._image(self.channels, self.picture_dtype, side, fixed_side)

    def shallow(self) -> _Example:
        """Return an example of the shallow features, [B, embed_dim, H, W]."""
        return self._image(self.dim, self.shallow_dtype, self.window)

    def _image(
        self, channels: int, dtype: torch.dtype, covered: int, fixed_side: int | None = None
    ) -> _Example:
        """Return an example whose windows cover squares of ``covered`` pixels a side."""
        height = fixed_side or covered * _EXAMPLE_ROWS
        width = fixed_side or covered * _EXAMPLE_COLUMNS
        example = self._zeros((_EXAMPLE_BATCH, channels, height, width), dtype)
        if fixed_side:
            return example, {0: self.batch}
        return example, {0: self.batch, 2: covered * self.rows, 3: covered * self.columns}

    def windows(self) -> _Example:
        """Return an example of the stream, [B, rows, columns, N, C] in the order of the layout."""
        shape, symbols = self._in_layout(self.axes)
        return self._zeros((*shape, self.stream_dim), self.stream_dtype), symbols

    def order(self) -> _Example:
        """Return an example of an order, int64, with the axes of the layout without the batch."""
        shape, symbols = self._in_layout([axis for axis in self.axes if axis != "batch"])
        return self._zeros(tuple(shape), torch.int64), symbols

    def _in_layout(self, axes: Sequence[str]) -> tuple[list[int], dict[int, Dim]]:
        sizes = {
            "batch": _EXAMPLE_BATCH,
            "rows": _EXAMPLE_ROWS,
            "columns": _EXAMPLE_COLUMNS,
            "tokens": self.window**2,
        }
        symbols = {"batch": self.batch, "rows": self.rows, "columns": self.columns}
        dynamic = {place: symbols[axis] for place, axis in enumerate(axes) if axis in symbols}
        return [sizes[axis] for axis in axes], dynamic

    def mask(self) -> _Example:
        """Return an example of the mask, [..., N, N] with the mask axes of the layout."""
        shape, symbols = self._in_layout(self.mask_axes)
        return self._zeros((*shape, self.window**2, self.window**2), self.stream_dtype), symbols

    def _zeros(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        return torch.zeros(shape, dtype=dtype, device=self.device)


class _Opening(_Unit):
    outputs = ("centred", "shallow", "stream", "order", "inverse_order", "mask")

    def examples(self, sizes: _Sizes) -> dict[str, _Example]:
        return {"image": sizes.picture(sizes.fixed_side)}

    def compute(self, network: SwinIR, arguments: list[Tensor]) -> tuple[Tensor, ...]:
        centred, shallow, stream, shift = network.opening(arguments[0])
        return centred, shallow, stream, *shift


class _Reorder(_Unit):
    outputs = ("windows_out",)

    def examples(self, sizes: _Sizes) -> dict[str, _Example]:
        return {"windows": sizes.windows(), "order": sizes.order()}

    def compute(self, network: SwinIR, arguments: list[Tensor]) -> tuple[Tensor, ...]:
        windows, order = arguments
        return (network.layout.reorder(windows, order),)


class _Block(_Unit):
    outputs = ("windows_out",)

    def __init__(self, place: str, shifted: bool) -> None:
        super().__init__(place)
        self.shifted = shifted

    def examples(self, sizes: _Sizes) -> dict[str, _Example]:
        examples = {"windows": sizes.windows()}
        return {**examples, "mask": sizes.mask()} if self.shifted else examples

    def compute(self, network: SwinIR, arguments: list[Tensor]) -> tuple[Tensor, ...]:
        block = cast(SwinTransformerBlock, network.get_submodule(self.place[:-1]))
        return (block(*arguments),)


class _Junction(_Unit):
    outputs = ("stream_out",)

    def examples(self, sizes: _Sizes) -> dict[str, _Example]:
        return {"windows": sizes.windows(), "stream": sizes.windows()}

    def compute(self, network: SwinIR, arguments: list[Tensor]) -> tuple[Tensor, ...]:
        layer = cast(RSTB, network.get_submodule(self.place[:-1]))
        windows, stream = arguments
        return (layer.junction(windows, stream),)


class _Closing(_Unit):
    outputs = ("image_out",)

    def examples(self, sizes: _Sizes) -> dict[str, _Example]:
        return {
            "stream": sizes.windows(),
            "shallow": sizes.shallow(),
            "centred": sizes.picture(),
        }

    def compute(self, network: SwinIR, arguments: list[Tensor]) -> tuple[Tensor, ...]:
        stream, shallow, centred = arguments
        return (network.closing(stream, shallow, centred),)


class _SideBySide(nn.Module):
    """All units as one module, which takes and returns the tensors of one unit after the other."""

    def __init__(self, network: SwinIR, units: list[_Unit], arities: list[int]) -> None:
        super().__init__()
        self.network = network
        self.units = units  # A plain list, because the network already holds the parameters.
        self.arities = arities

    def forward(self, *arguments: Tensor) -> tuple[Tensor, ...]:
        results: list[Tensor] = []
        remaining = list(arguments)
        for unit, arity in zip(self.units, self.arities, strict=True):
            results += unit.compute(self.network, remaining[:arity])
            remaining = remaining[arity:]
        return tuple(results)


def block_kind(block: SwinTransformerBlock) -> str:
    """Return the kind of a block; blocks of the same kind differ in their weights only."""
    kind = f"{'shifted' if block.shifted else 'plain'} block, {block.attn.num_heads} heads"
    return kind + _dtypes(attn=block.attn, mlp=block.mlp)


def junction_kind(layer: RSTB) -> str:
    """Return the kind of the convolution and residual sum at the end of an RSTB."""
    return "junction" + _dtypes(conv=layer.conv)


def _dtypes(**modules: nn.Module) -> str:
    """Return the dtypes other than FP32, as a part of the name of a kind."""
    names = {name: str(dtype_of(m)).removeprefix("torch.") for name, m in modules.items()}
    return "".join(f", {n} {dtype}" for n, dtype in names.items() if dtype != "float32")


def trace_network(network: SwinIR, opset: int) -> dict[str, TracedUnit]:
    """Trace one unit of each kind of ``network`` (rewritten, in eval mode) at ``opset``.

    Returns:
        ``opening``, ``reorder``, ``closing`` and every :func:`block_kind` and
        :func:`junction_kind` of the network -> the traced unit.
    """
    units: dict[str, _Unit] = {
        "opening": _Opening(),
        "reorder": _Reorder(),
        "closing": _Closing(),
    }
    for path, module in network.named_modules():
        if isinstance(module, SwinTransformerBlock):
            units.setdefault(block_kind(module), _Block(f"{path}.", module.shifted))
        elif isinstance(module, RSTB):
            units.setdefault(junction_kind(module), _Junction(f"{path}."))

    examples: list[Tensor] = []
    dims: list[dict[int, Dim]] = []
    input_names: list[list[str]] = []
    output_names: list[list[str]] = []
    for index, unit in enumerate(units.values()):
        arguments = unit.examples(_Sizes(network, index))
        examples += [example for example, _ in arguments.values()]
        dims += [symbols for _, symbols in arguments.values()]
        input_names.append([f"{index}/{name}" for name in arguments])
        output_names.append([f"{index}/{name}" for name in unit.outputs])

    module = _SideBySide(network, list(units.values()), [len(names) for names in input_names])
    with torch.no_grad(), _quiet(), _no_collection():
        exported = torch.export.export(
            module.eval(), tuple(examples), dynamic_shapes=(tuple(dims),), strict=False
        )
        program = torch.onnx.export(
            exported,
            dynamo=True,
            opset_version=max(opset, _OLDEST_TRACED_OPSET),
            input_names=list(itertools.chain(*input_names)),
            output_names=list(itertools.chain(*output_names)),
            optimize=False,
            verbose=False,
        )
    if program is None:
        raise AssertionError("torch.onnx.export(dynamo=True) gives a program")
    whole = program.model_proto.graph
    if opset < _OLDEST_TRACED_OPSET:
        _lower_to_opset_17(whole)
    return {
        kind: TracedUnit(_slice(whole, inputs, outputs), unit.place)
        for (kind, unit), inputs, outputs in zip(
            units.items(), input_names, output_names, strict=True
        )
    }


def _lower_to_opset_17(graph: onnx.GraphProto) -> None:
    """Drop the attributes that opset 18 added; their defaults are the behaviour of opset 17."""
    operator, new = _NEW_IN_OPSET_18
    for node in graph.node:
        if node.op_type == operator:
            kept = [attribute for attribute in node.attribute if attribute.name not in new]
            del node.attribute[:]
            node.attribute.extend(kept)


def _slice(whole: onnx.GraphProto, inputs: list[str], outputs: list[str]) -> onnx.GraphProto:
    """Return the part of ``whole`` that computes ``outputs``, without unit numbers in names."""
    producers = {name: node for node in whole.node for name in node.output}
    needed: set[str] = set()
    pending = list(outputs)
    while pending:
        name = pending.pop()
        if name in needed or not name:
            continue
        needed.add(name)
        if name in producers:
            pending.extend(producers[name].input)
    foreign = {value.name for value in whole.input} & needed - set(inputs)
    if foreign:
        raise AssertionError(f"the trace of {outputs} reads another unit's {sorted(foreign)}")

    def local(name: str) -> str:
        return name.split("/", 1)[1] if name in inputs or name in outputs else name

    part = onnx.GraphProto()
    for node in whole.node:
        if any(name in needed for name in node.output):
            copy = part.node.add()
            copy.CopyFrom(node)
            copy.input[:] = [local(name) for name in node.input]
            copy.output[:] = [local(name) for name in node.output]
    for tensor in whole.initializer:
        if tensor.name in needed:
            copy_tensor = part.initializer.add()
            copy_tensor.CopyFrom(tensor)
            copy_tensor.name = tensor.name.removeprefix("network.")
            for node in part.node:
                node.input[:] = [
                    copy_tensor.name if name == tensor.name else name for name in node.input
                ]
    part.input.extend(onnx.ValueInfoProto(name=local(name)) for name in inputs)
    part.output.extend(onnx.ValueInfoProto(name=local(name)) for name in outputs)
    return part


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the progress messages and warnings of the exporter."""
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(previous)


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Pause the cycle collector: tracing creates millions of objects, but few cycles."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
