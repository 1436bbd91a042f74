"""A small network, as a checkpoint and as exported files; and copies with a fault."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from swinir_deploy import export_onnx
from swinir_deploy.models.checkpoint import save_checkpoint
from swinir_deploy.network import SwinIR, SwinIRConfig

__all__ = ["CONFIG", "bf16", "fp16", "fp32", "small_checkpoint", "with_weight"]

CONFIG = SwinIRConfig(
    upscale=2,
    in_chans=1,
    window_size=4,
    img_range=1.0,
    depths=(2, 2),
    embed_dim=8,
    num_heads=(2, 2),
    upsampler="pixelshuffledirect",
)


def with_weight(source: Path, target: Path, name: str, change: Callable[[Any], Any]) -> Path:
    """A copy of ``source`` in which one initialiser is changed."""
    model = onnx.load(source)
    weight = next(t for t in model.graph.initializer if t.name == name)
    values = change(numpy_helper.to_array(weight).copy())
    weight.CopyFrom(numpy_helper.from_array(values.astype(np.float32), name))
    onnx.save(model, target)
    return target


@pytest.fixture(scope="session")
def small_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    generator = torch.Generator().manual_seed(2)
    network = SwinIR(CONFIG)
    with torch.no_grad():  # no two weights alike: equal ones are kept once in the file
        for parameter in network.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
    path = tmp_path_factory.mktemp("layers") / "small.safetensors"
    return save_checkpoint(path, network.state_dict(), CONFIG, "small")


@pytest.fixture(scope="session")
def fp32(small_checkpoint: Path) -> Path:
    path = small_checkpoint.with_name("fp32.onnx")
    export_onnx(small_checkpoint, path)
    return path


@pytest.fixture(scope="session")
def fp16(small_checkpoint: Path) -> Path:
    path = small_checkpoint.with_name("fp16.onnx")
    export_onnx(small_checkpoint, path, precision="fp16")
    return path


@pytest.fixture(scope="session")
def bf16(small_checkpoint: Path) -> Path:
    path = small_checkpoint.with_name("bf16.onnx")
    export_onnx(small_checkpoint, path, precision="bf16")
    return path
