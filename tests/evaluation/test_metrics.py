from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from skimage import color, data, metrics
from testsets import pixels, testset

from swinir_deploy.errors import UsageError
from swinir_deploy.evaluation.degradations import bicubic_resize, jpeg_compress
from swinir_deploy.evaluation.metrics import crop_border, psnr, psnr_b, rgb_to_y, ssim


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
        (lambda: ssim(np.zeros((12, 30)), np.zeros((12, 30)), 1), "28x10.*11x11"),
        (lambda: psnr_b(np.zeros((15, 30)), np.zeros((15, 30))), "16x16"),
        (lambda: ssim(np.zeros((20, 20)), np.zeros((20, 20, 1))), "must be equal"),
    ],
)
def test_what_cannot_be_measured_is_refused(call, words):
    with pytest.raises(UsageError, match=words):
        call()


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_set5s_published_reductions_come_out_exactly(scale: int) -> None:
    for path in sorted(testset("Set5/HR").glob("*.png")):
        low = pixels(testset(f"Set5/LR_bicubic/X{scale}") / f"{path.stem}x{scale}.png")
        assert (bicubic_resize(whole(pixels(path), scale), 1 / scale) == low).all()


def test_set5s_published_reductions_by_8_come_out_within_half_a_level() -> None:
    for path in sorted(testset("Set5/HR").glob("*.png")):
        low = pixels(testset("Set5/LR_bicubic/X8") / f"{path.stem}x8.png").astype(float)
        assert np.abs(bicubic_resize(whole(pixels(path), 8), 1 / 8) - low).mean() <= 0.5


@pytest.mark.parametrize(
    ("scale", "psnr_db", "similarity"),
    [(2, 33.68, 0.9299), (3, 30.40, 0.8682), (4, 28.43, 0.8104), (8, 24.40, None)],
)
def test_bicubic_on_set5_has_the_known_figures(
    scale: int, psnr_db: float, similarity: float | None
) -> None:
    # PSNR on the published reductions; SSIM from the literature's bicubic row (for example
    # table 2 of the EDSR paper), which MATLAB computed in double precision.
    found = []
    for path in sorted(testset("Set5/HR").glob("*.png")):
        high = whole(pixels(path), scale)
        low = pixels(testset(f"Set5/LR_bicubic/X{scale}") / f"{path.stem}x{scale}.png")
        enlarged = bicubic_resize(low, scale)
        found.append([f(enlarged, high, scale, on_y=True) for f in (psnr, ssim)])
    measured = np.mean(found, axis=0)
    assert measured[0] == pytest.approx(psnr_db, abs=0.01)
    if similarity is not None:
        assert measured[1] == pytest.approx(similarity, abs=0.001)


def whole(picture: np.ndarray, scale: int) -> np.ndarray:
    """Without the rows and columns that the scale leaves over."""
    rows, columns = (side // scale * scale for side in picture.shape[:2])
    return picture[:rows, :columns]


# --------------------------------------------------------------------------------------- SSIM


@pytest.mark.parametrize("border", [0, 3])
@pytest.mark.parametrize("channels", [1, 3])
def test_ssim_is_scikit_images_inside_the_window(border: int, channels: int) -> None:
    image = data.astronaut()[100:180, 150:270, :channels].squeeze()
    noise = np.random.default_rng(0).normal(0, 15, image.shape)
    noisy = np.clip(image + noise, 0, 255).astype(np.uint8)
    inside = slice(border, -border or None)
    _, likeness = metrics.structural_similarity(
        noisy[inside, inside],
        image[inside, inside],
        data_range=255,
        win_size=11,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        channel_axis=2 if channels == 3 else None,
        full=True,
    )
    assert ssim(noisy, image, border) == pytest.approx(likeness[5:-5, 5:-5].mean(), abs=1e-10)


def test_ssim_is_opencvs_filter_in_the_middle() -> None:
    # calculate_ssim filters with filter2D and cuts five pixels off each side.
    first = data.astronaut()[:40, :50, 1].astype(np.float64)
    second = np.roll(first, 1, axis=1)
    column = cv2.getGaussianKernel(11, 1.5)

    def smooth(picture: np.ndarray) -> np.ndarray:
        return cv2.filter2D(picture, -1, column @ column.T)[5:-5, 5:-5]

    m1, m2, c1, c2 = smooth(first), smooth(second), 2.55**2, 7.65**2
    v1, v2 = smooth(first**2) - m1**2, smooth(second**2) - m2**2
    likeness = (2 * m1 * m2 + c1) * (2 * (smooth(first * second) - m1 * m2) + c2)
    likeness /= (m1**2 + m2**2 + c1) * (v1 + v2 + c2)
    assert ssim(first, second) == pytest.approx(likeness.mean(), abs=1e-10)


def test_ssim_by_hand() -> None:
    dark, bright = np.full((11, 11), 100, np.uint8), np.full((11, 11), 120, np.uint8)
    assert ssim(dark, dark) == 1.0
    # Without variance only the luminance term is left.
    expected = (2 * 100 * 120 + 2.55**2) / (100**2 + 120**2 + 2.55**2)
    assert ssim(dark, bright) == pytest.approx(expected, abs=1e-12)


def test_ssim_on_y_is_that_of_the_y_channels() -> None:
    image = data.astronaut()[:60, :60]
    darker = (image * 0.9).astype(np.uint8)
    assert ssim(darker, image, on_y=True) == ssim(rgb_to_y(darker), rgb_to_y(image))


# ------------------------------------------------------------------------------------- PSNR-B


def blocking_effect_pixel_by_pixel(picture: np.ndarray) -> float:
    """The official script's factor, one pair of neighbours at a time."""
    height, width = picture.shape
    at_borders = inside = 0.0
    for y in range(height):
        for x in range(width):
            for other, place in (((y, x + 1), x), ((y + 1, x), y)):
                if other[0] < height and other[1] < width:
                    square = (float(picture[y, x]) - float(picture[other])) ** 2
                    if place % 8 == 7:
                        at_borders += square
                    else:
                        inside += square
    borders = height * (width // 8 - 1) + width * (height // 8 - 1)
    others = height * (width - 1) + width * (height - 1) - borders
    excess = at_borders / borders - inside / others
    return max(excess, 0) * math.log(8) / math.log(min(height, width))


@pytest.mark.parametrize("shape", [(16, 16), (24, 40), (17, 31), (23, 16)])
def test_psnr_b_is_the_definition_pixel_by_pixel(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 256, shape, np.uint8)
    blocks = rng.integers(0, 256, (-(-shape[0] // 8), -(-shape[1] // 8))).repeat(8, 0).repeat(8, 1)
    blocky = (blocks[: shape[0], : shape[1]] // 2 + truth // 8).astype(np.uint8)
    effect = blocking_effect_pixel_by_pixel(blocky)
    assert effect > 0
    mse = np.mean((blocky.astype(float) - truth) ** 2)
    expected = 10 * math.log10(255**2 / (mse + effect))
    assert psnr_b(blocky, truth) == pytest.approx(expected, abs=1e-10)
    assert psnr_b(blocky, truth) < psnr(blocky, truth)


def test_psnr_b_by_hand() -> None:
    # Two blocks of 0 and 8 beside each other, 16 rows: at the border 16 differences of 8 squared;
    # 16 + 16 pairs are counted as borders, nothing differs inside; log2(8) / log2(16) is 3/4.
    picture = np.zeros((16, 16), np.uint8)
    picture[:, 8:] = 8
    effect = 0.75 * (16 * 64) / 32
    assert psnr_b(picture, picture) == pytest.approx(10 * math.log10(255**2 / effect))


def test_without_blocks_psnr_b_is_psnr() -> None:
    smooth = np.add.outer(np.arange(32), np.arange(32)).astype(np.uint8)
    assert psnr_b(smooth, smooth + np.uint8(3)) == pytest.approx(psnr(smooth, smooth + np.uint8(3)))
    assert psnr_b(smooth, smooth) == math.inf


def test_psnr_b_of_colour_is_the_mean_over_channels() -> None:
    truth = data.astronaut()[:64, :64]
    result = jpeg_compress(truth, 10)
    each = [psnr_b(result[..., i], truth[..., i]) for i in range(3)]
    assert psnr_b(result, truth) == pytest.approx(np.mean(each))
    assert psnr_b(result, truth, on_y=True) == psnr_b(rgb_to_y(result), rgb_to_y(truth))
    assert psnr_b(result, truth, on_y=True) < psnr(result, truth, on_y=True) - 0.1
