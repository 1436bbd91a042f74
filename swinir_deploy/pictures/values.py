"""Convert the levels of a picture to values in 0..1, and back.

Levels are uint8 (0..255) or uint16 (0..65535). Values are float32, and 1.0 is white.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["nchw_values", "nhwc_levels", "to_levels", "to_values"]

Levels = NDArray[np.uint8]
Values = NDArray[np.float32]


def to_values(levels: NDArray[Any]) -> Values:
    """Return the values in 0..1 of uint8 or uint16 levels, in the same shape.

    Values that are float32 in 0..1 already are returned as they are.
    """
    if levels.dtype == np.float32:
        return levels
    values: Values = levels.astype(np.float32) / np.float32(np.iinfo(levels.dtype).max)
    return values


def to_levels(values: Values) -> Levels:
    """Return the uint8 levels of values, in the same shape.

    Values are clamped to 0..1, multiplied by 255 in single precision and rounded half to even, as
    the official script does.
    """
    levels: Levels = np.rint(np.clip(values, 0.0, 1.0) * np.float32(255)).astype(np.uint8)
    return levels


def nhwc_levels(values: Values) -> Levels:
    """Return the NHWC uint8 levels of NCHW values, as a contiguous array."""
    return np.ascontiguousarray(to_levels(values).transpose(0, 2, 3, 1))


def nchw_values(levels: NDArray[Any]) -> Values:
    """Return the NCHW values of NHWC levels, as a contiguous array."""
    return np.ascontiguousarray(to_values(levels).transpose(0, 3, 1, 2))
