"""The chunks of PNG files (PNG specification, third edition): look through them, and write them."""

from __future__ import annotations

import math
import re
import struct
import zlib
from dataclasses import replace
from typing import BinaryIO

from swinir_deploy.pictures.containers.contents import Contents, UnsupportedKindError
from swinir_deploy.pictures.exif import read_exif
from swinir_deploy.pictures.metadata import Metadata

__all__ = [
    "SIGNATURE",
    "chunk",
    "iptc_of_8bim",
    "leading_chunks",
    "scan_png",
    "with_leading_chunks",
]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
"""The first bytes of every PNG."""

_END = b"\0\0\0\0IEND\xaeB`\x82"
_PIECE_BYTES = 1 << 20
_MAX_UNPACKED_BYTES = 1 << 26
_PIXEL_CHUNKS = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
_COLOUR_CHUNKS = {b"cICP": 4, b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"mDCV": 24, b"cLLI": 8}
_LARGEST_ANCILLARY = 1 << 28
_XMP_KEYWORD = "XML:com.adobe.xmp"
_RAW_PROFILE = "Raw profile type "
_IPTC_8BIM = b"8BIM\x04\x04"


def scan_png(handle: BinaryIO, size: int, quick: bool = False) -> Contents:
    """Look through a PNG.

    Args:
        handle: the file.
        size: its size in bytes.
        quick: stop at the pixels; nothing behind their beginning is looked at.

    Raises:
        ValueError: a chunk that concerns the pixels is damaged or missing.
        UnsupportedKindError: the file is of a kind that no decoder here reads.
    """
    return _Scan(handle, size).run(quick)


class _Scan:
    def __init__(self, handle: BinaryIO, size: int) -> None:
        self._handle = handle
        self._size = size
        self._contents = Contents(0, 0, [SIGNATURE])
        self._metadata = Metadata()
        self._text: list[tuple[str, str]] = []
        self._kind = -1  # colour type
        self._depth = 0
        self._palette = 0
        self._has_pixels = False
        self._after_pixels = False

    def run(self, quick: bool) -> Contents:
        position, found = len(SIGNATURE), self._contents
        is_ended = False
        while position < self._size:
            self._handle.seek(position)
            head = self._handle.read(8)
            if len(head) < 8:
                break
            length, kind = struct.unpack(">I4s", head)
            if not kind.isalpha():
                if self._has_pixels:
                    break
                raise ValueError(f"there is no chunk at byte {position}")
            if self._kind < 0 and kind not in (b"IHDR", b"CgBI"):
                raise ValueError("it does not begin with the IHDR chunk")
            if quick and kind == b"IDAT":
                found.pieces.append((position, self._size - position))
                return found
            self._take(kind, position + 8, length)
            position += 12 + length
            if kind == b"IEND":
                is_ended = True
                break
        if self._kind < 0:
            raise ValueError("it ends before its header")
        if not self._has_pixels:
            raise ValueError("it holds no pixels (no IDAT chunk)")
        if not is_ended:
            found.notes.append("The file ends without an IEND chunk; its pixels are complete.")
        found.pieces.append(_END)
        found.metadata = replace(self._metadata, text=tuple(self._text))
        return found

    def _take(self, kind: bytes, start: int, length: int) -> None:
        is_cut = start + length + 4 > self._size
        is_critical = not kind[0] & 0x20
        if is_critical:
            if is_cut:
                raise ValueError(f"it ends within the {kind.decode()} chunk")
            if kind == b"CgBI":
                raise UnsupportedKindError("it is a PNG as only iPhones write it (CgBI)")
            if kind not in _PIXEL_CHUNKS:
                raise UnsupportedKindError(f"it needs the chunk {kind.decode()}, which is unknown")
            if not self._is_sound(kind, start, length):
                if kind == b"IEND":
                    self._contents.damaged("IEND chunk", "its checksum is wrong")
                    return
                raise ValueError(f"the checksum of the {kind.decode()} chunk is wrong")
            self._critical(kind, start, length)
            return
        if self._has_pixels:
            self._after_pixels = True
        name = f"{kind.decode()} chunk"
        if is_cut or length > _LARGEST_ANCILLARY:
            self._contents.damaged(name, "it is cut short")
        elif not self._is_sound(kind, start, length):
            self._contents.damaged(name, "its checksum is wrong")
        elif kind in _COLOUR_CHUNKS or kind in _READERS:
            self._handle.seek(start)
            body = self._handle.read(length)
            try:
                self._ancillary(kind, body)
            except (ValueError, struct.error, zlib.error) as error:
                self._contents.damaged(name, str(error))

    def _is_sound(self, kind: bytes, start: int, length: int) -> bool:
        self._handle.seek(start)
        checksum, left = zlib.crc32(kind), length
        while left:
            piece = self._handle.read(min(left, _PIECE_BYTES))
            checksum = zlib.crc32(piece, checksum)
            left -= len(piece)
        return self._handle.read(4) == struct.pack(">I", checksum)

    def _critical(self, kind: bytes, start: int, length: int) -> None:
        found = self._contents
        if kind == b"IHDR":
            if self._kind >= 0 or length != 13:
                raise ValueError("its IHDR chunk is not the only one, or not of 13 bytes")
            self._handle.seek(start)
            found.width, found.height, self._depth, self._kind, _, _, interlace = struct.unpack(
                ">IIBBBBB", self._handle.read(13)
            )
            if interlace:  # the decoder holds the whole picture
                channels = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}.get(self._kind, 4)
                found.extra_bytes = found.width * found.height * channels * (1 + self._depth // 16)
        elif kind == b"PLTE":
            self._palette = length // 3
            if self._kind in (0, 4):
                return  # a gray picture has none
        elif kind == b"IDAT":
            if self._after_pixels:
                self._after_pixels = False
                found.notes.append("Other chunks stand between those of the pixels (IDAT).")
            self._has_pixels = True
        elif kind == b"IEND":
            return
        found.pieces.append((start - 8, length + 12))

    def _ancillary(self, kind: bytes, body: bytes) -> None:
        if kind in _COLOUR_CHUNKS:
            if len(body) != _COLOUR_CHUNKS[kind]:
                raise ValueError(f"it has {len(body)} bytes instead of {_COLOUR_CHUNKS[kind]}")
            if kind == b"gAMA" and body == bytes(4):
                raise ValueError("a gamma of 0 does not exist")
            kept = dict(self._metadata.png_colour)
            kept.setdefault(kind, body)
            self._metadata = replace(self._metadata, png_colour=tuple(kept.items()))
            return
        _READERS[kind](self, body)

    # ------------------------------------------------------------------ one method a kind of chunk

    def _transparency(self, body: bytes) -> None:
        expected = {0: 2, 2: 6}.get(self._kind)
        if self._has_pixels or (self._kind == 3 and not self._palette):
            raise ValueError("it stands at the wrong place")
        if self._kind in (4, 6):
            raise ValueError("the picture has opacity of its own")
        if expected is not None and len(body) != expected:
            raise ValueError(f"it has {len(body)} bytes instead of {expected}")
        if self._kind == 3 and not 0 < len(body) <= self._palette:
            raise ValueError(f"it has {len(body)} entries, the palette {self._palette}")
        self._contents.pieces.append(chunk(b"tRNS", body))

    def _profile(self, body: bytes) -> None:
        _, end, rest = body.partition(b"\0")
        if not end or len(rest) < 2:
            raise ValueError("it holds no profile")
        profile = _unpacked(rest[1:])
        if self._contents.icc_profile is None:
            self._contents.icc_profile = profile

    def _resolution(self, body: bytes) -> None:
        x, y, unit = struct.unpack(">IIB", body)
        if unit == 1 and 0 < x < 2**31 and 0 < y < 2**31:
            self._contents.dpi = (x * 0.0254, y * 0.0254)

    def _exif(self, body: bytes) -> None:
        block = body.removeprefix(b"Exif\0\0")
        facts = read_exif(block)
        if self._contents.orientation == 1:
            self._contents.orientation = facts.orientation
        if facts.note:
            self._contents.notes.append(facts.note)
        if facts.problem:
            self._contents.damaged("EXIF", facts.problem)
        elif self._metadata.exif is None:
            self._metadata = replace(self._metadata, exif=block)

    def _latin_text(self, body: bytes) -> None:
        keyword, _, value = body.partition(b"\0")
        self._add_text(keyword.decode("latin-1"), value.decode("latin-1"))

    def _packed_text(self, body: bytes) -> None:
        keyword, _, value = body.partition(b"\0")
        self._add_text(keyword.decode("latin-1"), _unpacked(value[1:]).decode("latin-1"))

    def _unicode_text(self, body: bytes) -> None:
        keyword, _, rest = body.partition(b"\0")
        flags, rest = rest[:2], rest[2:]
        _, _, rest = rest.partition(b"\0")
        _, _, value = rest.partition(b"\0")
        value = _unpacked(value) if flags[:1] == b"\1" else value
        if keyword.decode("latin-1") == _XMP_KEYWORD:
            self._metadata = replace(self._metadata, xmp=value)
        else:
            self._add_text(keyword.decode("latin-1"), value.decode("utf-8"))

    def _add_text(self, keyword: str, value: str) -> None:
        if not keyword:
            raise ValueError("it has no keyword")
        kind = (
            keyword.removeprefix(_RAW_PROFILE).lower() if keyword.startswith(_RAW_PROFILE) else ""
        )
        if kind in ("exif", "app1", "iptc", "8bim", "xmp"):
            self._raw_profile(kind, value)
        else:
            self._text.append((keyword, value))

    def _raw_profile(self, kind: str, value: str) -> None:
        """Take a block that ImageMagick wrote as text: a name, its size, hexadecimal digits."""
        lines = value.split("\n", 3)
        data = bytes.fromhex("".join(lines[3].split())) if len(lines) == 4 else b""
        if kind in ("exif", "app1") and data.startswith(b"Exif\0\0"):
            self._exif(data)
        elif kind in ("xmp", "app1") and self._metadata.xmp is None:
            _, _, packet = data.rpartition(b"http://ns.adobe.com/xap/1.0/\0")
            self._metadata = replace(self._metadata, xmp=packet)
        elif kind in ("iptc", "8bim"):
            block = iptc_of_8bim(data) or (data if data[:1] == b"\x1c" else None)
            self._metadata = replace(self._metadata, iptc=block)

    def _animation(self, body: bytes) -> None:
        self._contents.frames = max(1, struct.unpack(">II", body)[0])


_READERS = {
    b"tRNS": _Scan._transparency,
    b"iCCP": _Scan._profile,
    b"pHYs": _Scan._resolution,
    b"eXIf": _Scan._exif,
    b"tEXt": _Scan._latin_text,
    b"zTXt": _Scan._packed_text,
    b"iTXt": _Scan._unicode_text,
    b"acTL": _Scan._animation,
}


def _unpacked(data: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    content = unpacker.decompress(data, _MAX_UNPACKED_BYTES)
    if not unpacker.eof:
        raise ValueError("what it holds is cut short, or too large")
    return content


def iptc_of_8bim(data: bytes) -> bytes | None:
    """Return the IPTC records in resources of Photoshop, or None if there are none."""
    start = data.find(_IPTC_8BIM)
    if start < 0 or start + 12 > len(data):
        return None
    name = data[start + 6]
    place = start + 6 + (name + 2) // 2 * 2
    if place + 4 > len(data):
        return None
    length = struct.unpack_from(">I", data, place)[0]
    records = data[place + 4 : place + 4 + length]
    return records if length and len(records) == length else None


# ---------------------------------------------------------------------------------------- writing


def chunk(kind: bytes, body: bytes) -> bytes:
    """Return a chunk with its length and checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def leading_chunks(
    metadata: Metadata, icc_profile: bytes | None, dpi: tuple[float, float] | None
) -> bytes:
    """Return the chunks between the header and the pixels.

    Args:
        metadata: what is known about the picture; its EXIF must be corrected.
        icc_profile: the colour profile, or None.
        dpi: dots per inch, horizontal and vertical, or None.
    """
    parts = [chunk(kind, body) for kind, body in metadata.png_colour]
    if icc_profile:
        parts.append(chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(icc_profile)))
    if dpi:
        per_metre = [max(0, min(round(d / 0.0254), 2**31 - 1)) for d in dpi]
        parts.append(chunk(b"pHYs", struct.pack(">IIB", *per_metre, 1)))
    if metadata.exif:
        parts.append(chunk(b"eXIf", metadata.exif))
    if metadata.xmp:
        parts.append(chunk(b"iTXt", _XMP_KEYWORD.encode() + bytes(5) + metadata.xmp))
    if metadata.iptc:
        parts.append(_raw_profile_chunk(metadata.iptc))
    parts += [_text_chunk(keyword, value) for keyword, value in metadata.text]
    return b"".join(parts)


def with_leading_chunks(head: bytes, beside: bytes) -> bytes | None:
    """Return the beginning of a PNG with other chunks beside those that concern the pixels.

    Args:
        head: what an encoder has written so far.
        beside: chunks to put behind the header, in place of the encoder's own.

    Returns:
        The changed beginning, or None if the pixels have not begun.
    """
    position, kept = len(SIGNATURE), [SIGNATURE]
    while position + 8 <= len(head):
        length, kind = struct.unpack_from(">I4s", head, position)
        if kind == b"IDAT":
            return b"".join(kept) + head[position:]
        if position + 12 + length > len(head):
            return None
        if kind in (b"PLTE", b"tRNS", b"IHDR"):
            kept.append(head[position : position + 12 + length])
        if kind == b"IHDR":
            kept.append(beside)
        position += 12 + length
    return None


def _text_chunk(keyword: str, value: str) -> bytes:
    name = (
        re.sub(rb"[^\x20-\x7e\xa1-\xff]", b"?", keyword.encode("latin-1", "replace"))[:79] or b"?"
    )
    try:
        plain = value.encode("latin-1")
    except UnicodeEncodeError:
        return chunk(b"iTXt", name + b"\0\1\0\0\0" + zlib.compress(value.encode("utf-8")))
    if b"\0" in plain or len(plain) > 1000:
        return chunk(b"zTXt", name + b"\0\0" + zlib.compress(plain))
    return chunk(b"tEXt", name + b"\0" + plain)


def _raw_profile_chunk(iptc: bytes) -> bytes:
    """Return IPTC records as ImageMagick and ExifTool write them; PNG has no chunk for them."""
    block = _IPTC_8BIM + b"\0\0" + struct.pack(">I", len(iptc)) + iptc + bytes(len(iptc) % 2)
    digits = block.hex()
    lines = [digits[i * 72 : i * 72 + 72] for i in range(math.ceil(len(digits) / 72))]
    text = f"\niptc\n{len(block):8}\n" + "\n".join(lines) + "\n"
    return chunk(b"zTXt", b"Raw profile type iptc\0\0" + zlib.compress(text.encode()))
