"""The paper's metrics (utils/util_calculate_psnr_ssim.py of the official repository)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from swinir_deploy.errors import UsageError

__all__ = ["MIN_SIDE_PX", "crop_border", "psnr", "psnr_b", "rgb_to_y", "ssim"]

Picture = npt.NDArray[Any]

_SSIM_SIDE_PX = 11
_SSIM_SIGMA_PX = 1.5
_BLOCK_PX = 8

MIN_SIDE_PX = {"psnr": 1, "ssim": _SSIM_SIDE_PX, "psnr_b": 2 * _BLOCK_PX}
"""Metric -> minimum side of a picture in pixels, inside the border."""


def rgb_to_y(image: Picture) -> npt.NDArray[np.float64]:
    """Return the luma Y of MATLAB's ``rgb2ycbcr`` (BT.601, 16..235), not rounded.

    Args:
        image: ``[H, W, 3]``, RGB, uint8 or floating point in 0..255.

    Returns:
        ``[H, W]`` float64.

    Raises:
        UsageError: the last axis does not have 3 channels.
    """
    if image.ndim != 3 or image.shape[2] != 3:
        raise UsageError(f"rgb_to_y: the array's shape is {image.shape}; it must be [H, W, 3].")
    weights = np.array([65.481, 128.553, 24.966]) / 255.0
    return np.asarray(image.astype(np.float64) @ weights + 16.0)


def crop_border(image: Picture, border_px: int) -> Picture:
    """Return the picture without ``border_px`` pixels on each side, as a view.

    Raises:
        UsageError: no pixel would be left, or the border is negative.
    """
    height, width = image.shape[:2]
    if border_px < 0 or min(height, width) <= 2 * border_px:
        raise UsageError(
            f"crop_border: a border of {border_px} px does not fit a picture of "
            f"{width}x{height} pixels; it must be 0 or more and leave at least one pixel."
        )
    return image[border_px : height - border_px, border_px : width - border_px]


def psnr(result: Picture, truth: Picture, border_px: int = 0, on_y: bool = False) -> float:
    """Return the peak signal-to-noise ratio in dB, for a peak of 255.

    The paper measures super-resolution on the Y channel, without a border as wide as the scale.
    It measures denoising and the removal of JPEG artefacts on all channels of whole pictures.

    Args:
        result: ``[H, W]`` or ``[H, W, C]``, uint8 or floating point in 0..255.
        truth: the same shape and range.
        border_px: number of pixels to leave out on each side.
        on_y: True measures on :func:`rgb_to_y` of both pictures, which must be RGB.

    Returns:
        ``10 * log10(255**2 / MSE)``, infinity for equal pictures.

    Raises:
        UsageError: the shapes differ, or the border does not fit.
    """
    first, second = _compared("psnr", result, truth, border_px, on_y)
    error = float(np.mean((first - second) ** 2))
    return math.inf if error == 0 else 10.0 * math.log10(255.0**2 / error)


def ssim(result: Picture, truth: Picture, border_px: int = 0, on_y: bool = False) -> float:
    """Return the structural similarity (Wang et al. 2004), -1 to 1, as ``calculate_ssim`` does.

    It is the mean over all channels and over all positions of a Gaussian window of 11x11 pixels
    with sigma 1.5 inside the picture, with ``C1 = (0.01 * 255)**2`` and ``C2 = (0.03 * 255)**2``.

    Args:
        result: ``[H, W]`` or ``[H, W, C]``, uint8 or floating point in 0..255.
        truth: the same shape and range.
        border_px: number of pixels to leave out on each side.
        on_y: True measures on :func:`rgb_to_y` of both pictures, which must be RGB.

    Raises:
        UsageError: the shapes differ, or fewer than 11x11 pixels are left inside the border.
    """
    first, second = _compared("ssim", result, truth, border_px, on_y)
    _require_sides("ssim", first, MIN_SIDE_PX["ssim"])
    return float(np.mean([_ssim_channel(a, b) for a, b in _channels(first, second)]))


def psnr_b(result: Picture, truth: Picture, border_px: int = 0, on_y: bool = False) -> float:
    """Return PSNR-B: PSNR with a penalty for 8x8 blocks (Yim and Bovik 2011).

    The value is that of the official ``calculate_psnrb``. The blocking effect factor of ``result``
    is added to the mean squared error: it says how much more neighbours differ across the borders
    of JPEG's blocks than elsewhere. The two pictures cannot be swapped.

    Args:
        result: ``[H, W]`` or ``[H, W, C]``, uint8 or floating point in 0..255.
        truth: the same shape and range.
        border_px: number of pixels to leave out on each side.
        on_y: True measures on :func:`rgb_to_y` of both pictures, which must be RGB.

    Returns:
        PSNR-B in dB, the mean over channels; infinity for equal pictures without blocks.

    Raises:
        UsageError: the shapes differ, or fewer than 16x16 pixels are left inside the border.
    """
    first, second = _compared("psnr_b", result, truth, border_px, on_y)
    _require_sides("psnr_b", first, MIN_SIDE_PX["psnr_b"])
    return float(np.mean([_psnr_b_channel(a, b) for a, b in _channels(first, second)]))


def _compared(
    name: str, result: Picture, truth: Picture, border_px: int, on_y: bool
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return both pictures inside the border as float64, converted to Y if ``on_y``."""
    if result.shape != truth.shape:
        raise UsageError(
            f"{name}: the shapes are {result.shape} and {truth.shape}; they must be equal."
        )
    first, second = (
        rgb_to_y(cropped) if on_y else cropped.astype(np.float64)
        for cropped in (crop_border(picture, border_px) for picture in (result, truth))
    )
    return first, second


def _channels(
    first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]
) -> Iterator[tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]]:
    if first.ndim == 2:
        yield first, second
    else:
        yield from ((first[..., i], second[..., i]) for i in range(first.shape[2]))


def _require_sides(name: str, picture: Picture, min_px: int) -> None:
    height, width = picture.shape[:2]
    if min(height, width) < min_px:
        raise UsageError(
            f"{name}: {width}x{height} pixels are left inside the border. Give pictures with at "
            f"least {min_px}x{min_px}."
        )


def _gaussian_valid(picture: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Smooth a picture with SSIM's window inside the picture: [H - 10, W - 10] float64."""
    offset = np.arange(_SSIM_SIDE_PX) - _SSIM_SIDE_PX // 2
    window = np.exp(-(offset**2) / (2 * _SSIM_SIGMA_PX**2))
    window /= window.sum()
    for _ in range(2):  # one axis in each pass; the two transpositions cancel out
        length = picture.shape[0] - _SSIM_SIDE_PX + 1
        smooth = np.zeros((length, picture.shape[1]))
        for tap, weight in enumerate(window):
            smooth += weight * picture[tap : tap + length]
        picture = np.ascontiguousarray(smooth.T)
    return picture


def _ssim_channel(first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]) -> float:
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean_1, mean_2 = _gaussian_valid(first), _gaussian_valid(second)
    variance_1 = _gaussian_valid(first * first) - mean_1 * mean_1
    variance_2 = _gaussian_valid(second * second) - mean_2 * mean_2
    covariance = _gaussian_valid(first * second) - mean_1 * mean_2
    likeness = (2 * mean_1 * mean_2 + c1) * (2 * covariance + c2)
    likeness /= (mean_1 * mean_1 + mean_2 * mean_2 + c1) * (variance_1 + variance_2 + c2)
    return float(likeness.mean())


def _psnr_b_channel(result: npt.NDArray[np.float64], truth: npt.NDArray[np.float64]) -> float:
    error = float(np.mean((result - truth) ** 2)) + _blocking_effect(result)
    return math.inf if error == 0 else 10.0 * math.log10(255.0**2 / error)


def _blocking_effect(picture: npt.NDArray[np.float64]) -> float:
    """Return ``_blocking_effect_factor`` of the official script, on the scale 0..255.

    Differences are summed over every border where a block ends inside the picture, but divided by
    ``side // 8 - 1`` borders, which is one too few if the side is no multiple of 8. The published
    figures were computed in this way.
    """
    at_borders = inside = 0.0
    borders = 0
    pairs = 0
    for part in (picture, picture.T):  # neighbours in a column, then in a row
        side, lines = part.shape
        difference = ((part[:-1] - part[1:]) ** 2).sum(axis=1)
        is_border = np.arange(side - 1) % _BLOCK_PX == _BLOCK_PX - 1
        at_borders += float(difference[is_border].sum())
        inside += float(difference[~is_border].sum())
        borders += lines * (side // _BLOCK_PX - 1)
        pairs += lines * (side - 1)
    excess = at_borders / borders - inside / (pairs - borders)
    return max(0.0, excess) * math.log2(_BLOCK_PX) / math.log2(min(picture.shape))
