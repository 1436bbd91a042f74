"""Pad pictures of any size to whole windows, by reflection.

The official network (``check_image_size`` in models/network_swinir.py) pads right and bottom with
``torch.nn.functional.pad(mode="reflect")``, which refuses a padding as long as the side. Here the
reflection goes back and forth, so that a picture of one pixel can be padded, too.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["ceil_to_multiple", "crop", "pad_to_window", "padded_side", "reflect_indices"]


def ceil_to_multiple(value: int, multiple: int) -> int:
    """Return the smallest multiple of ``multiple`` that is at least ``value``."""
    return -(-value // multiple) * multiple


def padded_side(side: int, window: int, min_side: int = 1) -> int:
    """Return the side in pixels after padding: a multiple of ``window``, at least ``min_side``."""
    return ceil_to_multiple(max(side, min_side, 1), window)


def reflect_indices(side: int, padded: int) -> NDArray[np.intp]:
    """Return, for each row (or column) of the padded picture, its source row (or column).

    The picture is reflected about its last row without repeating it, then about its first row, and
    so on; a single row is repeated. The result equals ``numpy.pad(mode="reflect")`` at the end.

    Args:
        side: number of rows of the picture, at least 1.
        padded: number of rows of the padded picture, at least ``side``.

    Returns:
        [padded] indices in 0..side-1; the first ``side`` of them are 0, 1, 2 ...
    """
    if side == 1:
        return np.zeros(padded, np.intp)
    turn = np.arange(padded, dtype=np.intp) % (2 * (side - 1))
    return np.where(turn < side, turn, 2 * (side - 1) - turn)


def pad_to_window(
    array: NDArray[Any], window: int, min_side: int = 1, axes: tuple[int, int] = (-2, -1)
) -> NDArray[Any]:
    """Pad an array at the right and at the bottom to whole windows, by reflection.

    Args:
        array: an array of any dtype; the lengths of ``axes`` are at least 1.
        window: the padded sides are multiples of it, in pixels.
        min_side: the padded sides are at least this, in pixels.
        axes: the axes of height and width: (-2, -1) for NCHW, (0, 1) for HWC.

    Returns:
        ``array`` itself if it needs no padding, else a new array.
    """
    for axis in axes:
        side = array.shape[axis]
        padded = padded_side(side, window, min_side)
        if padded != side:
            array = array.take(reflect_indices(side, padded), axis=axis)
    return array


def crop(
    array: NDArray[Any], height: int, width: int, axes: tuple[int, int] = (-2, -1)
) -> NDArray[Any]:
    """Return the top left ``height`` x ``width`` pixels of an array, as a view.

    After scaling, give the scaled sides: ``crop(output, height * scale, width * scale)``.

    Args:
        array: an array of any dtype.
        height: height of the result in pixels.
        width: width of the result in pixels.
        axes: the axes of height and width: (-2, -1) for NCHW, (0, 1) for HWC.
    """
    index = [slice(None)] * array.ndim
    for axis, side in zip(axes, (height, width), strict=True):
        index[axis] = slice(0, side)
    return array[tuple(index)]
