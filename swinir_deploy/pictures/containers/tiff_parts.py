"""The strips and tiles of a TIFF: where they are, whether they are whole, and a directory of them.

A decoder gets a directory with nothing but the tags that concern the pixels. So unknown tags, odd
metadata and other pages cannot disturb it, and each of its warnings is about pixels.
"""

from __future__ import annotations

import itertools
import struct
from dataclasses import dataclass, replace
from typing import BinaryIO

from swinir_deploy.pictures.containers.contents import Contents
from swinir_deploy.pictures.containers.pieces import Piece
from swinir_deploy.pictures.containers.repack import REPACKED, deflated_parts
from swinir_deploy.pictures.containers.tags import (
    LONG,
    SHORT,
    Directory,
    Entry,
    directory_bytes,
    integers,
)

__all__ = ["TiffKind", "pixel_pieces"]

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_STRIPS, _SAMPLES, _ROWS, _STRIP_BYTES, _PLANAR = 273, 277, 278, 279, 284
_TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES = 322, 323, 324, 325
_EXTRA, _FORMAT, _SUBSAMPLING = 338, 339, 530
_PIXEL_TAGS = (
    *(_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, 266, _STRIPS, _SAMPLES, _ROWS),
    *(_STRIP_BYTES, _PLANAR, 292, 293, 301, 317, 320, _TILE_WIDTH, _TILE_HEIGHT, _TILES),
    *(_TILE_BYTES, 332, _FORMAT, 347, 512, 513, 514, 515, 519, 520, 521, 529, _SUBSAMPLING),
    *(531, 532, 37439, 50674),
)
_NO_COMPRESSION, _OLD_JPEG, _JPEG, _DEFLATE = 1, 6, 7, 8
_BLACK_IS_0, _RGB, _PALETTE, _YCBCR, _LAB, _ICC_LAB = 1, 2, 3, 6, 8, 9
_LONG8 = 16
_PILLOW_BITS = 12
_TILES_IN_MEMORY = 4
"""Rows of tiles that libvips holds, as measured, and some more."""

_PLANES_IN_MEMORY = 3
_ROWS_OF_STRIPS = 512
"""Of strips that hold all samples, libvips holds single rows."""


@dataclass(frozen=True)
class TiffKind:
    """How the samples of a TIFF are to be understood.

    Attributes:
        colours: number of samples that are colours: 1, 3, or 4 (CMYK).
        photometric: their meaning, by the number of the specification.
        samples: number of all samples of a pixel.
        bits: bits of a sample.
        sample_format: 1 whole numbers, 2 with a sign, 3 floating point.
        alpha: index of the sample that is opacity, or None.
        is_associated: whether the colours are multiplied by the opacity.
        compression: how the pixels are packed, by its number.
        is_in_planes: whether each sample has tiles of its own, which libvips does not join.
    """

    colours: int
    photometric: int
    samples: int
    bits: int
    sample_format: int
    alpha: int | None
    is_associated: bool
    compression: int
    is_in_planes: bool = False

    @property
    def is_palette(self) -> bool:
        """Return whether a sample is the number of a colour."""
        return self.photometric == _PALETTE

    @property
    def is_lab_of_bytes(self) -> bool:
        """Return whether the colours are L*a*b* in bytes, which libvips does not convert."""
        return self.photometric in (_LAB, _ICC_LAB) and self.bits == 8

    @property
    def needs_pillow(self) -> bool:
        """Return whether libvips does not read the kind, and Pillow does."""
        is_plain_ycbcr = self.photometric == _YCBCR and self.compression != _JPEG
        return self.bits == _PILLOW_BITS or self.compression == _OLD_JPEG or is_plain_ycbcr


@dataclass(frozen=True)
class _Parts:
    """How the pixels are divided into strips or tiles.

    Attributes:
        row_bytes: bytes of a row of a part before it was packed.
        rows: rows of a part.
        last_rows: rows of the last part of a plane.
        count: number of parts of a plane.
        planes: number of planes.
        across: number of parts side by side.
    """

    row_bytes: int
    rows: int
    last_rows: int
    count: int
    planes: int
    across: int

    def sizes(self) -> list[int]:
        """Return the bytes of each part before it was packed."""
        one = [self.row_bytes * self.rows] * (self.count - 1) + [self.row_bytes * self.last_rows]
        return one * self.planes


def pixel_pieces(
    handle: BinaryIO,
    size: int,
    head: bytes,
    tags: Directory,
    kind: TiffKind,
    found: Contents,
    quick: bool,
    plane: int | None = None,
) -> list[Piece]:
    """Return a TIFF of one page with nothing but what concerns its pixels.

    Args:
        handle: the file.
        size: its size in bytes.
        head: its first bytes, without the place of the directory.
        tags: the directory of the page.
        kind: how its samples are to be understood.
        found: gets the memory that decoding takes.
        quick: leave parts as they are packed, also where the decoder cannot unpack them.
        plane: the plane to return as a picture in gray; None returns the whole picture.

    Raises:
        ValueError: pixels are missing.
    """
    order, is_big = tags.order, len(head) == 8
    place = size + size % 2
    entries = _plain_entries(tags, kind, plane is not None)
    repacked: list[bytes] = []
    if kind.compression != _OLD_JPEG:  # its strips are optional
        parts = _parts(tags, kind, found)
        is_tiled = _TILE_WIDTH in entries
        place_tag, size_tag = (_TILES, _TILE_BYTES) if is_tiled else (_STRIPS, _STRIP_BYTES)
        places, packed = _checked(
            tags.numbers(place_tag), tags.numbers(size_tag), parts, kind, size
        )
        if plane is not None:
            chosen = slice(plane * parts.count, (plane + 1) * parts.count)
            parts = replace(parts, planes=1)
            places, packed = places[chosen], packed[chosen]
        if kind.compression in REPACKED and not quick:
            repacked = _repacked(handle, size, kind, parts, places, packed)
            packed = [len(part) for part in repacked]
            places = list(itertools.accumulate([place, *packed]))[:-1]
            place += sum(packed) + sum(packed) % 2
            entries[_COMPRESSION] = integers(SHORT, [_DEFLATE], order)
        entries[place_tag] = integers(_LONG8 if max(places) >> 32 else LONG, places, order)
        entries[size_tag] = integers(LONG, packed, order)
    start = head + struct.pack(order + ("Q" if is_big else "I"), place)
    directory = directory_bytes(entries, order, place, is_big)
    body: list[Piece] = [(len(start), size - len(start)), bytes(size % 2), *repacked]
    body += [bytes(sum(map(len, repacked)) % 2), directory]
    return [start, *body]


def _plain_entries(tags: Directory, kind: TiffKind, is_plane: bool) -> dict[int, Entry]:
    """Return the entries that concern the pixels, all but the places of their parts."""
    order = tags.order
    entries = {tag: tags.entries[tag] for tag in _PIXEL_TAGS if tag in tags.entries}
    photometric = _RGB if kind.is_lab_of_bytes else kind.photometric
    entries[_PHOTOMETRIC] = integers(SHORT, [photometric], order)
    if kind.samples > kind.colours:
        entries[_EXTRA] = integers(SHORT, [0] * (kind.samples - kind.colours), order)
    if kind.sample_format == 1:
        entries.pop(_FORMAT, None)
    if is_plane:
        for tag in (_EXTRA, _PLANAR):
            entries.pop(tag, None)
        one = {_PHOTOMETRIC: _BLACK_IS_0, _SAMPLES: 1, _BITS: kind.bits}
        if kind.sample_format != 1:
            one[_FORMAT] = kind.sample_format
        entries |= {tag: integers(SHORT, [value], order) for tag, value in one.items()}
    return entries


def _parts(tags: Directory, kind: TiffKind, found: Contents) -> _Parts:
    width, height = found.width, found.height
    planes = kind.samples if tags.integer(_PLANAR, 1) == 2 and kind.samples > 1 else 1
    each = kind.samples if planes == 1 else 1
    if _TILE_WIDTH in tags.entries:
        tile_width, rows = tags.integer(_TILE_WIDTH), tags.integer(_TILE_HEIGHT)
        if min(tile_width, rows) < 1:
            raise ValueError(f"its tiles are {tile_width}x{rows}")
        found.tile = (tile_width, rows)
        across, down = -(-width // tile_width), -(-height // rows)
        row = (tile_width * each * kind.bits + 7) // 8
        parts = _Parts(row, rows, rows, across * down, planes, across)
    else:
        rows = min(tags.integer(_ROWS, height) or height, height)
        row = (width * each * kind.bits + 7) // 8
        if kind.photometric == _YCBCR and kind.compression == _NO_COMPRESSION:
            across, down = (int(value) for value in (tags.numbers(_SUBSAMPLING) or (2, 2)))
            row = -(-width // max(1, across)) * (across * down + 2) // max(1, down)
        count = -(-height // max(1, rows))
        parts = _Parts(row, rows, height - rows * (count - 1), count, planes, 1)
    if parts.planes > 1:
        rows = _PLANES_IN_MEMORY * parts.rows
    else:
        rows = _TILES_IN_MEMORY * parts.rows if found.tile else min(parts.rows, _ROWS_OF_STRIPS)
    found.extra_bytes = parts.row_bytes * parts.across * planes * rows
    if kind.compression in REPACKED:
        found.extra_bytes += 3 * parts.row_bytes * parts.rows * parts.count * planes
    return parts


def _checked(
    given_places: tuple[float, ...],
    given_sizes: tuple[float, ...],
    parts: _Parts,
    kind: TiffKind,
    size: int,
) -> tuple[list[int], list[int]]:
    """Return places and packed sizes of all parts; where the file gives no sizes, as they must be.

    Raises:
        ValueError: parts are missing or too short.
    """
    count = parts.count * parts.planes
    if not count or len(given_places) < count:
        raise ValueError(f"it has {len(given_places)} of {count} parts of its pixels")
    places = [int(value) for value in given_places[:count]]
    packed = [int(value) for value in given_sizes[:count]]
    if kind.compression == _NO_COMPRESSION:
        needed = parts.sizes()
        if any(0 < has < needs for has, needs in zip(packed, needed, strict=False)):
            raise ValueError("parts of its pixels are shorter than they must be")
        packed = needed
    elif len(packed) < count or not all(packed):
        ends = sorted({*places, size})
        packed = [ends[ends.index(place) + 1] - place if place < size else 0 for place in places]
    missing = sum(p + n > size or p < 8 for p, n in zip(places, packed, strict=True))
    if missing:
        raise ValueError(f"{missing} of {count} parts of its pixels lie beyond its end")
    return places, packed


def _repacked(
    handle: BinaryIO,
    size: int,
    kind: TiffKind,
    parts: _Parts,
    places: list[int],
    packed: list[int],
) -> list[bytes]:
    """Return all parts packed by Deflate."""
    height = parts.rows * (parts.count - 1) + parts.last_rows
    shape = (parts.row_bytes, parts.rows, height)
    repacked = []
    for first in range(0, parts.count * parts.planes, parts.count):
        plane = slice(first, first + parts.count)
        repacked += deflated_parts(
            handle, size, kind.compression, places[plane], packed[plane], shape
        )
    return repacked
