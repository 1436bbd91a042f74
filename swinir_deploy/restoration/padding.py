"""Padding by reflection to whole windows, for pictures of any size.

The official forward (``check_image_size`` in models/network_swinir.py) pads right and bottom with
``torch.nn.functional.pad(mode="reflect")``, which refuses a pad as long as the side. Here the
reflection goes on back and forth, so that one pixel is enough.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["ceil_to_multiple", "crop", "pad_to_window", "padded_side", "reflect_indices"]


def ceil_to_multiple(value: int, multiple: int) -> int:
    """The smallest multiple of ``multiple`` that is not below ``value``."""
    return -(-value // multiple) * multiple


def padded_side(side: int, window: int, min_side: int = 1) -> int:
    """Side in pixels after padding: a multiple of ``window``, at least ``min_side``."""
    return ceil_to_multiple(max(side, min_side, 1), window)


def reflect_indices(side: int, padded: int) -> NDArray[np.intp]:
    """Where each of ``padded`` rows (or columns) comes from in a picture with ``side`` of them.

    Reflects about the last row without repeating it, then about the first, and so on; a single
    row repeats itself. The same as ``numpy.pad(mode="reflect")`` on the right.

    Args:
        side: rows there are, at least 1.
        padded: rows wanted, at least ``side``.

    Returns:
        [padded] indices in 0..side-1; the first ``side`` of them count up from 0.
    """
    if side == 1:
        return np.zeros(padded, np.intp)
    turn = np.arange(padded, dtype=np.intp) % (2 * (side - 1))
    return np.where(turn < side, turn, 2 * (side - 1) - turn)


def pad_to_window(
    array: NDArray[Any], window: int, min_side: int = 1, axes: tuple[int, int] = (-2, -1)
) -> NDArray[Any]:
    """Pad an array right and bottom by reflection to whole windows.

    Args:
        array: of any dtype; ``axes`` name its height and width, each at least 1.
        window: the padded sides are multiples of it, in pixels.
        min_side: the padded sides are at least this, in pixels.
        axes: height and width; (-2, -1) suits NCHW, (0, 1) suits HWC.

    Returns:
        ``array`` itself when nothing is to be padded, else a new array.
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
    """The top left ``height`` by ``width`` pixels of an array, as a view.

    After scaling give the scaled sides: ``crop(output, height * scale, width * scale)``.
    """
    index = [slice(None)] * array.ndim
    for axis, side in zip(axes, (height, width), strict=True):
        index[axis] = slice(0, side)
    return array[tuple(index)]
