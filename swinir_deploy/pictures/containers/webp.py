"""The chunks of WebP files (RFC 9649): look through them, and write them."""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import BinaryIO

from swinir_deploy.pictures.containers.contents import Contents
from swinir_deploy.pictures.exif import read_exif
from swinir_deploy.pictures.metadata import Metadata

__all__ = ["scan_webp", "with_metadata"]

_ICC, _ALPHA, _EXIF, _XMP, _ANIMATION = 0x20, 0x10, 0x08, 0x04, 0x02
_LARGEST_BESIDE = 1 << 28


def scan_webp(handle: BinaryIO, size: int) -> Contents:
    """Look through a WebP.

    Args:
        handle: the file.
        size: its size in bytes.

    Raises:
        ValueError: the file is cut within its pixels, or has none.
    """
    found = Contents(0, 0)
    places: dict[bytes, tuple[int, int]] = {}
    metadata = Metadata()
    position, frames = 12, 0
    while position + 8 <= size:
        handle.seek(position)
        kind, length = struct.unpack("<4sI", handle.read(8))
        start, is_cut = position + 8, position + 8 + length > size
        position = start + length + length % 2
        if kind in (b"VP8 ", b"VP8L", b"ALPH", b"ANMF", b"VP8X", b"ANIM"):
            if is_cut:
                raise ValueError(f"it ends within the {kind.decode().strip()} chunk")
            frames += kind == b"ANMF"
            places.setdefault(kind, (start - 8, 8 + length + length % 2))
        elif kind in (b"ICCP", b"EXIF", b"XMP "):
            name = {b"ICCP": "colour profile", b"EXIF": "EXIF", b"XMP ": "XMP"}[kind]
            if is_cut or length > _LARGEST_BESIDE:
                found.damaged(name, "it is cut short")
                continue
            metadata = _taken(found, metadata, kind, handle.read(length))
    found.metadata = metadata
    found.frames = max(1, frames)
    if not places:
        raise ValueError("it holds no pixels")
    _sizes(found, handle, places)
    if frames:
        found.pieces = [(0, size)]
        return found
    lossless, lossy = places.get(b"VP8L"), places.get(b"VP8 ")
    body = lossless or lossy
    if body is None:
        raise ValueError("it holds no pixels (no VP8 or VP8L chunk)")
    found.is_lossless = lossless is not None
    found.pieces = [body] if body[1] + body[0] <= size else [body, b"\0"]
    if lossless is None and b"ALPH" in places:
        head = struct.pack("<4sIB3x", b"VP8X", 10, _ALPHA) + _sides(found.width, found.height)
        found.pieces = [head, places[b"ALPH"], *found.pieces]
    total = 4 + sum(len(p) if isinstance(p, bytes) else p[1] for p in found.pieces)
    found.pieces.insert(0, b"RIFF" + struct.pack("<I", total) + b"WEBP")
    return found


def _taken(found: Contents, metadata: Metadata, kind: bytes, body: bytes) -> Metadata:
    if kind == b"ICCP":
        found.icc_profile = found.icc_profile or body
    elif kind == b"XMP ":
        return replace(metadata, xmp=metadata.xmp or body)
    else:
        block = body.removeprefix(b"Exif\0\0")
        facts = read_exif(block)
        found.orientation, found.dpi = facts.orientation, facts.dpi
        if facts.note:
            found.notes.append(facts.note)
        if facts.problem:
            found.damaged("EXIF", facts.problem)
        elif metadata.exif is None:
            return replace(metadata, exif=block)
    return metadata


def _sizes(found: Contents, handle: BinaryIO, places: dict[bytes, tuple[int, int]]) -> None:
    if b"VP8X" in places:
        handle.seek(places[b"VP8X"][0] + 12)
        found.width, found.height = _sides_in(handle.read(6))
    elif b"VP8L" in places:
        handle.seek(places[b"VP8L"][0] + 8)
        bits = int.from_bytes(handle.read(5)[1:], "little")
        found.width, found.height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif b"VP8 " in places:
        handle.seek(places[b"VP8 "][0] + 8)
        head = handle.read(10).ljust(10, b"\0")
        found.width, found.height = (side & 0x3FFF for side in struct.unpack_from("<HH", head, 6))
    # Two canvases of four bytes a pixel, and what the decoder keeps in other planes.
    found.extra_bytes = found.width * found.height * 16


def _sides_in(six: bytes) -> tuple[int, int]:
    return int.from_bytes(six[:3], "little") + 1, int.from_bytes(six[3:], "little") + 1


def _sides(width: int, height: int) -> bytes:
    return (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")


# ---------------------------------------------------------------------------------------- writing


def with_metadata(
    data: bytes, metadata: Metadata, icc_profile: bytes | None, width: int, height: int
) -> bytes:
    """Return a WebP of one picture with metadata and a colour profile.

    Args:
        data: the file as the encoder wrote it, without metadata.
        metadata: what is known about the picture; its EXIF must be corrected.
        icc_profile: the colour profile, or None.
        width: width of the picture in pixels.
        height: height of the picture in pixels.
    """
    chunks, position = [], 12
    while position + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, position)
        if kind in (b"VP8 ", b"VP8L", b"ALPH"):
            chunks.append((kind, data[position + 8 : position + 8 + length]))
        position += 8 + length + length % 2
    pixels = chunks[-1][1]
    has_alpha = chunks[0][0] == b"ALPH" or (chunks[0][0] == b"VP8L" and bool(pixels[4] & 0x10))
    beside = [(b"EXIF", metadata.exif, _EXIF), (b"XMP ", metadata.xmp, _XMP)]
    flags = (_ICC if icc_profile else 0) | (_ALPHA if has_alpha else 0)
    flags |= sum(flag for _, body, flag in beside if body)
    if flags & ~_ALPHA:
        before = [(b"VP8X", struct.pack("<B3x", flags) + _sides(width, height))]
        if icc_profile:
            before.append((b"ICCP", icc_profile))
        chunks = before + chunks + [(kind, body) for kind, body, _ in beside if body]
    elif len(chunks) > 1:
        chunks.insert(0, (b"VP8X", struct.pack("<B3x", flags) + _sides(width, height)))
    body = b"".join(
        kind + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)
        for kind, content in chunks
    )
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body
