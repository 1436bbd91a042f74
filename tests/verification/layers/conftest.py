"""One small network, as a checkpoint and as exported files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from small_models import CONFIG

from swinir_deploy import export_onnx
from swinir_deploy.models.checkpoint import save_checkpoint
from swinir_deploy.network import SwinIR


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
