"""PNG with 16 bits a sample, which Pillow reduces to 8 for everything but plain gray.

Follows the PNG specification, third edition: chunks (5.3), Adam7 passes (8.1), filters (9.2).
Reading undoes the filters along diagonals of the picture, where pixels do not depend on each
other: NumPy then takes seconds for what a loop over pixels needs minutes. The writer takes rows
as they become ready, so that a picture need not be whole in memory.
"""

from __future__ import annotations

import struct
import zlib
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

__all__ = ["Png16Writer", "is_png16", "read_png16"]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}
_COLOUR_TYPES = {channels: kind for kind, channels in _CHANNELS.items()}
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
_ROWS_AT_ONCE = 64


def is_png16(head: bytes) -> bool:
    """Whether a file that begins with ``head`` (25 bytes or more) is a 16-bit PNG."""
    return head.startswith(_SIGNATURE) and len(head) > 24 and head[24] == 16


def read_png16(data: bytes) -> tuple[NDArray[np.uint16], NDArray[np.uint16] | None]:
    """Decode a 16-bit PNG.

    Args:
        data: the whole file. Its checksums are not looked at; Pillow has done so.

    Returns:
        Pixels [height, width, 1 or 3] and opacity [height, width], or None where all is opaque.

    Raises:
        ValueError: not such a PNG, or a damaged one.
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
    """Header fields, transparent colour (tRNS) and joined IDAT of a PNG."""
    header: tuple[int, ...] | None = None
    key = None
    parts = []
    position = len(_SIGNATURE)
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
    if header is None or not data.startswith(_SIGNATURE):
        raise ValueError("there is no PNG header")
    return header, key, b"".join(parts)


def _unfilter(scanlines: NDArray[np.uint8], pixel_bytes: int) -> NDArray[np.uint8]:
    """Undo the filters of [rows, 1 + columns * pixel_bytes] scanlines; gives [rows, bytes].

    Pixel (r, c) needs those to the left, above and above left. All pixels with the same r + c are
    computed at once: in a flat array whose rows are ``pitch`` long they are ``pitch - 1`` apart.
    """
    kinds = scanlines[:, :1].astype(np.intp)
    if kinds.max() > 4:
        raise ValueError(f"filter type {kinds.max()} does not exist")
    rows = scanlines.shape[0]
    filtered: NDArray[np.uint8] = scanlines[:, 1:].reshape(rows, -1, pixel_bytes)
    columns = filtered.shape[1]
    pitch = columns + 1
    # One row above and one column to the left hold the zeros that the specification asks for.
    work = np.zeros(((rows + 1) * pitch, pixel_bytes), np.int16)
    work.reshape(rows + 1, pitch, pixel_bytes)[1:, 1:] = filtered
    for diagonal in range(rows + columns - 1):
        first, last = max(0, diagonal - columns + 1), min(rows - 1, diagonal)
        start = (first + 1) * pitch + diagonal - first + 1
        stop = start + (last - first) * (pitch - 1) + 1
        here, left, above, corner = (
            work[start - back : stop - back : pitch - 1] for back in (0, 1, pitch, pitch + 1)
        )
        paeth = _paeth(left, above, corner)
        kind = kinds[first : last + 1]
        here += np.choose(kind, [0, left, above, (left + above) >> 1, paeth])
        here &= 255
    result = work.reshape(rows + 1, pitch, pixel_bytes)[1:, 1:].astype(np.uint8)
    return result.reshape(rows, -1)


def _paeth(
    left: NDArray[np.int16], above: NDArray[np.int16], corner: NDArray[np.int16]
) -> NDArray[np.int16]:
    """The neighbour nearest to left + above - corner; ties go in that order."""
    to_left, to_above = np.abs(above - corner), np.abs(left - corner)
    to_corner = np.abs(left + above - 2 * corner)
    return np.where(
        (to_left <= to_above) & (to_left <= to_corner),
        left,
        np.where(to_above <= to_corner, above, corner),
    )


class Png16Writer:
    """Writes a 16-bit PNG row by row; a context manager.

    Leaving the ``with`` block without an exception ends the file.
    """

    def __init__(
        self,
        handle: BinaryIO,
        width: int,
        height: int,
        channels: int,
        icc_profile: bytes | None = None,
        dpi: tuple[float, float] | None = None,
    ) -> None:
        """Write everything before the pixels.

        Args:
            handle: open for binary writing.
            width: columns of pixels.
            height: rows of pixels; as many must be written.
            channels: 1 gray, 2 gray and opacity, 3 RGB, 4 RGB and opacity.
            icc_profile: colour profile.
            dpi: dots per inch, horizontal and vertical.
        """
        self._handle = handle
        self._shape = (height, width, channels)
        self._rows = 0
        self._last = np.zeros((1, width, channels * 2), np.uint8)
        self._deflate = zlib.compressobj(6)
        handle.write(_SIGNATURE)
        kind = _COLOUR_TYPES[channels]
        self._chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0))
        if icc_profile:
            self._chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(icc_profile))
        if dpi:
            per_metre = [max(0, min(round(d / 0.0254), 2**31 - 1)) for d in dpi]
            self._chunk(b"pHYs", struct.pack(">IIB", *per_metre, 1))

    def write_rows(self, rows: NDArray[Any]) -> None:
        """Append [n, width, channels] uint16 rows."""
        if rows.shape[1:] != self._shape[1:] or rows.dtype != np.uint16:
            raise ValueError(f"rows of {rows.shape} {rows.dtype} do not fit {self._shape} uint16")
        for first in range(0, rows.shape[0], _ROWS_AT_ONCE):
            part = rows[first : first + _ROWS_AT_ONCE].astype(">u2")
            samples = part.view(np.uint8).reshape(part.shape[0], part.shape[1], -1)
            self._idat(self._deflate.compress(_filter(samples, self._last).tobytes()))
            self._last = samples[-1:]
            self._rows += part.shape[0]

    def __enter__(self) -> Png16Writer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            return
        if self._rows != self._shape[0]:
            raise ValueError(f"{self._rows} rows were written; the header says {self._shape[0]}")
        self._idat(self._deflate.flush())
        self._chunk(b"IEND", b"")

    def _idat(self, data: bytes) -> None:
        if data:
            self._chunk(b"IDAT", data)

    def _chunk(self, kind: bytes, body: bytes) -> None:
        checksum = zlib.crc32(body, zlib.crc32(kind))
        self._handle.write(struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum))


def _filter(samples: NDArray[np.uint8], before: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Filter [rows, columns, pixel bytes]; gives scanlines with their filter type in front.

    Each row gets the filter with the least sum of absolute differences, as the specification
    suggests (12.7).
    """
    rows = samples.shape[0]
    here = samples.astype(np.int16)
    above = np.concatenate([before, samples[:-1]]).astype(np.int16)
    left, corner = (np.pad(array, ((0, 0), (1, 0), (0, 0)))[:, :-1] for array in (here, above))
    kinds = [1, 2, 4]
    tried = np.stack(
        [(here - guess).astype(np.uint8) for guess in (left, above, _paeth(left, above, corner))]
    ).reshape(3, rows, -1)
    cost = np.abs(tried.view(np.int8).astype(np.int16)).sum(axis=2, dtype=np.int64)
    best = cost.argmin(axis=0)
    chosen = np.take_along_axis(tried, best[None, :, None], axis=0)[0]
    return np.concatenate([np.take(kinds, best).astype(np.uint8)[:, None], chosen], axis=1)
