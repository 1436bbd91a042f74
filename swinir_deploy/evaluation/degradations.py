"""The degradations of the paper's test pictures, in NumPy; JPEG uses OpenCV."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from swinir_deploy.errors import UsageError
from swinir_deploy.system.packages import require

__all__ = ["bicubic_resize", "bicubic_resize_to", "gaussian_noise", "jpeg_compress"]

Picture = npt.NDArray[Any]


def _cubic(distance: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return Keys' cubic convolution kernel with a = -0.5, which is 0 beyond a distance of 2."""
    x = np.abs(distance)
    near = (1.5 * x - 2.5) * x * x + 1.0
    far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return np.where(x <= 1, near, np.where(x <= 2, far, 0.0))


def _taps(
    length: int, scale: float, out_length: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]:
    """Return the input samples that each output sample reads, and their weights.

    Returns:
        Two arrays of shape ``[out_length, taps]``: indices, and weights of which every row adds
        up to 1.
    """
    stretch = max(1.0 / scale, 1.0)  # antialiasing: the kernel is wider for a reduction
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
    """Resize the first axis and keep the dtype. uint8 is rounded half up and clamped."""
    index, weights = _taps(picture.shape[0], scale, out_rows)
    source = picture.astype(np.float64)
    result = np.zeros((out_rows, *picture.shape[1:]))
    shape = (-1,) + (1,) * (picture.ndim - 1)
    for tap in range(index.shape[1]):  # one pass for each tap needs less memory
        result += source[index[:, tap]] * weights[:, tap].reshape(shape)
    if picture.dtype == np.uint8:
        result = np.clip(np.floor(result + 0.5), 0, 255)
    return result.astype(picture.dtype)


def bicubic_resize(image: Picture, scale: float) -> Picture:
    """Resize as MATLAB's ``imresize(image, scale)`` does: bicubic, antialiased.

    The super-resolution test sets are reduced in this way: a cubic kernel with a = -0.5, widened
    by ``1 / scale`` for a reduction, and symmetric edges. (Pillow's ``BICUBIC`` normalizes the
    weights again at the edges; OpenCV's has no antialiasing.)

    Args:
        image: ``[H, W]`` or ``[H, W, C]``, uint8 in 0..255 or floating point in any range.
        scale: side of the result divided by side of the input, for example 0.25.

    Returns:
        ``[ceil(H * scale), ceil(W * scale)]`` (and C), in the input's dtype. uint8 is rounded
        half up and clamped after each of the two passes, as in MATLAB: Set5's published
        reductions by 2, 3 and 4 are reproduced exactly. Floating point is neither rounded nor
        clamped.

    Raises:
        UsageError: ``scale`` is not positive, or shape or dtype is not that of a picture.
    """
    if not scale > 0:
        raise UsageError(f"bicubic_resize: scale is {scale!r}; it must be positive.")
    _require_picture("bicubic_resize", image)
    # 1e-9: a rounding error in a product such as 300 * (1 / 3) must not add a pixel.
    rows, columns = (max(1, math.ceil(side * scale - 1e-9)) for side in image.shape[:2])
    return _resize(image, (scale, scale), (rows, columns))


def bicubic_resize_to(image: Picture, sides: tuple[int, int]) -> Picture:
    """Resize as MATLAB's ``imresize(image, [rows, columns])`` does: each axis by its own scale.

    Args:
        image: as for :func:`bicubic_resize`.
        sides: height and width of the result.

    Returns:
        ``[*sides]`` (and C), in the input's dtype, rounded as :func:`bicubic_resize` does it.

    Raises:
        UsageError: a side is not positive, or shape or dtype is not that of a picture.
    """
    if min(sides) < 1:
        raise UsageError(f"bicubic_resize_to: the sides are {sides}; they must be positive.")
    _require_picture("bicubic_resize_to", image)
    height, width = image.shape[:2]
    return _resize(image, (sides[0] / height, sides[1] / width), sides)


def _resize(image: Picture, scales: tuple[float, float], sides: tuple[int, int]) -> Picture:
    # MATLAB resizes the axis with the smaller scale first (rows, if both are the same) and keeps
    # the dtype in between, so uint8 is rounded twice.
    for axis in sorted((0, 1), key=lambda axis: scales[axis]):
        turned = image.swapaxes(0, axis)
        image = _resize_rows(turned, scales[axis], sides[axis]).swapaxes(0, axis)
    return image


def _require_picture(name: str, image: Picture) -> None:
    if image.ndim not in (2, 3) or 0 in image.shape:
        raise UsageError(
            f"{name}: the array's shape is {image.shape}; it must be [H, W] or [H, W, C]."
        )
    if image.dtype != np.uint8 and not np.issubdtype(image.dtype, np.floating):
        raise UsageError(f"{name}: the dtype is {image.dtype}; it must be uint8 or floating point.")


def gaussian_noise(image: Picture, sigma: float, seed: int = 0) -> npt.NDArray[np.float64]:
    """Add white Gaussian noise as main_test_swinir.py does.

    The noise is the same for all pictures of one size. It comes from NumPy's legacy generator, with
    the channels in OpenCV's order (blue, green, red). NumPy's global generator is not used.

    Args:
        image: ``[H, W]``, ``[H, W, 1]`` or ``[H, W, 3]`` RGB, uint8.
        sigma: standard deviation of the noise, on the scale 0..255.
        seed: seed of the generator; the official script sets 0 before every picture.

    Returns:
        The same shape, float64 on the scale 0..1, neither clipped nor rounded.

    Raises:
        UsageError: shape or dtype is another one, or sigma is not positive.
    """
    _require_bytes("gaussian_noise", image)
    if not 0 < sigma < math.inf:
        raise UsageError(f"gaussian_noise: sigma is {sigma!r}; it must be positive, on 0..255.")
    noise = np.random.RandomState(seed).normal(0, sigma / 255.0, image.shape)
    if image.ndim == 3:
        noise = noise[:, :, ::-1]
    # The official script divides in single precision and adds the noise in double precision.
    return np.asarray(image.astype(np.float32) / np.float32(255) + noise)


def jpeg_compress(image: Picture, quality: int) -> npt.NDArray[np.uint8]:
    """Compress a picture with JPEG and decompress it, with OpenCV, as the official script does.

    Colour is stored at half resolution (4:2:0, OpenCV's default). Another encoder or decoder may
    give other pixels at the same quality.

    Args:
        image: ``[H, W]``, ``[H, W, 1]`` or ``[H, W, 3]`` RGB, uint8.
        quality: JPEG quality, 1 to 100.

    Returns:
        The picture after compression, in the same shape, uint8.

    Raises:
        BackendUnavailableError: OpenCV is not installed.
        UsageError: shape, dtype or quality is another one.
    """
    _require_bytes("jpeg_compress", image)
    if not 1 <= quality <= 100:
        raise UsageError(f"jpeg_compress: the quality is {quality!r}; it must be from 1 to 100.")
    require("eval", "Measuring on JPEG pictures")
    import cv2

    is_gray = image.ndim == 2 or image.shape[2] == 1
    stored = np.ascontiguousarray(image if is_gray else image[:, :, ::-1])
    done, encoded = cv2.imencode(".jpg", stored, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise UsageError(
            f"jpeg_compress: OpenCV cannot store a picture of shape {image.shape}. Give a smaller "
            "one: JPEG takes at most 65500 pixels on a side."
        )
    decoded: Picture = np.asarray(
        cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE if is_gray else cv2.IMREAD_COLOR)
    )
    return decoded.reshape(image.shape) if is_gray else np.ascontiguousarray(decoded[:, :, ::-1])


def _require_bytes(name: str, image: Picture) -> None:
    is_picture = image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (1, 3))
    if not is_picture or image.dtype != np.uint8 or 0 in image.shape:
        raise UsageError(
            f"{name}: the array is {image.shape} {image.dtype}; it must be [H, W] or [H, W, 1 or "
            "3] uint8."
        )
