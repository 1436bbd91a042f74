"""Typed networks in PyTorch, in true half precision."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from grown import GROWN_CONFIGS, PEAK, grown_model, grown_network, largest_stream
from oracle import official_network
from torch import Tensor, nn

from swinir_deploy.models.hyperparameters import is_buffer
from swinir_deploy.network.config import SwinIRConfig
from swinir_deploy.network.rewrites import REWRITES
from swinir_deploy.network.swinir import SwinIR
from swinir_deploy.precision.plan import (
    PrecisionPlan,
    deployed_network,
    set_precision,
    typed_modules,
)

CONFIG = SwinIRConfig(
    upscale=2,
    in_chans=3,
    window_size=4,
    img_range=1.0,
    depths=(2, 1),
    embed_dim=20,
    num_heads=(2, 4),
    upsampler="pixelshuffledirect",
)
KINDS = {
    "light": CONFIG,
    "medium": replace(CONFIG, upscale=4, upsampler="pixelshuffle"),
    "real": replace(CONFIG, upscale=4, upsampler="nearest+conv", resi_connection="3conv"),
    "denoise": replace(CONFIG, upscale=1, upsampler="", in_chans=1),
    "jpeg": replace(CONFIG, upscale=1, upsampler="", img_range=255.0, window_size=7),
    "no-patch-norm": replace(CONFIG, patch_norm=False, qkv_bias=False),
    "positions": replace(CONFIG, ape=True, img_size=12),
    "upscale-1": replace(CONFIG, upscale=1, upsampler="pixelshuffle"),
}


def psnr_db(found: Tensor, wanted: Tensor) -> float:
    """Over the reference's range, by the definition; -inf where a value is not finite."""
    if not torch.isfinite(found).all():
        return -math.inf
    peak = max(1.0, float(wanted.abs().max()))
    return float(10 * torch.log10(peak**2 / (found.double() - wanted.double()).square().mean()))


def picture_for(config: SwinIRConfig) -> Tensor:
    sides = (config.img_size,) * 2 if config.ape else (13, 17)
    return torch.rand(1, config.in_chans, *sides, generator=torch.Generator().manual_seed(4))


def network_and_output(config: SwinIRConfig, picture: Tensor) -> tuple[SwinIR, Tensor]:
    oracle = official_network(config, seed=2)
    weights = {n: t for n, t in oracle.network.state_dict().items() if not is_buffer(n)}
    network = SwinIR.from_state_dict(config, weights).eval().requires_grad_(False)
    with torch.inference_mode():
        return network, oracle(picture)


@pytest.mark.parametrize(("precision", "least_db"), [("fp16", 60), ("bf16", 40)])
@pytest.mark.parametrize("config", KINDS.values(), ids=KINDS)
def test_half_is_near_the_official_network(
    config: SwinIRConfig, precision: str, least_db: float
) -> None:
    picture = picture_for(config)
    network, wanted = network_and_output(config, picture)
    typed = deployed_network(network, REWRITES, PrecisionPlan(precision, 3))  # type: ignore[arg-type]
    with torch.inference_mode():
        found = typed(picture)
        assert found.dtype == torch.float32
        assert psnr_db(found, wanted) >= least_db
        before = network(picture)
    assert psnr_db(before, wanted) >= 110  # the copy took the types, not the network
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}


def test_what_is_half_and_what_is_not() -> None:
    network, _ = network_and_output(KINDS["positions"], picture_for(KINDS["positions"]))
    set_precision(network, "bf16")
    inside = set(typed_modules(network).values())
    for module in network.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            assert module.weight.dtype == module.bias.dtype == torch.bfloat16
        if isinstance(module, nn.LayerNorm):
            assert module.weight.dtype == module.bias.dtype == torch.float32
    typed = {id(parameter) for module in inside for parameter in module.parameters()}
    rest = {name for name, parameter in network.named_parameters() if id(parameter) not in typed}
    assert {name for name in rest if "norm" not in name} == {"absolute_pos_embed"}
    assert network.mean.dtype == torch.float32


@pytest.mark.parametrize("config", KINDS.values(), ids=KINDS)
def test_every_module_may_stay_fp32(config: SwinIRConfig) -> None:
    picture = picture_for(config)
    network, wanted = network_and_output(config, picture)
    for name in typed_modules(network):
        typed = deployed_network(network, plan=PrecisionPlan("fp16", 0, (name,)))
        kept = {parameter.dtype for parameter in typed.get_submodule(name).parameters()}
        assert kept == {torch.float32}
        with torch.inference_mode():
            assert psnr_db(typed(picture), wanted) >= 60, name


def test_all_kept_is_fp32_but_for_the_stream() -> None:
    picture = picture_for(CONFIG)
    network, wanted = network_and_output(CONFIG, picture)
    everything = tuple(typed_modules(network))
    typed = deployed_network(network, plan=PrecisionPlan("fp16", 0, everything))
    plain = deployed_network(network, plan=PrecisionPlan("fp16"))
    with torch.inference_mode():
        assert psnr_db(typed(picture), wanted) > psnr_db(plain(picture), wanted)


def test_an_unknown_module() -> None:
    network, _ = network_and_output(CONFIG, picture_for(CONFIG))
    with pytest.raises(KeyError, match=r"Unknown modules \['conv_second'\]"):
        set_precision(network, "fp16", ["conv_second"])


_QUICK = ("tiny", "light-3conv", "jpeg-gray-3conv", "no-patch-norm", "positions")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in _QUICK else pytest.mark.slow)
        for name in GROWN_CONFIGS
    ],
)
def test_a_stream_beyond_a_million(name: str) -> None:
    """Plain FP16 loses the picture; with the stream rescaled it does not, in any configuration."""
    config = GROWN_CONFIGS[name]
    oracle = grown_network(config)
    picture = picture_for(config)
    largest = largest_stream(oracle, picture)
    assert largest > PEAK
    network = grown_model(oracle).network
    with torch.inference_mode():
        wanted = oracle(picture)
        assert not torch.isfinite(
            deployed_network(network, plan=PrecisionPlan("fp16"))(picture)
        ).all()
        scale_log2 = math.ceil(math.log2(largest / 65504 * 8))
        typed = deployed_network(network, REWRITES, PrecisionPlan("fp16", scale_log2))
        assert psnr_db(typed(picture), wanted) >= 60
        # BF16 has the range without help, and fewer bits.
        in_bf16 = psnr_db(
            deployed_network(network, REWRITES, PrecisionPlan("bf16"))(picture), wanted
        )
    assert 40 <= in_bf16 < psnr_db(typed(picture), wanted)
