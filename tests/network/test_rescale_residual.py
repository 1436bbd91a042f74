"""The rescaled stream against the official network, in every configuration."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import official_network
from strategies import configs
from torch import Tensor, nn

from swinir_deploy.models.hyperparameters import is_buffer
from swinir_deploy.network.config import SwinIRConfig
from swinir_deploy.network.rewrites import REWRITES, apply_rewrites, rescale_residual
from swinir_deploy.network.swinir import SwinIR, SwinTransformerBlock

BASE = SwinIRConfig(
    upscale=2,
    in_chans=3,
    window_size=8,
    img_range=1.0,
    depths=(2, 2),
    embed_dim=24,
    num_heads=(2, 4),
    upsampler="pixelshuffledirect",
)
CONFIGS = {
    "light": BASE,
    "medium-sr": replace(BASE, upscale=4, upsampler="pixelshuffle"),
    "medium-sr-x3": replace(BASE, upscale=3, upsampler="pixelshuffle"),
    "medium-real": replace(BASE, upscale=4, upsampler="nearest+conv"),
    "large-real": replace(BASE, upscale=4, upsampler="nearest+conv", resi_connection="3conv"),
    "denoise-gray": replace(BASE, upscale=1, in_chans=1, upsampler=""),
    "jpeg": replace(BASE, upscale=1, upsampler="", window_size=7, img_range=255.0),
    "no-patch-norm": replace(BASE, patch_norm=False),
    "no-patch-norm-3conv": replace(BASE, patch_norm=False, resi_connection="3conv"),
    "positions": replace(BASE, ape=True, img_size=24),
    "positions-no-patch-norm": replace(BASE, ape=True, img_size=24, patch_norm=False),
}
LIMIT = 2e-5
"""Relative to the output's largest value; FP32 against the official network in another order."""


def networks(config: SwinIRConfig, seed: int = 5) -> tuple[SwinIR, Tensor, Tensor]:
    """Our network, a picture, and what the official network makes of it."""
    oracle = official_network(config, seed)
    weights = {n: t for n, t in oracle.network.state_dict().items() if not is_buffer(n)}
    network = SwinIR.from_state_dict(config, weights).eval().requires_grad_(False)
    sides = (config.img_size,) * 2 if config.ape else (11, 17)
    picture = torch.rand(2, config.in_chans, *sides, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        return network, picture, oracle(picture)


def relative(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).abs().max() / wanted.abs().max())


def stream_values(network: SwinIR, picture: Tensor) -> list[Tensor]:
    """The stream wherever a block or the last norm reads it, in the order of the computation."""
    values: list[Tensor] = []
    handles = [
        module.register_forward_pre_hook(lambda _module, inputs: values.append(inputs[0]))
        for module in network.modules()
        if isinstance(module, SwinTransformerBlock) or module is network.norm
    ]
    with torch.inference_mode():
        network(picture)
    for handle in handles:
        handle.remove()
    return values


@pytest.mark.parametrize("scale_log2", [1, 6, 12, -3])
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_the_function_stays(config: SwinIRConfig, scale_log2: int) -> None:
    network, picture, wanted = networks(config)
    with torch.inference_mode():
        before = network(picture)
        rescale_residual(network, scale_log2)
        found = network(picture)
    assert relative(found, wanted) <= LIMIT
    # A power of two moves exponents only: not even the rounding differs.
    assert torch.equal(found, before)


@settings(max_examples=20, deadline=None)
@given(configs(), st.integers(-4, 14))
def test_the_function_stays_whatever_the_network(config: SwinIRConfig, scale_log2: int) -> None:
    network, picture, wanted = networks(config)
    rescale_residual(network, scale_log2)
    apply_rewrites(network, REWRITES)
    with torch.inference_mode():
        assert relative(network(picture), wanted) <= LIMIT


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_the_whole_stream_is_smaller_by_the_factor(config: SwinIRConfig) -> None:
    network, picture, _ = networks(config)
    before = stream_values(network, picture)
    rescale_residual(network, 7)
    after = stream_values(network, picture)
    assert len(before) == config.num_blocks + 1
    for old, new in zip(before, after, strict=True):
        assert torch.equal(new, old / 128)


def test_epsilon_matters_and_follows() -> None:
    """Where the variance is as small as eps, a forgotten eps shows."""
    network, picture, _ = networks(BASE)
    for module in network.modules():
        if isinstance(module, nn.LayerNorm):
            module.eps = 0.05
    with torch.inference_mode():
        wanted = network(picture)
        rescale_residual(network, 4)
        assert torch.equal(network(picture), wanted)
        network.norm.eps = 0.05
        assert relative(network(picture), wanted) > 1e-3
    epsilons = {name: m.eps for name, m in network.named_modules() if isinstance(m, nn.LayerNorm)}
    assert epsilons.pop("patch_embed.norm") == 0.05  # it reads the shallow features
    assert epsilons.pop("norm") == 0.05
    assert len(epsilons) == 8
    assert all(math.isclose(eps, 0.05 / 256) for eps in epsilons.values())


def test_there_and_back() -> None:
    network, _, _ = networks(CONFIGS["positions"])
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    rescale_residual(network, 5)
    rescale_residual(network, 4)
    changed = {n for n, t in network.state_dict().items() if not torch.equal(t, before[n])}
    assert {"patch_embed.norm.weight", "patch_embed.norm.bias", "absolute_pos_embed"} < changed
    assert "layers.0.conv.bias" in changed and "layers.0.conv.weight" not in changed
    assert "layers.0.residual_group.blocks.1.mlp.fc2.weight" in changed
    assert "conv_first.weight" not in changed and "norm.weight" not in changed
    rescale_residual(network, -9)
    assert all(torch.equal(t, before[n]) for n, t in network.state_dict().items())
    norms = [module for module in network.modules() if isinstance(module, nn.LayerNorm)]
    assert [norm.eps for norm in norms] == [1e-5] * len(norms)


def test_in_double_precision_against_the_official_network() -> None:
    config = CONFIGS["large-real"]
    oracle = official_network(config, 5).double()
    weights = {n: t for n, t in oracle.network.state_dict().items() if not is_buffer(n)}
    network = SwinIR.from_state_dict(config, weights).eval().double()
    picture = torch.rand(1, 3, 13, 9, generator=torch.Generator().manual_seed(2)).double()
    with torch.inference_mode():
        wanted = oracle(picture)  # before the rewrite: the two share their weights
        rescale_residual(network, 6)
        assert relative(network(picture), wanted) <= 1e-12
