"""The standard deviation of the noise in a picture, estimated from its finest details.

The median of the absolute diagonal details of a wavelet, divided by that of a normal distribution
(D. L. Donoho and I. M. Johnstone, Ideal spatial adaptation by wavelet shrinkage, Biometrika 81,
1994): edges are few, and the median does not see them. scikit-image has the same estimator as
``restoration.estimate_sigma``, with PyWavelets, which this package does not need otherwise.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["noise_sigma"]

# The high-pass filter of Daubechies' wavelet with two vanishing moments.
_ROOT = np.sqrt(3.0)
_HIGH_PASS = np.array([_ROOT - 1, 3 - _ROOT, -3 - _ROOT, 1 + _ROOT]) / (4 * np.sqrt(2.0))

_MEDIAN_OF_NORMAL = 0.6744897501960817
"""Median of the absolute value of a normal distribution of standard deviation 1."""

_ROUNDING = 1e-6

_MOST_PX = 1024
"""Side of the middle of a picture that is looked at: a million pixels are enough."""


def noise_sigma(pixels: NDArray[Any]) -> float:
    """Return the standard deviation of the noise on the scale 0..255.

    Fine texture counts as noise, so a clean photograph has 1 to 5.

    Args:
        pixels: [height, width, channels] uint8, uint16, or float32 in 0..1, with sides of at least
            8. The channels' estimates are averaged.
    """
    height, width = (min(side, _MOST_PX) for side in pixels.shape[:2])
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    values = pixels[top : top + height, left : left + width].astype(np.float64)
    peak = 1.0 if pixels.dtype.kind == "f" else float(np.iinfo(pixels.dtype).max)
    sigmas = [_sigma(values[..., channel]) for channel in range(values.shape[2])]
    return float(np.mean(sigmas)) * 255 / peak


def _sigma(plane: NDArray[np.float64]) -> float:
    details = np.abs(_high_pass(_high_pass(plane).T))
    # Flat areas, such as clipped highlights, have no noise to see: nothing but rounding is left.
    details = details[details > _ROUNDING]
    return float(np.median(details)) / _MEDIAN_OF_NORMAL if details.size else 0.0


def _high_pass(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return every second value of each row's convolution, where the filter fits into the row."""
    count = plane.shape[1] - len(_HIGH_PASS) + 1
    filtered = sum(tap * plane[:, i : i + count] for i, tap in enumerate(_HIGH_PASS))
    result: NDArray[np.float64] = np.asarray(filtered)[:, ::2]
    return result
