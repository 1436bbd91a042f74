"""Rows that one thread makes, as a file that another thread reads.

libvips reads pictures from files. So rows are shown to it as a TIFF without compression, which
exists only while it is read: nothing but a few rows is in memory or on disk.
"""

from __future__ import annotations

import io
import struct
import threading
from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swinir_deploy.pictures.containers.tags import LONG, SHORT, directory_bytes, integers

__all__ = ["RowPipe"]

_STRIP_BYTES = 1 << 18
_MAX_STRIP_ROWS = 16
_MAX_WAITING_BYTES = 1 << 20
_LONG8 = 16


class BrokenPipeOfRowsError(BrokenPipeError):
    """The thread that makes rows has given up."""


class RowPipe(io.RawIOBase):
    """A file that can be read once, from its start to its end, while its rows are written."""

    def __init__(self, height: int, width: int, channels: int, dtype: np.dtype[Any]) -> None:
        """Make the head of the file.

        Args:
            height: rows of pixels; exactly as many must be written.
            width: columns of pixels.
            channels: 1 gray, 2 gray and opacity, 3 RGB, 4 RGB and opacity.
            dtype: uint8, uint16 or float32.
        """
        self._shape, self._dtype = (height, width, channels), np.dtype(dtype)
        self._rows = 0
        row_bytes = width * channels * self._dtype.itemsize
        self._head = _head(height, width, channels, self._dtype)
        self._size = len(self._head) + height * row_bytes
        self._position = 0
        self._passed = len(self._head)  # the first byte of pixels that waits
        self._waiting: deque[memoryview] = deque()
        self._waiting_bytes = 0
        self._changed = threading.Condition()
        self._is_broken = False

    # ---------------------------------------------------------------------------- the rows' thread

    def write_rows(self, rows: NDArray[Any]) -> None:
        """Append [n, width, channels] rows; wait while many rows have not been read yet.

        Raises:
            ValueError: the rows have another shape or dtype.
            BrokenPipeOfRowsError: nobody reads any more.
        """
        if rows.shape[1:] != self._shape[1:] or rows.dtype != self._dtype:
            raise ValueError(
                f"rows of {rows.shape} {rows.dtype} do not fit {self._shape} {self._dtype}"
            )
        with self._changed:
            while self._waiting_bytes > _MAX_WAITING_BYTES and not self._is_broken:
                self._changed.wait()
            if self._is_broken:
                raise BrokenPipeOfRowsError("nobody reads the rows")
            # A copy: the caller may use its array again.
            data = memoryview(rows.astype(self._dtype, order="C", copy=True).reshape(-1)).cast("B")
            self._waiting.append(data)
            self._waiting_bytes += len(data)
            self._rows += len(rows)
            self._changed.notify_all()

    @property
    def is_short(self) -> bool:
        """Return whether rows are missing."""
        return self._rows < self._shape[0]

    def finish(self) -> None:
        """Check that all rows were written.

        Raises:
            ValueError: there were fewer or more rows than announced.
        """
        if self._rows != self._shape[0]:
            raise ValueError(f"{self._rows} rows were written, {self._shape[0]} were announced")

    def break_off(self) -> None:
        """Wake both threads, and let reading and writing fail."""
        with self._changed:
            self._is_broken = True
            self._changed.notify_all()

    # ------------------------------------------------------------------------ the reader's thread

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True; pixels can only be read in order all the same."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position, and return it."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = base + offset
        return self._position

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes; wait for rows.

        Raises:
            BrokenPipeOfRowsError: the thread that makes rows has given up.
        """
        size = min(size if size >= 0 else self._size, self._size - self._position)
        if self._position < len(self._head):
            data = self._head[self._position : self._position + size]
            self._position += len(data)
            return data
        if size <= 0:
            return b""
        with self._changed:
            if self._position != self._passed:
                raise BrokenPipeOfRowsError(f"byte {self._position} is gone, or not there yet")
            while not self._waiting and not self._is_broken:
                self._changed.wait()
            if self._is_broken:
                raise BrokenPipeOfRowsError("no more rows come")
            first = self._waiting[0]
            part = bytes(first[:size])
            if len(part) == len(first):
                self._waiting.popleft()
            else:
                self._waiting[0] = first[len(part) :]
            self._waiting_bytes -= len(part)
            self._passed += len(part)
            self._position = self._passed
            self._changed.notify_all()
            return part


def _head(height: int, width: int, channels: int, dtype: np.dtype[Any]) -> bytes:
    """Return the head of a little-endian BigTIFF: its directory and the places of its strips."""
    row_bytes = width * channels * dtype.itemsize
    rows = max(1, min(_MAX_STRIP_ROWS, _STRIP_BYTES // row_bytes, height))
    count = -(-height // rows)
    sizes = [rows * row_bytes] * (count - 1) + [(height - rows * (count - 1)) * row_bytes]
    colours = 1 if channels < 3 else 3
    entries = {
        256: integers(LONG, [width], "<"),
        257: integers(LONG, [height], "<"),
        258: integers(SHORT, [dtype.itemsize * 8] * channels, "<"),
        259: integers(SHORT, [1], "<"),  # no compression
        262: integers(SHORT, [1 if colours == 1 else 2], "<"),
        273: integers(_LONG8, [0] * count, "<"),
        277: integers(SHORT, [channels], "<"),
        278: integers(LONG, [rows], "<"),
        279: integers(LONG, sizes, "<"),
        284: integers(SHORT, [1], "<"),  # samples of a pixel side by side
        339: integers(SHORT, [3 if dtype.kind == "f" else 1] * channels, "<"),
    }
    if channels > colours:
        entries[338] = integers(SHORT, [2], "<")  # opacity; colours are not multiplied by it
    start = 16 + len(directory_bytes(entries, "<", 16, is_big=True))
    entries[273] = integers(_LONG8, [start + i * rows * row_bytes for i in range(count)], "<")
    head = struct.pack("<2sHHHQ", b"II", 43, 8, 0, 16)
    return head + directory_bytes(entries, "<", 16, is_big=True)
