"""Read picture files. libvips decodes them; :mod:`.pillow_files` what it does not know.

A decoder is given nothing but what concerns the pixels (:mod:`.containers`), and each of its
warnings is an error. So missing pixels are noticed, and damage elsewhere is a note.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, cast

from PIL import Image

from swinir_deploy.errors import BackendUnavailableError, PictureError
from swinir_deploy.pictures.containers.contents import (
    Contents,
    UnsupportedKindError,
    several_frames,
)
from swinir_deploy.pictures.containers.jpeg import scan_jpeg
from swinir_deploy.pictures.containers.pieces import PiecedFile
from swinir_deploy.pictures.containers.png import scan_png
from swinir_deploy.pictures.containers.tiff import scan_tiff
from swinir_deploy.pictures.containers.tiff_parts import TiffKind
from swinir_deploy.pictures.containers.webp import scan_webp
from swinir_deploy.pictures.decode import Opened, PillowOpened, ProbedFile, VipsOpened
from swinir_deploy.pictures.formats import PICTURE_SUFFIXES, format_of, missing_package
from swinir_deploy.pictures.library_metadata import take_metadata
from swinir_deploy.pictures.limits import DEFAULT_MAX_PIXELS, check_size
from swinir_deploy.pictures.picture import Picture
from swinir_deploy.pictures.pillow_files import open_with_pillow
from swinir_deploy.pictures.vips import VipsStream, opened_by_vips, operations

__all__ = ["PICTURE_SUFFIXES", "ProbedFile", "count_frames", "probe_picture", "read_picture"]

_HEAD_BYTES = 64
# These mean a mistake in this package, not damage.
_MISTAKES = (TypeError, AttributeError, NameError, AssertionError, NotImplementedError)
_LOADERS = {
    "PNG": "png",
    "JPEG": "jpeg",
    "WEBP": "webp",
    "TIFF": "tiff",
    "GIF": "gif",
    "AVIF": "heif",
}


def read_picture(
    path: str | os.PathLike[str],
    max_pixels: int | None = DEFAULT_MAX_PIXELS,
    page: int | None = None,
) -> Picture:
    """Read one picture file. Its format is found by its content, not by its name.

    The picture is upright: the EXIF orientation is applied. Palettes become RGB, and black and
    white becomes gray. CMYK and L*a*b* become sRGB, with the help of a colour profile if there is
    one. 8 and 16 bits stay as they are; other numbers become floating point in 0..1. If a file has
    several frames or pages, one is read.

    Args:
        path: the file.
        max_pixels: the largest accepted number of pixels, checked before decoding; None for no
            limit.
        page: the frame or page to read, from 0; None reads the first, and a note names others.

    Raises:
        PictureError: there is no such file, or it is a folder, empty, damaged, or of another
            format; or pixels are missing, or it has more than ``max_pixels`` pixels.
    """
    source = Path(path)
    with _opened(source, max_pixels, page) as opened:
        return opened.decode()


def probe_picture(
    path: str | os.PathLike[str],
    max_pixels: int | None = DEFAULT_MAX_PIXELS,
    page: int | None = None,
) -> ProbedFile:
    """Read the head of a picture file; its pixels are not decoded.

    Args:
        path: the file.
        max_pixels: the largest accepted number of pixels; None for no limit.
        page: the frame or page, from 0; None is the first.

    Raises:
        PictureError: the same reasons as for ``read_picture``, if the head shows them.
    """
    with _opened(Path(path), max_pixels, page, quick=True) as opened:
        return opened.probe()


def count_frames(path: str | os.PathLike[str], max_pixels: int | None = DEFAULT_MAX_PIXELS) -> int:
    """Return the number of frames or pages of a picture file.

    Raises:
        PictureError: as for :func:`probe_picture`.
    """
    return probe_picture(path, max_pixels).frames


@contextlib.contextmanager
def _opened(
    source: Path, max_pixels: int | None, page: int | None, quick: bool = False
) -> Iterator[Opened]:
    with _reading(source), open(source, "rb") as handle:
        size = os.fstat(handle.fileno()).st_size
        kind = format_of(handle.read(_HEAD_BYTES), source)
        install = missing_package(kind)
        if install:
            raise PictureError(
                f"Cannot read {source}: a {kind} file needs another package: {install}"
            )
        with _decoding(source, kind, size):
            opened = _open(handle, size, kind, source, max_pixels, page, quick)
            changed = os.fstat(handle.fileno()).st_mtime_ns
            opened.contents.metadata = replace(opened.contents.metadata, modified_ns=changed)
            yield opened


@contextlib.contextmanager
def _reading(source: Path) -> Iterator[None]:
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
def _decoding(source: Path, kind: str, size_bytes: int) -> Iterator[None]:
    """Turn an error of a decoder into a message.

    Raises:
        PictureError: the file cannot be decoded.
    """
    try:
        yield
    except (PictureError, BackendUnavailableError, *_MISTAKES):
        raise
    except UnsupportedKindError as error:
        raise PictureError(
            f"Cannot read {source}: {error}, which is not supported. Convert it to 8 or 16 bits of "
            "gray, RGB or CMYK in a usual PNG, TIFF or JPEG."
        ) from error
    except MemoryError as error:
        raise PictureError(
            f"Cannot read {source}: there is not enough memory to decode this {kind} file of "
            f"{size_bytes} bytes. Close other programs, or cut the picture into parts."
        ) from error
    except Image.DecompressionBombError as error:
        raise PictureError(
            f"Cannot read {source}: {error}. If you trust the file, raise the limit (max_pixels)."
        ) from error
    except Exception as error:  # decoders raise many types for damaged files
        reason = " ".join(str(error).split()) or type(error).__name__
        raise PictureError(
            f"Cannot read {source}: this {kind} file of {size_bytes} bytes is damaged or cut short "
            f"({reason}). Get the file again."
        ) from error


def _open(
    handle: BinaryIO,
    size: int,
    kind: str,
    source: Path,
    max_pixels: int | None,
    page: int | None,
    quick: bool,
) -> Opened:
    tiff: TiffKind | None = None
    if kind == "PNG":
        contents = scan_png(handle, size, quick)
    elif kind == "JPEG":
        contents = scan_jpeg(handle, size, quick)
    elif kind == "WEBP":
        contents = scan_webp(handle, size)
    elif kind == "TIFF":
        contents, tiff = scan_tiff(handle, size, page, quick)
        check_size(source, *(contents.tile or (1, 1)), max_pixels)
    elif kind in _LOADERS:
        contents = Contents(1, 1, [(0, size)])
    else:
        return PillowOpened(open_with_pillow(handle, kind, source, max_pixels, page))
    check_size(source, contents.width, contents.height, max_pixels)
    if kind == "PNG" and page:
        handle.seek(0)
        return PillowOpened(open_with_pillow(handle, kind, source, max_pixels, page))
    if tiff is not None and tiff.needs_pillow:
        return PillowOpened(
            open_with_pillow(_pieced(handle, contents), kind, source, max_pixels, 0, contents)
        )
    options: dict[str, Any] = {"fail_on": "warning"}
    if kind in ("TIFF", "PNG", "AVIF", "JPEG"):
        options["unlimited"] = True  # the size was checked, or is next
    if kind in ("GIF", "WEBP", "AVIF") and page:
        options["page"] = page
    lock = threading.Lock()
    streams = [
        VipsStream(cast("BinaryIO", PiecedFile(handle, pieces, lock)))
        for pieces in contents.planes or [contents.pieces]
    ]
    with operations():
        image, *others = (opened_by_vips(stream, _LOADERS[kind], **options) for stream in streams)
        if others:
            image = image.bandjoin(others)
        if kind in ("GIF", "AVIF"):
            take_metadata(image, contents)
            check_size(source, contents.width, contents.height, max_pixels)
        if contents.frames > 1 and kind != "TIFF" and page is None:
            contents.notes.append(several_frames(contents.frames))
        contents.width, contents.height = image.width, image.height
        return VipsOpened(contents, streams, image, tiff)


def _pieced(handle: BinaryIO, contents: Contents) -> BinaryIO:
    return cast("BinaryIO", PiecedFile(handle, contents.pieces))
