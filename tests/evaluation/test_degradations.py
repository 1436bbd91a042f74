from __future__ import annotations

import sys

import cv2
import numpy as np
import pytest
from PIL import Image
from skimage import data

from swinir_deploy.errors import BackendUnavailableError, UsageError
from swinir_deploy.evaluation.degradations import (
    bicubic_resize,
    bicubic_resize_to,
    gaussian_noise,
    jpeg_compress,
)


def _dense_matrix(length: int, scale: float, out_length: int) -> np.ndarray:
    """MATLAB's contributions(), one output sample and one tap at a time."""
    stretch = max(1 / scale, 1)
    matrix = np.zeros((out_length, length))
    for row in range(out_length):
        centre = (row + 0.5) / scale - 0.5
        for tap in range(int(np.floor(centre - 2 * stretch)), int(centre + 2 * stretch) + 2):
            x = abs(centre - tap) / stretch
            if x <= 1:
                weight = 1.5 * x**3 - 2.5 * x**2 + 1
            elif x <= 2:
                weight = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
            else:
                continue
            inside = tap
            while not 0 <= inside < length:
                inside = -1 - inside if inside < 0 else 2 * length - 1 - inside
            matrix[row, inside] += weight
    return matrix / matrix.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("scale", [1 / 2, 1 / 3, 1 / 4, 1 / 8, 2.0, 3.0, 4.0, 0.37])
@pytest.mark.parametrize("shape", [(24, 48, 3), (25, 31), (5, 9, 1)])
def test_equals_the_dense_matrices_of_the_definition(scale, shape):
    image = np.random.default_rng(1).normal(size=shape)
    rows, columns = (int(np.ceil(side * scale - 1e-9)) for side in shape[:2])
    expected = np.einsum(
        "rh,cw,hw...->rc...",
        _dense_matrix(shape[0], scale, rows),
        _dense_matrix(shape[1], scale, columns),
        image,
    )
    result = bicubic_resize(image, scale)
    assert result.dtype == np.float64
    np.testing.assert_allclose(result, expected, atol=1e-12)


@pytest.mark.parametrize("sides", [(9, 31), (25, 10), (40, 62), (1, 1)])
def test_to_given_sides_each_axis_has_its_own_matrix(sides):
    image = np.random.default_rng(1).normal(size=(25, 31, 3))
    expected = np.einsum(
        "rh,cw,hw...->rc...",
        _dense_matrix(25, sides[0] / 25, sides[0]),
        _dense_matrix(31, sides[1] / 31, sides[1]),
        image,
    )
    np.testing.assert_allclose(bicubic_resize_to(image, sides), expected, atol=1e-12)


@pytest.mark.parametrize("scale", [1 / 2, 1 / 3, 1 / 4])
def test_inner_pixels_agree_with_pillow(scale):
    # Pillow has the same kernel and widening; its edges differ, and uint8 is rounded otherwise.
    image = data.astronaut()[:480, :480, 1].astype(np.float32)
    side = round(480 * scale)
    pillow = np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC))
    result = bicubic_resize(image.astype(np.float64), scale)
    np.testing.assert_allclose(result[4:-4, 4:-4], pillow[4:-4, 4:-4], atol=1e-3)


def test_uint8_is_rounded_after_each_pass():
    # MATLAB keeps the class between the passes. The mean of 0, 0, 0, 1 is 0; but the rows
    # give 0 and 0.5, rounded up to 1, and these give 0.5 again.
    assert bicubic_resize(np.array([[0, 0], [0, 1]], np.uint8), 0.5).tolist() == [[1]]


def test_uint8_is_clamped_where_the_kernel_overshoots():
    step = np.zeros((8, 16), np.uint8)
    step[:, 8:] = 255
    enlarged = bicubic_resize(step, 4)
    assert enlarged.dtype == np.uint8
    assert enlarged.min() == 0 and enlarged.max() == 255
    as_float = bicubic_resize(step.astype(np.float32), 4)
    assert as_float.dtype == np.float32
    assert as_float.min() < -1 and as_float.max() > 256


@pytest.mark.parametrize("scale", [0.25, 1 / 3, 1.0, 2.5])
def test_a_constant_picture_stays_constant(scale):
    image = np.full((13, 29, 3), 77, np.uint8)
    result = bicubic_resize(image, scale)
    assert result.shape == (int(np.ceil(13 * scale)), int(np.ceil(29 * scale)), 3)
    assert (result == 77).all()


def test_the_scale_one_changes_nothing():
    image = data.astronaut()[:40, :60]
    assert (bicubic_resize(image, 1.0) == image).all()


def test_every_length_that_a_third_divides_exactly_is_divided_exactly():
    for thirds in range(1, 400):
        assert bicubic_resize(np.zeros((3 * thirds, 3)), 1 / 3).shape == (thirds, 1)


@pytest.mark.parametrize(
    ("image", "scale", "words"),
    [
        (np.zeros((4, 4)), 0, "must be positive"),
        (np.zeros((4, 4)), float("nan"), "must be positive"),
        (np.zeros(4), 0.5, r"\[H, W\]"),
        (np.zeros((0, 4)), 0.5, r"\[H, W\]"),
        (np.zeros((4, 4), np.int32), 0.5, "int32"),
    ],
)
def test_what_is_no_picture_is_refused(image, scale, words):
    with pytest.raises(UsageError, match=words):
        bicubic_resize(image, scale)
    if "positive" not in words:
        with pytest.raises(UsageError, match=words):
            bicubic_resize_to(image, (2, 2))


def test_no_side_is_refused():
    with pytest.raises(UsageError, match=r"\(0, 3\).*positive"):
        bicubic_resize_to(np.zeros((4, 4)), (0, 3))


# -------------------------------------------------------------------------------------- noise


@pytest.mark.parametrize("sigma", [15, 25, 50])
def test_noise_is_the_official_scripts_to_the_last_bit(sigma: int) -> None:
    rgb = data.astronaut()[:37, :53]
    bgr = rgb[:, :, ::-1].astype(np.float32) / 255.0
    before = np.random.get_state()
    np.random.seed(seed=0)
    expected = bgr + np.random.normal(0, sigma / 255.0, bgr.shape)
    np.random.set_state(before)
    noisy = gaussian_noise(rgb, sigma)
    assert noisy.dtype == np.float64
    assert (noisy == expected[:, :, ::-1]).all()
    assert noisy.min() < 0 and noisy.max() > 1


def test_noise_on_gray_is_the_official_scripts_to_the_last_bit() -> None:
    gray = data.camera()[:37, :53]
    before = np.random.get_state()
    np.random.seed(seed=0)
    expected = gray.astype(np.float32) / 255.0 + np.random.normal(0, 25 / 255.0, gray.shape)
    np.random.set_state(before)
    assert (gaussian_noise(gray, 25) == expected).all()
    assert (gaussian_noise(gray[..., None], 25) == expected[..., None]).all()


def test_noise_neither_uses_nor_changes_the_global_generator() -> None:
    image = data.camera()[:8, :8]
    np.random.seed(1)
    first = gaussian_noise(image, 25)
    following = np.random.random()
    np.random.seed(1)
    assert np.random.random() == following
    assert (gaussian_noise(image, 25) == first).all()
    assert (gaussian_noise(image, 25, seed=1) != first).any()


# --------------------------------------------------------------------------------------- JPEG


@pytest.mark.parametrize("quality", [10, 40])
def test_jpeg_is_opencvs(quality: int) -> None:
    rgb = data.astronaut()[:61, :75]
    setting = [cv2.IMWRITE_JPEG_QUALITY, quality]
    expected = cv2.imdecode(cv2.imencode(".jpg", rgb[:, :, ::-1].copy(), setting)[1], 1)
    assert (jpeg_compress(rgb, quality) == expected[:, :, ::-1]).all()
    gray = data.camera()[:61, :75]
    expected = cv2.imdecode(cv2.imencode(".jpg", gray, setting)[1], 0)
    assert (jpeg_compress(gray, quality) == expected).all()
    assert (jpeg_compress(gray[..., None], quality) == expected[..., None]).all()


def test_jpeg_stores_colour_at_half_resolution() -> None:
    # A column of red beside one of blue: at 4:4:4 and quality 100 they would stay apart.
    stripes = np.zeros((32, 32, 3), np.uint8)
    stripes[:, ::2, 0] = 255
    stripes[:, 1::2, 2] = 255
    red = jpeg_compress(stripes, 100)[..., 0].astype(int)
    assert red[:, ::2].mean() - red[:, 1::2].mean() < 100


def test_jpeg_without_opencv_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(BackendUnavailableError, match=r"cv2.*swinir-deploy\[eval\]"):
        jpeg_compress(np.zeros((8, 8), np.uint8), 40)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: gaussian_noise(np.zeros((4, 4)), 25), "uint8"),
        (lambda: gaussian_noise(np.zeros((4, 4, 2), np.uint8), 25), "1 or 3"),
        (lambda: gaussian_noise(np.zeros((4, 4), np.uint8), 0), "positive"),
        (lambda: gaussian_noise(np.zeros((4, 4), np.uint8), float("nan")), "positive"),
        (lambda: jpeg_compress(np.zeros((0, 4), np.uint8), 40), r"\(0, 4\)"),
        (lambda: jpeg_compress(np.zeros((4, 4), np.uint8), 101), "from 1 to 100"),
    ],
)
def test_degradations_that_make_no_sense_are_refused(call, words):
    with pytest.raises(UsageError, match=words):
        call()
