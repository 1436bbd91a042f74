"""One small network, as a checkpoint and as exported files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from oracle import official_network
from torch import nn

from swinir_deploy import export_onnx, load_model
from swinir_deploy.models.checkpoint import save_checkpoint
from swinir_deploy.network import SwinIRConfig

CONFIG = SwinIRConfig(
    upscale=2,
    in_chans=3,
    window_size=8,
    img_range=1.0,
    depths=(2, 3),
    embed_dim=12,
    num_heads=(2, 2),
    upsampler="pixelshuffledirect",
)


@pytest.fixture(scope="session")
def official() -> nn.Module:
    return official_network(CONFIG, seed=3)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, official: Any) -> Path:
    path = tmp_path_factory.mktemp("models") / "small.safetensors"
    names = {name for name, _ in official.network.named_parameters()}
    state = {k: v for k, v in official.network.state_dict().items() if k in names}
    return save_checkpoint(path, state, CONFIG, "small")


@pytest.fixture(scope="session")
def models(checkpoint: Path) -> dict[str, Path]:
    """``tensor`` and ``image``: exported files; ``torch``: the checkpoint."""
    loaded = load_model(checkpoint)
    paths = {"torch": checkpoint}
    for io in ("tensor", "image"):
        paths[io] = checkpoint.with_name(f"{io}.onnx")
        export_onnx(loaded, paths[io], io=io)  # type: ignore[arg-type]
    return paths
