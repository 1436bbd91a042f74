"""Measured maxima against hooks on the official network, and what is made of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
import pytest
import torch
from grown import PEAK, grown_model, grown_network, largest_stream, small
from oracle import OfficialSwinIR, official_network
from torch import Tensor, nn

from swinir_deploy.errors import CheckFailedError
from swinir_deploy.network.config import SwinIRConfig
from swinir_deploy.precision.calibrate import (
    FP16_MAX,
    MARGIN,
    Calibration,
    calibrate,
    plan_precision,
)
from swinir_deploy.precision.plan import deployed_network, typed_modules
from swinir_deploy.precision.prepare import prepare_precision
from swinir_deploy.precision.samples import NamedPicture

CONFIG = SwinIRConfig(
    upscale=4,
    in_chans=3,
    window_size=4,
    img_range=1.0,
    depths=(2, 1),
    embed_dim=20,
    num_heads=(2, 4),
    upsampler="nearest+conv",
    resi_connection="3conv",
)


def picture(seed: int = 0, config: SwinIRConfig = CONFIG) -> NamedPicture:
    values = np.random.default_rng(seed).random((1, config.in_chans, 13, 17), np.float32)
    return NamedPicture(f"picture {seed}", values)


def official_maxima(
    oracle: OfficialSwinIR, names: Iterable[str], pictures: Iterable[NamedPicture]
) -> dict[str, float]:
    """Largest input and output of the official network's modules, by path."""
    found: dict[str, float] = {}

    def keep(name: str) -> Callable[..., None]:
        def look(_module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            for tensor in (inputs[0], output):
                found[name] = max(found.get(name, 0.0), float(tensor.abs().max()))

        return look

    handles = [oracle.network.get_submodule(n).register_forward_hook(keep(n)) for n in names]
    with torch.inference_mode():
        for item in pictures:
            oracle(torch.from_numpy(item.values))
    for handle in handles:
        handle.remove()
    return found


def test_the_stream_is_measured_wherever_it_is() -> None:
    oracle = official_network(CONFIG, seed=7)
    pictures = [picture(0), picture(1)]
    measured = calibrate(grown_model(oracle).network, pictures)
    paths = [
        name
        for name, module in oracle.network.named_modules()
        if type(module).__name__ == "SwinTransformerBlock"
        or name.endswith((".attn.proj", ".mlp.fc2"))
        or (".conv." in name and isinstance(module, nn.Conv2d))
    ]
    assert len(paths) == 3 * 3 + 2 * 3
    maxima = official_maxima(oracle, paths, pictures)
    # proj and fc2 read what is not of the stream; only what they give is.
    wanted = max(v for n, v in maxima.items() if not n.endswith(("proj", "fc2")))
    assert measured.stream_max == pytest.approx(wanted, rel=1e-5)
    assert measured.pictures == ("picture 0", "picture 1")
    assert max(measured.stream_max_by_picture.values()) == measured.stream_max
    assert max(measured.stream_max_by_stage) == measured.stream_max
    for number, largest in enumerate(measured.stream_max_by_stage):
        own = {
            name: value
            for name, value in maxima.items()
            if name.startswith(f"layers.{number}.") and not name.endswith(("proj", "fc2"))
        }
        assert largest >= max(own.values()) * (1 - 1e-5)  # or of a sum inside a block


def test_the_largest_write_counts_even_where_it_cancels() -> None:
    """What a block adds is a tensor of its own, larger here than the stream ever is."""
    oracle = official_network(CONFIG, seed=7)
    block = oracle.network.layers[0].residual_group.blocks[0]
    block.attn.proj.bias.add_(1000.0)
    block.mlp.fc2.bias.sub_(1000.0)
    measured = calibrate(grown_model(oracle).network, [picture()])
    assert measured.stream_max > 990
    assert largest_stream(oracle, torch.from_numpy(picture().values)) < 200


@pytest.mark.parametrize(
    "config",
    [
        CONFIG,
        replace(CONFIG, upsampler="pixelshuffle", resi_connection="1conv"),
        replace(CONFIG, upscale=1, upsampler="", img_range=255.0),
        replace(CONFIG, upscale=2, upsampler="pixelshuffledirect", patch_norm=False),
    ],
    ids=["real", "classical", "jpeg", "light"],
)
def test_everything_outside_is_measured_too(config: SwinIRConfig) -> None:
    oracle = official_network(config, seed=7)
    for layer in oracle.network.layers:  # logits larger than what makes them
        for block in layer.residual_group.blocks:
            block.attn.qkv.weight.mul_(20)
    measured = calibrate(grown_model(oracle).network, [picture()]).module_max
    network = grown_model(oracle).network
    assert set(measured) == set(typed_modules(network))
    inner = {
        "attn": ("attn.qkv", "attn.softmax"),
        "mlp": ("mlp.fc1", "mlp.act"),
    }
    for path in measured:
        last = path.rpartition(".")[2]
        prefix = path.removesuffix(last)
        if prefix and last == "conv":
            continue  # of the stream, but for its weights
        inside = [prefix + name for name in inner.get(last, ())] or [path]
        wanted = max(official_maxima(oracle, inside, [picture()]).values())
        assert measured[path] >= wanted * (1 - 1e-5), path
        # Besides: weights, and the sum with the shallow features after the body.
        if path != "conv_after_body":
            weights = max(float(p.abs().max()) for p in network.get_submodule(path).parameters())
            assert measured[path] <= max(wanted, weights) * 1.3 + 110, path


def test_the_sum_after_the_body_counts() -> None:
    config = replace(CONFIG, upsampler="pixelshuffledirect", resi_connection="1conv")
    oracle = official_network(config, seed=7)
    oracle.network.conv_first.bias.add_(3000.0)
    oracle.network.conv_after_body.bias.add_(3000.0)
    measured = calibrate(grown_model(oracle).network, [picture()]).module_max
    assert 2900 < measured["conv_first"] < 3100
    assert measured["conv_after_body"] > 5800


@pytest.mark.parametrize(
    ("stream_max", "scale_log2"),
    [(0.0, 0), (1.0, 0), (8188.0, 0), (8189.0, 1), (16376.0, 1), (65504.0, 3), (1e6, 7)],
)
def test_the_smallest_factor_that_leaves_the_margin(stream_max: float, scale_log2: int) -> None:
    measured = Calibration(("a",), stream_max, {}, {"a": stream_max})
    assert plan_precision("fp16", measured).residual_scale_log2 == scale_log2
    assert stream_max * 2.0**-scale_log2 * MARGIN <= FP16_MAX
    assert plan_precision("bf16", None).residual_scale_log2 == 0


def test_what_comes_too_near_stays_fp32() -> None:
    measured = Calibration(("a",), 1.0, {"conv_first": 8188.0, "conv_last": 8189.0}, {"a": 1.0})
    assert plan_precision("fp16", measured).keep_fp32 == ("conv_last",)


def psnr_db(found: Tensor, wanted: Tensor) -> float:
    if not torch.isfinite(found).all():
        return -math.inf
    peak = max(1.0, float(wanted.abs().max()))
    return float(10 * torch.log10(peak**2 / (found.double() - wanted).square().mean()))


@pytest.mark.parametrize("where", ["shallow", "queries", "hidden"])
def test_large_values_outside_the_stream(where: str) -> None:
    """Rescaling does not help against them; FP32 where they are does."""
    config = replace(CONFIG, upsampler="pixelshuffledirect", resi_connection="1conv")
    oracle = official_network(config, seed=7)
    network = oracle.network
    block = network.layers[1].residual_group.blocks[0]
    if where == "shallow":
        network.conv_first.weight.mul_(2e5)
        network.conv_first.bias.mul_(2e5)
        network.conv_after_body.weight.mul_(2e5)
        network.upsample[0].weight.div_(2e5)
        named = ("conv_first", "conv_after_body", "upsample")
    elif where == "queries":
        block.attn.qkv.weight[:20].mul_(1e5)
        block.attn.qkv.weight[20:40].div_(1e5)
        named = ("layers.1.residual_group.blocks.0.attn",)
    else:
        block.mlp.fc1.weight.mul_(1e5)
        block.mlp.fc2.weight.div_(1e5)
        named = ("layers.1.residual_group.blocks.0.mlp",)
    model = grown_model(oracle)
    prepared = prepare_precision(model, "fp16")
    assert prepared.plan.keep_fp32 == named
    item = torch.from_numpy(picture().values)
    with torch.inference_mode():
        wanted = oracle(item)
        without = deployed_network(model.network, plan=replace(prepared.plan, keep_fp32=()))
        assert psnr_db(without(item), wanted) == -math.inf
        assert psnr_db(deployed_network(model.network, plan=prepared.plan)(item), wanted) >= 60


def test_the_margin_holds_for_pictures_that_were_not_measured() -> None:
    oracle = grown_network(small("light-sr-x2"))
    prepared = prepare_precision(grown_model(oracle), "fp16")
    factor = 2.0**-prepared.plan.residual_scale_log2
    assert prepared.plan.residual_scale_log2 >= math.log2(PEAK / 65504 * 8)
    for seed in range(3):
        values = torch.from_numpy(picture(seed).values)
        assert largest_stream(oracle, values) * factor < 65504 / 4


def test_damaged_weights_are_found_here() -> None:
    model = grown_model(official_network(CONFIG))
    model.network.layers[0].conv[0].bias[0] = math.nan
    with pytest.raises(CheckFailedError, match=r"NaN or Inf on the picture 'picture 0'"):
        calibrate(model.network, [picture()])
