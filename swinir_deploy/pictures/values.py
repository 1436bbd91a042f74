"""Whole numbers and floats: how a picture's levels become values in 0..1, and the way back.

Levels are uint8 (0..255) or uint16 (0..65535), values float32 with 1.0 as white.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["nchw_values", "nhwc_levels", "to_levels", "to_values"]

Levels = NDArray[np.uint8]
Values = NDArray[np.float32]


def to_values(levels: NDArray[Any]) -> Values:
    """Return the values in 0..1 of uint8 or uint16 levels, in the same shape."""
    values: Values = levels.astype(np.float32) / np.float32(np.iinfo(levels.dtype).max)
    return values


def to_levels(values: Values) -> Levels:
    """Return the uint8 levels of values, in the same shape.

    Values are clamped to 0..1, multiplied in single precision and rounded half to even, as the
    official script does it.
    """
    levels: Levels = np.rint(np.clip(values, 0.0, 1.0) * np.float32(255)).astype(np.uint8)
    return levels


def nhwc_levels(values: Values) -> Levels:
    """Return NCHW values as NHWC levels, contiguous."""
    return np.ascontiguousarray(to_levels(values).transpose(0, 2, 3, 1))


def nchw_values(levels: NDArray[Any]) -> Values:
    """Return NHWC levels as NCHW values, contiguous."""
    return np.ascontiguousarray(to_values(levels).transpose(0, 3, 1, 2))
