"""Handle transparency: fill the colour of transparent pixels, and scale the opacity."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from swinir_deploy.pictures.picture import largest_level

__all__ = ["AlphaScaler", "fill_transparent"]

_BAND_ROWS = 256


def fill_transparent(pixels: NDArray[Any], alpha: NDArray[Any]) -> NDArray[Any]:
    """Give fully transparent pixels the colour of the visible pixels around them.

    The colour that a file stores under full transparency is arbitrary and often black. A model
    would spread it over the visible edge. Each transparent pixel gets the average of the visible
    pixels in a square of 2, 4, 8 ... pixels: the smallest square that has visible pixels.

    Args:
        pixels: [height, width, channels] uint8, uint16 or float32.
        alpha: [height, width] opacity; pixels where it is 0 are filled.

    Returns:
        ``pixels`` itself if all or none of the pixels are visible, else a copy that differs only
        where ``alpha`` is 0.
    """
    visible = alpha > 0
    if visible.all() or not visible.any():
        return pixels
    height, width = alpha.shape
    bands = [slice(top, top + _BAND_ROWS) for top in range(0, height, _BAND_ROWS)]
    # The finest level is the largest. Only its sums are needed, so it is made a few rows at a
    # time to save memory.
    sums = []
    for band in bands:
        seen = visible[band, :, None].astype(np.float32)
        sums.append((_summed(pixels[band] * seen), _summed(seen)))
    above = _pyramid_fill(*(np.concatenate(level) for level in zip(*sums, strict=True)))
    filled: NDArray[Any] = pixels.copy()
    for band in bands:
        hidden = ~visible[band]
        half = above[band.start // 2 : band.stop // 2]
        large = half.repeat(2, axis=0)[: len(hidden)].repeat(2, axis=1)[:, :width]
        colours = large[hidden] if pixels.dtype.kind == "f" else np.rint(large[hidden])
        filled[band][hidden] = colours.astype(pixels.dtype)
    return filled


def _summed(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the sums over squares of 2 x 2 pixels; squares at the edges may be smaller."""
    rows, columns = (np.arange(0, side, 2) for side in array.shape[:2])
    summed: NDArray[np.float32] = np.add.reduceat(
        np.add.reduceat(array, rows, axis=0), columns, axis=1
    )
    return summed


def _pyramid_fill(colour: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return ``colour / weight``, and where the weight is 0 the average of a coarser level.

    Args:
        colour: [height, width, channels] sums of visible pixels.
        weight: [height, width, 1] numbers of visible pixels in these sums.
    """
    height, width = weight.shape[:2]
    average = np.divide(colour, np.maximum(weight, np.float32(1e-9)), dtype=np.float32)
    if weight.all() or height * width == 1:
        return average
    above = _pyramid_fill(_summed(colour), _summed(weight))
    above = above.repeat(2, axis=0)[:height].repeat(2, axis=1)[:, :width]
    return np.where(weight > 0, average, above)


class AlphaScaler:
    """Scales the opacity by bicubic interpolation, some rows at a time."""

    def __init__(self, alpha: NDArray[Any], scale: int) -> None:
        """Prepare the interpolation; nothing is computed yet.

        Args:
            alpha: [height, width] uint8, uint16 or float32.
            scale: output side divided by input side.
        """
        self._alpha = alpha
        self._scale = scale
        self._image = None if scale == 1 else Image.fromarray(alpha.astype(np.float32))

    def rows(self, first: int, count: int) -> NDArray[Any]:
        """Return ``count`` rows of the scaled opacity, from row ``first`` on.

        Returns:
            [count, width * scale], of the dtype of the opacity.
        """
        if self._image is None:
            return self._alpha[first : first + count]
        scale, width = self._scale, self._alpha.shape[1]
        # Only whole rows of the source are resized, because Pillow rounds other boxes to float32.
        start, stop = first // scale, -(-(first + count) // scale)
        size = (width * scale, (stop - start) * scale)
        resized = self._image.resize(size, Image.Resampling.BICUBIC, (0, start, width, stop))
        large = np.asarray(resized)[first - start * scale :][:count]
        large = np.clip(large, 0, largest_level(self._alpha.dtype))
        if self._alpha.dtype.kind != "f":
            large = np.rint(large)
        rows: NDArray[Any] = large.astype(self._alpha.dtype)
        return rows
