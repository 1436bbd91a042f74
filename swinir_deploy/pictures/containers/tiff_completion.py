"""Complete a TIFF that an encoder wrote with metadata, a colour profile and the DPI."""

from __future__ import annotations

import struct
from typing import BinaryIO

from swinir_deploy.pictures.containers.tags import (
    ASCII,
    BYTE,
    LONG,
    RATIONAL,
    SHORT,
    UNDEFINED,
    Entry,
    TagReader,
    directory_bytes,
    integers,
)
from swinir_deploy.pictures.exif import tiff_tags_of_exif
from swinir_deploy.pictures.metadata import Metadata

__all__ = ["complete_tiff"]

_DESCRIPTION, _XMP, _IPTC, _ICC, _IFD8 = 270, 700, 33723, 34675, 18


def complete_tiff(
    handle: BinaryIO,
    metadata: Metadata,
    icc_profile: bytes | None,
    dpi: tuple[float, float] | None,
) -> None:
    """Add metadata, a colour profile and the DPI to a TIFF of one page that an encoder wrote.

    Args:
        handle: the file, open for reading and writing.
        metadata: what is known about the picture; its EXIF must be corrected.
        icc_profile: the colour profile, or None.
        dpi: dots per inch, horizontal and vertical, or None.
    """
    handle.seek(0, 2)
    size = handle.tell()
    reader = TagReader(handle, size)
    order, is_big = reader.order, reader.is_big
    entries = dict(reader.directory(reader.first).entries)
    for tag in (282, 283, 296):
        entries.pop(tag, None)
    if dpi:
        for tag, value in zip((282, 283), dpi, strict=True):
            packed = struct.pack(f"{order}II", round(min(value, 4e5) * 10000), 10000)
            entries[tag] = Entry(RATIONAL, 1, packed)
        entries[296] = integers(SHORT, [2], order)
    text = _description(metadata)
    if text:
        entries[_DESCRIPTION] = Entry(ASCII, len(text), text)
    parts: dict[int, dict[int, Entry]] = {}
    if metadata.exif:
        main, parts = tiff_tags_of_exif(metadata.exif, order)
        entries |= main
    for tag, kind, body in (
        (_XMP, BYTE, metadata.xmp),
        (_IPTC, UNDEFINED, metadata.iptc),
        (_ICC, UNDEFINED, icc_profile),
    ):
        if body:
            entries[tag] = Entry(kind, len(body), body)
    handle.seek(0, 2)
    handle.write(bytes(size % 2))
    place = size + size % 2
    for pointer, part in parts.items():
        written = directory_bytes(part, order, place, is_big)
        entries[pointer] = integers(_IFD8 if is_big else LONG, [place], order)
        handle.write(written)
        place += len(written)
    handle.write(directory_bytes(entries, order, place, is_big))
    handle.seek(8 if is_big else 4)
    handle.write(struct.pack(order + ("Q" if is_big else "I"), place))


def _description(metadata: Metadata) -> bytes:
    """Return the text of the picture for the one tag that a TIFF has for it."""
    named = ("Comment", "Description")
    lines = [v if k in named else f"{k}: {v}" for k, v in metadata.text]
    return "\n".join(lines).encode("utf-8") + b"\0" if lines else b""
