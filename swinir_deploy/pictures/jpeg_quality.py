"""The quality that a JPEG was written with, from its quantisation tables."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

__all__ = ["jpeg_quality", "quality_of_tables"]

# Annex K.1 and K.2 of ITU-T T.81, row by row. Encoders that follow libjpeg scale them.
_LUMA = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMA = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * 8 for _ in range(4)),
)


def jpeg_quality(path: str | os.PathLike[str]) -> int | None:
    """Return the quality from 1 to 100 of a JPEG file; None for any other file.

    Only the head of the file is read. It is the quality of the last encoder: a picture that was
    compressed twice may show more of the first.
    """
    from PIL.JpegImagePlugin import JpegImageFile

    try:
        with JpegImageFile(os.fspath(path)) as picture:
            tables = {number: list(table) for number, table in picture.quantization.items()}
    except (OSError, SyntaxError, ValueError, AttributeError):
        return None
    return quality_of_tables(tables) if tables else None


def quality_of_tables(tables: dict[int, list[int]]) -> int:
    """Return the quality whose tables are nearest, as libjpeg scales them.

    Encoders with tables of their own (cameras, Photoshop) have no such quality; the nearest one
    removes about as much.

    Args:
        tables: the quantisation tables by their number, 64 steps each, row by row: 0 is that of the
            luma, 1 that of the chroma where there is one.
    """
    first, *others = (np.asarray(tables[number], np.float64) for number in sorted(tables))
    pairs = [(first, _LUMA), *((table, _CHROMA) for table in others[:1])]
    distances = [
        sum(
            float(np.abs(np.log(np.maximum(table, 1)) - np.log(_scaled(base, quality))).sum())
            for table, base in pairs
        )
        for quality in range(1, 101)
    ]
    return int(np.argmin(distances)) + 1


def _scaled(base: tuple[tuple[int, ...], ...], quality: int) -> NDArray[np.float64]:
    """Return a table of Annex K at a quality, 64 steps from 1 to 255, as libjpeg computes it."""
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    steps = (np.asarray(base, np.int64).ravel() * percent + 50) // 100
    return np.clip(steps, 1, 255).astype(np.float64)
