"""Read and write directories of tags, as TIFF files and EXIF blocks have them (TIFF 6.0)."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np

__all__ = [
    "ASCII",
    "BYTE",
    "LONG",
    "RATIONAL",
    "SHORT",
    "UNDEFINED",
    "Directory",
    "Entry",
    "TagReader",
    "directory_bytes",
    "integers",
    "reordered",
]

BYTE, ASCII, SHORT, LONG, RATIONAL, UNDEFINED = 1, 2, 3, 4, 5, 7
_LONG8, _IFD8 = 16, 18
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_SIZES |= {16: 8, 17: 8, 18: 8}
_CODES = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 11: "f", 12: "d", 13: "I"}
_CODES |= {7: "B", 16: "Q", 17: "q", 18: "Q"}
_INTEGERS = (1, 3, 4, 6, 8, 9, 13, 16, 17, 18)
_MAX_ENTRIES = 4096


@dataclass(frozen=True)
class Entry:
    """One tag of a directory.

    Attributes:
        kind: the type of its values, by the number of the specification.
        count: the number of its values.
        data: the values as they are stored, in the byte order of the file.
        row: where the entry stands in the file.
    """

    kind: int
    count: int
    data: bytes
    row: int = 0

    def values(self, order: str) -> tuple[float, ...]:
        """Return the values as numbers: rationals as fractions, where x/0 is NaN; text as none.

        Args:
            order: the byte order of the file, ``<`` or ``>``.
        """
        if self.kind in (5, 10):
            parts = struct.unpack(
                f"{order}{2 * self.count}{'I' if self.kind == 5 else 'i'}", self.data
            )
            pairs = zip(parts[::2], parts[1::2], strict=True)
            return tuple(above / below if below else math.nan for above, below in pairs)
        code = _CODES.get(self.kind)
        return struct.unpack(f"{order}{self.count}{code}", self.data) if code else ()


@dataclass
class Directory:
    """A directory of tags.

    Attributes:
        order: the byte order, ``<`` or ``>``.
        entries: the sound entries, by tag.
        next: where the next directory is; 0 after the last one.
        next_place: where that number stands.
        problems: what is wrong with entries that were left out, in words.
    """

    order: str
    entries: dict[int, Entry] = field(default_factory=dict)
    next: int = 0
    next_place: int = 0
    problems: list[str] = field(default_factory=list)

    def numbers(self, tag: int) -> tuple[float, ...]:
        """Return the values of a tag; empty if the tag is missing or holds text."""
        entry = self.entries.get(tag)
        return () if entry is None else entry.values(self.order)

    def integer(self, tag: int, default: int = 0) -> int:
        """Return the first value of a tag of whole numbers, or the default."""
        entry = self.entries.get(tag)
        if entry is None or entry.kind not in _INTEGERS or not entry.count:
            return default
        return int(entry.values(self.order)[0])


class TagReader:
    """Reads the directories of a file or of an EXIF block.

    Attributes:
        order: the byte order, ``<`` or ``>``.
        is_big: whether this is a BigTIFF.
        first: where the first directory is.
    """

    def __init__(self, stream: BinaryIO, size: int) -> None:
        """Read the head.

        Args:
            stream: the file; it is read from its start.
            size: its size in bytes.

        Raises:
            ValueError: the head is not that of a TIFF.
        """
        self._stream = stream
        self._size = size
        stream.seek(0)
        head = stream.read(16)
        order = {b"II": "<", b"MM": ">"}.get(head[:2])
        if order is None or len(head) < 8:
            raise ValueError("it does not begin as a TIFF does")
        self.order = order
        version = struct.unpack_from(f"{order}H", head, 2)[0]
        if version not in (42, 43) or (version == 43 and len(head) < 16):
            raise ValueError(f"its version is {version}, not 42 or 43")
        self.is_big = version == 43
        self.first: int = struct.unpack_from(
            f"{order}{'Q' if self.is_big else 'I'}", head, 8 if self.is_big else 4
        )[0]

    def _at(self, place: int, size: int) -> bytes:
        if place + size > self._size:
            return b""
        self._stream.seek(place)
        data = self._stream.read(size)
        return data if len(data) == size else b""

    def directory(self, place: int) -> Directory:
        """Read the directory at a place; entries that are damaged are left out and named.

        Raises:
            ValueError: there is no directory at this place.
        """
        number, step, wide = ("Q", 20, 8) if self.is_big else ("H", 12, 4)
        found = Directory(self.order)
        head = self._at(place, struct.calcsize(number)) if place >= 8 else b""
        if not head:
            raise ValueError(f"it has no directory of tags at byte {place}")
        count = struct.unpack(self.order + number, head)[0]
        if not count:
            raise ValueError("its directory of tags is empty")
        if count > _MAX_ENTRIES:
            raise ValueError(f"its directory claims {count} tags")
        start = place + len(head)
        body = self._at(start, count * step)
        if not body:
            raise ValueError(f"its directory of {count} tags is cut short")
        for index in range(count):
            self._add(found, body[index * step : (index + 1) * step], start + index * step, wide)
        found.next_place = start + count * step
        tail = self._at(found.next_place, wide)
        if tail:
            found.next = struct.unpack(self.order + ("Q" if self.is_big else "I"), tail)[0]
        else:
            found.problems.append("the directory has no end")
        return found

    def _add(self, found: Directory, raw: bytes, place: int, wide: int) -> None:
        letter = "Q" if self.is_big else "I"
        tag, kind, count = struct.unpack_from(f"{self.order}HH{letter}", raw)
        each = _SIZES.get(kind)
        if each is None:
            found.problems.append(f"tag {tag} has type {kind}, which does not exist")
            return
        size = each * count
        if size <= wide:
            data = raw[-wide:][:size]
        else:
            where = struct.unpack_from(self.order + letter, raw, len(raw) - wide)[0]
            data = self._at(where, size)
        if len(data) != size:
            found.problems.append(f"tag {tag} claims {count} values, beyond the end")
        elif tag not in found.entries:
            found.entries[tag] = Entry(kind, count, data, place)


def integers(kind: int, values: list[int], order: str) -> Entry:
    """Return an entry of whole numbers."""
    return Entry(kind, len(values), struct.pack(f"{order}{len(values)}{_CODES[kind]}", *values))


def reordered(entry: Entry, order: str, wanted: str) -> Entry:
    """Return an entry whose values are in another byte order."""
    unit = {5: 4, 10: 4}.get(entry.kind, _SIZES[entry.kind])
    if order == wanted or unit == 1:
        return entry
    swapped = np.frombuffer(entry.data, f"<u{unit}").byteswap().tobytes()
    return Entry(entry.kind, entry.count, swapped)


def directory_bytes(
    entries: dict[int, Entry], order: str, place: int, is_big: bool = False, after: int = 0
) -> bytes:
    """Return a directory, with the values that do not fit into it behind it.

    Args:
        entries: the entries, by tag.
        order: the byte order, ``<`` or ``>``.
        place: where the bytes will stand; an even number.
        is_big: whether for a BigTIFF.
        after: where the next directory is; 0 for none.
    """
    number, step, wide, letter = ("Q", 20, 8, "Q") if is_big else ("H", 12, 4, "I")
    head = struct.pack(order + number, len(entries))
    behind = place + len(head) + step * len(entries) + wide
    rows, values = [], []
    for tag, entry in sorted(entries.items()):
        if len(entry.data) <= wide:
            packed = entry.data.ljust(wide, b"\0")
        else:
            packed = struct.pack(order + letter, behind)
            padded = entry.data + bytes(len(entry.data) % 2)
            values.append(padded)
            behind += len(padded)
        rows.append(struct.pack(f"{order}HH{letter}", tag, entry.kind, entry.count) + packed)
    return head + b"".join(rows) + struct.pack(order + letter, after) + b"".join(values)
