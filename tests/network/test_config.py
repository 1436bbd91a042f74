from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from strategies import configs

from swinir_deploy.errors import UsageError
from swinir_deploy.models.catalog import load_catalog
from swinir_deploy.network.config import RGB_MEAN, SwinIRConfig

VALID = SwinIRConfig(
    upscale=2,
    in_chans=3,
    window_size=8,
    img_range=1.0,
    depths=(2, 3),
    embed_dim=12,
    num_heads=(2, 3),
    upsampler="pixelshuffle",
)


@pytest.mark.parametrize(
    ("field", "value", "wanted"),
    [
        ("upscale", 5, "a power of two, or 3, with upsampler 'pixelshuffle'"),
        ("upscale", 0, "from 1 to 16"),
        ("upscale", 17, "from 1 to 16"),
        ("in_chans", 0, "from 1 to 16"),
        ("in_chans", 17, "from 1 to 16"),
        ("out_chans", 17, "from 1 to 16"),
        ("unshuffle", 0, "from 1 to 16"),
        ("unshuffle", 3, "a power of two, or 3"),
        ("mean", (0.5,), "3 numbers from 0 to 1"),
        ("mean", (0.5, 0.5, 128.0), "3 numbers from 0 to 1"),
        ("window_size", 1, "at least 2"),
        ("img_range", 0.0, "positive"),
        ("img_range", -1.0, "positive"),
        ("depths", (), "one positive number for each RSTB"),
        ("depths", (2, 0), "one positive number for each RSTB"),
        ("num_heads", (2,), "2 positive numbers"),
        ("num_heads", (2, 0), "2 positive numbers"),
        ("num_heads", (2, 5), "multiple of every entry of num_heads"),
        ("embed_dim", 0, "a positive multiple"),
        ("embed_dim", -12, "a positive multiple"),
        ("mlp_ratio", 0.0, "one hidden channel"),
        ("mlp_ratio", 0.05, "one hidden channel"),
        ("num_feat", 0, "positive"),
        ("upsampler", "bicubic", "nearest.conv"),
        ("upsampler", "", "no upsampler"),
        ("resi_connection", "2conv", "3conv"),
    ],
)
def test_a_bad_field_is_named_with_what_it_must_be(field: str, value: Any, wanted: str) -> None:
    with pytest.raises(UsageError, match=wanted) as caught:
        replace(VALID, **{field: value})
    assert "SwinIRConfig." in str(caught.value)


@pytest.mark.parametrize("upscale", [1, 3, 6])
def test_nearest_needs_a_power_of_two(upscale: int) -> None:
    with pytest.raises(UsageError, match="2, 4, 8 or 16 with upsampler"):
        replace(VALID, upsampler="nearest+conv", upscale=upscale)


def test_the_bottleneck_needs_four_channels() -> None:
    with pytest.raises(UsageError, match="at least 4 with resi_connection '3conv'"):
        replace(VALID, embed_dim=3, num_heads=(1, 1), resi_connection="3conv")


@pytest.mark.parametrize("img_size", [12, 4, 0])
def test_ape_needs_a_training_side_of_whole_windows(img_size: int) -> None:
    with pytest.raises(UsageError, match="a multiple of window_size 8 with ape"):
        replace(VALID, ape=True, img_size=img_size)
    assert replace(VALID, ape=True, img_size=16).img_size == 16
    assert replace(VALID, ape=False, img_size=img_size).img_size == img_size


def test_a_training_side_of_one_window_shifts_nothing() -> None:
    """``SwinTransformerBlock`` of the official network sets shift_size to 0 there."""
    assert replace(VALID, img_size=8).shift_size == 0
    assert replace(VALID, img_size=4).shift_size == 0
    assert replace(VALID, img_size=9).shift_size == 4


def test_channels_and_mean_have_their_usual_values_once() -> None:
    assert replace(VALID, out_chans=VALID.in_chans) == VALID
    assert replace(VALID, mean=RGB_MEAN) == VALID
    assert "mean" not in VALID.to_dict()
    odd = replace(VALID, in_chans=4, out_chans=3, mean=(0.1, 0.2, 0.3, 0.4), unshuffle=2)
    assert SwinIRConfig.from_dict(json.loads(json.dumps(odd.to_dict()))) == odd
    assert (odd.channels_out, odd.side_multiple, odd.head_scale) == (3, 16, 2 * VALID.upscale)
    assert odd.output_mean == (0.0, 0.0, 0.0)
    assert replace(odd, mean=(0.5,) * 4).output_mean == (0.5,) * 3


@pytest.mark.parametrize(
    ("window", "shift", "least"), [(2, 1, 2), (3, 1, 2), (4, 2, 3), (7, 3, 4), (8, 4, 5)]
)
def test_window_arithmetic(window: int, shift: int, least: int) -> None:
    config = replace(VALID, window_size=window)
    assert config.shift_size == shift
    assert config.min_side == least
    # Reflection can add one pixel less than there are.
    assert -least % window < least
    assert -(least - 1) % window >= least - 1


def test_derived_numbers() -> None:
    assert VALID.num_blocks == 5
    assert VALID.mlp_hidden_dim == 24
    assert replace(VALID, mlp_ratio=1.5).mlp_hidden_dim == 18


@given(configs())
def test_plain_values_survive_json(config: SwinIRConfig) -> None:
    assert SwinIRConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    "name",
    ["upscale", "in_chans", "window_size", "img_range", "depths", "embed_dim", "num_heads"],
)
def test_a_missing_field_is_named(name: str) -> None:
    values = VALID.to_dict()
    del values[name]
    with pytest.raises(UsageError, match=rf"lacks the fields \['{name}'\]"):
        SwinIRConfig.from_dict(values)


def test_an_unknown_field_is_named() -> None:
    with pytest.raises(UsageError, match=r"no field .*patch_size"):
        SwinIRConfig.from_dict({**VALID.to_dict(), "patch_size": 1})


def test_fields_that_may_be_left_out() -> None:
    names = ["upscale", "in_chans", "window_size", "img_range", "depths", "embed_dim"]
    values = {name: VALID.to_dict()[name] for name in [*names, "num_heads", "upsampler"]}
    assert SwinIRConfig.from_dict(values) == VALID


def test_configs_tell_models_apart() -> None:
    cards = load_catalog().all()
    assert len({card.config for card in cards}) > 10
    assert hash(VALID) == hash(replace(VALID))
