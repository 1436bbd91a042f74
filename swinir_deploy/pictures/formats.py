"""The formats of picture files: their names, what they hold, and how they are recognised."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from swinir_deploy.errors import PictureError

__all__ = [
    "FORMATS",
    "PICTURE_SUFFIXES",
    "PictureFormat",
    "format_of",
    "missing_package",
    "unread_in_words",
    "unread_kind",
]


@dataclass(frozen=True)
class PictureFormat:
    """What a format of picture files can hold.

    Attributes:
        name: its name in messages; Pillow's spelling where Pillow knows it.
        suffixes: suffixes of its files, in lower case; the first is the usual one.
        media_type: what HTTP calls its files.
        depths: bits of a sample that it holds; 32 is floating point.
        has_alpha: whether it holds opacity.
        has_gray: whether it holds one colour instead of three.
        is_streamed: whether it can be written row by row.
        longest_side: the largest width and height in pixels.
        holds: what it holds beside pixels, by the names of ``Metadata``, ``icc`` and ``dpi``.
        has_quality: whether it can be written with loss.
        package: the package that reads and writes it, if that is optional.
        extra: the extra of this distribution that installs the package.
    """

    name: str
    suffixes: tuple[str, ...]
    media_type: str
    depths: tuple[int, ...] = (8,)
    has_alpha: bool = True
    has_gray: bool = True
    is_streamed: bool = False
    longest_side: int = 2**31 - 1
    holds: frozenset[str] = frozenset()
    has_quality: bool = False
    package: str = ""
    extra: str = ""


_EXIF_AND_XMP = frozenset(["icc", "exif", "xmp"])

FORMATS = {
    entry.name: entry
    for entry in (
        PictureFormat(
            "PNG",
            (".png", ".apng"),
            "image/png",
            (8, 16),
            is_streamed=True,
            holds=_EXIF_AND_XMP | {"iptc", "text", "dpi", "png_colour"},
        ),
        PictureFormat(
            "JPEG",
            (".jpg", ".jpeg", ".jpe", ".jif", ".jfif"),
            "image/jpeg",
            has_alpha=False,
            is_streamed=True,
            longest_side=65_500,
            holds=_EXIF_AND_XMP | {"iptc", "text", "dpi"},
            has_quality=True,
        ),
        PictureFormat(
            "WEBP",
            (".webp",),
            "image/webp",
            has_gray=False,
            longest_side=16_383,
            holds=_EXIF_AND_XMP,
            has_quality=True,
        ),
        PictureFormat(
            "TIFF",
            (".tif", ".tiff"),
            "image/tiff",
            (8, 16, 32),
            is_streamed=True,
            holds=_EXIF_AND_XMP | {"iptc", "text", "dpi"},
        ),
        PictureFormat(
            "BMP", (".bmp", ".dib"), "image/bmp", has_alpha=False, holds=frozenset(["dpi"])
        ),
        PictureFormat("GIF", (".gif",), "image/gif", has_gray=False, longest_side=65_535),
        PictureFormat(
            "AVIF",
            (".avif",),
            "image/avif",
            has_gray=False,
            longest_side=16_384,
            holds=_EXIF_AND_XMP,
            has_quality=True,
        ),
        PictureFormat(
            "HEIF",
            (".heic", ".heif", ".hif"),
            "image/heic",
            has_gray=False,
            longest_side=16_384,
            holds=_EXIF_AND_XMP,
            has_quality=True,
            package="pillow_heif",
            extra="heic",
        ),
        PictureFormat(
            "JPEG2000",
            (".jp2", ".j2k", ".jpf", ".jpx", ".j2c", ".jpc"),
            "image/jp2",
            longest_side=2**31 - 1,
        ),
        PictureFormat(
            "JXL",
            (".jxl",),
            "image/jxl",
            longest_side=2**30 - 1,
            holds=_EXIF_AND_XMP,
            has_quality=True,
            package="pillow_jxl",
            extra="jxl",
        ),
    )
}
"""The formats that are read and written, by name."""

PICTURE_SUFFIXES = {suffix: entry.name for entry in FORMATS.values() for suffix in entry.suffixes}
"""For each file name suffix in lower case, the name of its format."""

_HEIF_BRANDS = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"}
_AVIF_BRANDS = {b"avif", b"avis"}
_SHOWN_NAMES = 3
_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"BM", "BMP"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JXL"),
    (b"\xff\x0a", "JXL"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG2000"),
    (b"\xff\x4f\xff\x51", "JPEG2000"),
)
# Pictures that are not read: how their files begin.
_FOREIGN = (
    (b"8BPS", "a Photoshop file (PSD)"),
    (b"\x76\x2f\x31\x01", "an OpenEXR file"),
    (b"#?RADIANCE", "a Radiance file (HDR)"),
    (b"%PDF", "a PDF"),
    (b"%!PS", "a PostScript file"),
    (b"\0\0\1\0", "an icon (ICO)"),
    (b"P1", "a PBM file"),
    (b"P2", "a PGM file"),
    (b"P3", "a PPM file"),
    (b"P4", "a PBM file"),
    (b"P5", "a PGM file"),
    (b"P6", "a PPM file"),
    (b"P7", "a PAM file"),
    (b"qoif", "a QOI file"),
    (b"DDS ", "a DirectDraw surface (DDS)"),
    (b"II\xbc", "a JPEG XR"),
    (b"gimp xcf", "a GIMP file (XCF)"),
    (b"FUJIFILM", "raw values of a camera's sensor (RAF)"),
    (b"IIU\0", "raw values of a camera's sensor (RW2)"),
    (b"IIRO", "raw values of a camera's sensor (ORF)"),
    (b"<svg", "a vector drawing (SVG)"),
    (b"<?xml", "a text (XML), perhaps a vector drawing (SVG)"),
    (b"SIMPLE  =", "a FITS file"),
)
_UNREAD_SUFFIXES = frozenset(
    f".{name}"
    for names in (
        "psd psb xcf kra ora ai eps svg svgz exr hdr pfm ico cur icns pnm ppm pgm pbm pam qoi dds",
        "jxr wdp hdp tga pcx sgi rgb ras xbm xpm fits fit dcm djvu mng jng jls",
        "dng cr2 cr3 crw nef nrw arw sr2 srf orf rw2 raf pef srw x3f iiq 3fr erf kdc mrw",
    )
    for name in names.split()
)


def format_of(head: bytes, source: Path) -> str:
    """Return the name of a file's format by its first 64 bytes.

    Raises:
        PictureError: the format is not one that this package reads.
    """
    if not head:
        raise PictureError(f"Cannot read {source}: it has 0 bytes. Get the file again.")
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[4:8] == b"ftyp":
        end = min(int.from_bytes(head[:4], "big"), len(head))
        brands = {head[8:12], *(head[i : i + 4] for i in range(16, end - 3, 4))}
        if brands & _AVIF_BRANDS:
            return "AVIF"
        if brands & _HEIF_BRANDS:
            return "HEIF"
    for mark, name in _SIGNATURES:
        if head.startswith(mark):
            return name
    kinds = "PNG, JPEG, WebP, TIFF, BMP, GIF, AVIF, HEIC, JPEG XL or JPEG 2000 picture"
    for mark, what in _FOREIGN:
        if head.startswith(mark):
            raise PictureError(
                f"Cannot read {source}: it is {what}, and must be a {kinds}. Convert it to one of "
                "these."
            )
    raise PictureError(
        f"Cannot read {source}: it begins with {head[:16]!r}, which is not a {kinds}. Convert it "
        "to one of these."
    )


def missing_package(name: str) -> str:
    """Return how to install what a format needs, or an empty text if nothing is missing.

    Args:
        name: the name of the format.
    """
    entry = FORMATS[name]
    if not entry.package or find_spec(entry.package) is not None:
        return ""
    return f"pip install 'swinir-deploy[{entry.extra}]'"


def unread_in_words(paths: Iterable[Path]) -> str:
    """Return a sentence about pictures of kinds that cannot be read, with a count for each kind."""
    kinds: dict[str, list[str]] = {}
    for path in paths:
        kinds.setdefault(path.suffix.lower(), []).append(str(path))
    parts = []
    for suffix, names in sorted(kinds.items()):
        listed = ", ".join(names[:_SHOWN_NAMES]) + (", ..." if names[_SHOWN_NAMES:] else "")
        install = missing_package(PICTURE_SUFFIXES[suffix]) if suffix in PICTURE_SUFFIXES else ""
        parts.append(f"{len(names)} {suffix} ({listed}{f'; {install}' if install else ''})")
    count = sum(map(len, kinds.values()))
    are = "pictures are" if count > 1 else "picture is"
    return f"{count} {are} of kinds that cannot be read: {', '.join(parts)}."


def unread_kind(path: Path) -> str | None:
    """Return the suffix of a file that is a picture and cannot be read here, else None."""
    suffix = path.suffix.lower()
    if suffix in _UNREAD_SUFFIXES:
        return suffix
    name = PICTURE_SUFFIXES.get(suffix)
    return suffix if name is not None and missing_package(name) else None
