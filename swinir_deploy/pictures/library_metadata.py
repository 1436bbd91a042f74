"""Metadata of formats whose containers only their libraries know (AVIF, GIF)."""

from __future__ import annotations

import struct
from typing import Any

from swinir_deploy.pictures.containers.contents import Contents
from swinir_deploy.pictures.containers.jpeg import comment_of
from swinir_deploy.pictures.exif import read_exif
from swinir_deploy.pictures.metadata import Metadata
from swinir_deploy.pictures.vips import libvips, with_blob

__all__ = ["give_metadata", "take_metadata"]

# A JPEG of one gray pixel. libvips reads its EXIF into the fields from which it writes EXIF.
_ONE_PIXEL = bytes.fromhex(
    "ffdb004300ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
    "ffffffffffffffffffffffffffffffffffffffffffffffffffffffc0000b080001000101011100ffc4001400010000"
    "0000000000000000000000000003ffc40014100100000000000000000000000000000000ffda0008010100003f0037"
    "ffd9"
)


def take_metadata(image: Any, contents: Contents) -> None:
    """Take size, number of frames and metadata of an image that libvips has opened.

    libvips has turned the picture upright if the format says so; EXIF does not turn it again.

    Args:
        image: the image.
        contents: gets what is found.
    """
    contents.width, contents.height = image.width, image.height
    names = set(image.get_fields())
    contents.frames = max(1, int(image.get("n-pages"))) if "n-pages" in names else 1
    contents.extra_bytes = 18 * image.width * image.height

    def blob(name: str) -> bytes | None:
        return bytes(image.get(name)) or None if name in names else None

    contents.icc_profile = blob("icc-profile-data")
    block = blob("exif-data")
    if block is not None:
        block = block.removeprefix(b"Exif\0\0")
        facts = read_exif(block)
        contents.dpi = facts.dpi
        if facts.problem:
            contents.damaged("EXIF", facts.problem)
            block = None
    text: tuple[tuple[str, str], ...] = ()
    if "gif-comment" in names:
        text = (("Comment", comment_of(str(image.get("gif-comment")).encode())),)
    contents.metadata = Metadata(block, blob("xmp-data"), text=text)


def give_metadata(image: Any, metadata: Metadata, icc_profile: bytes | None) -> tuple[Any, str]:
    """Return an image whose saver writes metadata, and what the saver must keep of it.

    Args:
        image: an image of libvips.
        metadata: what is known about the picture; its EXIF must be corrected.
        icc_profile: the colour profile, or None.
    """
    keep = []
    if metadata.exif and len(metadata.exif) < 65_000:
        keep.append("exif")
        # The saver writes a resolution in any case. 72 is what EXIF takes for an unknown one.
        per_mm = [side / 25.4 for side in read_exif(metadata.exif).dpi or (72, 72)]
        body = b"Exif\0\0" + metadata.exif
        jpeg = b"\xff\xd8\xff\xe1" + struct.pack(">H", len(body) + 2) + body + _ONE_PIXEL
        pixel = libvips().Image.jpegload_buffer(jpeg)
        image = libvips().Operation.call("copy", image, xres=per_mm[0], yres=per_mm[1])
        for name in pixel.get_fields():
            if name.startswith("exif-") and name != "exif-data":
                image.set_type(libvips().GValue.gstr_type, name, str(pixel.get(name)))
        image = with_blob(image, "exif-data", body)
    if metadata.xmp:
        keep.append("xmp")
        image = with_blob(image, "xmp-data", metadata.xmp)
    if icc_profile:
        keep.append("icc")
        image = with_blob(image, "icc-profile-data", icc_profile)
    return image, "|".join(keep) or "none"
