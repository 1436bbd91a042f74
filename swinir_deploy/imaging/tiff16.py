"""TIFF with 16 bits a sample; Pillow keeps these for plain gray only, and not for all of that.

Reading borrows Pillow's decoder all the same: W pixels of three 16-bit samples lie in the file as
3 W gray pixels would, under any lossless compression, and a separate plane lies there as a gray
picture of its own. So the file is given a new directory that says so, and what was taken out of
it (horizontal predictor) is done here.
Tag numbers and types are those of the TIFF 6.0 specification.
"""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile

from swinir_deploy.imaging.limits import pillow_limit

__all__ = ["is_tiff16", "read_tiff16", "tiff_tags", "write_tiff16"]

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER = 256, 257, 258, 259, 262, 266
_STRIP_OFFSETS, _SAMPLES, _ROWS_PER_STRIP, _STRIP_BYTES = 273, 277, 278, 279
_X_RESOLUTION, _Y_RESOLUTION, _PLANAR, _RESOLUTION_UNIT = 282, 283, 284, 296
_PREDICTOR, _TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_BYTES = 317, 322, 323, 324, 325
_EXTRA_SAMPLES, _SAMPLE_FORMAT, _ICC_PROFILE = 338, 339, 34675
_SHORT, _LONG, _RATIONAL, _UNDEFINED = 3, 4, 5, 7
_STRIP_ROWS = 64

_Field = tuple[int, int, "list[int] | bytes"]


def tiff_tags(data: bytes) -> ImageFileDirectory_v2:
    """The first directory of a TIFF: tag number -> value.

    Raises:
        SyntaxError: Pillow's word for a file that is not a TIFF, or a damaged one.
    """
    tags = ImageFileDirectory_v2(data[: 16 if data[2:4] in (b"+\0", b"\0+") else 8])
    stream = io.BytesIO(data)
    stream.seek(tags.next)
    tags.load(stream)
    return tags


def is_tiff16(data: bytes, tags: ImageFileDirectory_v2) -> bool:
    """Whether :func:`read_tiff16` serves this file: gray or RGB, whole numbers of 16 bits."""
    return (
        len(data) < 2**32 - 2**24
        and set(tags.get(_BITS, ())) == {16}
        and set(tags.get(_SAMPLE_FORMAT, (1,))) == {1}
        and tags.get(_PREDICTOR, 1) in (1, 2)
        and (tags.get(_PHOTOMETRIC), min(int(tags.get(_SAMPLES, 1)), 3))
        in ((0, 1), (0, 2), (1, 1), (1, 2), (2, 3))
    )


def read_tiff16(data: bytes, tags: ImageFileDirectory_v2) -> NDArray[np.uint16]:
    """Decode all samples of a 16-bit TIFF.

    Args:
        data: the whole file, one that :func:`is_tiff16` accepts.
        tags: its directory.

    Returns:
        [height, width, samples] as stored: not turned upright, colours before the rest.
    """
    samples = int(tags.get(_SAMPLES, 1))
    if samples > 1 and tags.get(_PLANAR, 1) == 2:
        planes = [_read_plane(data, tags, plane, samples, 1) for plane in range(samples)]
        return np.concatenate(planes, axis=2)
    return _read_plane(data, tags, 0, 1, samples)


def _read_plane(
    data: bytes, tags: ImageFileDirectory_v2, plane: int, planes: int, samples: int
) -> NDArray[np.uint16]:
    """[height, width, samples] of one of the file's separate planes."""
    height, width = int(tags[_HEIGHT]), int(tags[_WIDTH])
    tile_width = int(tags.get(_TILE_WIDTH, width))
    fields: list[_Field] = [
        (_WIDTH, _LONG, [width * samples]),
        (_HEIGHT, _LONG, [height]),
        (_BITS, _SHORT, [16]),
        (_COMPRESSION, _SHORT, [int(tags.get(_COMPRESSION, 1))]),
        (_PHOTOMETRIC, _SHORT, [1]),
        (_FILL_ORDER, _SHORT, [int(tags.get(_FILL_ORDER, 1))]),
        (_SAMPLES, _SHORT, [1]),
    ]
    if _TILE_WIDTH in tags:
        fields.append((_TILE_WIDTH, _LONG, [tile_width * samples]))
        fields.append((_TILE_HEIGHT, _LONG, [int(tags[_TILE_HEIGHT])]))
    else:
        fields.append((_ROWS_PER_STRIP, _LONG, [int(tags.get(_ROWS_PER_STRIP, height))]))
    for tag in (_STRIP_OFFSETS, _STRIP_BYTES, _TILE_OFFSETS, _TILE_BYTES):
        if tag in tags:
            values = [int(value) for value in tags[tag]]
            each = len(values) // planes
            fields.append((tag, _LONG, values[plane * each : (plane + 1) * each]))
    stream = io.BytesIO(data)
    order = "<" if data.startswith(b"II") else ">"
    stream.write(data[:2] + struct.pack(f"{order}HI", 42, 0))
    stream.seek(0, io.SEEK_END)
    _write_directory(stream, fields, order)
    stream.seek(0)
    with pillow_limit(None):  # three times as wide, and the caller has checked the picture
        image = TiffImageFile(stream)
        image.load_prepare()
    with image as gray:
        gray.load()
        pixels: NDArray[np.uint16] = np.asarray(gray).astype(np.uint16)
    pixels = pixels.reshape(height, width, samples)
    if tags.get(_PREDICTOR, 1) == 2:
        for left in range(0, width, tile_width):
            block = pixels[:, left : left + tile_width]
            block[...] = np.cumsum(block, axis=1, dtype=np.uint16)
    return pixels


def write_tiff16(
    handle: BinaryIO,
    samples: NDArray[Any],
    icc_profile: bytes | None = None,
    dpi: tuple[float, float] | None = None,
) -> None:
    """Write a little-endian TIFF, deflated with the horizontal predictor.

    Args:
        handle: open for binary writing, at its start; can seek.
        samples: [height, width, channels] uint16: 1 gray, 2 gray and opacity, 3 RGB, 4 RGB and
            opacity.
        icc_profile: colour profile.
        dpi: dots per inch, horizontal and vertical.
    """
    height, width, channels = samples.shape
    handle.write(b"II*\0\0\0\0\0")
    offsets, sizes = [], []
    for top in range(0, height, _STRIP_ROWS):
        strip = samples[top : top + _STRIP_ROWS].astype("<u2")
        strip[:, 1:] -= samples[top : top + _STRIP_ROWS, :-1]
        packed = zlib.compress(strip.tobytes(), 6)
        offsets.append(handle.tell())
        sizes.append(len(packed))
        handle.write(packed)
    colours = 1 if channels < 3 else 3
    fields: list[_Field] = [
        (_WIDTH, _LONG, [width]),
        (_HEIGHT, _LONG, [height]),
        (_BITS, _SHORT, [16] * channels),
        (_COMPRESSION, _SHORT, [8]),
        (_PHOTOMETRIC, _SHORT, [1 if colours == 1 else 2]),
        (_STRIP_OFFSETS, _LONG, offsets),
        (_SAMPLES, _SHORT, [channels]),
        (_ROWS_PER_STRIP, _LONG, [_STRIP_ROWS]),
        (_STRIP_BYTES, _LONG, sizes),
        (_PLANAR, _SHORT, [1]),
        (_PREDICTOR, _SHORT, [2]),
        (_SAMPLE_FORMAT, _SHORT, [1] * channels),
    ]
    if channels > colours:
        fields.append((_EXTRA_SAMPLES, _SHORT, [2]))
    if dpi:
        for tag, value in zip((_X_RESOLUTION, _Y_RESOLUTION), dpi, strict=True):
            fields.append((tag, _RATIONAL, [round(min(value, 4e5) * 10000), 10000]))
        fields.append((_RESOLUTION_UNIT, _SHORT, [2]))
    if icc_profile:
        fields.append((_ICC_PROFILE, _UNDEFINED, icc_profile))
    _write_directory(handle, fields)


def _write_directory(handle: BinaryIO, fields: list[_Field], order: str = "<") -> None:
    """Write the values that are longer than four bytes, then the directory; link it."""
    entries = []
    for tag, kind, values in sorted(fields, key=lambda field: field[0]):
        if isinstance(values, bytes):
            packed, count = values, len(values)
        else:
            code = "H" if kind == _SHORT else "I"
            packed = struct.pack(f"{order}{len(values)}{code}", *values)
            count = len(values) // 2 if kind == _RATIONAL else len(values)
        if len(packed) > 4:
            position = _align(handle)
            handle.write(packed)
            packed = struct.pack(f"{order}I", position)
        entries.append(struct.pack(f"{order}HHI", tag, kind, count) + packed.ljust(4, b"\0"))
    position = _align(handle)
    handle.write(struct.pack(f"{order}H", len(entries)) + b"".join(entries) + b"\0\0\0\0")
    handle.seek(4)
    handle.write(struct.pack(f"{order}I", position))


def _align(handle: BinaryIO) -> int:
    """Move to an even position, as the format wants for values, and give it."""
    if handle.tell() % 2:
        handle.write(b"\0")
    return handle.tell()
