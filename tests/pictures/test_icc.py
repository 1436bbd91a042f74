"""Profiles made from gAMA and cHRM, as LittleCMS understands them."""

import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from swinir_deploy.pictures.icc import colours_of, is_about_srgb, profile_of

SRGB_POINTS = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
ADOBE_POINTS = (0.3127, 0.3290, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)


def to_srgb(profile, image):
    opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    srgb = ImageCms.createProfile("sRGB")
    intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
    return ImageCms.profileToProfile(image, opened, srgb, intent, outputMode="RGB")


def srgb_curve(linear):
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def xyz(points):
    """Columns of XYZ for R, G and B of these primaries (the textbook's formula)."""
    x, y = np.array(points[::2]), np.array(points[1::2])
    columns = np.stack([x / y, np.ones(4), (1 - x - y) / y])
    return columns[:, 1:] * np.linalg.solve(columns[:, 1:], columns[:, 0])


@pytest.mark.parametrize("gamma", [100000, 45455, 55556])
@pytest.mark.parametrize("points", [None, SRGB_POINTS, ADOBE_POINTS])
def test_colours_come_out_as_the_formula_says(gamma, points):
    rng = np.random.default_rng(0)
    levels = rng.integers(60, 200, (16, 16, 3), np.uint8)
    profile = profile_of(gamma, points, is_gray=False)
    assert colours_of(profile) == "RGB"
    shown = np.asarray(to_srgb(profile, Image.fromarray(levels))).astype(float)
    linear = (levels / 255) ** (1e5 / gamma)
    # The same white, so no adaptation is needed.
    matrix = np.linalg.inv(xyz(SRGB_POINTS)) @ xyz(points or SRGB_POINTS)
    expected = 255 * srgb_curve(np.clip(linear @ matrix.T, 0, 1))
    assert np.abs(shown - expected).max() < 3


def test_gray(gamma=100000):
    levels = np.arange(256, dtype=np.uint8)[None]
    profile = profile_of(gamma, None, is_gray=True)
    assert colours_of(profile) == "GRAY"
    shown = np.asarray(to_srgb(profile, Image.fromarray(levels)))[..., 1].astype(float)
    # LittleCMS is coarse where the curve of sRGB is steepest.
    assert np.abs(shown - 255 * srgb_curve(levels / 255))[0, 10:].max() < 3


def test_primaries_that_span_nothing_give_no_profile():
    assert profile_of(45455, (0.3, 0.3) * 4, is_gray=False) is None
    assert profile_of(45455, (0.3, 0.0) * 4, is_gray=False) is None


def test_what_is_about_srgb():
    assert is_about_srgb(45455, None) and is_about_srgb(None, SRGB_POINTS)
    assert not is_about_srgb(100000, None)
    assert not is_about_srgb(45455, ADOBE_POINTS)


def test_kinds_of_profiles_and_damaged_ones():
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    assert colours_of(srgb) == "RGB" and colours_of(lab) == "Lab"
    for damaged in (b"", b"profile" * 40, srgb[:-1], srgb[:100], bytes(200)):
        assert colours_of(damaged) == ""
