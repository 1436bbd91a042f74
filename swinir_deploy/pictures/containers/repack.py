"""Pack the pixels of a TIFF in another way, where libvips does not know how they are packed."""

from __future__ import annotations

import struct
import zlib
from typing import BinaryIO, cast

import numpy as np
from PIL.TiffImagePlugin import TiffImageFile

from swinir_deploy.pictures.containers.pieces import Piece, PiecedFile
from swinir_deploy.pictures.containers.tags import LONG, SHORT, directory_bytes, integers
from swinir_deploy.pictures.limits import pillow_limit

__all__ = ["REPACKED", "deflated_parts"]

REPACKED = {34925: "LZMA", 50000: "Zstandard"}
"""Ways of packing that Pillow knows and libvips does not, by their numbers in TIFF."""

_LONG8 = 16


def deflated_parts(
    handle: BinaryIO,
    size: int,
    compression: int,
    places: list[int],
    packed: list[int],
    shape: tuple[int, int, int],
) -> list[bytes]:
    """Return strips or tiles packed by Deflate.

    To Pillow, the bytes of consecutive strips are a gray picture.

    Args:
        handle: the file.
        size: its size in bytes.
        compression: how they are packed now, one of :data:`REPACKED`.
        places: where they are.
        packed: their sizes in the file, in bytes.
        shape: bytes of a row, rows of each but the last one, and rows of all together.

    Raises:
        OSError: they are damaged.
    """
    row_bytes, rows, height = shape
    place = size + size % 2
    is_big = place >= 2**32  # such a file is a BigTIFF, so nothing of it begins before byte 16
    offset = _LONG8 if is_big else LONG
    entries = {
        256: integers(LONG, [row_bytes], "<"),
        257: integers(LONG, [height], "<"),
        258: integers(SHORT, [8], "<"),
        259: integers(SHORT, [compression], "<"),
        262: integers(SHORT, [1], "<"),
        273: integers(offset, places, "<"),
        277: integers(SHORT, [1], "<"),
        278: integers(LONG, [rows], "<"),
        279: integers(LONG, packed, "<"),
    }
    head = struct.pack("<2sHI", b"II", 42, place)
    if is_big:
        head = struct.pack("<2sHHHQ", b"II", 43, 8, 0, place)
    directory = directory_bytes(entries, "<", place, is_big)
    pieces: list[Piece] = [head, (len(head), size - len(head)), bytes(size % 2), directory]
    stream = cast("BinaryIO", PiecedFile(handle, pieces))
    with pillow_limit(None):
        image = TiffImageFile(stream)
        image.load_prepare()
    with image as gray:
        gray.load()
        raw = np.asarray(gray)
    return [zlib.compress(raw[top : top + rows].tobytes(), 1) for top in range(0, height, rows)]
