from __future__ import annotations

import math

import numpy as np
import pytest

from swinir_deploy.artifacts.metadata import Precision
from swinir_deploy.comparison import Comparison, compare, psnr_limit_db, sample_picture


def test_figures_worked_out_by_hand() -> None:
    reference = np.array([[0.0, 1.0], [-2.0, 0.5]], np.float32)
    candidate = reference + np.array([[0.0, 0.1], [-0.3, 0.0]], np.float32)
    found = compare(candidate, reference)
    assert found.max_abs == pytest.approx(0.3, rel=1e-6)
    assert found.mean_abs == pytest.approx(0.1, rel=1e-6)
    assert found.peak == 2.0
    assert found.relative_max == pytest.approx(0.15, rel=1e-6)
    assert found.psnr_db == pytest.approx(10 * math.log10(4 / (0.1 / 4)), rel=1e-6)


def test_equal_arrays() -> None:
    picture = sample_picture(1, 3, 9, 9)
    assert compare(picture, picture) == Comparison(0.0, 0.0, math.inf, 1.0)


def test_bytes_do_not_wrap_around() -> None:
    reference = np.array([0, 255, 10], np.uint8)
    candidate = np.array([255, 0, 11], np.uint8)
    found = compare(candidate, reference)
    assert found.max_abs == 255
    assert found.mean_abs == pytest.approx((255 + 255 + 1) / 3)
    assert found.peak == 255
    assert compare(reference, reference).peak == 255


def test_a_dark_reference_is_measured_against_one() -> None:
    dark = np.full((2, 2), 0.01, np.float32)
    assert compare(dark, dark).peak == 1.0


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["candidate", "reference", "both"])
def test_not_finite_is_infinitely_far(value: float, where: str) -> None:
    arrays = {"candidate": np.full(4, 3, np.float32), "reference": np.full(4, 3, np.float32)}
    for name in arrays if where == "both" else [where]:
        arrays[name][1] = value
    found = compare(arrays["candidate"], arrays["reference"])
    assert found == Comparison(math.inf, math.inf, -math.inf, 3.0)
    assert found.relative_max == math.inf


@pytest.mark.parametrize(
    ("candidate", "reference"),
    [
        (np.zeros((1, 2), np.float32), np.zeros((2, 1), np.float32)),
        (np.zeros(2, np.float32), np.zeros(2, np.float64)),
        (np.zeros(2, np.uint8), np.zeros(2, np.float32)),
        (np.zeros(0, np.float32), np.zeros(0, np.float32)),
    ],
)
def test_what_cannot_be_compared(candidate: np.ndarray, reference: np.ndarray) -> None:
    with pytest.raises(ValueError, match="Cannot compare"):
        compare(candidate, reference)


@pytest.mark.parametrize("shape", [(1, 1, 5, 5), (2, 3, 9, 15), (3, 3, 19, 29)])
def test_sample_pictures_are_pictures(shape: tuple[int, int, int, int]) -> None:
    picture = sample_picture(*shape)
    assert picture.shape == shape
    assert picture.dtype == np.float32
    assert picture.min() >= 0 and picture.max() <= 1
    assert picture.std() > 0.05
    assert np.array_equal(picture, sample_picture(*shape))
    planes = picture.reshape(-1, shape[2] * shape[3])
    assert len(np.unique(planes, axis=0)) == len(planes), "no two planes are the same"


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_the_limit_for_bytes_allows_for_rounding(precision: Precision) -> None:
    """Errors that just pass before rounding pass after it too, whatever the picture."""
    limit = psnr_limit_db(precision, "tensor")
    sigma = 10 ** (-limit / 20)  # of the range
    generator = np.random.default_rng(0)
    wanted = generator.random((1, 3, 200, 200), np.float32)
    found = np.clip(wanted + generator.normal(0, sigma, wanted.shape), 0, 1).astype(np.float32)
    assert compare(found, wanted).psnr_db == pytest.approx(limit, abs=0.1)
    in_bytes = [np.round(picture * 255).astype(np.uint8) for picture in (found, wanted)]
    assert compare(*in_bytes).psnr_db >= psnr_limit_db(precision, "image") > limit - 3
    # The limit for bytes is not so low that twice the error would pass.
    worse = np.clip(wanted + generator.normal(0, 2 * sigma, wanted.shape), 0, 1)
    in_bytes[0] = np.round(worse * 255).astype(np.uint8)
    assert compare(*in_bytes).psnr_db < psnr_limit_db(precision, "image")
