"""Exported graphs of small networks beside the official network; each kind is traced once."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from unittest import mock

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from oracle import OfficialSwinIR, official_network
from shared_traces import shared_trace
from variants import SMALL

from swinir_deploy.artifacts.metadata import IoLayout
from swinir_deploy.artifacts.shapes import ShapePattern
from swinir_deploy.comparison import sample_picture
from swinir_deploy.exporters.onnx import export as onnx_exporter
from swinir_deploy.exporters.onnx.export import build_graph
from swinir_deploy.exporters.onnx.pre_post import INPUT_NAME, OUTPUT_NAME
from swinir_deploy.exporters.onnx.recipes import get_recipe
from swinir_deploy.exporters.onnx.trace import TracedUnit
from swinir_deploy.models.hyperparameters import is_buffer
from swinir_deploy.network.config import SwinIRConfig
from swinir_deploy.network.rewrites import apply_rewrites
from swinir_deploy.network.swinir import SwinIR


def network_of(config: SwinIRConfig, seed: int = 0) -> SwinIR:
    """Our network with the weights of :func:`oracle.official_network`, ready to run."""
    state_dict = official_network(config, seed).network.state_dict()
    weights = {name: tensor for name, tensor in state_dict.items() if not is_buffer(name)}
    return SwinIR.from_state_dict(config, weights).eval().requires_grad_(False)


@functools.cache
def traced(config: SwinIRConfig, target: str, opset: int) -> dict[str, TracedUnit]:
    """The units of a network of ``config``; equal arguments give the same objects."""
    rewritten = network_of(config, seed=9)  # other weights: only the structure may be used
    apply_rewrites(rewritten, get_recipe(target).rewrites_for("fp32", opset))
    return shared_trace(rewritten, opset)


def traces_of_other_weights(target: str) -> mock._patch[mock.Mock]:
    """While patched, exports for ``target`` get traces of networks with other weights."""

    def other(network: SwinIR, opset: int) -> dict[str, TracedUnit]:
        return traced(network.config, target, opset)

    return mock.patch.object(onnx_exporter, "trace_network", other)


@dataclass(frozen=True, eq=False)
class Exported:
    """A graph in ONNX Runtime, and the official network that it must follow."""

    model: onnx.ModelProto
    session: onnxruntime.InferenceSession
    oracle: OfficialSwinIR
    io: IoLayout

    def difference(self, batch: int, height: int, width: int) -> float:
        """Largest absolute difference to the official network, in levels for images."""
        picture = sample_picture(batch, self.oracle.config.in_chans, height, width)
        if self.io == "image":
            levels = np.round(picture * 255).astype(np.uint8)
            picture = (levels / np.float32(255)).astype(np.float32)
            fed: NDArray[np.generic] = levels.transpose(0, 2, 3, 1)
        else:
            fed = picture
        with torch.inference_mode():
            wanted = self.oracle(torch.from_numpy(picture)).numpy()
        if self.io == "image":
            wanted = np.clip(wanted, 0, 1).transpose(0, 2, 3, 1)
            wanted = (wanted * 255).round().astype(np.uint8)
        found = self.session.run([OUTPUT_NAME], {INPUT_NAME: np.ascontiguousarray(fed)})[0]
        assert found.dtype == wanted.dtype
        assert found.shape == wanted.shape
        return float(np.abs(found.astype(np.float64) - wanted).max())


def open_model(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


@functools.cache
def export(
    config: SwinIRConfig = SMALL,
    io: IoLayout = "tensor",
    target: str = "any",
    shape: str = "NxCxHxW",
    opset: int = 20,
) -> Exported:
    """Build the graph of a random network; equal arguments give the same object."""
    pattern = ShapePattern.parse(shape, config)
    with traces_of_other_weights(target):
        model = build_graph(network_of(config), get_recipe(target), io, pattern, opset)
    return Exported(model, open_model(model), official_network(config), io)
