"""Writes picture files: PNG, JPEG, WebP, TIFF and BMP, 8 and 16 bit, whole or row by row.

Pillow does the work, except where it would reduce 16 bits to 8 or wants a picture whole
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
"""Of JPEG and WebP output: restored detail is what the user came for."""

STREAMED = ("PNG", "TIFF", "JPEG")
"""Formats that :func:`stream_picture` writes."""

_WITH_ALPHA = ("PNG", "WEBP", "TIFF")
_WITH_16_BIT = ("PNG", "TIFF")
_LONGEST_SIDE = {"JPEG": 65_500, "WEBP": 16_383}


class RowSink(Protocol):
    """Takes a picture from top to bottom."""

    def write_rows(self, rows: NDArray[Any]) -> None:
        """Append [n, width, channels] rows: the colours, then the opacity if there is one."""


# ----------------------------------------------------------------------------------------- checks


def check_target(path: str | os.PathLike[str]) -> str:
    """Whether a picture could be written there; better asked before hours of computing.

    Returns:
        The format that the suffix stands for, in Pillow's spelling.

    Raises:
        PictureError: an unknown suffix, a folder, or a parent that is no writable folder.
    """
    target = Path(path)
    kind = PICTURE_SUFFIXES.get(target.suffix.lower())
    if kind is None:
        raise PictureError(
            f"Cannot write {target}: the suffix {target.suffix!r} is none of "
            f"{', '.join(PICTURE_SUFFIXES)}. Give a name with one of these."
        )
    check_output(target, PictureError)
    return kind


def check_picture_fits(
    path: str | os.PathLike[str], layout: PictureLayout, is_transparent: bool
) -> tuple[str, ...]:
    """Whether the format of the name's suffix holds a picture.

    Args:
        path: the target.
        layout: of the picture.
        is_transparent: whether any pixel is not opaque.

    Returns:
        What the format could not keep, as sentences: 16 bits in JPEG, WebP or BMP, a colour
        profile in BMP.

    Raises:
        PictureError: transparency or a size that the format cannot hold; the message names one
            that can.
    """
    target = Path(path)
    kind = PICTURE_SUFFIXES[target.suffix.lower()]
    if is_transparent and kind not in _WITH_ALPHA:
        raise PictureError(
            f"Cannot write {target}: the picture has transparent pixels and {kind} holds none. "
            "Write a .png, .tif or .webp instead."
        )
    longest = _LONGEST_SIDE.get(kind)
    if longest is not None and max(layout.height, layout.width) > longest:
        raise PictureError(
            f"Cannot write {target}: {layout.width}x{layout.height} pixels; {kind} holds sides "
            f"of at most {longest}. Write a .png or .tif instead."
        )
    notes = []
    if layout.bit_depth == 16 and kind not in _WITH_16_BIT:
        notes.append(f"16 bits a sample were reduced to 8: {kind} holds no more.")
    if kind == "BMP" and layout.icc_profile:
        notes.append("The colour profile was dropped: BMP holds none.")
    return tuple(notes)


# ---------------------------------------------------------------------------------------- writing


def write_picture(
    path: str | os.PathLike[str], picture: Picture, quality: int = DEFAULT_QUALITY
) -> tuple[str, ...]:
    """Write a picture in the format of the name's suffix; the file is whole or not there.

    Args:
        path: the target; its folder must exist. A file there is replaced.
        picture: what to write. Colour profile and DPI go along where the format has them.
        quality: of JPEG (1 to 100, chroma not subsampled from 90 on) and WebP (1 to 99, or 100
            for lossless).

    Returns:
        What the format could not keep, as sentences; see :func:`check_picture_fits`.

    Raises:
        PictureError: an unknown suffix, transparency or a size that the format cannot hold (the
            message names one that can), or a target that cannot be written.
        UsageError: ``quality`` outside 1..100.
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
    """Write a picture row by row; the file is there when the block has succeeded, else it is not.

    The pixels are those that :func:`write_picture` writes; :func:`check_picture_fits` is the
    caller's to ask.

    Args:
        path: the target, with the suffix of one of the formats ``STREAMED``.
        layout: of the picture.
        quality: of JPEG.

    Raises:
        PictureError: a format that is written whole only, or a target that cannot be written.
        UsageError: ``quality`` outside 1..100.
    """
    target = Path(path)
    _check_quality(quality)
    kind = check_target(target)
    if kind not in STREAMED:
        raise PictureError(
            f"Cannot write {target} in strips: {kind} is written whole. Write a .png, .tif or "
            ".jpg instead."
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
        raise UsageError(f"quality is {quality}; it must be from 1 to 100.")


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
    """Passes rows on as the format takes them."""

    def __init__(self, sink: RowSink, kind: str, layout: PictureLayout) -> None:
        self._sink, self._kind, self._layout = sink, kind, layout

    def write_rows(self, rows: NDArray[Any]) -> None:
        self._sink.write_rows(_fitting(rows, self._kind, self._layout))


def _fitting(samples: NDArray[Any], kind: str, layout: PictureLayout) -> NDArray[np.uint8]:
    """8 bits a sample, without opacity where the format has none (checked before: all opaque)."""
    if samples.dtype == np.uint16:
        samples = ((samples.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if layout.has_alpha and kind not in _WITH_ALPHA:
        samples = samples[..., :-1]
    return samples


def _options(kind: str, layout: PictureLayout, quality: int) -> dict[str, Any]:
    """Of Pillow's encoder."""
    options: dict[str, Any] = {}
    if layout.icc_profile and not (kind == "WEBP" and layout.colours == 1):  # it stores RGB
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
