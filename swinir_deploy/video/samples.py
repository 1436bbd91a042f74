"""Samples of frames as exact values: planes to RGB in floats, and back.

libswscale converts 8 bits exactly. Of deeper formats it loses levels: white of the limited range
comes out at 65280 of 65535, and 12 bits of the full range come back 11 levels off. So these formats
go through floats, by the equations of ITU-T H.273.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from swinir_deploy.video.colour import Colour
from swinir_deploy.video.pixel_formats import PixelFormat

__all__ = ["floats_of", "frame_of", "planar_format"]

Values = NDArray[np.float32]

# Matrix coefficients -> the shares of red and blue in luma.
_SHARES = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
}


def planar_format(form: PixelFormat) -> str:
    """Return the format with a plane for each channel at full resolution, of the same bits."""
    bits = form.bits if form.bits > 8 else 8
    end = "" if bits == 8 else f"{bits}le"
    if form.colours == 1:
        return f"gray{end}"
    if form.is_yuv:
        return f"yuv{'a' * form.has_alpha}444p{end}"
    return f"gbr{'a' * form.has_alpha}p{end}"


def floats_of(frame: VideoFrame, form: PixelFormat, colour: Colour) -> NDArray[Any]:
    """Return a frame in the :func:`planar_format` as values.

    Args:
        frame: the frame.
        form: the pixel format of the video; its bits and kind are those of the frame.
        colour: how the samples are to be understood.

    Returns:
        [height, width, 1 or 3] float32 gray or RGB, black 0 and white 1; with opacity, [height,
        width, 4] uint16 in 0..65535. Values outside of 0..1 are samples outside of the range.
    """
    planes = _planes(frame, form.bits)
    opacity = planes.pop() if form.has_alpha else None
    if form.colours == 1:
        values = _levels_to_values(planes[0], colour, form.bits)[..., None]
    elif form.is_yuv:
        values = _to_rgb(planes, colour, form.bits)
    else:
        green, blue, red = planes
        values = np.stack([red, green, blue], axis=-1).astype(np.float32)
        values /= np.float32(2**form.bits - 1)
    if opacity is None:
        return values
    deep = np.empty((*opacity.shape, 4), np.uint16)
    deep[..., :3] = np.rint(np.clip(values, 0, 1) * np.float32(65535))
    deep[..., 3] = np.rint(opacity * (65535 / (2**form.bits - 1)))
    return deep


def frame_of(pixels: NDArray[Any], form: PixelFormat, colour: Colour) -> VideoFrame:
    """Return values as a frame in the :func:`planar_format`, each rounded once.

    Args:
        pixels: [height, width, 1, 3 or 4] float32 in 0..1, uint8 or uint16: gray, RGB, or RGB and
            opacity.
        form: the pixel format of the result.
        colour: how the samples are to be understood.
    """
    height, width, channels = pixels.shape
    values = pixels if pixels.dtype == np.float32 else _values(pixels)
    most = np.float32(2**form.bits - 1)
    if form.colours == 1:
        gray = values[..., 0] if channels == 1 else values[..., :3] @ _weights(colour)
        planes = [_values_to_levels(gray, colour, form.bits)]
    elif form.is_yuv:
        planes = _to_yuv(values, colour, form.bits)
    else:
        red, green, blue = (values[..., min(index, channels - 1)] * most for index in range(3))
        planes = [green, blue, red]
    if form.has_alpha:
        opacity = values[..., 3] if channels == 4 else np.ones((height, width), np.float32)
        planes.append(opacity * most)
    dtype = np.uint8 if form.bits <= 8 else np.dtype("<u2")
    frame = VideoFrame(width, height, planar_format(form))
    for plane, samples in zip(frame.planes, planes, strict=True):
        rows = np.zeros((plane.height, plane.line_size // np.dtype(dtype).itemsize), dtype)
        rows[:, :width] = np.clip(np.rint(samples), 0, most)
        plane.update(rows.tobytes())
    return frame


def _values(levels: NDArray[Any]) -> Values:
    values: Values = levels.astype(np.float32) / np.float32(np.iinfo(levels.dtype).max)
    return values


def _planes(frame: VideoFrame, bits: int) -> list[NDArray[Any]]:
    dtype = np.dtype(np.uint8 if bits <= 8 else "<u2")
    planes = []
    for plane in frame.planes:
        rows = np.frombuffer(memoryview(plane), dtype).reshape(
            -1, plane.line_size // dtype.itemsize
        )
        planes.append(rows[: plane.height, : plane.width])
    return planes


def _weights(colour: Colour) -> Values:
    """Return the shares of red, green and blue in luma."""
    red, blue = _SHARES.get(colour.matrix, _SHARES[1])
    return np.array([red, 1 - red - blue, blue], np.float32)


def _steps(colour: Colour, bits: int) -> tuple[float, float, float, float]:
    """Return the levels of black, from black to white, of no colour, and of one unit of colour."""
    if colour.is_full:
        most = 2**bits - 1
        return 0, most, 2 ** (bits - 1), most
    unit = 2.0 ** (bits - 8)
    return 16 * unit, 219 * unit, 128 * unit, 224 * unit


def _levels_to_values(levels: NDArray[Any], colour: Colour, bits: int) -> Values:
    black, span, _, _ = _steps(colour, bits)
    return (levels.astype(np.float32) - np.float32(black)) / np.float32(span)


def _values_to_levels(values: Values, colour: Colour, bits: int) -> Values:
    black, span, _, _ = _steps(colour, bits)
    return values * np.float32(span) + np.float32(black)


def _to_rgb(planes: Sequence[NDArray[Any]], colour: Colour, bits: int) -> Values:
    red, blue = _SHARES[colour.matrix]
    green = 1 - red - blue
    _, _, middle, unit = _steps(colour, bits)
    luma = _levels_to_values(planes[0], colour, bits)
    differences = [
        (plane.astype(np.float32) - np.float32(middle)) / np.float32(unit) for plane in planes[1:]
    ]
    to_blue, to_red = np.float32(2 * (1 - blue)), np.float32(2 * (1 - red))
    pixels: Values = np.empty((*luma.shape, 3), np.float32)
    pixels[..., 0] = luma + to_red * differences[1]
    pixels[..., 2] = luma + to_blue * differences[0]
    pixels[..., 1] = luma - np.float32(blue / green) * to_blue * differences[0]
    pixels[..., 1] -= np.float32(red / green) * to_red * differences[1]
    return pixels


def _to_yuv(values: Values, colour: Colour, bits: int) -> list[Values]:
    red, blue = _SHARES[colour.matrix]
    _, _, middle, unit = _steps(colour, bits)
    if values.shape[2] == 1:
        luma = values[..., 0]
        none = np.full(luma.shape, middle, np.float32)
        return [_values_to_levels(luma, colour, bits), none, none]
    luma = values[..., :3] @ _weights(colour)
    to_blue, to_red = np.float32(unit / (2 * (1 - blue))), np.float32(unit / (2 * (1 - red)))
    return [
        _values_to_levels(luma, colour, bits),
        (values[..., 2] - luma) * to_blue + np.float32(middle),
        (values[..., 0] - luma) * to_red + np.float32(middle),
    ]
