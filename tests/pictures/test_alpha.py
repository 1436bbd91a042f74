import itertools

import numpy as np
import pytest
from PIL import Image

from swinir_deploy.pictures.alpha import AlphaScaler, fill_transparent


def scale_alpha(alpha, scale):
    return AlphaScaler(alpha, scale).rows(0, alpha.shape[0] * scale)


def test_nothing_to_fill_is_the_picture_itself():
    pixels = np.zeros((3, 4, 3), np.uint8)
    assert fill_transparent(pixels, np.full((3, 4), 1, np.uint8)) is pixels
    assert fill_transparent(pixels, np.zeros((3, 4), np.uint8)) is pixels


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("size", [(1, 9), (9, 1), (37, 50), (64, 64)])
def test_only_invisible_pixels_change_and_take_colours_that_are_there(size, dtype):
    rng = np.random.default_rng(0)
    pixels = rng.integers(100, 200, (*size, 3)).astype(dtype)
    alpha = (rng.random(size) < 0.2).astype(dtype)
    alpha[0, 0] = 1
    pixels[alpha == 0] = 0
    filled = fill_transparent(pixels, alpha)
    assert filled.dtype == dtype
    assert np.array_equal(filled[alpha > 0], pixels[alpha > 0])
    assert filled.min() >= 100 and filled.max() < 200


def test_one_visible_colour_spreads_everywhere():
    pixels = np.zeros((30, 41, 1), np.uint8)
    alpha = np.zeros((30, 41), np.uint8)
    pixels[20, 3], alpha[20, 3] = 77, 1
    assert (fill_transparent(pixels, alpha) == 77).all()


def test_near_colours_win_over_far_ones():
    pixels = np.zeros((16, 64, 1), np.uint8)
    alpha = np.zeros((16, 64), np.uint8)
    pixels[:, :8], pixels[:, -8:] = 50, 200
    alpha[:, :8], alpha[:, -8:] = 255, 255
    filled = fill_transparent(pixels, alpha)[..., 0]
    assert (filled[:, 8:16] < 100).all() and (filled[:, -16:-8] > 150).all()


def test_8_bit_opacity_is_scaled_as_pillow_does():
    # Away from the ends of the range: there Pillow clips between its two passes.
    alpha = np.random.default_rng(0).integers(90, 160, (11, 13)).astype(np.uint8)
    oracle = np.asarray(Image.fromarray(alpha).resize((39, 33), Image.Resampling.BICUBIC))
    assert np.abs(scale_alpha(alpha, 3).astype(int) - oracle).max() <= 1


def test_16_bit_opacity_keeps_its_depth_and_range():
    alpha = np.array([[0, 65535, 65535, 0]], np.uint16)
    scaled = scale_alpha(alpha, 4)
    assert scaled.dtype == np.uint16 and scaled.shape == (4, 16)
    assert scaled.min() == 0 and scaled.max() == 65535
    assert len(np.unique(scaled)) > 4
    assert np.array_equal(scale_alpha(alpha, 1), alpha)


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_rows_at_a_time_are_those_of_the_whole(scale, dtype):
    alpha = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (50, 23)).astype(dtype)
    scaler = AlphaScaler(alpha, scale)
    ends = [0, 1, 7, 24, 50 * scale]
    rows = [scaler.rows(a, b - a) for a, b in itertools.pairwise(ends)]
    # The one large resampling of Pillow is the oracle.
    whole = Image.fromarray(alpha.astype(np.float32)).resize(
        (23 * scale, 50 * scale), Image.Resampling.BICUBIC
    )
    wanted = np.rint(np.clip(np.asarray(whole), 0, np.iinfo(dtype).max))
    difference = np.abs(np.concatenate(rows).astype(int) - wanted)
    # Ties may be broken otherwise: Pillow counts from another row, in float32.
    assert difference.max() <= 1 and (difference > 0).mean() < 1e-3
