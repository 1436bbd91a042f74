"""Write PNG of 8 or 16 bits a sample row by row, so that a picture need not be whole in memory.

The code follows the PNG specification, third edition: chunks (5.3), filters (9.2), the choice of
filters (12.7).

Bands of rows are compressed in parallel, as pigz does it. Each band has the 32 KB before it as its
dictionary and ends on a whole byte. So the joined bands are one stream (RFC 1950, RFC 1951).
"""

from __future__ import annotations

import struct
import zlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from swinir_deploy.pictures.row_writer import RowWriter
from swinir_deploy.system.processors import usable_cpus

__all__ = ["COMPRESSION_LEVEL", "SIGNATURE", "PngWriter", "encoder_bytes", "paeth"]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
"""The first bytes of every PNG."""

COMPRESSION_LEVEL = 4
"""The level of zlib for every PNG. On restored photographs, level 6 took 2.3 to 2.8 times as long;
its files were between 1 % larger and 4 % smaller."""

_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
_MAX_ROWS_AT_ONCE = 16
_BAND_BYTES = 2**16
"""A band has at least so many bytes of samples, so that the loss at its ends is small."""

_MAX_WORKERS = 8
_WINDOW_BYTES = 2**15
_ZLIB_HEADER = b"\x78\x5e"
_ADLER_PRIME = 65521


@dataclass(frozen=True)
class _Band:
    """Consecutive rows, filtered and compressed.

    Attributes:
        data: deflate blocks that end on a whole byte.
        adler: Adler-32 checksum of the filtered bytes.
        size: number of the filtered bytes.
    """

    data: bytes
    adler: int
    size: int


class PngWriter(RowWriter):
    """Writes a PNG row by row."""

    def __init__(
        self,
        handle: BinaryIO,
        width: int,
        height: int,
        channels: int,
        dtype: np.dtype[Any],
        icc_profile: bytes | None = None,
        dpi: tuple[float, float] | None = None,
    ) -> None:
        """Write everything before the pixels.

        Args:
            handle: a file that is open for binary writing.
            width: columns of pixels.
            height: rows of pixels; exactly as many must be written.
            channels: 1 for gray, 2 for gray and opacity, 3 for RGB, 4 for RGB and opacity.
            dtype: uint8 or uint16.
            icc_profile: colour profile, or None.
            dpi: dots per inch, horizontal and vertical, or None.
        """
        super().__init__(height, width, channels, dtype)
        self._handle = handle
        self._pixel_bytes = channels * self._dtype.itemsize
        self._waiting: list[NDArray[Any]] = []
        self._waiting_bytes = 0
        # The last rows before the next band: its filters and its dictionary need them.
        self._before: NDArray[np.uint8] = np.zeros((0, width, self._pixel_bytes), np.uint8)
        workers = _workers()
        self._pool = ThreadPoolExecutor(workers, "swinir-png")
        self._max_running = workers + 1
        self._has_bands = False
        self._running: deque[Future[_Band]] = deque()
        self._adler = 1
        handle.write(SIGNATURE)
        depth, kind = self._dtype.itemsize * 8, _COLOUR_TYPES[channels]
        self._chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0))
        if icc_profile:
            self._chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(icc_profile))
        if dpi:
            per_metre = [max(0, min(round(d / 0.0254), 2**31 - 1)) for d in dpi]
            self._chunk(b"pHYs", struct.pack(">IIB", *per_metre, 1))

    def _append(self, rows: NDArray[Any]) -> None:
        step = _rows_at_once(rows.shape[1] * self._pixel_bytes)
        for first in range(0, rows.shape[0], step):
            part = rows[first : first + step].astype(self._dtype.newbyteorder(">"))
            samples = part.view(np.uint8).reshape(part.shape[0], part.shape[1], -1)
            self._waiting.append(samples)
            self._waiting_bytes += samples.nbytes
            self._rows += part.shape[0]
            if self._waiting_bytes >= _BAND_BYTES:
                self._start_band()

    def _start_band(self) -> None:
        """Give the waiting rows to a worker; wait for the oldest band if too many are running."""
        samples = np.concatenate([self._before, *self._waiting])
        self._running.append(self._pool.submit(_compressed, samples, len(self._before)))
        row_bytes = 1 + samples.shape[1] * self._pixel_bytes
        self._before = samples[-(_WINDOW_BYTES // row_bytes + 2) :].copy()
        self._waiting, self._waiting_bytes = [], 0
        while len(self._running) > self._max_running:
            self._write_band()

    def _write_band(self) -> None:
        band = self._running.popleft().result()
        self._chunk(b"IDAT", (b"" if self._has_bands else _ZLIB_HEADER) + band.data)
        self._has_bands = True
        self._adler = _joined_adler(self._adler, band.adler, band.size)

    def _end(self) -> None:
        if self._waiting:
            self._start_band()
        while self._running:
            self._write_band()
        last = zlib.compressobj(COMPRESSION_LEVEL, zlib.DEFLATED, -15)
        self._chunk(b"IDAT", last.flush() + struct.pack(">I", self._adler))
        self._chunk(b"IEND", b"")

    def _release(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    def _chunk(self, kind: bytes, body: bytes) -> None:
        checksum = zlib.crc32(body, zlib.crc32(kind))
        self._handle.write(struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum))


def paeth(
    left: NDArray[np.int16], above: NDArray[np.int16], corner: NDArray[np.int16]
) -> NDArray[np.int16]:
    """Return, for each sample, the neighbour that is nearest to left + above - corner.

    If two are equally near, left comes before above, and above before corner (PNG, 9.4).
    """
    to_left, to_above = np.abs(above - corner), np.abs(left - corner)
    to_corner = np.abs(left + above - 2 * corner)
    return np.where(
        (to_left <= to_above) & (to_left <= to_corner),
        left,
        np.where(to_above <= to_corner, above, corner),
    )


def _workers() -> int:
    return min(_MAX_WORKERS, usable_cpus())


def _rows_at_once(row_bytes: int) -> int:
    """Return the number of rows to filter together; filtering takes many times their bytes."""
    return max(1, min(_MAX_ROWS_AT_ONCE, _BAND_BYTES // 2 // row_bytes))


def encoder_bytes(width: int, pixel_bytes: int) -> int:
    """Return the peak memory of a writer in bytes.

    Args:
        width: columns of pixels.
        pixel_bytes: size of a pixel in bytes.
    """
    row_bytes = width * pixel_bytes
    rows = _rows_at_once(row_bytes)
    band = _BAND_BYTES + rows * row_bytes + _WINDOW_BYTES + 2 * row_bytes
    # Each worker holds the samples with the rows before them, the filtered lines twice, and the
    # compressed data; while it tries filters, eighteen bytes for each sample. Up to three more
    # bands wait.
    return _workers() * (5 * band + 18 * rows * row_bytes) + 3 * band


def _compressed(samples: NDArray[np.uint8], done: int) -> _Band:
    """Filter and compress the rows of a band.

    Args:
        samples: [rows, columns, pixel bytes]: some rows of the band before, then this band.
        done: the number of rows that belong to the band before. They are filtered again for the
            dictionary, except the first one, which only the filters of the second row need.
    """
    _, columns, pixel_bytes = samples.shape
    if done == 0:
        samples = np.concatenate([np.zeros((1, columns, pixel_bytes), np.uint8), samples])
        done = 1
    step = _rows_at_once(columns * pixel_bytes)
    lines = [
        _filter(samples[first : first + step], samples[first - 1 : first])
        for first in range(1, len(samples), step)
    ]
    filtered = np.concatenate(lines)
    before, current = filtered[: done - 1].tobytes(), filtered[done - 1 :].tobytes()
    deflate = zlib.compressobj(
        COMPRESSION_LEVEL,
        zlib.DEFLATED,
        -15,  # without a header, because the bands are joined
        9,
        zlib.Z_FILTERED,
        *([before[-_WINDOW_BYTES:]] if before else []),
    )
    data = deflate.compress(current) + deflate.flush(zlib.Z_SYNC_FLUSH)
    return _Band(data, zlib.adler32(current), len(current))


def _joined_adler(first: int, second: int, second_size: int) -> int:
    """Return the Adler-32 (RFC 1950) of two joined pieces.

    Args:
        first: Adler-32 of the first piece.
        second: Adler-32 of the second piece.
        second_size: size of the second piece in bytes.
    """
    low = ((first & 0xFFFF) + (second & 0xFFFF) - 1) % _ADLER_PRIME
    high = (first >> 16) + (second >> 16) + second_size * ((first & 0xFFFF) - 1)
    return high % _ADLER_PRIME << 16 | low


def _filter(samples: NDArray[np.uint8], before: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Filter rows.

    Each row gets the filter with the smallest sum of absolute differences, as the specification
    suggests (12.7).

    Args:
        samples: [rows, columns, pixel bytes].
        before: [1, columns, pixel bytes], the row above the first one.

    Returns:
        [rows, 1 + columns * pixel bytes]: each row begins with its filter type.
    """
    rows = samples.shape[0]
    current = samples.astype(np.int16)
    above = np.concatenate([before, samples[:-1]]).astype(np.int16)
    left, corner = (np.pad(array, ((0, 0), (1, 0), (0, 0)))[:, :-1] for array in (current, above))
    kinds = [1, 2, 4]
    tried = np.stack(
        [(current - guess).astype(np.uint8) for guess in (left, above, paeth(left, above, corner))]
    ).reshape(3, rows, -1)
    # The absolute value of a signed byte, computed in unsigned bytes.
    cost = np.minimum(tried, np.negative(tried)).sum(axis=2, dtype=np.uint32)
    best = cost.argmin(axis=0)
    selected = np.take_along_axis(tried, best[None, :, None], axis=0)[0]
    return np.concatenate([np.take(kinds, best).astype(np.uint8)[:, None], selected], axis=1)
