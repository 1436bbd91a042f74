"""A widened stream: its spare channels hold the mean, and LayerNorm does not notice them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from oracle import official_network
from torch import Tensor, nn

from swinir_deploy.models.hyperparameters import is_buffer
from swinir_deploy.network.config import SwinIRConfig
from swinir_deploy.network.swinir import SwinIR
from swinir_deploy.network.widening import widen_stream

CONFIG = SwinIRConfig(
    upscale=2,
    in_chans=3,
    window_size=4,
    img_range=1.0,
    depths=(2, 2),
    embed_dim=12,
    num_heads=(2, 2),
    upsampler="pixelshuffledirect",
)


def widened(config: SwinIRConfig) -> tuple[SwinIR, Tensor, Tensor]:
    """A widened network, a picture, and the official network's output for it."""
    oracle = official_network(config, seed=5)
    weights = {k: v for k, v in oracle.network.state_dict().items() if not is_buffer(k)}
    network = SwinIR.from_state_dict(config, weights).eval().requires_grad_(False)
    picture = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    widen_stream(network)
    with torch.inference_mode():
        return network, picture, oracle(picture)


@pytest.mark.parametrize("embed_dim", [8, 12, 18, 60])
@pytest.mark.parametrize(
    "change",
    [{}, {"resi_connection": "3conv"}, {"patch_norm": False}, {"ape": True, "img_size": 8}],
)
def test_every_kind_of_network_stays_the_same(embed_dim: int, change: dict[str, object]) -> None:
    config = replace(CONFIG, embed_dim=embed_dim, **change)  # type: ignore[arg-type]
    network, picture, wanted = widened(config)
    assert network.spare_channels in range(1, 9)
    assert (embed_dim + network.spare_channels) % 8 == 0
    assert (network(picture) - wanted).abs().max() <= 1e-5


@pytest.mark.parametrize("resi_connection", ["1conv", "3conv"])
def test_spare_channels_of_the_stream_hold_the_mean_everywhere(resi_connection: str) -> None:
    network, picture, _ = widened(replace(CONFIG, resi_connection=resi_connection))
    seen: list[Tensor] = []
    constants: list[Tensor] = []
    for name, module in network.named_modules():
        if isinstance(module, nn.LayerNorm) and "patch_embed" not in name:
            module.register_forward_hook(lambda _m, args, _out: seen.append(args[0]))
        if name.endswith("norm1"):
            module.register_forward_hook(lambda _m, _args, out: constants.append(out[..., 12]))
    network(picture)
    assert len(seen) == 4 * 2 + 1
    for stream in seen:
        mean = stream[..., :12].mean(-1, keepdim=True)
        assert (stream[..., 12:] - mean).abs().max() <= 1e-5
    assert len(constants) == 4
    assert all(torch.equal(value, torch.ones_like(value)) for value in constants)
