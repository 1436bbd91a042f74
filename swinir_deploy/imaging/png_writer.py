"""PNG of 8 or 16 bits a sample, row by row, so that a picture need not be whole in memory.

Follows the PNG specification, third edition: chunks (5.3), filters (9.2), their choice (12.7).
"""

from __future__ import annotations

import struct
import zlib
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from swinir_deploy.imaging.row_writer import RowWriter

__all__ = ["SIGNATURE", "PngWriter", "paeth"]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
"""The first bytes of every PNG."""

_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
_ROWS_AT_ONCE = 16


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
            handle: open for binary writing.
            width: columns of pixels.
            height: rows of pixels; as many must be written.
            channels: 1 gray, 2 gray and opacity, 3 RGB, 4 RGB and opacity.
            dtype: uint8 or uint16.
            icc_profile: colour profile.
            dpi: dots per inch, horizontal and vertical.
        """
        super().__init__(height, width, channels, dtype)
        self._handle = handle
        self._last = np.zeros((1, width, channels * self._dtype.itemsize), np.uint8)
        self._deflate = zlib.compressobj(6)
        handle.write(SIGNATURE)
        depth, kind = self._dtype.itemsize * 8, _COLOUR_TYPES[channels]
        self._chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0))
        if icc_profile:
            self._chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(icc_profile))
        if dpi:
            per_metre = [max(0, min(round(d / 0.0254), 2**31 - 1)) for d in dpi]
            self._chunk(b"pHYs", struct.pack(">IIB", *per_metre, 1))

    def _append(self, rows: NDArray[Any]) -> None:
        for first in range(0, rows.shape[0], _ROWS_AT_ONCE):
            part = np.ascontiguousarray(
                rows[first : first + _ROWS_AT_ONCE], self._dtype.newbyteorder(">")
            )
            samples = part.view(np.uint8).reshape(part.shape[0], part.shape[1], -1)
            self._idat(self._deflate.compress(_filter(samples, self._last).tobytes()))
            self._last = samples[-1:].copy()
            self._rows += part.shape[0]

    def _end(self) -> None:
        self._idat(self._deflate.flush())
        self._chunk(b"IEND", b"")

    def _idat(self, data: bytes) -> None:
        if data:
            self._chunk(b"IDAT", data)

    def _chunk(self, kind: bytes, body: bytes) -> None:
        checksum = zlib.crc32(body, zlib.crc32(kind))
        self._handle.write(struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum))


def paeth(
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
        [(here - guess).astype(np.uint8) for guess in (left, above, paeth(left, above, corner))]
    ).reshape(3, rows, -1)
    cost = np.abs(tried.view(np.int8).astype(np.int16)).sum(axis=2, dtype=np.int64)
    best = cost.argmin(axis=0)
    chosen = np.take_along_axis(tried, best[None, :, None], axis=0)[0]
    return np.concatenate([np.take(kinds, best).astype(np.uint8)[:, None], chosen], axis=1)
