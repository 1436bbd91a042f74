"""Transparency: colour under it, and its size."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["AlphaScaler", "fill_transparent"]


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


class AlphaScaler:
    """Opacity at ``scale`` times the size, by bicubic interpolation, rows at a time."""

    def __init__(self, alpha: NDArray[Any], scale: int) -> None:
        """Prepare.

        Args:
            alpha: [height, width] uint8 or uint16.
            scale: output side divided by input side.
        """
        self._alpha = alpha
        self._scale = scale
        self._image = None if scale == 1 else Image.fromarray(alpha.astype(np.float32))

    def rows(self, first: int, count: int) -> NDArray[Any]:
        """[count, width * scale] of the result, from row ``first`` on, in the dtype of alpha."""
        if self._image is None:
            return self._alpha[first : first + count]
        scale, width = self._scale, self._alpha.shape[1]
        # Whole rows of the source: Pillow rounds other boxes to float32.
        start, stop = first // scale, -(-(first + count) // scale)
        size = (width * scale, (stop - start) * scale)
        resized = self._image.resize(size, Image.Resampling.BICUBIC, (0, start, width, stop))
        large = np.asarray(resized)[first - start * scale :][:count]
        top = np.iinfo(self._alpha.dtype).max
        rows: NDArray[Any] = np.rint(np.clip(large, 0, top)).astype(self._alpha.dtype)
        return rows
