"""Read TIFF with 16 bits a sample, which Pillow keeps only for some gray pictures.

Pillow's decoder is used all the same. In the file, W pixels of three 16-bit samples look like 3 W
gray pixels, under any lossless compression; a separate plane looks like a gray picture. So the
file gets a new directory that describes gray pictures. The horizontal predictor is left out of
that directory and undone here.
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
    """Return the first directory of a TIFF, which maps a tag number to its value.

    Args:
        stream: the file, at its start. Its position afterwards is undefined.

    Raises:
        SyntaxError: the file is not a TIFF, or is damaged. Pillow chose this class.
    """
    head = stream.read(16)
    tags = ImageFileDirectory_v2(head[: 16 if head[2:4] in (b"+\0", b"\0+") else 8])
    stream.seek(tags.next)
    tags.load(stream)
    return tags


def is_tiff16(size: int, tags: ImageFileDirectory_v2) -> bool:
    """Return whether :func:`read_tiff16` can read a file of ``size`` bytes with these tags.

    It reads gray and RGB pictures whose samples are whole numbers of 16 bits.
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
        data: the whole file; :func:`is_tiff16` must accept it.
        tags: its directory.

    Returns:
        [height, width, samples] uint16 as stored: not turned upright; the colours come before
        other samples.
    """
    samples = int(tags.get(_SAMPLES, 1))
    if samples > 1 and tags.get(_PLANAR, 1) == 2:
        planes = [_read_plane(data, tags, plane, samples, 1) for plane in range(samples)]
        return np.concatenate(planes, axis=2)
    return _read_plane(data, tags, 0, 1, samples)


def _read_plane(
    data: bytes, tags: ImageFileDirectory_v2, plane: int, planes: int, samples: int
) -> NDArray[np.uint16]:
    """Return one of the separate planes of a file as [height, width, samples]."""
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
    # The gray picture is three times as wide, and the caller has checked the size already.
    with pillow_limit(None):
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
