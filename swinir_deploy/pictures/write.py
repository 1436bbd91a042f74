"""Write picture files: PNG, JPEG, WebP, TIFF and BMP, 8 and 16 bits, whole or row by row.

Pillow encodes them, except where it would reduce 16 bits to 8 or needs the whole picture in memory
(:mod:`.png_writer`, :mod:`.tiff_writer`, :mod:`.jpeg_writer`).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from swinir_deploy.errors import InputError, PictureError, UsageError
from swinir_deploy.pictures.jpeg_writer import JpegWriter
from swinir_deploy.pictures.picture import Picture, PictureLayout
from swinir_deploy.pictures.png_writer import COMPRESSION_LEVEL, PngWriter
from swinir_deploy.pictures.read import PICTURE_SUFFIXES
from swinir_deploy.pictures.tiff_writer import TiffWriter
from swinir_deploy.system.files import atomic_output, check_output

__all__ = [
    "DEFAULT_QUALITY",
    "STREAMED",
    "RowSink",
    "check_picture_fits",
    "check_target",
    "stream_picture",
    "write_picture",
]

DEFAULT_QUALITY = 95
"""The quality of JPEG and WebP. It is high, so that the restored detail is kept."""

STREAMED = ("PNG", "TIFF", "JPEG")
"""The formats that :func:`stream_picture` writes."""

_WITH_ALPHA = ("PNG", "WEBP", "TIFF")
_WITH_16_BIT = ("PNG", "TIFF")
_LONGEST_SIDE = {"JPEG": 65_500, "WEBP": 16_383}


class RowSink(Protocol):
    """Takes the rows of a picture from top to bottom."""

    def write_rows(self, rows: NDArray[Any]) -> None:
        """Append [n, width, channels] rows: the colours, then the opacity if there is any."""


# ----------------------------------------------------------------------------------------- checks


def check_target(path: str | os.PathLike[str]) -> str:
    """Check that a picture can be written to a path; call it before a long computation.

    Returns:
        The format that belongs to the suffix, in Pillow's spelling.

    Raises:
        PictureError: the suffix is unknown, the path is a folder, or its parent is not a writable
            folder.
    """
    target = Path(path)
    kind = PICTURE_SUFFIXES.get(target.suffix.lower())
    if kind is None:
        raise PictureError(
            f"Cannot write {target}: the suffix {target.suffix!r} is not one of "
            f"{', '.join(PICTURE_SUFFIXES)}. Give a name with one of these."
        )
    check_output(target, PictureError)
    return kind


def check_picture_fits(
    path: str | os.PathLike[str], layout: PictureLayout, is_transparent: bool
) -> tuple[str, ...]:
    """Check that the format of a file can hold a picture.

    Args:
        path: the file to write; its suffix decides the format.
        layout: layout of the picture.
        is_transparent: whether any pixel is not opaque.

    Returns:
        Sentences about what the format cannot keep: 16 bits in JPEG, WebP or BMP, a colour profile
        in BMP.

    Raises:
        PictureError: the format cannot hold the transparency or the size of the picture. The
            message names a format that can.
    """
    target = Path(path)
    kind = PICTURE_SUFFIXES[target.suffix.lower()]
    if is_transparent and kind not in _WITH_ALPHA:
        raise PictureError(
            f"Cannot write {target}: the picture has transparent pixels and {kind} cannot hold "
            "them. Write a .png, .tif or .webp instead."
        )
    longest = _LONGEST_SIDE.get(kind)
    if longest is not None and max(layout.height, layout.width) > longest:
        raise PictureError(
            f"Cannot write {target}: {layout.width}x{layout.height} pixels; {kind} holds sides "
            f"of at most {longest}. Write a .png or .tif instead."
        )
    notes = []
    if layout.bit_depth == 16 and kind not in _WITH_16_BIT:
        notes.append(f"16 bits a sample were reduced to 8: {kind} cannot hold more.")
    if kind == "BMP" and layout.icc_profile:
        notes.append("The colour profile was dropped: BMP cannot hold one.")
    return tuple(notes)


# ---------------------------------------------------------------------------------------- writing


def write_picture(
    path: str | os.PathLike[str], picture: Picture, quality: int = DEFAULT_QUALITY
) -> tuple[str, ...]:
    """Write a picture to a file. After a failure there is no file, or the old one.

    Args:
        path: the file to write; its suffix decides the format. Its folder must exist; a file that
            exists is replaced.
        picture: the picture. Its colour profile and DPI are kept if the format can hold them.
        quality: quality of JPEG (1 to 100; from 90 on, chroma is not subsampled) and of WebP (1 to
            99; 100 is lossless).

    Returns:
        Sentences about what the format could not keep; see :func:`check_picture_fits`.

    Raises:
        PictureError: the suffix is unknown, the format cannot hold the transparency or the size of
            the picture, or the file cannot be written.
        UsageError: ``quality`` is outside 1..100.
    """
    target = Path(path)
    _check_quality(quality)
    kind = check_target(target)
    alpha, layout = picture.alpha, picture.layout
    is_transparent = alpha is not None and bool(alpha.min() < np.iinfo(alpha.dtype).max)
    notes = check_picture_fits(target, layout, is_transparent)
    samples = picture.pixels
    if alpha is not None:
        samples = np.concatenate([samples, alpha[..., None]], axis=2)
    with _replacing(target) as temporary:
        if layout.bit_depth == 16 and kind in _WITH_16_BIT:
            with open(temporary, "wb") as handle, _writer(handle, kind, layout) as writer:
                writer.write_rows(samples)
        else:
            samples = _fitting(samples, kind, layout)
            image = Image.fromarray(samples[..., 0] if samples.shape[2] == 1 else samples)
            image.save(temporary, kind, **_options(kind, layout, quality))
    return notes


@contextlib.contextmanager
def stream_picture(
    path: str | os.PathLike[str], layout: PictureLayout, quality: int = DEFAULT_QUALITY
) -> Iterator[RowSink]:
    """Yield a sink that writes a picture row by row; the file exists only if the block succeeds.

    The file has the same pixels as one of :func:`write_picture`. The caller must have called
    :func:`check_picture_fits`.

    Args:
        path: the file to write, with the suffix of a format in :data:`STREAMED`.
        layout: layout of the picture.
        quality: quality of JPEG, from 1 to 100.

    Raises:
        PictureError: the format can only be written as a whole, or the file cannot be written.
        UsageError: ``quality`` is outside 1..100.
    """
    target = Path(path)
    _check_quality(quality)
    kind = check_target(target)
    if kind not in STREAMED:
        raise PictureError(
            f"Cannot write {target} in strips: {kind} can only be written as a whole. Write a "
            ".png, .tif or .jpg instead."
        )
    with _replacing(target) as temporary, open(temporary, "wb") as handle:
        if kind == "JPEG":
            colours = layout.colours
            options = _options(kind, layout, quality)
            with JpegWriter(
                handle, layout.width, layout.height, colours, target.parent, options
            ) as jpeg:
                yield _Fitted(jpeg, kind, layout)
        else:
            with _writer(handle, kind, layout) as writer:
                yield writer


def _check_quality(quality: int) -> None:
    if not 1 <= quality <= 100:
        raise UsageError(f"quality is {quality}; it must be from 1 to 100. Give another value.")


@contextlib.contextmanager
def _replacing(target: Path) -> Iterator[Path]:
    try:
        with atomic_output(target) as temporary:
            yield temporary
    except PictureError:
        raise
    except InputError as error:
        raise PictureError(str(error)) from error


def _writer(handle: BinaryIO, kind: str, layout: PictureLayout) -> PngWriter | TiffWriter:
    return (PngWriter if kind == "PNG" else TiffWriter)(
        handle,
        layout.width,
        layout.height,
        layout.channels,
        layout.dtype,
        layout.icc_profile,
        layout.dpi,
    )


class _Fitted:
    """Converts rows to what the format can hold, and passes them on."""

    def __init__(self, sink: RowSink, kind: str, layout: PictureLayout) -> None:
        self._sink, self._kind, self._layout = sink, kind, layout

    def write_rows(self, rows: NDArray[Any]) -> None:
        self._sink.write_rows(_fitting(rows, self._kind, self._layout))


def _fitting(samples: NDArray[Any], kind: str, layout: PictureLayout) -> NDArray[np.uint8]:
    """Return samples with 8 bits, and without opacity if the format cannot hold any.

    The caller has checked that all pixels are opaque in that case.
    """
    if samples.dtype == np.uint16:
        samples = ((samples.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if layout.has_alpha and kind not in _WITH_ALPHA:
        samples = samples[..., :-1]
    return samples


def _options(kind: str, layout: PictureLayout, quality: int) -> dict[str, Any]:
    """Return the options of Pillow's encoder."""
    options: dict[str, Any] = {}
    # WebP stores gray as RGB, which a gray profile does not fit.
    if layout.icc_profile and not (kind == "WEBP" and layout.colours == 1):
        options["icc_profile"] = layout.icc_profile
    if layout.dpi:
        options["dpi"] = layout.dpi
    if kind == "JPEG":
        options |= {"quality": quality, "subsampling": 0 if quality >= 90 else 2}
    elif kind == "WEBP":
        options |= {"quality": quality, "lossless": quality == 100, "exact": True}
    elif kind == "PNG":
        options["compress_level"] = COMPRESSION_LEVEL
    elif kind == "TIFF":
        options["compression"] = "tiff_adobe_deflate"
    return options
