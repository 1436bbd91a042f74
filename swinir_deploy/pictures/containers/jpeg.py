"""The segments of JPEG files (ITU-T T.81): look through them, and write them."""

from __future__ import annotations

import mmap
import re
import struct
from dataclasses import replace
from typing import BinaryIO

from swinir_deploy.pictures.containers.contents import Contents, UnsupportedKindError
from swinir_deploy.pictures.containers.png import iptc_of_8bim
from swinir_deploy.pictures.exif import read_exif
from swinir_deploy.pictures.metadata import Metadata

__all__ = ["comment_of", "leading_segments", "scan_jpeg", "with_jfif"]

_SOI, _EOI, _SOS = b"\xff\xd8", b"\xff\xd9", 0xDA
_APP0, _APP1, _APP2, _APP13, _APP14, _COMMENT = 0xE0, 0xE1, 0xE2, 0xED, 0xEE, 0xFE
_FRAMES = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
_BASELINE, _EXTENDED, _PROGRESSIVE = 0xC0, 0xC1, 0xC2
_KINDS = {
    0xC3: "lossless JPEG",
    0xC5: "hierarchical JPEG",
    0xC6: "hierarchical JPEG",
    0xC7: "hierarchical JPEG",
    0xC9: "JPEG with arithmetic coding",
    0xCA: "JPEG with arithmetic coding",
    0xCB: "lossless JPEG with arithmetic coding",
    0xCD: "hierarchical JPEG",
    0xCE: "hierarchical JPEG",
    0xCF: "hierarchical JPEG",
    0xF7: "JPEG-LS",
}
_TABLES = (0xC4, 0xCC, 0xDB, 0xDD)
_MARKER = re.compile(rb"\xff+[\x01-\xcf\xd8-\xfe]")
_XMP, _MORE_XMP = b"http://ns.adobe.com/xap/1.0/\0", b"http://ns.adobe.com/xmp/extension/\0"
_ICC, _EXIF, _PHOTOSHOP = b"ICC_PROFILE\0", b"Exif\0\0", b"Photoshop 3.0\0"
_MAX_BODY = 65533


def scan_jpeg(handle: BinaryIO, size: int, quick: bool = False) -> Contents:
    """Look through a JPEG.

    A missing end (EOI) is added: a decoder then notices whether pixels are missing, too.

    Args:
        handle: the file.
        size: its size in bytes.
        quick: stop at the pixels; nothing behind their beginning is looked at.

    Raises:
        ValueError: pixels are missing.
        UnsupportedKindError: the file is of a kind that the decoder does not read.
    """
    with mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return _Scan(data, size).run(quick)


class _Scan:
    def __init__(self, data: mmap.mmap, size: int) -> None:
        self._data = data
        self._size = size
        self._contents = Contents(0, 0, [_SOI])
        self._metadata = Metadata()
        self._comments: list[str] = []
        self._profile: dict[int, bytes] = {}
        self._profile_parts = 0
        self._frame = 0
        # For each component, the lowest bit of each coefficient that was given; None: not yet.
        self._bits: dict[int, list[int | None]] = {}
        self._exif_dpi: tuple[float, float] | None = None
        self._has_garbage = False

    def run(self, quick: bool) -> Contents:
        found = self._contents
        position = self._head()
        if quick:
            found.pieces.append((position, self._size - position))
            return found
        end = self._scans(position)
        if end is None:
            data_end = self._size - (self._data[self._size - 1] == 0xFF)
            found.pieces += [(position, data_end - position), _EOI]
        else:
            found.pieces.append((position, end - position))
        self._check_scans(is_ended=end is not None)
        if end is None:
            found.notes.append("The file ends without a mark (EOI); its pixels are complete.")
        self._join_profile()
        found.dpi = found.dpi or self._exif_dpi
        text = tuple(("Comment", comment) for comment in self._comments)
        found.metadata = replace(self._metadata, text=text)
        return found

    def _head(self) -> int:
        """Take the segments before the first scan; return where that begins."""
        position = 2
        while True:
            match = _MARKER.search(self._data, position)
            if match is None or match.end() + 2 > self._size:
                raise ValueError("it ends before its pixels")
            self._has_garbage |= match.start() > position
            code, start = self._data[match.end() - 1], match.end()
            if code == 0xD9:
                raise ValueError("it ends before its pixels")
            if code in (0xD8, 0x01) or 0xD0 <= code <= 0xD7:  # marks without a body
                position = start
                continue
            length = struct.unpack_from(">H", self._data, start)[0]
            if code == _SOS:
                if not self._frame:
                    raise ValueError("its pixels have no header")
                return match.start()
            if length < 2 or start + length > self._size:
                raise ValueError(f"it ends within the segment {code:02X}")
            body = self._data[start + 2 : start + length]
            whole = (match.end() - 2, length + 2)
            if code in _FRAMES:
                self._take_frame(code, body)
                self._contents.pieces.append(whole)
            elif code in _TABLES:
                self._contents.pieces.append(whole)
            elif code == _APP0 and body.startswith(b"JFIF\0") and len(body) >= 14:
                self._take_density(body)
                self._contents.pieces.append(_segment(_APP0, body[:12] + b"\0\0"))
            elif code == _APP14 and body.startswith(b"Adobe"):
                self._contents.pieces.append(whole)
            else:
                self._beside(code, body)
            position = start + length

    def _take_frame(self, code: int, body: bytes) -> None:
        found = self._contents
        if len(body) < 6:
            raise ValueError("its header is cut short")
        precision, height, width, components = struct.unpack_from(">BHHB", body)
        name = _KINDS.get(code)
        if name in ("JPEG-LS", "hierarchical JPEG") or code in (0xC3, 0xCB):
            raise UnsupportedKindError(f"it is a {name}")
        if precision != 8:
            raise UnsupportedKindError(f"it is a JPEG of {precision} bits a sample, not of 8")
        if components not in (1, 3, 4):
            raise UnsupportedKindError(f"it is a JPEG of {components} colours")
        if not height:
            raise UnsupportedKindError("it is a JPEG whose height stands behind its pixels (DNL)")
        if len(body) < 6 + 3 * components:
            raise ValueError("its header is cut short")
        self._frame = code
        found.width, found.height = width, height
        self._bits = {body[6 + 3 * i]: [None] * 64 for i in range(components)}
        if code in (_PROGRESSIVE, 0xCA):  # all coefficients, two bytes each, wait for the last scan
            found.extra_bytes = width * height * components * 2

    def _take_density(self, body: bytes) -> None:
        unit, x, y = struct.unpack_from(">BHH", body, 7)
        factor = {1: 1.0, 2: 2.54}.get(unit)
        if factor and x and y:
            self._contents.dpi = (x * factor, y * factor)

    def _beside(self, code: int, body: bytes) -> None:
        """Take a segment that concerns no pixel."""
        if code == _COMMENT:
            self._comments.append(comment_of(body))
        elif code == _APP1 and body.startswith(_EXIF[:4]):
            self._take_exif(body[6:] if body.startswith(_EXIF) else body[4:])
        elif code == _APP1 and body.startswith(_XMP):
            self._metadata = replace(self._metadata, xmp=self._metadata.xmp or body[len(_XMP) :])
        elif code == _APP1 and body.startswith(_MORE_XMP):
            note = "The extended part of the XMP was left out."
            if note not in self._contents.notes:
                self._contents.notes.append(note)
        elif code == _APP2 and body.startswith(_ICC) and len(body) > 14:
            self._profile.setdefault(body[12], body[14:])
            self._profile_parts = max(self._profile_parts, body[13])
        elif code == _APP2 and body.startswith(b"MPF\0"):
            self._contents.notes.append(
                "The file holds further pictures, such as previews; the first is used."
            )
        elif code == _APP13 and body.startswith(_PHOTOSHOP):
            iptc = iptc_of_8bim(body)
            if iptc:
                self._metadata = replace(self._metadata, iptc=iptc)

    def _take_exif(self, block: bytes) -> None:
        found = self._contents
        facts = read_exif(block)
        if found.orientation == 1:
            found.orientation = facts.orientation
        self._exif_dpi = self._exif_dpi or facts.dpi
        if facts.note:
            found.notes.append(facts.note)
        if facts.problem:
            found.damaged("EXIF", facts.problem)
        elif self._metadata.exif is None:
            self._metadata = replace(self._metadata, exif=block)

    def _join_profile(self) -> None:
        if not self._profile:
            return
        if sorted(self._profile) != list(range(1, self._profile_parts + 1)):
            self._contents.damaged("colour profile", "a part of it is missing")
        else:
            self._contents.icc_profile = b"".join(self._profile[n] for n in sorted(self._profile))

    # ------------------------------------------------------------------------------------- pixels

    def _scans(self, position: int) -> int | None:
        """Look through the scans; return where the mark of the end ends, or None without one."""
        while True:
            match = _MARKER.search(self._data, position)
            if match is None:
                return None
            code, start = self._data[match.end() - 1], match.end()
            if code == 0xD9:
                return start
            if code == 0xD8:  # another picture begins without this one's end
                raise ValueError("another picture begins within its pixels")
            if start + 2 > self._size:
                return None
            length = struct.unpack_from(">H", self._data, start)[0]
            if code == _SOS and length >= 6 and start + length <= self._size:
                self._take_scan(self._data[start + 2 : start + length])
            position = start + max(2, length)
            if position > self._size:
                return None

    def _take_scan(self, body: bytes) -> None:
        count = body[0]
        if len(body) < 4 + 2 * count:
            return
        first, last, bits = body[1 + 2 * count : 4 + 2 * count]
        if self._frame not in (_PROGRESSIVE, 0xCA):
            first, last, bits = 0, 63, 0
        for index in range(count):
            known = self._bits.get(body[1 + 2 * index])
            if known is not None and first <= last < 64:
                known[first : last + 1] = [bits & 15] * (last - first + 1)

    def _check_scans(self, is_ended: bool) -> None:
        """Refuse a file that lacks the whole scan of a colour, or, if it was cut, of details."""
        if any(known[0] is None for known in self._bits.values()):
            raise ValueError("the scan of one of its colours is missing")
        if not is_ended and any(bit != 0 for known in self._bits.values() for bit in known):
            raise ValueError("it is cut: scans with the finer details are missing")


def comment_of(body: bytes) -> str:
    """Return the text of a comment: UTF-8, or Latin-1 where it is none."""
    body = body.rstrip(b"\0")
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        return body.decode("latin-1")


# ---------------------------------------------------------------------------------------- writing


def _segment(code: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, code, len(body) + 2) + body


def with_jfif(head: bytes, dpi: tuple[float, float] | None) -> tuple[bytes, bytes]:
    """Return the head of a JPEG of gray or YCbCr with a JFIF segment that says the DPI.

    Args:
        head: the mark of the start and what an encoder wrote behind it, a JFIF segment or not.
        dpi: dots per inch, horizontal and vertical; None says only that pixels are square.

    Returns:
        The mark of the start with the segment, and what comes behind it.
    """
    rest = head[20:] if head[2:4] == b"\xff\xe0" and head[6:11] == b"JFIF\0" else head[2:]
    sides = [min(65535, max(1, round(side))) for side in dpi] if dpi else [1, 1]
    body = b"JFIF\0\1\2" + struct.pack(">BHHBB", 1 if dpi else 0, *sides, 0, 0)
    return _SOI + _segment(_APP0, body), rest


def leading_segments(metadata: Metadata, icc_profile: bytes | None) -> tuple[bytes, list[str]]:
    """Return the segments behind the head of a JFIF file, and the names of what is too large.

    Args:
        metadata: what is known about the picture; its EXIF must be corrected.
        icc_profile: the colour profile, or None.
    """
    parts, too_large = [], []
    iptc = metadata.iptc
    if iptc:
        iptc = _PHOTOSHOP + b"8BIM\x04\x04\0\0" + struct.pack(">I", len(iptc)) + iptc
        iptc += bytes(len(iptc) % 2)
    for name, code, mark, body in (
        ("EXIF", _APP1, _EXIF, metadata.exif),
        ("XMP", _APP1, _XMP, metadata.xmp),
        ("IPTC", _APP13, b"", iptc),
    ):
        if body and len(mark) + len(body) > _MAX_BODY:
            too_large.append(name)
        elif body:
            parts.append(_segment(code, mark + body))
    step = _MAX_BODY - len(_ICC) - 2
    pieces = (
        [icc_profile[at : at + step] for at in range(0, len(icc_profile or b""), step)]
        if icc_profile
        else []
    )
    if len(pieces) > 255:
        too_large.append("colour profile")
        pieces = []
    for number, piece in enumerate(pieces, 1):
        parts.append(_segment(_APP2, _ICC + bytes([number, len(pieces)]) + piece))
    for keyword, value in metadata.text:
        text = value if keyword == "Comment" else f"{keyword}: {value}"
        packed = text.encode("utf-8")
        for start in range(0, len(packed), _MAX_BODY):
            parts.append(_segment(_COMMENT, packed[start : start + _MAX_BODY]))
    return b"".join(parts), too_large
