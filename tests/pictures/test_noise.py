"""The estimate of the noise against scikit-image's, and against noise that is known."""

from __future__ import annotations

import numpy as np
import pytest
from skimage import data
from skimage.restoration import estimate_sigma

from swinir_deploy.pictures.noise import noise_sigma

PHOTOGRAPH = data.astronaut()[:256, :300]


def _noisy(sigma: float, picture: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(1).normal(0, sigma, picture.shape)
    return np.clip(np.rint(picture + noise), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("sigma", [0, 5, 15, 25, 50])
def test_it_is_the_estimator_of_scikit_image(sigma: float) -> None:
    pytest.importorskip("pywt")
    noisy = _noisy(sigma, PHOTOGRAPH)
    expected = estimate_sigma(noisy.astype(np.float64), channel_axis=-1, average_sigmas=True)
    # scikit-image pads the borders, which are left out here.
    assert noise_sigma(noisy) == pytest.approx(expected, rel=0.02, abs=0.1)


@pytest.mark.parametrize("sigma", [5, 15, 25, 50])
def test_known_noise_on_a_flat_picture_is_found(sigma: float) -> None:
    flat = _noisy(sigma, np.full((200, 200, 1), 128.0))
    assert noise_sigma(flat) == pytest.approx(sigma, rel=0.05)


@pytest.mark.parametrize("sigma", [15, 25, 50])
def test_the_level_of_a_photograph_is_found(sigma: float) -> None:
    found = noise_sigma(_noisy(sigma, PHOTOGRAPH))
    assert min((15, 25, 50), key=lambda level: abs(level - found)) == sigma


def test_bit_depths_have_one_scale() -> None:
    noisy = _noisy(20, PHOTOGRAPH)
    assert noise_sigma(noisy.astype(np.uint16) * 257) == pytest.approx(noise_sigma(noisy))
    floats = noisy.astype(np.float32) / np.float32(255)
    assert noise_sigma(floats) == pytest.approx(noise_sigma(noisy), rel=1e-4)


def test_nothing_to_see_is_no_noise() -> None:
    assert noise_sigma(np.zeros((16, 16, 3), np.uint8)) == 0
    clipped = _noisy(25, np.full((64, 64, 1), 128.0))
    clipped[:, :48] = 255  # a white sky over most of the picture
    assert noise_sigma(clipped) == pytest.approx(25, rel=0.15)
