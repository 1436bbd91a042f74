"""JPEG from rows, so that a picture need not be whole in memory.

Pillow encodes from memory only. So the rows go to a file without a name beside the result, and
Pillow gets that file mapped into memory: the system loads pages of it as the encoder comes by.
"""

from __future__ import annotations

import mmap
import tempfile
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from swinir_deploy.pictures.row_writer import RowWriter

__all__ = ["JpegWriter"]


class JpegWriter(RowWriter):
    """Writes a JPEG from rows.

    The disk must have room for the picture as it is in memory: 4 bytes a pixel, 1 for gray.
    """

    def __init__(
        self,
        handle: BinaryIO,
        width: int,
        height: int,
        channels: int,
        folder: Path,
        options: dict[str, Any],
    ) -> None:
        """Prepare; nothing is written yet.

        Args:
            handle: open for binary writing.
            width: columns of pixels.
            height: rows of pixels; as many must be written.
            channels: 1 gray, 3 RGB; always of uint8.
            folder: where the file without a name goes.
            options: of Pillow's JPEG encoder.
        """
        super().__init__(height, width, channels, np.uint8)
        self._handle = handle
        self._options = options
        # Gone when it is closed, and when the process is killed.
        self._spool = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115

    def _append(self, rows: NDArray[Any]) -> None:
        if rows.shape[2] == 3:  # four bytes a pixel, as Pillow has them in memory
            rows = np.pad(rows, ((0, 0), (0, 0), (0, 1)))
        self._spool.write(np.ascontiguousarray(rows).data)
        self._rows += rows.shape[0]

    def _end(self) -> None:
        height, width, channels = self._shape
        self._spool.flush()
        mode = "L" if channels == 1 else "RGBX"
        with mmap.mmap(self._spool.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            pixels = np.frombuffer(mapped, np.uint8)
            image = Image.frombuffer(mode, (width, height), pixels, "raw", mode, 0, 1)
            target = cast("IO[bytes]", _ForgettingFile(self._handle, mapped))
            try:
                image.save(target, "JPEG", **self._options)
            finally:
                del image, pixels  # they hold on to the mapped memory

    def _release(self) -> None:
        self._spool.close()


class _ForgettingFile:
    """Passes on what the encoder writes, and gives back the memory of what it has read by then.

    Without a ``fileno``, so that Pillow comes here with every buffer that is full.
    """

    def __init__(self, handle: BinaryIO, mapped: mmap.mmap) -> None:
        self._handle = handle
        self._mapped = mapped

    def write(self, data: bytes) -> int:
        if hasattr(mmap, "MADV_DONTNEED"):
            self._mapped.madvise(mmap.MADV_DONTNEED)
        return self._handle.write(data)
