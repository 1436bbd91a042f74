"""The degradations that the paper measures on, in NumPy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from swinir_deploy.errors import UsageError

__all__ = ["bicubic_resize"]

Picture = npt.NDArray[Any]


def _cubic(distance: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Keys' cubic convolution kernel with a = -0.5, zero beyond a distance of 2."""
    x = np.abs(distance)
    near = (1.5 * x - 2.5) * x * x + 1.0
    far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return np.where(x <= 1, near, np.where(x <= 2, far, 0.0))


def _taps(
    length: int, scale: float, out_length: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]:
    """For each output sample the input samples that it reads, and their weights.

    Returns:
        Two arrays of shape ``[out_length, taps]``; every row of weights adds up to 1.
    """
    stretch = max(1.0 / scale, 1.0)  # antialiasing: a reduction widens the kernel
    support = 4.0 * stretch
    centre = (np.arange(out_length) + 0.5) / scale - 0.5
    first = np.floor(centre - support / 2)
    reads = first[:, None] + np.arange(math.ceil(support) + 2)
    weights = _cubic((centre[:, None] - reads) / stretch)
    weights /= weights.sum(axis=1, keepdims=True)
    # Symmetric edges: ... 1 0 | 0 1 2 ... n-1 | n-1 n-2 ...
    folded = np.mod(reads.astype(np.intp), 2 * length)
    return np.minimum(folded, 2 * length - 1 - folded), weights


def _resize_rows(picture: Picture, scale: float, out_rows: int) -> Picture:
    """Resize the first axis and keep the dtype."""
    index, weights = _taps(picture.shape[0], scale, out_rows)
    source = picture.astype(np.float64)
    result = np.zeros((out_rows, *picture.shape[1:]))
    shape = (-1,) + (1,) * (picture.ndim - 1)
    for tap in range(index.shape[1]):  # one pass a tap: no [rows, taps, columns] array
        result += source[index[:, tap]] * weights[:, tap].reshape(shape)
    if picture.dtype == np.uint8:
        result = np.clip(np.floor(result + 0.5), 0, 255)
    return result.astype(picture.dtype)


def bicubic_resize(image: Picture, scale: float) -> Picture:
    """Resize as MATLAB's ``imresize(image, scale)`` does: bicubic, antialiased.

    This is the reduction that the super-resolution test sets are made with: cubic
    kernel with a = -0.5, widened by ``1 / scale`` when reducing, symmetric edges.
    (Pillow's ``BICUBIC`` renormalises at the edges; OpenCV's does not antialias.)

    Args:
        image: ``[H, W]`` or ``[H, W, C]``, uint8 in 0..255 or floating point in any range.
        scale: side of the result divided by side of the input, for example 0.25.

    Returns:
        ``[ceil(H * scale), ceil(W * scale)]`` (and C), in the input's dtype. uint8 is
        rounded half up and clamped after each of the two passes, as MATLAB does: Set5's
        published reductions by 2, 3 and 4 come out to the last bit. Floating point is
        neither rounded nor clamped.

    Raises:
        UsageError: ``scale`` is not positive, or the array is not a picture.
    """
    if not scale > 0:
        raise UsageError(f"bicubic_resize: scale is {scale!r}; it must be positive.")
    if image.ndim not in (2, 3) or 0 in image.shape:
        raise UsageError(
            f"bicubic_resize: the array's shape is {image.shape}; it must be [H, W] or [H, W, C]."
        )
    if image.dtype != np.uint8 and not np.issubdtype(image.dtype, np.floating):
        raise UsageError(
            f"bicubic_resize: the dtype is {image.dtype}; it must be uint8 or floating point."
        )
    # 1e-9: sizes such as 300 * (1 / 3) must not be pushed up by the last bit of the product.
    rows, columns = (max(1, math.ceil(side * scale - 1e-9)) for side in image.shape[:2])
    # MATLAB resizes rows before columns and keeps the class in between: uint8 is rounded twice.
    narrowed = _resize_rows(image, scale, rows)
    result: Picture = _resize_rows(narrowed.swapaxes(0, 1), scale, columns).swapaxes(0, 1)
    return result
