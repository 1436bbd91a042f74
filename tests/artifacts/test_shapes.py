from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swinir_deploy.artifacts.shapes import DEFAULT_SHAPE, ShapePattern, parse_sides, parse_sizes
from swinir_deploy.errors import UsageError
from swinir_deploy.network.config import SwinIRConfig

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


@pytest.mark.parametrize(
    ("text", "sizes"),
    [
        ("256x128", (1, 256, 128)),
        ("4x3x64X72", (4, 64, 72)),
        ("1\u00d73\u00d78\u00d79", (1, 8, 9)),
        (" 8x8 ", (1, 8, 8)),
    ],
)
def test_sizes(text: str, sizes: tuple[int, int, int]) -> None:
    assert parse_sizes(text, 3) == sizes


@pytest.mark.parametrize(
    "text", ["", "64", "64x", "axb", "1x3x64", "-1x4", "1x3x8x8x8", "8x9999999"]
)
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(UsageError, match=r"not understood.*4x3x256x256"):
        parse_sizes(text, 3)


def test_channels_that_the_model_has_not() -> None:
    with pytest.raises(UsageError, match="has 1 channels; this model has 3"):
        parse_sizes("1x1x64x64", 3)


def test_sides() -> None:
    assert parse_sides("64x96") == (64, 96)
    for text in ("", "64", "0x8", "8x0", "64x96x3", "ax8"):
        with pytest.raises(UsageError, match=r"is not understood.*height and width, such as 64x96"):
            parse_sides(text)


@pytest.mark.parametrize(
    ("shape", "pattern"),
    [
        ("Nx3xHxW", ShapePattern()),
        ("1x3x64xW", ShapePattern(1, 64)),
        ("2x1x8x9", ShapePattern(2, 8, 9)),
        ("", ShapePattern()),
    ],
)
def test_the_pattern_that_a_file_carries(shape: str, pattern: ShapePattern) -> None:
    assert ShapePattern.of_artifact(shape) == pattern
    if shape:
        assert pattern.describe(int(shape.split("x")[1])) == shape
