"""Real-world degradations: each step against another library, and how the steps are drawn."""

from __future__ import annotations

import itertools
import math
import sys

import cv2
import numpy as np
import pytest
import scipy.stats
import skimage.filters
import torch
from skimage import data

from swinir_deploy.errors import BackendUnavailableError, UsageError
from swinir_deploy.evaluation.real_world import (
    Blur,
    GaussianNoise,
    Jpeg,
    PoissonNoise,
    Resize,
    Step,
    degrade,
    draw_steps,
)

PICTURE = (data.astronaut()[:96, 100:220] / 255).astype(np.float32)
SCALE = 4


def generator(seed: int = 0) -> np.random.RandomState:
    return np.random.RandomState(seed)


def drawn(count: int = 400) -> list[list[Step]]:
    return [draw_steps(96, 120, SCALE, generator(seed)) for seed in range(count)]


# ---------------------------------------------------------------------------------- the steps


@pytest.mark.parametrize("sigma", [0.2, 1.7, 2.8])
def test_round_blur_is_scikit_images(sigma: float) -> None:
    radius = math.ceil(3 * sigma)
    expected = skimage.filters.gaussian(
        PICTURE, sigma, mode="mirror", truncate=radius / sigma, channel_axis=2
    )
    blurred = Blur((sigma, sigma)).apply(PICTURE, generator())
    np.testing.assert_allclose(blurred, expected, atol=1e-5)


@pytest.mark.parametrize("angle", [0.0, 0.4, 2.5])
def test_a_long_kernel_is_the_normal_distribution_turned(angle: float) -> None:
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    covariance = turn @ np.diag([2.6**2, 0.9**2]) @ turn.T
    y, x = np.mgrid[-8:9, -8:9]
    expected = scipy.stats.multivariate_normal(cov=covariance).pdf(np.stack([x, y], -1))
    kernel = Blur((2.6, 0.9), angle).kernel()
    np.testing.assert_allclose(kernel, expected / expected.sum(), atol=1e-12)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("sides", [(24, 30), (41, 77)])
def test_plain_interpolation_is_pytorchs(interpolation: str, sides: tuple[int, int]) -> None:
    planes = torch.from_numpy(PICTURE).permute(2, 0, 1)[None]
    expected = torch.nn.functional.interpolate(
        planes, sides, mode=interpolation, align_corners=False
    )
    found = Resize(*sides, interpolation).apply(PICTURE, generator())
    assert found.shape == (*sides, 3)
    wanted = expected[0].permute(1, 2, 0).clamp(0, 1).numpy()
    np.testing.assert_allclose(found, wanted, atol=2e-3)


def test_area_is_the_mean_of_blocks() -> None:
    expected = PICTURE.reshape(24, 4, 30, 4, 3).mean(axis=(1, 3))
    found = Resize(24, 30, "area").apply(PICTURE, generator())
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_antialiased_bicubic_is_pytorchs_inside() -> None:
    planes = torch.from_numpy(PICTURE).permute(2, 0, 1)[None]
    expected = torch.nn.functional.interpolate(
        planes, (41, 77), mode="bicubic", align_corners=False, antialias=True
    )
    found = Resize(41, 77, "antialiased bicubic").apply(PICTURE, generator())
    wanted = expected[0].permute(1, 2, 0).clamp(0, 1).numpy()
    np.testing.assert_allclose(found[5:-5, 5:-5], wanted[5:-5, 5:-5], atol=1e-4)


@pytest.mark.parametrize("is_gray", [False, True])
def test_gaussian_noise_has_its_deviation(is_gray: bool) -> None:
    flat = np.full((200, 200, 3), 0.5, np.float32)
    noise = GaussianNoise(12.0, is_gray).apply(flat, generator()) - flat
    assert noise.std() * 255 == pytest.approx(12.0, rel=0.02)
    between = np.corrcoef(noise[..., 0].ravel(), noise[..., 2].ravel())[0, 1]
    assert between == pytest.approx(float(is_gray), abs=0.02)


@pytest.mark.parametrize("is_gray", [False, True])
@pytest.mark.parametrize("level", [0.1, 0.6])
def test_poisson_noise_has_the_mean_and_variance_of_a_count(is_gray: bool, level: float) -> None:
    flat = np.full((300, 300, 3), level, np.float32)
    noisy = PoissonNoise(400.0, is_gray).apply(flat, generator())
    assert noisy.mean() == pytest.approx(level, rel=0.01)
    assert noisy.var() == pytest.approx(level / 400.0, rel=0.03)
    assert bool((noisy[..., 0] == noisy[..., 1]).all()) == is_gray


def test_noise_stays_in_range() -> None:
    for step in (GaussianNoise(25.0, False), PoissonNoise(100.0, True)):
        noisy = step.apply(PICTURE, generator())
        assert noisy.dtype == np.float32
        assert noisy.min() >= 0 and noisy.max() <= 1


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_is_opencvs(channels: int) -> None:
    picture = PICTURE[..., :channels]
    levels = np.rint(picture * 255).astype(np.uint8)[..., ::-1]
    coded = cv2.imencode(".jpg", levels.copy(), [cv2.IMWRITE_JPEG_QUALITY, 40])[1]
    expected = cv2.imdecode(coded, cv2.IMREAD_COLOR if channels == 3 else cv2.IMREAD_GRAYSCALE)
    found = Jpeg(40).apply(picture, generator())
    expected = expected.reshape(picture.shape)[..., ::-1]
    np.testing.assert_allclose(found * 255, expected, atol=1e-3)


# ---------------------------------------------------------------------------------- the drawing


def test_every_order_is_drawn() -> None:
    """Blur, both kinds of noise and the reduction stand in each of their 24 orders."""
    orders = {
        tuple(type(step).__name__ for step in steps if not isinstance(step, Jpeg))
        for steps in drawn()
    }
    assert orders == set(
        itertools.permutations(("Blur", "GaussianNoise", "PoissonNoise", "Resize"))
    )


def test_jpeg_ends_and_may_be_anywhere_before() -> None:
    places = set()
    for steps in drawn():
        found = [index for index, step in enumerate(steps) if isinstance(step, Jpeg)]
        assert found[-1] == len(steps) - 1
        assert len(found) <= 2
        places.add(found[0])
    assert places == {0, 1, 2, 3, 4}


def test_parameters_fill_their_ranges() -> None:
    steps = list(itertools.chain.from_iterable(drawn(2000)))
    qualities = [step.quality for step in steps if isinstance(step, Jpeg)]
    assert (min(qualities), max(qualities)) == (30, 95)
    assert len(qualities) / 2000 == pytest.approx(1.5, abs=0.05)
    sigmas = [step.sigma for step in steps if isinstance(step, GaussianNoise)]
    assert 1 <= min(sigmas) < 1.5 and 24.5 < max(sigmas) <= 25
    photons = [step.photons for step in steps if isinstance(step, PoissonNoise)]
    assert min(photons) >= 100 and max(photons) <= 1e4
    assert np.median(np.log10(photons)) == pytest.approx(3, abs=0.1)
    gray = [s.is_gray for s in steps if isinstance(s, (GaussianNoise, PoissonNoise))]
    assert np.mean(gray) == pytest.approx(0.4, abs=0.04)
    round_ones = [s.sigma_px[0] == s.sigma_px[1] for s in steps if isinstance(s, Blur)]
    assert np.mean(round_ones) == pytest.approx(0.5, abs=0.05)
    resizes = [step for step in steps if isinstance(step, Resize)]
    assert {(step.height, step.width) for step in resizes} == {(24, 30)}
    used = {step.interpolation for step in resizes}
    assert used == {"area", "bilinear", "bicubic", "antialiased bicubic"}


def test_blur_is_as_wide_on_the_reduced_picture_as_on_the_good_one() -> None:
    """In pixels of the good picture, that is: they are a quarter of the others."""
    late, early = [], []
    for steps in drawn(1000):
        at, reduced = (
            next(i for i, step in enumerate(steps) if isinstance(step, kind))
            for kind in (Blur, Resize)
        )
        blur = steps[at]
        assert isinstance(blur, Blur)
        (late if at > reduced else early).extend(blur.sigma_px)
    assert 0.2 <= min(early) < 0.25 and 2.7 < max(early) <= 2.8
    assert 0.05 <= min(late) < 0.0625 and 0.675 < max(late) <= 0.7


# --------------------------------------------------------------------------------- a whole picture


@pytest.mark.parametrize("channels", [1, 3])
def test_one_seed_one_result(channels: int) -> None:
    picture = data.astronaut()[:96, :120, :channels]
    first = degrade(picture, SCALE, (3, 7))
    assert first.shape == (24, 30, channels) and first.dtype == np.uint8
    np.random.seed(5)  # the global generator has no part in it
    assert (degrade(picture, SCALE, (3, 7)) == first).all()
    assert (degrade(picture, SCALE, (3, 8)) != first).any()


def test_the_result_shows_the_same_place() -> None:
    """On average over seeds, nothing moved by a quarter of a pixel of the result."""
    picture = data.astronaut()[:256, 100:356]
    mean = np.mean([degrade(picture, SCALE, seed) for seed in range(40)], axis=0)

    def error(dy: int, dx: int) -> float:
        moved = np.roll(picture.astype(float), (dy, dx), (0, 1))
        reduced = moved.reshape(64, 4, 64, 4, 3).mean(axis=(1, 3))
        return float(np.square(mean - reduced)[2:-2, 2:-2].mean())

    still = error(0, 0)
    for move in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        assert error(*move) > still


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((96, 118, 3), np.uint8),
        np.zeros((96, 120), np.uint8),
        np.zeros((96, 120, 3), np.float32),
        np.zeros((0, 120, 3), np.uint8),
    ],
)
def test_what_cannot_be_degraded_is_refused(picture: np.ndarray) -> None:
    with pytest.raises(UsageError, match="degrade: the array is"):
        degrade(picture, SCALE, 0)


def test_without_opencv_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(BackendUnavailableError, match=r"cv2.*swinir-deploy\[eval\]"):
        degrade(np.zeros((8, 8, 3), np.uint8), SCALE, 0)
