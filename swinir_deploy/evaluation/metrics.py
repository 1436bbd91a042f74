"""The paper's picture measures (utils/util_calculate_psnr_ssim.py of the official repository)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from swinir_deploy.errors import UsageError

__all__ = ["crop_border", "psnr", "rgb_to_y"]

Picture = npt.NDArray[Any]


def rgb_to_y(image: Picture) -> npt.NDArray[np.float64]:
    """Luma as MATLAB's ``rgb2ycbcr`` gives it (BT.601, 16..235), not rounded.

    Args:
        image: ``[H, W, 3]``, RGB, uint8 or floating point in 0..255.

    Returns:
        ``[H, W]`` float64.

    Raises:
        UsageError: the last axis is not 3.
    """
    if image.ndim != 3 or image.shape[2] != 3:
        raise UsageError(f"rgb_to_y: the array's shape is {image.shape}; it must be [H, W, 3].")
    weights = np.array([65.481, 128.553, 24.966]) / 255.0
    return np.asarray(image.astype(np.float64) @ weights + 16.0)


def crop_border(image: Picture, border_px: int) -> Picture:
    """The picture without ``border_px`` pixels on each side, as a view.

    Raises:
        UsageError: nothing would be left, or the border is negative.
    """
    height, width = image.shape[:2]
    if border_px < 0 or min(height, width) <= 2 * border_px:
        raise UsageError(
            f"crop_border: a border of {border_px} px does not fit a picture of "
            f"{width}x{height} pixels; it must be 0 or more and leave at least one pixel."
        )
    return image[border_px : height - border_px, border_px : width - border_px]


def psnr(result: Picture, truth: Picture, border_px: int = 0, on_y: bool = False) -> float:
    """Peak signal-to-noise ratio in dB, peak 255.

    Super-resolution is measured on the Y channel of uint8 pictures without a border as
    wide as the scale; denoising and JPEG repair on all channels without a border.

    Args:
        result: ``[H, W]`` or ``[H, W, C]``, uint8 or floating point in 0..255.
        truth: the same shape and range.
        border_px: pixels left out on each side.
        on_y: measure on :func:`rgb_to_y` of both; they must be RGB then.

    Returns:
        ``10 * log10(255**2 / MSE)``, infinity for equal pictures.

    Raises:
        UsageError: the shapes differ, or the border does not fit.
    """
    if result.shape != truth.shape:
        raise UsageError(
            f"psnr: the shapes are {result.shape} and {truth.shape}; they must be equal."
        )
    cropped = [crop_border(picture, border_px) for picture in (result, truth)]
    first, second = (rgb_to_y(p) if on_y else p.astype(np.float64) for p in cropped)
    error = float(np.mean((first - second) ** 2))
    return math.inf if error == 0 else 10.0 * math.log10(255.0**2 / error)
