"""Read picture files: PNG, JPEG, WebP, TIFF and BMP, with 8 and 16 bits a sample.

Pillow decodes them, except where it would reduce 16 bits to 8 (:mod:`.png16`, :mod:`.tiff16`).
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from PIL import (
    BmpImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)
from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from swinir_deploy.errors import PictureError
from swinir_deploy.pictures.decode import (
    ORIENTATION_TAG,
    arrays,
    dpi_of,
    picture_from_tiff16,
    upright,
)
from swinir_deploy.pictures.limits import DEFAULT_MAX_PIXELS, check_size, pillow_limit
from swinir_deploy.pictures.picture import Picture
from swinir_deploy.pictures.png16 import is_png16, read_png16
from swinir_deploy.pictures.tiff16 import is_tiff16, tiff_tags

__all__ = [
    "PICTURE_SUFFIXES",
    "decoding",
    "format_of",
    "opened",
    "opened_tiff",
    "read_picture",
    "reading",
]

PICTURE_SUFFIXES = {
    ".bmp": "BMP",
    ".jpeg": "JPEG",
    ".jpg": "JPEG",
    ".png": "PNG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WEBP",
}
"""For each file name suffix in lower case, its format in Pillow's spelling."""

# Importing a plug-in registers it in Image.OPEN. Image.init() would import about forty others.
_FORMATS = {
    "PNG": PngImagePlugin,
    "JPEG": JpegImagePlugin,
    "WEBP": WebPImagePlugin,
    "TIFF": TiffImagePlugin,
    "BMP": BmpImagePlugin,
}


def read_picture(
    path: str | os.PathLike[str], max_pixels: int | None = DEFAULT_MAX_PIXELS
) -> Picture:
    """Read one picture file. Its format is found by its content, not by its name.

    The picture is upright: the EXIF orientation is applied. Palettes become RGB, and black and
    white becomes gray. CMYK becomes RGB, with the help of its colour profile if there is one. 16
    bits stay 16 bits. If a file has several frames or pages, the first is read. Other EXIF data
    (camera, place) is not kept.

    Args:
        path: the file.
        max_pixels: the largest accepted number of pixels, checked before decoding; None for no
            limit.

    Raises:
        PictureError: there is no such file, or it is a folder, empty, damaged, or of another
            format; or it has more than ``max_pixels`` pixels, or samples that are not supported
            (floating point, 32 bits).
    """
    source = Path(path)
    with reading(source):
        with open(source, "rb") as handle:
            head = handle.read(16)
            kind = format_of(head, source)
            data = head + handle.read()
        with decoding(source, kind, len(data)):
            return _decode(data, kind, source, max_pixels)


@contextlib.contextmanager
def reading(source: Path) -> Iterator[None]:
    """Turn an error of the system, while a file is opened or read, into a message.

    Raises:
        PictureError: the file cannot be opened or read.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise PictureError(
            f"Cannot read {source}: there is no such file. Check the path."
        ) from error
    except IsADirectoryError as error:
        raise PictureError(f"Cannot read {source}: it is a folder. Give a picture file.") from error
    except OSError as error:
        raise PictureError(
            f"Cannot read {source}: {error.strerror or error}. Check the path and its permissions."
        ) from error


@contextlib.contextmanager
def decoding(source: Path, kind: str, size_bytes: int) -> Iterator[None]:
    """Turn an error of a decoder into a message.

    Raises:
        PictureError: the file cannot be decoded.
    """
    try:
        yield
    except PictureError:
        raise
    except MemoryError as error:
        raise PictureError(
            f"Cannot read {source}: there is not enough memory to decode this {kind} file of "
            f"{size_bytes} bytes. Close other programs, or cut the picture into parts."
        ) from error
    except Image.DecompressionBombError as error:
        raise PictureError(
            f"Cannot read {source}: {error}. If you trust the file, raise the limit (max_pixels)."
        ) from error
    except Exception as error:  # Pillow's decoders raise many types for damaged files.
        raise PictureError(
            f"Cannot read {source}: this {kind} file of {size_bytes} bytes is damaged, cut short "
            f"or of a rare kind ({error}). Get the file again, or convert it."
        ) from error


def format_of(head: bytes, source: Path) -> str:
    """Return the format of a file, in Pillow's spelling, by its first 16 bytes.

    Raises:
        PictureError: the format is not one that this package reads.
    """
    if not head:
        raise PictureError(f"Cannot read {source}: it has 0 bytes. Get the file again.")
    for kind in _FORMATS:
        accept = Image.OPEN[kind][1]
        if accept is not None and accept(head) is True:
            return kind
    raise PictureError(
        f"Cannot read {source}: it begins with {head!r}, which is not a PNG, JPEG, WebP, TIFF or "
        "BMP picture. Convert it to one of these."
    )


def opened(
    stream: BinaryIO, kind: str, source: Path, max_pixels: int | None
) -> tuple[ImageFile, int]:
    """Open a file with Pillow and check its size; nothing is decoded yet.

    Returns:
        The opened file and its number of frames.

    Raises:
        PictureError: the picture has no pixels, or more than ``max_pixels``.
    """
    # Opening a WebP allocates its memory; the other formats are checked after they are opened.
    with pillow_limit(max_pixels if kind == "WEBP" else None):
        image: ImageFile = Image.OPEN[kind][0](stream, str(source))
        # Cameras append previews to a JPEG. They are not counted as frames.
        frames = 1 if kind == "JPEG" else int(getattr(image, "n_frames", 1))
        if kind == "TIFF":
            image.load_prepare()  # this reads Pillow's limit, too
    check_size(source, image.width, image.height, max_pixels)
    return image, frames


def opened_tiff(stream: BinaryIO, source: Path, max_pixels: int | None) -> ImageFileDirectory_v2:
    """Return the tags of a TIFF after its size was checked.

    Raises:
        PictureError: the picture or one of its tiles has no pixels, or more than ``max_pixels``.
    """
    tags = tiff_tags(stream)
    width, height = int(tags[256]), int(tags[257])
    check_size(source, width, height, max_pixels)
    # A tile may be larger than the picture, and is allocated as a whole.
    check_size(source, int(tags.get(322, width)), int(tags.get(323, height)), max_pixels)
    return tags


def _decode(data: bytes, kind: str, source: Path, max_pixels: int | None) -> Picture:
    if kind == "TIFF":
        tags = opened_tiff(io.BytesIO(data), source, max_pixels)
        if is_tiff16(len(data), tags):
            return picture_from_tiff16(data, tags)
    file, frames = opened(io.BytesIO(data), kind, source, max_pixels)
    with file as image:
        notes = [f"The file has {frames} frames; the first is used."] if frames > 1 else []
        image.load()
        if kind == "PNG" and is_png16(data):
            pixels, alpha = read_png16(data)
        else:
            pixels, alpha = arrays(image, source, notes)
        icc_profile = None if image.mode == "CMYK" else image.info.get("icc_profile") or None
        picture = Picture(pixels, alpha, icc_profile, dpi_of(image.info.get("dpi")), tuple(notes))
        # The tag is read after loading, because a PNG may hold it behind the pixels. For a TIFF,
        # Pillow has turned the picture by then and removed the tag.
        return upright(picture, int(image.getexif().get(ORIENTATION_TAG, 1)))
