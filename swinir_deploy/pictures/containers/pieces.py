"""A file put together from parts of another file and from bytes."""

from __future__ import annotations

import bisect
import io
import threading
from collections.abc import Iterable
from typing import BinaryIO

__all__ = ["Piece", "PiecedFile"]

Piece = bytes | tuple[int, int]
"""Bytes, or the offset and the size of a part of the file."""


class PiecedFile(io.RawIOBase):
    """Reads pieces as one file, without a copy of them in memory.

    So a decoder is given only what concerns the pixels, and damage beside them cannot disturb it.
    """

    def __init__(
        self, handle: BinaryIO, pieces: Iterable[Piece], lock: threading.Lock | None = None
    ) -> None:
        """Make the file.

        Args:
            handle: the file that pieces refer to; its position is changed.
            pieces: the pieces in order.
            lock: what several of these that share ``handle`` and may be read by several threads
                have in common.
        """
        self._handle = handle
        self._lock = lock or threading.Lock()
        self._pieces = [p for p in pieces if _size(p)]
        self._ends: list[int] = []
        for piece in self._pieces:
            self._ends.append((self._ends[-1] if self._ends else 0) + _size(piece))
        self._position = 0

    @property
    def size(self) -> int:
        """Return the number of bytes."""
        return self._ends[-1] if self._ends else 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position, and return it."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes; fewer at the end."""
        left = self.size - self._position
        size = left if size < 0 else min(size, left)
        parts = []
        while size > 0:
            index = bisect.bisect_right(self._ends, self._position)
            piece = self._pieces[index]
            inside = self._position - (self._ends[index] - _size(piece))
            if isinstance(piece, bytes):
                part = piece[inside : inside + size]
            else:
                with self._lock:
                    self._handle.seek(piece[0] + inside)
                    part = self._handle.read(min(size, piece[1] - inside))
            if not part:
                break
            parts.append(part)
            self._position += len(part)
            size -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def readinto(self, buffer: object) -> int:
        """Fill a buffer with the next bytes, and return their number."""
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)


def _size(piece: Piece) -> int:
    return len(piece) if isinstance(piece, bytes) else piece[1]
