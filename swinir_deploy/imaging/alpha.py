"""Transparency: colour under it, and its size."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["fill_transparent", "scale_alpha"]


def fill_transparent(pixels: NDArray[Any], alpha: NDArray[Any]) -> NDArray[Any]:
    """Give pixels that nobody sees the colour of their visible surroundings.

    What a file stores under full transparency is arbitrary, often black; a model would smear it
    over the visible edge. The fill is a pyramid: averages of visible pixels over squares of 2, 4,
    8 ... pixels, the smallest that has any.

    Args:
        pixels: [height, width, channels] uint8 or uint16.
        alpha: [height, width]; pixels where it is 0 are filled.

    Returns:
        ``pixels`` itself when all or none are visible, else a copy that differs only where
        ``alpha`` is 0.
    """
    visible = alpha > 0
    if visible.all() or not visible.any():
        return pixels
    filled: NDArray[Any] = pixels.copy()
    seen = visible[..., None].astype(np.float32)
    colour = _pyramid_fill(pixels * seen, seen)
    filled[~visible] = np.rint(colour[~visible]).astype(pixels.dtype)
    return filled


def _pyramid_fill(colour: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Averages ``colour / weight``; where weight is 0, the average of the level above."""
    height, width = weight.shape[:2]
    average: NDArray[np.float32] = colour / np.maximum(weight, np.float32(1e-9))
    if weight.all() or height * width == 1:
        return average
    rows, columns = np.arange(0, height, 2), np.arange(0, width, 2)
    smaller = [
        np.add.reduceat(np.add.reduceat(array, rows, axis=0), columns, axis=1)
        for array in (colour, weight)
    ]
    above = _pyramid_fill(smaller[0], smaller[1])
    above = above.repeat(2, axis=0)[:height].repeat(2, axis=1)[:, :width]
    return np.where(weight > 0, average, above)


def scale_alpha(alpha: NDArray[Any], scale: int) -> NDArray[Any]:
    """Opacity at ``scale`` times the size, by bicubic interpolation.

    Args:
        alpha: [height, width] uint8 or uint16.
        scale: 1 gives ``alpha`` itself.

    Returns:
        [height * scale, width * scale] of the same dtype.
    """
    if scale == 1:
        return alpha
    height, width = alpha.shape
    image = Image.fromarray(alpha.astype(np.float32))
    large = np.asarray(image.resize((width * scale, height * scale), Image.Resampling.BICUBIC))
    top = np.iinfo(alpha.dtype).max
    whole: NDArray[Any] = np.rint(np.clip(large, 0, top)).astype(alpha.dtype)
    return whole
