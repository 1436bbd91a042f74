"""Write TIFF of 8 or 16 bits a sample by strips, so that a picture need not be whole in memory.

Tag numbers and types are those of the TIFF 6.0 specification.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from swinir_deploy.errors import PictureError
from swinir_deploy.pictures.row_writer import RowWriter

__all__ = ["LONG", "SHORT", "Field", "TiffWriter", "write_directory"]

SHORT, LONG, _RATIONAL, _UNDEFINED = 3, 4, 5, 7
Field = tuple[int, int, "list[int] | bytes"]
"""A tag's number, its type and its values."""

_STRIP_ROWS = 64
# Offsets have 32 bits. The directory and the colour profile come after the pixels and need room.
_MAX_BYTES = 2**32 - 2**26


class TiffWriter(RowWriter):
    """Writes a little-endian TIFF, deflated with the horizontal predictor."""

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
        """Write the head of the file.

        Args:
            handle: open for binary writing, at its start; can seek.
            width: columns of pixels.
            height: rows of pixels; as many must be written.
            channels: 1 gray, 2 gray and opacity, 3 RGB, 4 RGB and opacity.
            dtype: uint8 or uint16.
            icc_profile: colour profile.
            dpi: dots per inch, horizontal and vertical.
        """
        super().__init__(height, width, channels, dtype)
        self._handle = handle
        self._icc_profile = icc_profile
        self._dpi = dpi
        self._waiting: list[NDArray[Any]] = []
        self._offsets: list[int] = []
        self._sizes: list[int] = []
        handle.write(b"II*\0\0\0\0\0")

    def _append(self, rows: NDArray[Any]) -> None:
        first = 0
        while first < rows.shape[0]:
            # All strips have the same number of rows, however many rows a call brings.
            part = rows[first : first + _STRIP_ROWS - self._rows % _STRIP_ROWS]
            self._waiting.append(part.copy())
            self._rows += part.shape[0]
            first += part.shape[0]
            if self._rows % _STRIP_ROWS == 0:
                self._write_strip()

    def _end(self) -> None:
        if self._waiting:
            self._write_strip()
        write_directory(self._handle, self._fields())

    def _write_strip(self) -> None:
        samples = np.concatenate(self._waiting)
        self._waiting = []
        strip = samples.astype(self._dtype.newbyteorder("<"))
        strip[:, 1:] -= samples[:, :-1]
        packed = zlib.compress(strip.tobytes(), 6)
        if self._handle.tell() + len(packed) > _MAX_BYTES:
            raise PictureError(
                f"Cannot write the TIFF: {self._shape[1]}x{self._shape[0]} pixels take more than "
                "4 GB, which is the limit of the format. Write a .png instead."
            )
        self._offsets.append(self._handle.tell())
        self._sizes.append(len(packed))
        self._handle.write(packed)

    def _fields(self) -> list[Field]:
        height, width, channels = self._shape
        colours = 1 if channels < 3 else 3
        fields: list[Field] = [
            (256, LONG, [width]),
            (257, LONG, [height]),
            (258, SHORT, [self._dtype.itemsize * 8] * channels),
            (259, SHORT, [8]),  # compression: deflate
            (262, SHORT, [1 if colours == 1 else 2]),  # gray with black as 0, or RGB
            (273, LONG, self._offsets),
            (277, SHORT, [channels]),
            (278, LONG, [_STRIP_ROWS]),
            (279, LONG, self._sizes),
            (284, SHORT, [1]),  # samples of a pixel side by side
            (317, SHORT, [2]),  # predictor: horizontal differences
            (339, SHORT, [1] * channels),  # whole numbers
        ]
        if channels > colours:
            fields.append((338, SHORT, [2]))  # opacity; colours are not multiplied by it
        if self._dpi:
            for tag, value in zip((282, 283), self._dpi, strict=True):
                fields.append((tag, _RATIONAL, [round(min(value, 4e5) * 10000), 10000]))
            fields.append((296, SHORT, [2]))  # in inches
        if self._icc_profile:
            fields.append((34675, _UNDEFINED, self._icc_profile))
        return fields


def write_directory(handle: BinaryIO, fields: list[Field], order: str = "<") -> None:
    """Write the directory of a TIFF, and its offset into the head of the file.

    Values that are longer than four bytes are written before the directory.

    Args:
        handle: a file that is open for binary writing, at its end; it can seek.
        fields: the fields of the directory, in any order.
        order: the byte order, ``<`` or ``>``.
    """
    entries = []
    for tag, kind, values in sorted(fields, key=lambda field: field[0]):
        if isinstance(values, bytes):
            packed, count = values, len(values)
        else:
            code = "H" if kind == SHORT else "I"
            packed = struct.pack(f"{order}{len(values)}{code}", *values)
            count = len(values) // 2 if kind == _RATIONAL else len(values)
        if len(packed) > 4:
            position = _align(handle)
            handle.write(packed)
            packed = struct.pack(f"{order}I", position)
        entries.append(struct.pack(f"{order}HHI", tag, kind, count) + packed.ljust(4, b"\0"))
    position = _align(handle)
    handle.write(struct.pack(f"{order}H", len(entries)) + b"".join(entries) + b"\0\0\0\0")
    handle.seek(4)
    handle.write(struct.pack(f"{order}I", position))


def _align(handle: BinaryIO) -> int:
    """Move to an even position, which the format requires for values, and return it."""
    if handle.tell() % 2:
        handle.write(b"\0")
    return handle.tell()
