"""Rows that one thread makes, as a file that other threads read.

libvips reads pictures from files. So rows are shown to it as a TIFF without compression, which
exists only while it is read: nothing but a few rows is in memory or on disk. The TIFF has tiles as
wide as the picture, since libvips keeps few of them, and several hundred rows of strips. Pictures
that are too wide for a tile are in strips all the same, and so are all pictures where libvips
computes in several threads: it would not ask for tiles in their order.
"""

from __future__ import annotations

import io
import struct
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swinir_deploy.pictures.containers.tags import LONG, SHORT, directory_bytes, integers

__all__ = ["MAX_TILE_WIDTH", "RowPipe"]

_TILE_ROWS = 16
MAX_TILE_WIDTH = 8192
"""The widest picture that is shown in tiles; libvips takes no wider ones."""

_MAX_WAITING_TILES = 4
_LONG8 = 16


class BrokenPipeOfRowsError(BrokenPipeError):
    """The thread that makes rows, or the one that reads them, has given up."""


class RowPipe(io.RawIOBase):
    """A file that can be read once, roughly from its start to its end, while rows are written."""

    def __init__(
        self, height: int, width: int, channels: int, dtype: np.dtype[Any], is_tiled: bool
    ) -> None:
        """Make the head of the file.

        Args:
            height: rows of pixels; exactly as many must be written.
            width: columns of pixels.
            channels: 1 gray, 2 gray and opacity, 3 RGB, 4 RGB and opacity.
            dtype: uint8, uint16 or float32.
            is_tiled: whether to show the rows as tiles, which must then be asked for in order.
        """
        self._shape, self._dtype = (height, width, channels), np.dtype(dtype)
        stored_width = -(-width // 16) * 16 if is_tiled else width  # as TIFF demands of tiles
        self._tile_bytes = _TILE_ROWS * stored_width * channels * self._dtype.itemsize
        self._tiles = -(-height // _TILE_ROWS)
        self._head = _head(self._shape, self._dtype, self._tiles, self._tile_bytes, is_tiled)
        self._position = 0
        self._rows = 0
        self._band = np.zeros((_TILE_ROWS, stored_width, channels), self._dtype)
        self._made = 0
        self._waiting: dict[int, bytes] = {}  # tiles or strips by their number
        self._wanted = -1  # the tile that the reader waits for
        self._changed = threading.Condition()
        self._is_broken = False

    # ---------------------------------------------------------------------------- the rows' thread

    @property
    def is_short(self) -> bool:
        """Return whether rows are missing."""
        return self._rows < self._shape[0]

    def write_rows(self, rows: NDArray[Any]) -> None:
        """Append [n, width, channels] rows; wait while many rows have not been read yet.

        Raises:
            ValueError: the rows have another shape or dtype.
            BrokenPipeOfRowsError: nobody reads any more.
        """
        height, width, _ = self._shape
        if rows.shape[1:] != self._shape[1:] or rows.dtype != self._dtype:
            raise ValueError(
                f"rows of {rows.shape} {rows.dtype} do not fit {self._shape} {self._dtype}"
            )
        first = 0
        while first < len(rows):
            start = self._rows % _TILE_ROWS
            part = rows[first : first + _TILE_ROWS - start]
            self._band[start : start + len(part), :width] = part
            first += len(part)
            self._rows += len(part)
            if self._rows % _TILE_ROWS == 0 or self._rows == height:
                self._put_band()

    def finish(self) -> None:
        """Check that all rows were written.

        Raises:
            ValueError: there were fewer or more rows than announced.
        """
        if self._rows != self._shape[0]:
            raise ValueError(f"{self._rows} rows were written, {self._shape[0]} were announced")

    def break_off(self) -> None:
        """Wake all threads, and let reading and writing fail."""
        with self._changed:
            self._is_broken = True
            self._changed.notify_all()

    def _put_band(self) -> None:
        """Add a band of rows; wait until there is room for it."""
        with self._changed:
            while self._made - self._wanted > _MAX_WAITING_TILES and not self._is_broken:
                self._changed.wait()
            if self._is_broken:
                raise BrokenPipeOfRowsError("nobody reads the rows")
            self._waiting[self._made] = self._band.tobytes()
            self._made += 1
            self._changed.notify_all()

    # ------------------------------------------------------------------------ the readers' threads

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True; each part is there until it was read all the same."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position, and return it."""
        end = len(self._head) + self._tiles * self._tile_bytes
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: end}[whence]
        self._position = base + offset
        return self._position

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, of the head or of one tile; wait for rows.

        Raises:
            BrokenPipeOfRowsError: the thread that makes rows has given up.
        """
        if self._position < len(self._head):
            stop = None if size < 0 else self._position + size
            data = self._head[self._position : stop]
            self._position += len(data)
            return data
        tile, inside = divmod(self._position - len(self._head), self._tile_bytes)
        if tile >= self._tiles:
            return b""
        with self._changed:
            self._wanted = tile
            self._changed.notify_all()
            while tile >= self._made and not self._is_broken:
                self._changed.wait()
            if self._is_broken or tile not in self._waiting:
                raise BrokenPipeOfRowsError("the rows are gone, or do not come")
            content = self._waiting[tile]
            part = content[inside : None if size < 0 else inside + size]
            if inside + len(part) == len(content):
                del self._waiting[tile]
                self._changed.notify_all()
            self._position += len(part)
            return part


def _head(
    shape: tuple[int, int, int], dtype: np.dtype[Any], count: int, size: int, is_tiled: bool
) -> bytes:
    """Return the head of a little-endian BigTIFF: its directory, and the places of its parts.

    Args:
        shape: height, width and channels.
        dtype: dtype of the samples.
        count: number of tiles or strips.
        size: bytes of each.
        is_tiled: whether there are tiles.
    """
    height, width, channels = shape
    colours = 1 if channels < 3 else 3
    entries = {
        256: integers(LONG, [width], "<"),
        257: integers(LONG, [height], "<"),
        258: integers(SHORT, [dtype.itemsize * 8] * channels, "<"),
        259: integers(SHORT, [1], "<"),  # no compression
        262: integers(SHORT, [1 if colours == 1 else 2], "<"),
        277: integers(SHORT, [channels], "<"),
        284: integers(SHORT, [1], "<"),  # samples of a pixel side by side
        339: integers(SHORT, [3 if dtype.kind == "f" else 1] * channels, "<"),
    }
    if is_tiled:
        entries[322] = integers(LONG, [-(-width // 16) * 16], "<")
        entries[323] = integers(LONG, [_TILE_ROWS], "<")
    else:
        entries[278] = integers(LONG, [_TILE_ROWS], "<")
    sizes = [size] * count
    if not is_tiled:  # the last strip may be lower
        sizes[-1] = size // _TILE_ROWS * (height - _TILE_ROWS * (count - 1))
    entries[325 if is_tiled else 279] = integers(LONG, sizes, "<")
    if channels > colours:
        entries[338] = integers(SHORT, [2], "<")  # opacity; colours are not multiplied by it
    places_tag = 324 if is_tiled else 273
    entries[places_tag] = integers(_LONG8, [0] * count, "<")
    start = 16 + len(directory_bytes(entries, "<", 16, is_big=True))
    entries[places_tag] = integers(_LONG8, [start + i * size for i in range(count)], "<")
    head = struct.pack("<2sHHHQ", b"II", 43, 8, 0, 16)
    return head + directory_bytes(entries, "<", 16, is_big=True)
