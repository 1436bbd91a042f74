"""Read PNG with 16 bits a sample, which Pillow reduces to 8 bits except for plain gray.

The code follows the PNG specification, third edition: chunks (5.3), Adam7 passes (8.1), filters
(9.2). Filters are undone along diagonals of the picture, because the pixels of a diagonal do not
depend on each other. So NumPy takes seconds where a loop over all pixels takes minutes.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from swinir_deploy.pictures.png_writer import SIGNATURE, paeth

__all__ = ["is_png16", "read_png16"]

_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}
# (first row, row step, first column, column step) of the passes of an interlaced picture.
_ADAM7 = (
    (0, 8, 0, 8),
    (0, 8, 4, 8),
    (4, 8, 0, 4),
    (0, 4, 2, 4),
    (2, 4, 0, 2),
    (0, 2, 1, 2),
    (1, 2, 0, 1),
)


def is_png16(head: bytes) -> bool:
    """Return whether a file that begins with ``head`` (25 bytes or more) is a 16-bit PNG."""
    return head.startswith(SIGNATURE) and len(head) > 24 and head[24] == 16


def read_png16(data: bytes) -> tuple[NDArray[np.uint16], NDArray[np.uint16] | None]:
    """Decode a 16-bit PNG.

    Args:
        data: the whole file. Its checksums are not checked again; Pillow has done so.

    Returns:
        Pixels [height, width, 1 or 3] and opacity [height, width]; None if all pixels are opaque.

    Raises:
        ValueError: the file is not a 16-bit PNG, or is damaged.
    """
    header, key, stream = _chunks(data)
    width, height, depth, kind, _, _, interlace = header
    if depth != 16 or kind not in _CHANNELS or width < 1 or height < 1:
        raise ValueError(f"bit depth {depth} with colour type {kind} is not a 16-bit picture")
    channels = _CHANNELS[kind]
    passes = [p for p in _ADAM7 if p[0] < height and p[2] < width] if interlace else [(0, 1, 0, 1)]
    shapes = [(len(range(r, height, rs)), len(range(c, width, cs))) for r, rs, c, cs in passes]
    size = sum(rows * (1 + columns * channels * 2) for rows, columns in shapes)
    try:
        raw = zlib.decompressobj().decompress(stream, size)
    except zlib.error as error:
        raise ValueError(f"the compressed pixels are damaged ({error})") from error
    if len(raw) < size:
        raise ValueError(f"the pixels end after {len(raw)} of {size} bytes")
    samples = np.empty((height, width, channels), np.uint16)
    position = 0
    for (row, row_step, column, column_step), (rows, columns) in zip(passes, shapes, strict=True):
        length = rows * (1 + columns * channels * 2)
        scanlines = np.frombuffer(raw, np.uint8, length, position).reshape(rows, -1)
        position += length
        samples[row::row_step, column::column_step] = (
            _unfilter(scanlines, channels * 2).view(">u2").reshape(rows, columns, channels)
        )
    if channels in (2, 4):
        return samples[..., :-1].copy(), samples[..., -1].copy()
    if key is not None and len(key) >= channels * 2:
        clear = (samples == np.frombuffer(key, ">u2", channels)).all(axis=2)
        return samples, np.where(clear, 0, 65535).astype(np.uint16)
    return samples, None


def _chunks(data: bytes) -> tuple[tuple[int, ...], bytes | None, bytes]:
    """Return the header fields, the transparent colour (tRNS) and the joined IDAT of a PNG."""
    header: tuple[int, ...] | None = None
    key = None
    parts = []
    position = len(SIGNATURE)
    while position + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        body = data[position + 8 : position + 8 + length]
        position += 12 + length
        if kind == b"IHDR" and len(body) == 13:
            header = struct.unpack(">IIBBBBB", body)
        elif kind == b"tRNS":
            key = body
        elif kind == b"IDAT":
            parts.append(body)
        elif kind == b"IEND":
            break
    if header is None or not data.startswith(SIGNATURE):
        raise ValueError("there is no PNG header")
    return header, key, b"".join(parts)


def _unfilter(scanlines: NDArray[np.uint8], pixel_bytes: int) -> NDArray[np.uint8]:
    """Undo the filters of scanlines.

    Pixel (r, c) needs the pixels to its left, above and above left. All pixels with the same r + c
    are computed at once: in a flat array whose rows are ``pitch`` long, they are ``pitch - 1``
    apart.

    Args:
        scanlines: [rows, 1 + columns * pixel_bytes]; the first byte of a row is its filter type.
        pixel_bytes: size of a pixel in bytes.

    Returns:
        [rows, columns * pixel_bytes].
    """
    kinds = scanlines[:, :1].astype(np.intp)
    if kinds.max() > 4:
        raise ValueError(f"filter type {kinds.max()} does not exist")
    rows = scanlines.shape[0]
    filtered: NDArray[np.uint8] = scanlines[:, 1:].reshape(rows, -1, pixel_bytes)
    columns = filtered.shape[1]
    pitch = columns + 1
    # The extra row above and the extra column to the left hold the zeros of the specification.
    work = np.zeros(((rows + 1) * pitch, pixel_bytes), np.int16)
    work.reshape(rows + 1, pitch, pixel_bytes)[1:, 1:] = filtered
    for diagonal in range(rows + columns - 1):
        first, last = max(0, diagonal - columns + 1), min(rows - 1, diagonal)
        start = (first + 1) * pitch + diagonal - first + 1
        stop = start + (last - first) * (pitch - 1) + 1
        current, left, above, corner = (
            work[start - back : stop - back : pitch - 1] for back in (0, 1, pitch, pitch + 1)
        )
        predicted = paeth(left, above, corner)
        kind = kinds[first : last + 1]
        current += np.choose(kind, [0, left, above, (left + above) >> 1, predicted])
        current &= 255
    result = work.reshape(rows + 1, pitch, pixel_bytes)[1:, 1:].astype(np.uint8)
    return result.reshape(rows, -1)
