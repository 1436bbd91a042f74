from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from strategies import configs

from swinir_deploy.errors import UsageError
from swinir_deploy.models.catalog import load_catalog
from swinir_deploy.network.config import SwinIRConfig

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
        ("upscale", 5, "1, 2, 3, 4 or 8"),
        ("upscale", 0, "1, 2, 3, 4 or 8"),
        ("in_chans", 4, "1 .gray. or 3 .RGB."),
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


@pytest.mark.parametrize("upscale", [1, 3, 8])
def test_nearest_needs_scale_2_or_4(upscale: int) -> None:
    with pytest.raises(UsageError, match="2 or 4 with upsampler"):
        replace(VALID, upsampler="nearest+conv", upscale=upscale)


def test_the_bottleneck_needs_four_channels() -> None:
    with pytest.raises(UsageError, match="at least 4 with resi_connection '3conv'"):
        replace(VALID, embed_dim=3, num_heads=(1, 1), resi_connection="3conv")


@pytest.mark.parametrize("img_size", [8, 12, 4])
def test_ape_needs_a_training_side_of_several_whole_windows(img_size: int) -> None:
    # With img_size <= window_size the official network does not shift its windows.
    with pytest.raises(UsageError, match="a multiple of window_size 8 and larger than it"):
        replace(VALID, ape=True, img_size=img_size)
    assert replace(VALID, ape=True, img_size=16).img_size == 16
    assert replace(VALID, ape=False, img_size=img_size).img_size == img_size


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
