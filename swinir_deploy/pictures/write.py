"""Write picture files, whole or row by row. libvips and Pillow encode them (:mod:`.encode`)."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from swinir_deploy.errors import BackendUnavailableError, InputError, PictureError, UsageError
from swinir_deploy.pictures.encode import (
    DEFAULT_QUALITY,
    Encoding,
    encode,
    encode_array,
    fitting,
    plan_encoding,
)
from swinir_deploy.pictures.formats import FORMATS, PICTURE_SUFFIXES, missing_package
from swinir_deploy.pictures.metadata import Metadata
from swinir_deploy.pictures.picture import Picture, PictureLayout
from swinir_deploy.pictures.row_pipe import MAX_TILE_WIDTH, RowPipe
from swinir_deploy.pictures.vips import VipsStream, is_single_threaded, libvips, opened_by_vips
from swinir_deploy.system.files import atomic_output, check_output

__all__ = [
    "DEFAULT_QUALITY",
    "STREAMED",
    "RowSink",
    "check_picture_fits",
    "check_target",
    "encoder_bytes",
    "stream_picture",
    "write_picture",
]

STREAMED = tuple(name for name, entry in FORMATS.items() if entry.is_streamed)
"""The formats that :func:`stream_picture` writes."""


_ROWS_IN_ENCODER = 650
_ROWS_OF_WIDE_PICTURE = 1050
"""Rows that libvips holds on their way through its reader and encoder, as measured at widths of
2,000 to 24,000 pixels and 3 to 12 bytes a pixel, and some more."""

_BYTES_IN_ENCODER = 3 << 20


class RowSink(Protocol):
    """Takes the rows of a picture from top to bottom."""

    def write_rows(self, rows: NDArray[Any]) -> None:
        """Append [n, width, channels] rows: the colours, then the opacity if there is any."""


# ----------------------------------------------------------------------------------------- checks


def check_target(path: str | os.PathLike[str]) -> str:
    """Check that a picture can be written to a path; call it before a long computation.

    Returns:
        The name of the format that belongs to the suffix.

    Raises:
        PictureError: the suffix is unknown, its format needs a package that is missing, the path is
            a folder, or its parent is not a writable folder.
    """
    target = Path(path)
    kind = PICTURE_SUFFIXES.get(target.suffix.lower())
    if kind is None:
        raise PictureError(
            f"Cannot write {target}: the suffix {target.suffix!r} is not one of "
            f"{', '.join(sorted(PICTURE_SUFFIXES))}. Give a name with one of these."
        )
    install = missing_package(kind)
    if install:
        raise PictureError(f"Cannot write {target}: {kind} needs another package: {install}")
    check_output(target, PictureError)
    return kind


def check_picture_fits(
    path: str | os.PathLike[str],
    layout: PictureLayout,
    is_transparent: bool,
    quality: int | None = None,
) -> tuple[str, ...]:
    """Check that the format of a file can hold a picture.

    Args:
        path: the file to write; its suffix decides the format.
        layout: layout of the picture.
        is_transparent: whether any pixel is not opaque.
        quality: as in :func:`write_picture`.

    Returns:
        Sentences about what the format cannot keep, such as 16 bits or a colour profile.

    Raises:
        PictureError: the format cannot hold the transparency or the size of the picture. The
            message names a format that can.
    """
    target = Path(path)
    kind = PICTURE_SUFFIXES[target.suffix.lower()]
    entry = FORMATS[kind]
    if is_transparent and not entry.has_alpha:
        raise PictureError(
            f"Cannot write {target}: the picture has transparent pixels and {kind} cannot hold "
            "them. Write a .png, .tif or .webp instead."
        )
    if max(layout.height, layout.width) > entry.longest_side:
        raise PictureError(
            f"Cannot write {target}: {layout.width}x{layout.height} pixels; {kind} holds sides "
            f"of at most {entry.longest_side}. Write a .png or .tif instead."
        )
    return plan_encoding(layout, kind, quality).notes


# ---------------------------------------------------------------------------------------- writing


def write_picture(
    path: str | os.PathLike[str], picture: Picture, quality: int | None = None
) -> tuple[str, ...]:
    """Write a picture to a file. After a failure there is no file, or the old one.

    Args:
        path: the file to write; its suffix decides the format. Its folder must exist; a file that
            exists is replaced.
        picture: the picture. Its colour profile, DPI and metadata are kept if the format can hold
            them.
        quality: quality of formats with loss, from 1 to 100. In a JPEG, chroma is not subsampled
            from 90 on; 100 is lossless in a WebP or AVIF. None means :data:`DEFAULT_QUALITY`, and
            no loss in a WebP for a picture that came from a WebP without loss.

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
    layout = picture.layout
    notes = check_picture_fits(target, layout, picture.is_transparent, quality)
    samples = picture.pixels
    if picture.alpha is not None and FORMATS[kind].has_alpha:
        samples = np.concatenate([samples, picture.alpha[..., None]], axis=2)
        encoding = plan_encoding(layout, kind, quality)
    else:
        encoding = plan_encoding(_without_alpha(layout), kind, quality)
    with _replacing(target, layout.metadata) as handle:
        encode_array(samples, encoding, handle)
    return notes


def _without_alpha(layout: PictureLayout) -> PictureLayout:
    return replace(layout, has_alpha=False)


@contextlib.contextmanager
def stream_picture(
    path: str | os.PathLike[str], layout: PictureLayout, quality: int | None = None
) -> Iterator[RowSink]:
    """Yield a sink that writes a picture row by row; the file exists only if the block succeeds.

    The file is that of :func:`write_picture`. The caller must have called
    :func:`check_picture_fits`.

    Args:
        path: the file to write, with the suffix of a format in :data:`STREAMED`.
        layout: layout of the picture.
        quality: as in :func:`write_picture`.

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
    encoding = plan_encoding(layout, kind, quality)
    with (
        _replacing(target, layout.metadata) as handle,
        _EncoderThread(encoding, handle) as encoder,
    ):
        yield encoder


def encoder_bytes(width: int, pixel_bytes: int) -> int:
    """Return the peak memory of writing a picture row by row, in bytes.

    Args:
        width: columns of pixels.
        pixel_bytes: size of a pixel in bytes.
    """
    rows = _ROWS_IN_ENCODER if width <= MAX_TILE_WIDTH else _ROWS_OF_WIDE_PICTURE
    return rows * width * pixel_bytes + _BYTES_IN_ENCODER


class _EncoderThread:
    """Encodes rows in a thread of its own, while the caller makes the next ones."""

    def __init__(self, encoding: Encoding, handle: BinaryIO) -> None:
        layout = encoding.layout
        channels = layout.channels if FORMATS[encoding.kind].has_alpha else layout.colours
        self._encoding = encoding
        self._handle = handle
        is_tiled = layout.width <= MAX_TILE_WIDTH and is_single_threaded()
        self._pipe = RowPipe(layout.height, layout.width, channels, encoding.dtype, is_tiled)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="swinir-encode")

    def write_rows(self, rows: NDArray[Any]) -> None:
        """Append [n, width, channels] rows."""
        self._pipe.write_rows(fitting(rows, self._encoding))

    def _run(self) -> None:
        stream = VipsStream(self._pipe)  # type: ignore[arg-type]
        try:
            image = opened_by_vips(stream, "tiff", unlimited=True, fail_on="warning")
            encode(image, self._encoding, self._handle)
            if stream.error is not None:
                raise stream.error
        except BaseException as error:  # the caller's thread raises it
            self._error = stream.error or error
        finally:
            if self._error is not None:
                self._pipe.break_off()

    def __enter__(self) -> _EncoderThread:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: Any
    ) -> None:
        try:
            if kind is None:
                self._pipe.finish()
        finally:
            if kind is not None or self._pipe.is_short:
                self._pipe.break_off()
            self._thread.join()
        if self._error is not None and (kind is None or isinstance(error, BrokenPipeError)):
            raise self._error


def _check_quality(quality: int | None) -> None:
    if quality is not None and not 1 <= quality <= 100:
        raise UsageError(f"quality is {quality}; it must be from 1 to 100. Give another value.")


@contextlib.contextmanager
def _replacing(target: Path, metadata: Metadata) -> Iterator[BinaryIO]:
    """Yield a new file that replaces the target if the block succeeds."""
    try:
        with atomic_output(target) as temporary:
            with open(temporary, "w+b") as handle:
                try:
                    yield handle
                except libvips().Error as error:
                    reason = " ".join(str(error).split())
                    raise PictureError(
                        f"Cannot write {target}: {reason}. Try another format."
                    ) from error
            if metadata.modified_ns is not None:
                os.utime(temporary, ns=(time.time_ns(), metadata.modified_ns))
    except (PictureError, BackendUnavailableError):
        raise
    except InputError as error:
        raise PictureError(str(error)) from error
