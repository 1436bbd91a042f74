from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import color, data, metrics

from swinir_deploy.errors import UsageError
from swinir_deploy.evaluation.degradations import bicubic_resize
from swinir_deploy.evaluation.metrics import crop_border, psnr, rgb_to_y

TESTSETS = Path(os.environ.get("SWINIR_DEPLOY_TESTSETS", "testsets"))


def test_y_is_scikit_images():
    image = data.astronaut()
    np.testing.assert_allclose(rgb_to_y(image), color.rgb2ycbcr(image)[..., 0], atol=1e-3)


def test_y_runs_from_16_to_235():
    ends = np.array([[[0, 0, 0], [255, 255, 255]]], np.uint8)
    np.testing.assert_allclose(rgb_to_y(ends), [[16.0, 235.0]])


@pytest.mark.parametrize("border", [0, 4])
def test_psnr_is_scikit_images(border):
    image = data.astronaut()
    noise = np.random.default_rng(0).normal(0, 12, image.shape)
    noisy = np.clip(image + noise, 0, 255).astype(np.uint8)
    inside = slice(border, 512 - border)
    expected = metrics.peak_signal_noise_ratio(
        image[inside, inside], noisy[inside, inside], data_range=255
    )
    assert psnr(noisy, image, border) == pytest.approx(expected, abs=1e-9)


def test_psnr_on_y_is_that_of_the_y_channels():
    image = data.astronaut()
    darker = (image * 0.9).astype(np.uint8)
    luma = [color.rgb2ycbcr(picture)[..., 0] for picture in (image, darker)]
    expected = metrics.peak_signal_noise_ratio(*luma, data_range=255)
    assert psnr(darker, image, on_y=True) == pytest.approx(expected, abs=1e-3)


def test_unsigned_differences_do_not_wrap():
    low, high = np.full((8, 8), 10, np.uint8), np.full((8, 8), 12, np.uint8)
    expected = 20 * math.log10(255 / 2)
    assert psnr(low, high) == pytest.approx(expected)
    assert psnr(high, low) == pytest.approx(expected)


def test_equal_pictures_are_infinitely_alike():
    assert psnr(data.astronaut(), data.astronaut(), 4, on_y=True) == math.inf


def test_the_border_does_not_count():
    image = np.zeros((12, 12), np.uint8)
    framed = image.copy()
    framed[:4], framed[-4:], framed[:, :4], framed[:, -4:] = 9, 9, 9, 9
    assert psnr(framed, image, 4) == math.inf
    assert psnr(framed, image, 3) < math.inf
    assert crop_border(image, 4).shape == (4, 4)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: psnr(np.zeros((4, 4)), np.zeros((4, 5))), "must be equal"),
        (lambda: crop_border(np.zeros((8, 9)), 4), "9x8"),
        (lambda: crop_border(np.zeros((8, 9)), -1), "-1"),
        (lambda: rgb_to_y(np.zeros((4, 4))), r"\[H, W, 3\]"),
    ],
)
def test_what_cannot_be_measured_is_refused(call, words):
    with pytest.raises(UsageError, match=words):
        call()


def _set5() -> list[Path]:
    files = sorted((TESTSETS / "Set5" / "HR").glob("*.png"))
    if len(files) != 5:
        pytest.skip(f"Set5 is not in {TESTSETS}; SWINIR_DEPLOY_TESTSETS names another folder")
    return files


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_set5s_published_reductions_come_out_exactly(scale):
    for path in _set5():
        high = np.asarray(Image.open(path).convert("RGB"))
        low = np.asarray(
            Image.open(
                TESTSETS / "Set5" / "LR_bicubic" / f"X{scale}" / f"{path.stem}x{scale}.png"
            ).convert("RGB")
        )
        rows, columns = (side // scale * scale for side in high.shape[:2])
        assert (bicubic_resize(high[:rows, :columns], 1 / scale) == low).all()


@pytest.mark.parametrize(("scale", "published"), [(2, 33.66), (3, 30.39), (4, 28.42)])
def test_bicubic_on_set5_reaches_the_published_figures(scale, published):
    # The literature's bicubic row (for example table 2 of the EDSR paper).
    values = []
    for path in _set5():
        high = np.asarray(Image.open(path).convert("RGB"))
        rows, columns = (side // scale * scale for side in high.shape[:2])
        high = high[:rows, :columns]
        low = bicubic_resize(high, 1 / scale)
        values.append(psnr(bicubic_resize(low, scale), high, scale, on_y=True))
    assert np.mean(values) == pytest.approx(published, abs=0.03)
