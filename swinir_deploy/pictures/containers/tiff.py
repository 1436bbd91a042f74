"""The directories of TIFF files (TIFF 6.0, BigTIFF): look through them."""

from __future__ import annotations

import struct
from typing import BinaryIO

from swinir_deploy.pictures.containers.contents import (
    Contents,
    UnsupportedKindError,
    several_frames,
)
from swinir_deploy.pictures.containers.png import iptc_of_8bim
from swinir_deploy.pictures.containers.tags import Directory, TagReader
from swinir_deploy.pictures.containers.tiff_parts import TiffKind, pixel_pieces
from swinir_deploy.pictures.exif import exif_from_tiff, orientation_in, resolution_in
from swinir_deploy.pictures.metadata import Metadata

__all__ = ["scan_tiff"]

_SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 254, 256, 257, 258, 259, 262
_ORIENTATION, _SAMPLES, _INKS, _EXTRA, _FORMAT = 274, 277, 332, 338, 339
_XMP, _IPTC, _PHOTOSHOP, _ICC = 700, 33723, 34377, 34675
_PLANAR, _TILE_WIDTH = 284, 322
_BLACK_IS_0, _RGB, _CMYK, _ICC_LAB, _ITU_LAB = 1, 2, 5, 9, 10
_COLOURS = {0: 1, 1: 1, 2: 3, 3: 1, 4: 1, 5: 4, 6: 3, 8: 3, 9: 3, 10: 3, 32844: 1, 32845: 3}
_PHOTOMETRIC_NAMES = {
    9: "ICC L*a*b*",
    10: "ITU L*a*b*",
    32803: "raw values of a camera's sensor",
    32844: "LogL",
    34892: "raw values of a camera's sensor",
    32845: "LogLuv",
    51177: "a depth map",
}
_NUMBERS = {1: (1, 2, 4, 8, 16, 32), 2: (8, 16, 32), 3: (32,)}
_NUMBER_NAMES = {1: "whole numbers", 2: "whole numbers with a sign", 3: "floating point"}
_PILLOW_BITS = (12,)
_MAX_PAGES = 100_000


def scan_tiff(
    handle: BinaryIO, size: int, page: int | None = None, quick: bool = False
) -> tuple[Contents, TiffKind]:
    """Look through a TIFF.

    Args:
        handle: the file.
        size: its size in bytes.
        page: the page to read, from 0; None reads the first and notes the others.
        quick: leave the pixels as they are packed, also where the decoder cannot unpack them.

    Raises:
        ValueError: the directory of the page is damaged, or pixels are missing.
        UnsupportedKindError: the file is of a kind that the decoder does not read.
    """
    reader = TagReader(handle, size)
    pages, problem = _pages(reader)
    index = page or 0
    if index >= len(pages):
        raise ValueError(f"it has {len(pages)} pages; there is no page {index + 1}")
    tags = pages[index]
    found = Contents(tags.integer(_WIDTH), tags.integer(_HEIGHT), frames=len(pages))
    kind = _kind(tags, found)
    if len(pages) > 1 and page is None:
        found.notes.append(several_frames(len(pages), "pages"))
        _tell_larger_page(pages, found)
    if problem and not index:
        found.notes.append(f"The file is damaged behind page {len(pages)}: {problem}.")
    _take_metadata(reader, tags, found)
    head = b"II" if reader.order == "<" else b"MM"
    head += struct.pack(reader.order + "H", 42)
    if reader.is_big:
        head = head[:2] + struct.pack(reader.order + "HHH", 43, 8, 0)
    planes = range(kind.samples) if kind.is_in_planes else [None]
    for plane in planes:
        pieces = pixel_pieces(handle, size, head, tags, kind, found, quick, plane)
        found.planes.append(pieces)
    found.pieces = found.planes[0]
    return found, kind


def _pages(reader: TagReader) -> tuple[list[Directory], str]:
    """Return the directories of all pages, and what is wrong with the page after the last one."""
    pages, seen = [reader.directory(reader.first)], {reader.first}
    while (place := pages[-1].next) and len(pages) < _MAX_PAGES:
        if place in seen:
            return pages, "its pages form a ring"
        seen.add(place)
        try:
            pages.append(reader.directory(place))
        except ValueError as error:
            return pages, str(error)
    return pages, ""


def _tell_larger_page(pages: list[Directory], found: Contents) -> None:
    first = pages[0]
    larger = [
        number
        for number, page in enumerate(pages, 1)
        if page.integer(_WIDTH) > first.integer(_WIDTH) and not page.integer(_SUBFILE) & 1
    ]
    if first.integer(_SUBFILE) & 1 and larger:
        found.notes.append(f"The first page is a small version of page {larger[0]}.")


def _kind(tags: Directory, found: Contents) -> TiffKind:
    for tag, name in ((_WIDTH, "width"), (_HEIGHT, "height")):
        if tag not in tags.entries:
            raise ValueError(f"its directory does not say the {name}")
    compression = tags.integer(_COMPRESSION, 1)
    samples = tags.integer(_SAMPLES, 1)
    photometric = tags.integer(_PHOTOMETRIC, _RGB if samples > 2 else _BLACK_IS_0)
    if photometric not in _COLOURS:
        name = _PHOTOMETRIC_NAMES.get(photometric, f"of the kind {photometric}")
        raise UnsupportedKindError(f"its samples are {name}")
    colours = _COLOURS[photometric]
    if photometric == _CMYK and tags.integer(_INKS, 1) != 1:
        raise UnsupportedKindError("its inks are not those of CMYK")
    bits = {int(value) for value in tags.numbers(_BITS)} or {1}
    formats = {int(value) for value in tags.numbers(_FORMAT)} or {1}
    if len(bits) > 1 or len(formats) > 1:
        raise UnsupportedKindError(
            f"its samples differ in size ({', '.join(map(str, sorted(bits)))} bits) or in type"
        )
    if samples < colours:
        raise ValueError(f"it has {samples} samples a pixel and {colours} colours")
    alpha, is_associated = _opacity(tags, samples, colours, found)
    numbers = formats.pop()
    numbers = 1 if numbers == 4 else numbers  # 4: undefined
    kind = TiffKind(
        colours,
        photometric,
        samples,
        bits.pop(),
        numbers,
        alpha,
        is_associated,
        compression,
        samples > 1 and tags.integer(_PLANAR, 1) == 2 and _TILE_WIDTH in tags.entries,
    )
    if photometric in (_ICC_LAB, _ITU_LAB) and not kind.is_lab_of_bytes:
        name = _PHOTOMETRIC_NAMES[photometric]
        raise UnsupportedKindError(f"its colours are {name} of {kind.bits} bits")
    _check_numbers(kind)
    return kind


def _check_numbers(kind: TiffKind) -> None:
    is_known = kind.bits in _NUMBERS.get(kind.sample_format, ())
    is_gray12 = kind.bits in _PILLOW_BITS and kind.sample_format == 1 and kind.samples == 1
    if not is_known and not is_gray12:
        name = _NUMBER_NAMES.get(kind.sample_format, "complex numbers")
        raise UnsupportedKindError(f"its samples have {kind.bits} bits ({name})")


def _opacity(
    tags: Directory, samples: int, colours: int, found: Contents
) -> tuple[int | None, bool]:
    """Return the sample that is opacity, and whether colours are multiplied by it."""
    extra = samples - colours
    if extra <= 0:
        return None, False
    meanings = [int(value) for value in tags.numbers(_EXTRA)][:extra]
    meanings += [0] * (extra - len(meanings))
    described = [index for index, meaning in enumerate(meanings) if meaning in (1, 2)]
    index = described[0] if described else 0  # one that nothing describes is opacity, too
    if extra > 1:
        found.notes.append(
            f"The file has {extra} channels beside the colours; one is opacity, "
            f"{'the other was' if extra == 2 else 'the others were'} dropped."
        )
    return colours + index, meanings[index] == 1


def _take_metadata(reader: TagReader, tags: Directory, found: Contents) -> None:
    found.notes += [f"In the file, {problem}; it was left out." for problem in tags.problems[:1]]
    found.orientation = orientation_in(tags) or 1
    if _ORIENTATION in tags.entries and orientation_in(tags) is None:
        found.notes.append("The orientation of the file is none of 1 to 8 and was not applied.")
    found.dpi = resolution_in(tags)
    icc, xmp = tags.entries.get(_ICC), tags.entries.get(_XMP)
    found.icc_profile = icc.data if icc and icc.data else None
    iptc = tags.entries.get(_IPTC)
    resources = tags.entries.get(_PHOTOSHOP)
    records = iptc.data if iptc else None
    if records is None and resources is not None:
        records = iptc_of_8bim(resources.data)
    found.metadata = Metadata(
        exif_from_tiff(reader, tags), xmp.data if xmp and xmp.data else None, records
    )
