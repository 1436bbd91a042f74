"""What a picture file holds beside pixels, colour profile and DPI."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

__all__ = ["Metadata", "upright_xmp"]


@dataclass(frozen=True)
class Metadata:
    """What a picture file says about the picture.

    Attributes:
        exif: an EXIF block, which begins with the head of a TIFF; None if there is none.
        xmp: an XMP packet, or None.
        iptc: records of IPTC-IIM, or None.
        text: pairs of keyword and text, as PNG has them. The comment of a JPEG or GIF has the
            keyword ``Comment``.
        png_colour: names and contents of the PNG chunks that say what the colours mean (cICP, gAMA,
            cHRM, sRGB, mDCV, cLLI), in the order of the file.
        modified_ns: when the file was changed last, in nanoseconds since 1970, or None.
    """

    exif: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    text: tuple[tuple[str, str], ...] = ()
    png_colour: tuple[tuple[bytes, bytes], ...] = ()
    modified_ns: int | None = None

    def stripped(self) -> Metadata:
        """Return only what the colours need."""
        return Metadata(png_colour=self.png_colour)

    def turned_upright(self) -> Metadata:
        """Return the metadata of the picture after its orientation was applied.

        EXIF is corrected when it is written.
        """
        return replace(self, xmp=None if self.xmp is None else upright_xmp(self.xmp))


def upright_xmp(xmp: bytes) -> bytes:
    """Return an XMP packet whose orientation, if it has one, is 1 (upright)."""
    return re.sub(rb"(tiff:Orientation(?:\s*=\s*[\"']|\s*>\s*))[2-8]", rb"\g<1>1", xmp)
