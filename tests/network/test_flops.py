"""Operations counted by PyTorch's own counter while the official network runs."""

from __future__ import annotations

import pytest
import torch
from oracle import official_network
from torch.utils.flop_counter import FlopCounterMode

from swinir_deploy.network import SwinIRConfig
from swinir_deploy.network.flops import count_flops


def config(**changes: object) -> SwinIRConfig:
    values: dict[str, object] = {
        "upscale": 2,
        "in_chans": 3,
        "window_size": 8,
        "img_range": 1.0,
        "depths": (2, 1),
        "embed_dim": 24,
        "num_heads": (2, 3),
        "mlp_ratio": 1.5,
        "upsampler": "pixelshuffle",
    }
    return SwinIRConfig(**(values | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "network",
    [
        *(config(upscale=scale) for scale in (2, 3, 4, 8)),
        *(config(upscale=scale, upsampler="pixelshuffledirect") for scale in (2, 3)),
        *(config(upscale=scale, upsampler="nearest+conv") for scale in (2, 4)),
        config(upscale=1, upsampler="", window_size=7, in_chans=1),
        config(resi_connection="3conv", mlp_ratio=2.0),
    ],
    ids=lambda c: f"{c.upsampler or 'none'}-x{c.upscale}-{c.resi_connection}",
)
def test_the_count_is_pytorchs(network: SwinIRConfig) -> None:
    picture = torch.zeros(2, network.in_chans, 17, 24)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        official_network(network)(picture)
    assert count_flops(network, 17, 24, batch=2) == counter.get_total_flops()
