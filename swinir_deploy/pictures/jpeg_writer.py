"""Write JPEG row by row, so that a picture need not be in memory as a whole.

Pillow only encodes from memory. So the rows go to a temporary file beside the result, and this
file is mapped into memory. The system loads its pages when the encoder reads them.
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

    The disk must have room for the uncompressed picture: 4 bytes a pixel, or 1 for gray.
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
        """Open the temporary file; nothing is written yet.

        Args:
            handle: a file that is open for binary writing.
            width: columns of pixels.
            height: rows of pixels; exactly as many must be written.
            channels: 1 for gray, 3 for RGB; the samples are uint8.
            folder: the folder of the temporary file.
            options: options of Pillow's JPEG encoder.
        """
        super().__init__(height, width, channels, np.uint8)
        self._handle = handle
        self._options = options
        # The system removes it when it is closed, also when the process is killed.
        self._spool = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115

    def _append(self, rows: NDArray[Any]) -> None:
        if rows.shape[2] == 3:  # Pillow's RGB pixels have four bytes in memory
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
                del image, pixels  # they keep the mapped memory in use, so it could not be closed

    def _release(self) -> None:
        self._spool.close()


class _ForgettingFile:
    """Passes on what the encoder writes, and releases the mapped pages that it has read.

    It has no ``fileno``, so Pillow calls :meth:`write` for every full buffer.
    """

    def __init__(self, handle: BinaryIO, mapped: mmap.mmap) -> None:
        self._handle = handle
        self._mapped = mapped

    def write(self, data: bytes) -> int:
        if hasattr(mmap, "MADV_DONTNEED"):
            self._mapped.madvise(mmap.MADV_DONTNEED)
        return self._handle.write(data)
