"""Assemble traced units into a whole graph: one copy of a unit for each place in the network."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Mapping
from typing import Any, cast

import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from swinir_deploy.exporters.onnx.trace import TracedUnit, block_kind, junction_kind
from swinir_deploy.network.swinir import RSTB, SwinIR, SwinTransformerBlock

__all__ = ["GraphAssembler", "assemble_core"]

_SCOPES = "pkg.torch.onnx.name_scopes"
"""Key of a node's metadata: tracing stores the paths of the enclosing modules there."""


class GraphAssembler:
    """Collects the nodes and weights of copied graphs; unique names tell the place of each."""

    def __init__(self, weights: Mapping[str, NDArray[Any]]) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}
        self._weights = weights
        self._op_counts: Counter[str] = Counter()

    def stamp(
        self,
        graph: onnx.GraphProto,
        label: str,
        inputs: Mapping[str, str],
        *,
        traced_place: str = "",
        place: str = "",
    ) -> dict[str, str]:
        """Add a copy of ``graph``.

        Args:
            graph: a traced unit or an edge graph.
            label: unique prefix for the names of the new values.
            inputs: name of an input of ``graph`` -> name of the existing value for it.
            traced_place: prefix of the names of the traced weights.
            place: module path that replaces ``traced_place``; the copy has its weights.

        Returns:
            Name of an output of ``graph`` -> name of its value in the whole graph.
        """
        names = dict(inputs)

        def moved(path: str) -> str:
            if f"{path}." == traced_place:
                return place.removesuffix(".")
            return place + path.removeprefix(traced_place)

        for tensor in graph.initializer:
            weight = tensor.name in self._weights
            name = moved(tensor.name) if weight else f"{label}/{tensor.name}"
            names[tensor.name] = name
            if name in self.initializers:
                continue
            if weight:
                self.initializers[name] = numpy_helper.from_array(self._weights[name], name)
            else:
                constant = onnx.TensorProto()
                constant.CopyFrom(tensor)
                constant.name = name
                self.initializers[name] = constant
        for node in graph.node:
            copy = onnx.NodeProto(op_type=node.op_type, domain=node.domain)
            copy.attribute.extend(node.attribute)
            copy.input.extend(names[name] if name else "" for name in node.input)
            for output in node.output:
                names[output] = f"{label}/{output}" if output else ""
            copy.output.extend(names[name] for name in node.output)
            scope = _module_scope(node)
            copy.name = self._unique(f"{moved(scope) if scope else label}/{node.op_type}")
            self.nodes.append(copy)
        return {output.name: names[output.name] for output in graph.output}

    def rename(self, old: str, new: str) -> None:
        """Rename a value, for example to the name of the whole graph's output."""
        for node in self.nodes:
            node.input[:] = [new if name == old else name for name in node.input]
            node.output[:] = [new if name == old else name for name in node.output]

    def _unique(self, base: str) -> str:
        self._op_counts[base] += 1
        count = self._op_counts[base]
        return base if count == 1 else f"{base}_{count}"


def assemble_core(
    assembler: GraphAssembler, network: SwinIR, units: Mapping[str, TracedUnit], image: str
) -> str:
    """Assemble the graph of :meth:`SwinIR.core`.

    Args:
        assembler: the assembler that receives the nodes and weights.
        network: the network, which tells the kind of unit at each place.
        units: kind -> unit, traced from this network.
        image: name of the value that holds the padded picture, [B, C, H, W].

    Returns:
        Name of the value that holds the restored picture.
    """

    def stamp(kind: str, label: str, place: str, **inputs: str) -> dict[str, str]:
        unit = units[kind]
        return assembler.stamp(unit.graph, label, inputs, traced_place=unit.place, place=place)

    opened = stamp("opening", "opening", "", image=image)
    stream = opened["stream"]

    def reordered(windows: str, order: str, label: str) -> str:
        return stamp("reorder", label, "", windows=windows, order=opened[order])["windows_out"]

    for index, layer in enumerate(cast("list[RSTB]", list(network.layers))):
        place = f"layers.{index}."
        windows = stream
        is_shifted = False
        for number, module in enumerate(layer.residual_group.blocks):
            block = cast(SwinTransformerBlock, module)
            block_place = f"{place}residual_group.blocks.{number}."
            if block.shifted != is_shifted:
                order = "order" if block.shifted else "inverse_order"
                windows = reordered(windows, order, f"{block_place}reorder")
                is_shifted = block.shifted
            masks = {"mask": opened["mask"]} if block.shifted else {}
            label = f"{block_place}block"
            windows = stamp(block_kind(block), label, block_place, windows=windows, **masks)[
                "windows_out"
            ]
        if is_shifted:
            windows = reordered(windows, "inverse_order", f"{place}reorder")
        label = f"{place}junction"
        stream = stamp(junction_kind(layer), label, place, windows=windows, stream=stream)[
            "stream_out"
        ]
    return stamp(
        "closing",
        "closing",
        "",
        stream=stream,
        shallow=opened["shallow"],
        centred=opened["centred"],
    )["image_out"]


def _module_scope(node: onnx.NodeProto) -> str:
    """Return the path of the innermost module that a node was traced from."""
    for entry in node.metadata_props:
        if entry.key == _SCOPES:
            scopes = [s for s in ast.literal_eval(entry.value) if s.startswith("network.")]
            return scopes[-1].removeprefix("network.") if scopes else ""
    return ""
