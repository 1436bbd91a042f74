"""ONNX files as other programs write them, of the official network and of other kinds."""

from __future__ import annotations

import contextlib
import functools
import io
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, compose, helper, numpy_helper
from oracle import OfficialSwinIR, official_network
from torch import Tensor, nn
from variants import SMALL

from swinir_deploy.artifacts.shapes import ShapePattern
from swinir_deploy.exporters.onnx.export import build_graph
from swinir_deploy.exporters.onnx.recipes import get_recipe
from swinir_deploy.models.hyperparameters import is_buffer
from swinir_deploy.network.config import SwinIRConfig
from swinir_deploy.network.swinir import SwinIR

__all__ = [
    "chain",
    "core_alone",
    "naive",
    "ours_without_metadata",
    "save",
    "small_official",
    "with_half_ports",
    "with_step",
]


def save(model: onnx.ModelProto, path: Path, **options: Any) -> Path:
    onnx.save(model, path, **options)
    return path


@functools.cache
def small_official(config: SwinIRConfig = SMALL) -> OfficialSwinIR:
    return official_network(config)


def network_of(config: SwinIRConfig) -> SwinIR:
    """Our network with the weights of :func:`small_official`."""
    state = small_official(config).network.state_dict()
    weights = {name: tensor for name, tensor in state.items() if not is_buffer(name)}
    return SwinIR.from_state_dict(config, weights).eval().requires_grad_(False)


class _Scaled(nn.Module):
    """A network that takes and gives values of another range, or channels in another order."""

    def __init__(self, network: nn.Module, white: float = 1.0, bgr: bool = False) -> None:
        super().__init__()
        self.network, self.white, self.bgr = network, white, bgr

    def forward(self, x: Tensor) -> Tensor:
        if self.bgr:
            x = x.flip(1)
        x = self.network(x / self.white) * self.white
        return x.flip(1) if self.bgr else x


def naive(
    path: Path,
    network: nn.Module | None = None,
    *,
    size: tuple[int, int] = (16, 24),
    batch: int = 1,
    channels: int = 3,
    dynamic: Sequence[int] = (),
    opset: int = 17,
    dynamo: bool = False,
    white: float = 1.0,
    bgr: bool = False,
    **options: Any,
) -> Path:
    """What most guides show: ``torch.onnx.export`` of the official network at one size.

    Args:
        dynamic: axes that are called dynamic, as ``dynamic_axes`` does it.
        white: the value of white in input and output.
    """
    module = network or small_official()
    if white != 1.0 or bgr:
        module = _Scaled(module, white, bgr)
    names = ["batch", "channels", "height", "width"]
    axes = {axis: names[axis] for axis in dynamic}
    picture = torch.rand(batch, channels, *size) * white
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            (picture,),
            str(path),
            dynamo=dynamo,
            opset_version=opset,
            input_names=["input"],
            output_names=["output"],
            **({"dynamic_axes": {"input": axes, "output": axes}} if axes else {}),
            **options,
        )
    return path


def ours_without_metadata(
    io_layout: Any = "tensor", shape: str = "NxCxHxW", config: SwinIRConfig = SMALL, opset: int = 20
) -> onnx.ModelProto:
    """A right graph for every size, as a careful program would write it."""
    pattern = ShapePattern.parse(shape, config)
    return build_graph(network_of(config), get_recipe("any"), io_layout, pattern, opset)


def core_alone(opset: int = 20) -> onnx.ModelProto:
    """A graph that takes only whole windows, as most dynamic exports do: ours without its edges."""
    model = ours_without_metadata(opset=opset)
    nodes = list(model.graph.node)
    padded = next(node for node in nodes if node.op_type == "Pad").output[0]
    restored = next(
        node.input[0]
        for node in nodes
        if node.op_type == "Slice" and node.output[0] == model.graph.output[0].name
    )
    kept = [node for node in nodes if node.op_type != "Pad"]
    for node in kept:
        node.input[:] = ["input" if name == padded else name for name in node.input]
    output = helper.make_tensor_value_info(restored, TensorProto.FLOAT, ["n", 3, "sh", "sw"])
    graph = helper.make_graph(
        kept,
        "core",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 3, "h", "w"])],
        [output],
        list(model.graph.initializer),
    )
    _drop_unused(graph)
    return helper.make_model(
        graph, opset_imports=list(model.opset_import), ir_version=model.ir_version
    )


def _drop_unused(graph: onnx.GraphProto) -> None:
    needed = {value.name for value in graph.output}
    kept = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(node.input)
    del graph.node[:]
    graph.node.extend(reversed(kept))


def with_step(
    model: onnx.ModelProto, before: onnx.ModelProto | None, behind: onnx.ModelProto | None
) -> onnx.ModelProto:
    """A model with another one in front of it, and one behind it."""
    if before is not None:
        before = compose.add_prefix(before, "before/")
        links = [(before.graph.output[0].name, model.graph.input[0].name)]
        model = compose.merge_models(_like(before, model), model, links)
    if behind is not None:
        behind = compose.add_prefix(behind, "behind/")
        links = [(model.graph.output[0].name, behind.graph.input[0].name)]
        model = compose.merge_models(model, _like(behind, model), links)
    return model


def _like(step: onnx.ModelProto, model: onnx.ModelProto) -> onnx.ModelProto:
    step.ir_version = model.ir_version
    del step.opset_import[:]
    step.opset_import.extend(model.opset_import)
    return step


def chain(text_in: str, text_out: str, body: str) -> onnx.ModelProto:
    """A small model in ONNX's own words."""
    return onnx.parser.parse_model(
        f'<ir_version: 9, opset_import: ["": 20]> g ({text_in}) => ({text_out}) {{{body}}}'
    )


def with_half_ports(model: onnx.ModelProto) -> onnx.ModelProto:
    """FP16 at both ends, as FP16 variants of other programs have it."""
    before = chain("float16[n,c,h,w] x", "float[n,c,h,w] y", "y = Cast<to=1>(x)")
    behind = chain("float[n,c,h,w] x", "float16[n,c,h,w] y", "y = Cast<to=10>(x)")
    return with_step(model, before, behind)


def folded_bytes(network: nn.Module) -> nn.Module:
    """The same network for values in 0..255, by its weights alone: nothing in the graph says so.

    Args:
        network: a network without upsampler and mean, which adds what it computes to its input.
    """
    with torch.no_grad():
        first, last = network.conv_first, network.conv_last
        first.weight /= 255
        last.weight *= 255
        last.bias *= 255
    return network


def initializers_as_inputs(model: onnx.ModelProto) -> onnx.ModelProto:
    """As files of IR version 3 have them."""
    for tensor in model.graph.initializer:
        shape = list(tensor.dims)
        model.graph.input.append(
            helper.make_tensor_value_info(tensor.name, tensor.data_type, shape)
        )
    model.ir_version = 3
    return model


def image_model(
    body: str,
    takes: str = "float[1,3,h,w] x",
    gives: str = "float[1,3,sh,sw] y",
    weights: Callable[[], list[tuple[str, Any]]] = list,
) -> onnx.ModelProto:
    """A model that is no SwinIR."""
    model = chain(takes, gives, body)
    model.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(values), name) for name, values in weights()
    )
    return model
