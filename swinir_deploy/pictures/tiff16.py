"""Reads TIFF with 16 bits a sample; Pillow keeps these for plain gray only, and not all of that.

This borrows Pillow's decoder all the same: W pixels of three 16-bit samples lie in the file as
3 W gray pixels would, under any lossless compression, and a separate plane lies there as a gray
picture of its own. So the file is given a new directory that says so, and what was taken out of
it (horizontal predictor) is done here.
Tag numbers and types are those of the TIFF 6.0 specification.
"""

from __future__ import annotations

import io
import struct
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile

from swinir_deploy.pictures.limits import pillow_limit
from swinir_deploy.pictures.tiff_writer import LONG, SHORT, Field, write_directory

__all__ = ["is_tiff16", "read_tiff16", "tiff_tags"]

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER = 256, 257, 258, 259, 262, 266
_STRIP_OFFSETS, _SAMPLES, _ROWS_PER_STRIP, _STRIP_BYTES = 273, 277, 278, 279
_PLANAR, _PREDICTOR, _TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_BYTES = (
    284,
    317,
    322,
    323,
    324,
    325,
)
_SAMPLE_FORMAT = 339


def tiff_tags(stream: BinaryIO) -> ImageFileDirectory_v2:
    """The first directory of a TIFF: tag number -> value.

    Args:
        stream: at the start of the file; is left anywhere.

    Raises:
        SyntaxError: Pillow's word for a file that is not a TIFF, or a damaged one.
    """
    head = stream.read(16)
    tags = ImageFileDirectory_v2(head[: 16 if head[2:4] in (b"+\0", b"\0+") else 8])
    stream.seek(tags.next)
    tags.load(stream)
    return tags


def is_tiff16(size: int, tags: ImageFileDirectory_v2) -> bool:
    """Whether :func:`read_tiff16` serves a file of ``size`` bytes with these tags.

    It does for gray or RGB, whole numbers of 16 bits.
    """
    return (
        size < 2**32 - 2**24
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
    fields: list[Field] = [
        (_WIDTH, LONG, [width * samples]),
        (_HEIGHT, LONG, [height]),
        (_BITS, SHORT, [16]),
        (_COMPRESSION, SHORT, [int(tags.get(_COMPRESSION, 1))]),
        (_PHOTOMETRIC, SHORT, [1]),
        (_FILL_ORDER, SHORT, [int(tags.get(_FILL_ORDER, 1))]),
        (_SAMPLES, SHORT, [1]),
    ]
    if _TILE_WIDTH in tags:
        fields.append((_TILE_WIDTH, LONG, [tile_width * samples]))
        fields.append((_TILE_HEIGHT, LONG, [int(tags[_TILE_HEIGHT])]))
    else:
        fields.append((_ROWS_PER_STRIP, LONG, [int(tags.get(_ROWS_PER_STRIP, height))]))
    for tag in (_STRIP_OFFSETS, _STRIP_BYTES, _TILE_OFFSETS, _TILE_BYTES):
        if tag in tags:
            values = [int(value) for value in tags[tag]]
            each = len(values) // planes
            fields.append((tag, LONG, values[plane * each : (plane + 1) * each]))
    stream = io.BytesIO(data)
    order = "<" if data.startswith(b"II") else ">"
    stream.write(data[:2] + struct.pack(f"{order}HI", 42, 0))
    stream.seek(0, io.SEEK_END)
    write_directory(stream, fields, order)
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
