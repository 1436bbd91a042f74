from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swinir_deploy.artifacts.shapes import DEFAULT_SHAPE, ShapePattern
from swinir_deploy.errors import UsageError
from swinir_deploy.exporters.onnx.recipes import RECIPES, get_recipe
from swinir_deploy.network.config import SwinIRConfig
from swinir_deploy.network.rewrites import REWRITES

SMALL = SwinIRConfig(
    upscale=2,
    in_chans=3,
    window_size=8,
    img_range=1.0,
    depths=(2, 3),
    embed_dim=12,
    num_heads=(2, 3),
    upsampler="pixelshuffledirect",
)

APE = replace(SMALL, ape=True, img_size=16)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (DEFAULT_SHAPE, ShapePattern()),
        ("1x3xHxW", ShapePattern(1)),
        ("1X3XhXw", ShapePattern(1)),
        (" 2,3,24,W ", ShapePattern(2, 24)),
        ("Nx3x64x64", ShapePattern(None, 64, 64)),
        ("batch x 3".replace(" ", "") + "xHx5", ShapePattern(None, None, 5)),
        ("1\u00d73\u00d7H\u00d7W", ShapePattern(1)),
        ("8xCx256x0256", ShapePattern(8, 256, 256)),
    ],
)
def test_patterns(text: str, wanted: ShapePattern) -> None:
    assert ShapePattern.parse(text, SMALL) == wanted


@pytest.mark.parametrize(
    "text",
    [
        *("", "1x3xH", "1x3xHxWx1", "1x3x-1xW", "1x3xH W", "1x3x6.4x64", "1x3xH2xW", "1x3xxW"),
        *("xxx", "1x3x\u0664\u0665x64", "1x3x64x" + "9" * 5000),
    ],
)
def test_what_is_no_pattern(text: str) -> None:
    with pytest.raises(UsageError, match=r"is not understood.*such as 1x3xHxW"):
        ShapePattern.parse(text, SMALL)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1x1xHxW", "has 1 channels; this model has 3: write 1x3xHxW"),
        ("0x3xHxW", "a batch of 0; it must be at least 1"),
        ("1x3x4xW", "a side of 4 pixels; .*windows of 8 needs at least 5"),
        ("1x3xHx0", "a side of 0 pixels"),
    ],
)
def test_patterns_that_the_network_refuses(text: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        ShapePattern.parse(text, SMALL)


@pytest.mark.parametrize("text", [DEFAULT_SHAPE, "1x3x16xW", "1x3xHx16", "1x3x8x16", "1x3x24x24"])
def test_ape_needs_the_trained_side(text: str) -> None:
    with pytest.raises(UsageError, match=r"--shape [1N]x3x16x16"):
        ShapePattern.parse(text, APE)


@pytest.mark.parametrize("side", [9, 15, 16])
def test_ape_takes_what_padding_brings_there(side: int) -> None:
    assert ShapePattern.parse(f"Nx3x{side}x16", APE) == ShapePattern(None, side, 16)


sizes = st.none() | st.integers(SMALL.min_side, 999_999)


@given(st.builds(ShapePattern, st.none() | st.integers(1, 999_999), sizes, sizes))
def test_the_canonical_spelling_is_read_back(pattern: ShapePattern) -> None:
    assert ShapePattern.parse(pattern.describe(3), SMALL) == pattern


parts = st.one_of(st.integers(0, 300).map(str), st.text("ABCHNWbhnw_", min_size=1, max_size=5))


@given(st.lists(parts, min_size=4, max_size=4), st.sampled_from("xX,"))
def test_parts_are_read_one_by_one(words: list[str], separator: str) -> None:
    batch, channels, height, width = (int(word) if word.isdigit() else None for word in words)
    is_good = (
        batch != 0
        and channels in (None, 3)
        and all(side is None or side >= 5 for side in (height, width))
    )
    if is_good:
        wanted = ShapePattern(batch, height, width)
        assert ShapePattern.parse(separator.join(words), SMALL) == wanted
    else:
        with pytest.raises(UsageError, match="The shape '"):
            ShapePattern.parse(separator.join(words), SMALL)


@given(st.text(max_size=30))
def test_any_text_gives_a_pattern_or_a_usage_error(text: str) -> None:
    try:
        ShapePattern.parse(text, SMALL)
    except UsageError as error:
        assert repr(text) in str(error)


def test_recipes() -> None:
    assert set(RECIPES) == {"any", "ort", "openvino", "tensorrt"}
    assert all(recipe.name == name for name, recipe in RECIPES.items())
    assert all(set(recipe.rewrites) <= set(REWRITES) for recipe in RECIPES.values())
    assert "align_heads" in get_recipe("tensorrt").rewrites
    assert "align_near_heads" in get_recipe("openvino").rewrites
    assert not {"align_heads", "align_near_heads"} & set(get_recipe("ort").rewrites)
    assert "use_onnx_attention" in get_recipe("ort").rewrites_for("fp32", 23)
    for precision, opset in (("fp16", 23), ("bf16", 23), ("fp32", 22)):
        assert "use_onnx_attention" not in get_recipe("ort").rewrites_for(precision, opset)
    assert all(
        "use_onnx_attention" not in recipe.rewrites_for("fp32", 23)
        for name, recipe in RECIPES.items()
        if name != "ort"
    )
    with pytest.raises(UsageError, match=r"No export target 'tensort'.*mean 'tensorrt'\?"):
        get_recipe("tensort")
