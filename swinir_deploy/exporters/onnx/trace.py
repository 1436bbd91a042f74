"""Trace each kind of unit of a network once, with symbolic sizes.

A SwinIR is a chain of a few kinds of units (see :mod:`swinir_deploy.network.swinir`). One trace
holds one unit of each kind, side by side; stamping them with every unit's weights
(:mod:`swinir_deploy.exporters.onnx.assemble`) gives the graph that tracing the whole network
would give, in a time that hardly grows with its depth.
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
"""torch.onnx emits 18 and newer."""

_NEW_IN_OPSET_18 = ("Resize", ("antialias", "keep_aspect_ratio_policy"))
"""All that changed for our graphs from 17: attributes, which tracing sets to the old behaviour."""

_EXAMPLE_BATCH, _EXAMPLE_ROWS, _EXAMPLE_COLUMNS = 2, 3, 5
"""Sizes while tracing: different from each other and from 0 and 1, which tracing specialises."""

_Example = tuple[Tensor, dict[int, Dim]]


@dataclass(frozen=True)
class TracedUnit:
    """One kind of unit as ONNX nodes.

    Attributes:
        graph: inputs and outputs have the names that the unit's arguments and results have in
            the network; initialisers are named ``place.parameter``.
        place: path, in the network, of the module whose weights were traced; ends with a dot.
    """

    graph: onnx.GraphProto
    place: str


class _Unit(nn.Module):
    """Base of the units: holds the network, so that parameters keep their paths in it."""

    outputs: tuple[str, ...]

    def __init__(self, place: str = "") -> None:
        super().__init__()
        self.place = place

    def examples(self, sizes: _Sizes) -> dict[str, _Example]:
        """Argument name -> example tensor and its symbolic sizes."""
        raise NotImplementedError

    def compute(self, network: SwinIR, arguments: list[Tensor]) -> tuple[Tensor, ...]:
        """Run the unit of ``network``."""
        raise NotImplementedError


class _Sizes:
    """Example tensors with symbols of their own for one unit."""

    def __init__(self, network: SwinIR, unit: int) -> None:
        config = network.config
        self.channels, self.dim, self.window = (
            config.in_chans,
            config.embed_dim,
            config.window_size,
        )
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
        """[B, in_chans, H, W]; with ``fixed_side`` only the batch is symbolic."""
        return self._image(self.channels, self.picture_dtype, fixed_side)

    def shallow(self) -> _Example:
        """[B, embed_dim, H, W], before the stream."""
        return self._image(self.dim, self.shallow_dtype)

    def _image(self, channels: int, dtype: torch.dtype, fixed_side: int | None = None) -> _Example:
        height = fixed_side or self.window * _EXAMPLE_ROWS
        width = fixed_side or self.window * _EXAMPLE_COLUMNS
        example = self._zeros((_EXAMPLE_BATCH, channels, height, width), dtype)
        if fixed_side:
            return example, {0: self.batch}
        return example, {0: self.batch, 2: self.window * self.rows, 3: self.window * self.columns}

    def windows(self) -> _Example:
        """[B, rows, columns, N, C], or these axes as the layout has them."""
        shape, symbols = self._in_layout(self.axes)
        return self._zeros((*shape, self.stream_dim), self.stream_dtype), symbols

    def order(self) -> _Example:
        """int64, the axes of :meth:`windows` without batch and channels."""
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
        """[B, rows, columns, N, N], or the axes that the layout's masks have."""
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
    """All units as one module: inputs and outputs one after the other."""

    def __init__(self, network: SwinIR, units: list[_Unit], arities: list[int]) -> None:
        super().__init__()
        self.network = network
        self.units = units  # a plain list: their parameters are the network's
        self.arities = arities

    def forward(self, *arguments: Tensor) -> tuple[Tensor, ...]:
        results: list[Tensor] = []
        remaining = list(arguments)
        for unit, arity in zip(self.units, self.arities, strict=True):
            results += unit.compute(self.network, remaining[:arity])
            remaining = remaining[arity:]
        return tuple(results)


def block_kind(block: SwinTransformerBlock) -> str:
    """Blocks of one kind differ in their weights only."""
    kind = f"{'shifted' if block.shifted else 'plain'} block, {block.attn.num_heads} heads"
    return kind + _dtypes(attn=block.attn, mlp=block.mlp)


def junction_kind(layer: RSTB) -> str:
    """The same for what closes an RSTB."""
    return "junction" + _dtypes(conv=layer.conv)


def _dtypes(**modules: nn.Module) -> str:
    """What does not compute in FP32, for the name of a kind."""
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
    """Drop the attributes that came with opset 18; their defaults are the behaviour before it."""
    operator, new = _NEW_IN_OPSET_18
    for node in graph.node:
        if node.op_type == operator:
            kept = [attribute for attribute in node.attribute if attribute.name not in new]
            del node.attribute[:]
            node.attribute.extend(kept)


def _slice(whole: onnx.GraphProto, inputs: list[str], outputs: list[str]) -> onnx.GraphProto:
    """The part of ``whole`` that computes ``outputs``, names without the unit's number."""
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
    """Keep the exporter's progress marks and remarks off the terminal."""
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
    """Pause the cycle collector: tracing makes millions of objects, and few die in cycles."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
