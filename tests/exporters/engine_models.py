"""ONNX models for the tests of engines: made once, without a checkpoint."""

from __future__ import annotations

from pathlib import Path

import onnx
import torch

from swinir_deploy.artifacts.metadata import ArtifactMetadata, IoLayout, Precision
from swinir_deploy.artifacts.shapes import ShapePattern
from swinir_deploy.exporters.onnx.export import build_graph
from swinir_deploy.exporters.onnx.recipes import get_recipe
from swinir_deploy.network.config import SwinIRConfig
from swinir_deploy.network.swinir import SwinIR
from swinir_deploy.precision.plan import PrecisionPlan

SMALL = SwinIRConfig(
    upscale=2,
    in_chans=3,
    window_size=8,
    img_range=1.0,
    depths=(2,),
    embed_dim=24,  # heads of 12, which become 16; TensorRT does not fuse heads of 8
    num_heads=(2,),
    upsampler="pixelshuffledirect",
)


def write_model(
    path: Path,
    config: SwinIRConfig = SMALL,
    *,
    precision: Precision = "fp16",
    target: str = "tensorrt",
    io: IoLayout = "tensor",
) -> Path:
    """The graph that ``export --for tensorrt`` makes of random weights, without its check."""
    torch.manual_seed(0)
    network = SwinIR(config).eval()
    graph = build_graph(
        network, get_recipe(target), io, ShapePattern(), 20, PrecisionPlan(precision)
    )
    metadata = ArtifactMetadata(
        io=io,
        scale=config.upscale,
        in_chans=config.in_chans,
        window_size=config.window_size,
        precision=precision,
        target=target,
        shape=ShapePattern().describe(config.in_chans),
        model_id="random",
        opset=20,
        config=config.to_dict(),
    )
    onnx.helper.set_model_props(graph, metadata.to_props())
    onnx.save(graph, path)
    return path
