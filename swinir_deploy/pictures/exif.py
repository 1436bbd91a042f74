"""Read EXIF blocks, correct them for another picture, and move them into TIFF and out of it.

Tags are those of EXIF 2.32 and TIFF 6.0. A block is changed in place, so that notes of the camera's
maker, which may point to places in the block, stay right.
"""

from __future__ import annotations

import io
import math
import struct
from dataclasses import dataclass

from swinir_deploy.pictures.containers.tags import (
    LONG,
    RATIONAL,
    SHORT,
    Directory,
    Entry,
    TagReader,
    directory_bytes,
    integers,
    reordered,
)

__all__ = [
    "ORIENTATION",
    "ExifFacts",
    "corrected_exif",
    "exif_from_tiff",
    "exif_of_resolution",
    "orientation_in",
    "read_exif",
    "resolution_in",
    "tiff_tags_of_exif",
]

ORIENTATION = 274
"""The tag of EXIF and TIFF that says how the camera was held, from 1 to 8."""

_WIDTH, _HEIGHT, _X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 256, 257, 282, 283, 296
_EXIF, _GPS, _INTEROPERABILITY = 34665, 34853, 40965
_PIXEL_WIDTH, _PIXEL_HEIGHT = 40962, 40963
# Places and sizes of the data of a thumbnail: JPEG, or strips.
_THUMBNAIL = ((513, 514), (273, 279))
# What a TIFF says about the picture and not about its pixels.
_DESCRIPTIVE = frozenset(
    [269, 270, 271, 272, 285, 305, 306, 315, 316, 33432, 18246, 18249, *range(40091, 40096)]
)


@dataclass(frozen=True)
class ExifFacts:
    """What is read from an EXIF block.

    Attributes:
        orientation: how to turn the picture, from 1 (not at all) to 8.
        dpi: dots per inch, horizontal and vertical, or None.
        problem: why the block is damaged, or an empty text. A damaged block is not carried.
        note: a sentence about an orientation that cannot be applied, or an empty text.
    """

    orientation: int = 1
    dpi: tuple[float, float] | None = None
    problem: str = ""
    note: str = ""


def read_exif(block: bytes) -> ExifFacts:
    """Return what an EXIF block says; a damaged one says what can still be read."""
    try:
        reader = TagReader(io.BytesIO(block), len(block))
        main = reader.directory(reader.first)
    except ValueError as error:
        return ExifFacts(problem=str(error))
    problems = list(main.problems)
    for pointer in (_EXIF, _GPS):
        if pointer in main.entries:
            try:
                problems += reader.directory(main.integer(pointer)).problems
            except ValueError as error:
                problems.append(str(error))
    value = orientation_in(main)
    stored = ORIENTATION in main.entries
    note = ""
    if stored and value is None:
        note = "The orientation in EXIF is none of 1 to 8 and was not applied."
    return ExifFacts(value or 1, resolution_in(main), problems[0] if problems else "", note)


def orientation_in(tags: Directory) -> int | None:
    """Return the orientation, from 1 to 8, or None if there is none or it is none of these."""
    value = tags.integer(ORIENTATION)
    return value if 1 <= value <= 8 else None


def resolution_in(tags: Directory) -> tuple[float, float] | None:
    """Return the dots per inch (horizontal, vertical) of a directory, or None."""
    per_inch = {2: 1.0, 3: 2.54}.get(tags.integer(_RESOLUTION_UNIT, 2))
    sides = [tags.numbers(tag) for tag in (_X_RESOLUTION, _Y_RESOLUTION)]
    if per_inch is None or not all(sides):
        return None
    x, y = (side[0] * per_inch for side in sides)
    if not (math.isfinite(x) and math.isfinite(y) and 0 < x < 1e6 and 0 < y < 1e6):
        return None
    return x, y


def corrected_exif(block: bytes, width: int, height: int) -> bytes:
    """Return a sound EXIF block for another picture.

    The orientation becomes 1, sizes become those of the picture, and the thumbnail, which shows the
    picture as it was, is removed.

    Args:
        block: the block.
        width: width of the picture in pixels.
        height: height of the picture in pixels.
    """
    reader = TagReader(io.BytesIO(block), len(block))
    main = reader.directory(reader.first)
    changed = bytearray(block)

    def put(tags: Directory, tag: int, value: int) -> None:
        entry = tags.entries.get(tag)
        if entry is not None:
            kind, code = (SHORT, "H2x") if value < 65536 else (LONG, "I")
            row = struct.pack(f"{reader.order}HHI{code}", tag, kind, 1, value)
            changed[entry.row : entry.row + 12] = row

    put(main, ORIENTATION, 1)
    put(main, _WIDTH, width)
    put(main, _HEIGHT, height)
    if _EXIF in main.entries:
        details = reader.directory(main.integer(_EXIF))
        put(details, _PIXEL_WIDTH, width)
        put(details, _PIXEL_HEIGHT, height)
    if main.next:
        _remove_thumbnail(changed, reader, main)
    return bytes(changed)


def _remove_thumbnail(block: bytearray, reader: TagReader, main: Directory) -> None:
    try:
        second = reader.directory(main.next)
    except ValueError:
        second = Directory(reader.order)
    struct.pack_into(f"{reader.order}I", block, main.next_place, 0)
    for places, sizes in _THUMBNAIL:
        for place, size in zip(second.numbers(places), second.numbers(sizes), strict=False):
            start, stop = int(place), int(place + size)
            if stop == len(block):
                del block[start:]
            elif 8 <= start < stop < len(block):
                block[start:stop] = bytes(stop - start)


def exif_from_tiff(reader: TagReader, tags: Directory) -> bytes | None:
    """Return what a TIFF says about the picture as an EXIF block, or None if it says nothing.

    Args:
        reader: reads the file.
        tags: its directory.
    """
    order = tags.order
    main = {tag: e for tag, e in tags.entries.items() if tag in _DESCRIPTIVE and e.count}
    parts: dict[int, dict[int, Entry]] = {}
    for pointer in (_EXIF, _GPS):
        if pointer in tags.entries:
            try:
                found = reader.directory(tags.integer(pointer)).entries
            except ValueError:
                continue
            parts[pointer] = {t: e for t, e in found.items() if t != _INTEROPERABILITY}
    if not main and not any(parts.values()):
        return None
    return _block({tag: e for tag, e in main.items() if e.kind < 16}, parts, order)


def _block(main: dict[int, Entry], parts: dict[int, dict[int, Entry]], order: str) -> bytes:
    for pointer in parts:
        main[pointer] = integers(LONG, [0], order)
    place = 8 + len(directory_bytes(main, order, 8))
    body = b""
    for pointer, entries in parts.items():
        main[pointer] = integers(LONG, [place + len(body)], order)
        body += directory_bytes(entries, order, place + len(body))
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 8)
    return head + directory_bytes(main, order, 8) + body


def exif_of_resolution(dpi: tuple[float, float]) -> bytes:
    """Return an EXIF block that says nothing but the dots per inch (horizontal, vertical)."""
    sides = [struct.pack("<II", round(min(side, 4e5) * 1000), 1000) for side in dpi]
    main = {
        _X_RESOLUTION: Entry(RATIONAL, 1, sides[0]),
        _Y_RESOLUTION: Entry(RATIONAL, 1, sides[1]),
        _RESOLUTION_UNIT: integers(SHORT, [2], "<"),
    }
    return _block(main, {}, "<")


def tiff_tags_of_exif(
    block: bytes, order: str
) -> tuple[dict[int, Entry], dict[int, dict[int, Entry]]]:
    """Return what a TIFF takes over from an EXIF block.

    Args:
        block: a sound EXIF block.
        order: the byte order of the TIFF.

    Returns:
        Entries of its first directory, and further directories by the tag that points to each.
    """
    reader = TagReader(io.BytesIO(block), len(block))
    main = reader.directory(reader.first)

    def turned(entries: dict[int, Entry]) -> dict[int, Entry]:
        return {tag: reordered(entry, reader.order, order) for tag, entry in entries.items()}

    parts = {}
    for pointer in (_EXIF, _GPS):
        if pointer in main.entries:
            found = reader.directory(main.integer(pointer)).entries
            parts[pointer] = turned({t: e for t, e in found.items() if t != _INTEROPERABILITY})
    return turned({t: e for t, e in main.entries.items() if t in _DESCRIPTIVE}), parts
