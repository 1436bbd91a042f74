"""Encode a picture into an open file, with everything that its format holds."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from swinir_deploy.pictures.colour import gray_to_srgb
from swinir_deploy.pictures.containers.jpeg import leading_segments, with_jfif
from swinir_deploy.pictures.containers.png import leading_chunks, with_leading_chunks
from swinir_deploy.pictures.containers.tiff_completion import complete_tiff
from swinir_deploy.pictures.containers.webp import with_metadata
from swinir_deploy.pictures.exif import corrected_exif, exif_of_resolution, read_exif
from swinir_deploy.pictures.formats import FORMATS
from swinir_deploy.pictures.icc import colours_of, profile_of_png_colour
from swinir_deploy.pictures.library_metadata import give_metadata
from swinir_deploy.pictures.metadata import Metadata
from swinir_deploy.pictures.picture import PictureLayout, largest_level
from swinir_deploy.pictures.vips import VipsStream, image_of, libvips, operations, samples_of

__all__ = ["DEFAULT_QUALITY", "Encoding", "encode", "encode_array", "fitting", "plan_encoding"]

DEFAULT_QUALITY = 95
"""The quality of JPEG and WebP. It is high, so that the restored detail is kept."""

_JFIF_HEAD_BYTES = 20
_MAX_CLASSIC_TIFF_BYTES = 4_000_000_000
_PNG_OPTIONS = {"compression": 6, "filter": "all"}
_TIFF_OPTIONS = {"compression": "deflate", "tile": False}
_NAMES = {
    "icc": "colour profile",
    "exif": "EXIF",
    "xmp": "XMP",
    "iptc": "IPTC",
    "text": "text",
    "dpi": "DPI",
}
_SRGB_CICP = bytes([1, 13])


@dataclass(frozen=True)
class Encoding:
    """How a picture goes into a file.

    Attributes:
        kind: the name of the format.
        layout: layout of the picture.
        dtype: dtype of the samples in the file.
        quality: from 1 to 100.
        is_lossless: whether to encode without loss, where the format has both.
        metadata: what the format holds of the metadata, corrected for this picture.
        icc_profile: the colour profile of the file, or None.
        dpi: the DPI of the file, or None.
        gray_profile: the profile through which gray becomes sRGB, or None.
        notes: sentences for the user about what the format cannot hold.
    """

    kind: str
    layout: PictureLayout
    dtype: np.dtype[Any]
    quality: int
    is_lossless: bool
    metadata: Metadata = field(default_factory=Metadata)
    icc_profile: bytes | None = None
    dpi: tuple[float, float] | None = None
    gray_profile: bytes | None = None
    notes: tuple[str, ...] = ()


def plan_encoding(layout: PictureLayout, kind: str, quality: int | None = None) -> Encoding:
    """Decide how a picture goes into a file, and what is lost.

    Args:
        layout: layout of the picture.
        kind: the name of the format.
        quality: quality from 1 to 100; None means :data:`DEFAULT_QUALITY`, and no loss in a WebP
            for a picture that came from one without loss.
    """
    entry = FORMATS[kind]
    notes: list[str] = []
    depth = min(layout.bit_depth, max(entry.depths))
    if layout.bit_depth == 32 and depth < 32:
        notes.append(f"Floating point became {depth} bits a sample: {kind} cannot hold more.")
    elif depth < layout.bit_depth:
        notes.append(f"16 bits a sample were reduced to 8: {kind} cannot hold more.")
    if kind == "GIF":
        notes.append("GIF holds 256 colours: the others were approximated.")
    icc, gray = _profiles(layout, kind, notes)
    metadata = _corrected(layout)
    dpi = layout.dpi
    if dpi and "dpi" not in entry.holds and "exif" in entry.holds:
        if metadata.exif is None:
            metadata = replace(metadata, exif=exif_of_resolution(dpi))
        if read_exif(metadata.exif or b"").dpi:
            dpi = None  # EXIF says it
    has = {"icc": icc, "dpi": dpi} | {
        n: getattr(metadata, n) for n in ("exif", "xmp", "iptc", "text")
    }
    lost = [name for name in _NAMES if has[name] and name not in entry.holds]
    if kind == "JPEG":
        lost += leading_segments(metadata, icc)[1]
    if lost:
        listed = " and ".join(
            filter(
                None,
                (", ".join(_NAMES.get(n, n) for n in lost[:-1]), _NAMES.get(lost[-1], lost[-1])),
            )
        )
        notes.append(
            f"The {listed} of the picture {'were' if lost[1:] else 'was'} dropped: "
            f"{kind} cannot hold {'them' if lost[1:] else 'it'}."
        )
    kept: dict[str, Any] = {
        n: (None if n != "text" else ()) for n in ("exif", "xmp", "iptc", "text") if n in lost
    }
    if "png_colour" not in entry.holds:
        kept["png_colour"] = ()
    return Encoding(
        kind,
        layout,
        np.dtype({8: np.uint8, 16: np.uint16, 32: np.float32}[depth]),
        DEFAULT_QUALITY if quality is None else quality,
        quality == 100 or (quality is None and layout.is_lossless and kind == "WEBP"),
        replace(metadata, **kept),
        None if "icc" in lost or "colour profile" in lost else icc,
        None if "dpi" in lost else dpi,
        gray,
        tuple(notes),
    )


def _profiles(
    layout: PictureLayout, kind: str, notes: list[str]
) -> tuple[bytes | None, bytes | None]:
    """Return the profile for the file, and the profile through which gray becomes sRGB."""
    profile, chunks = layout.icc_profile, dict(layout.metadata.png_colour)
    if kind != "PNG":
        codes = chunks.get(b"cICP")
        if codes is not None and codes[:2] != _SRGB_CICP:
            notes.append(
                f"The file's space of colours (cICP {'/'.join(map(str, codes))}) was dropped: "
                f"{kind} cannot hold it, and the colours will look different."
            )
        elif profile is None and b"sRGB" not in chunks and codes is None:
            profile = profile_of_png_colour(chunks, layout.colours == 1)
            if profile:
                notes.append("The gamma of the PNG became a colour profile.")
    space = colours_of(profile) if profile else ""
    if profile and space != ("GRAY" if layout.colours == 1 else "RGB"):
        notes.append("The colour profile was dropped: it is damaged, or for other colours.")
        return None, None
    if profile and layout.colours == 1 and not FORMATS[kind].has_gray:
        notes.append(f"Gray became sRGB through its colour profile: {kind} has no gray.")
        return None, profile
    return profile, None


def _corrected(layout: PictureLayout) -> Metadata:
    metadata = layout.metadata
    if metadata.exif is None:
        return metadata
    return replace(metadata, exif=corrected_exif(metadata.exif, layout.width, layout.height))


def fitting(samples: NDArray[Any], encoding: Encoding) -> NDArray[Any]:
    """Return samples in the depth of the file, and without opacity if it cannot hold any.

    The caller has checked that all pixels are opaque in that case.
    """
    dtype, layout = encoding.dtype, encoding.layout
    if layout.has_alpha and not FORMATS[encoding.kind].has_alpha:
        samples = samples[..., :-1]
    if samples.dtype == dtype:
        low, high = layout.value_range
        if dtype.kind == "f" and (low, high) != (0.0, 1.0):
            samples = samples.copy()
            samples[..., : layout.colours] *= np.float32(high - low)
            samples[..., : layout.colours] += np.float32(low)
        return samples
    if samples.dtype.kind == "f":
        levels: NDArray[Any] = np.rint(samples * np.float32(largest_level(dtype))).astype(dtype)
        return levels
    return ((samples.astype(np.uint32) + 128) // 257).astype(np.uint8)


# ---------------------------------------------------------------------------------------- encoders


def encode(image: Any, encoding: Encoding, handle: BinaryIO) -> None:
    """Encode an image of libvips in a format that libvips writes.

    Args:
        image: the samples as :func:`fitting` gives them.
        encoding: how to encode it.
        handle: an empty file, open for reading and writing.

    Raises:
        OSError: the file cannot be written.
        pyvips.Error: libvips cannot encode the image.
    """
    if encoding.gray_profile:
        with operations():
            image = gray_to_srgb(image, encoding.gray_profile)
    _ENCODERS[encoding.kind](image, encoding, handle)


def _saved(image: Any, saver: str, stream: BinaryIO, **options: Any) -> None:
    """Let libvips write an image to a stream."""
    target = VipsStream(stream)
    try:
        libvips().Operation.call(f"{saver}save_target", image, target.target(), **options)
    except Exception:
        if target.error is not None:
            raise target.error from None
        raise
    if target.error is not None:
        raise target.error


class _Spliced:
    """Passes on what an encoder writes, with other bytes in the place of the first ones.

    ``change`` gets all bytes so far, and returns what to write instead, or None if it needs more.
    """

    def __init__(self, handle: BinaryIO, change: Callable[[bytes], bytes | None]) -> None:
        self._handle, self._change = handle, change
        self._head: bytes | None = b""

    def write(self, data: Any) -> int:
        if self._head is None:
            self._handle.write(data)
            return len(data)
        self._head += bytes(data)
        changed = self._change(self._head)
        if changed is not None:
            self._head = None
            self._handle.write(changed)
        return len(data)

    def read(self, size: int) -> bytes:
        return b""

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return -1


def _png(image: Any, encoding: Encoding, handle: BinaryIO) -> None:
    beside = leading_chunks(encoding.metadata, encoding.icc_profile, encoding.dpi)
    spliced = _Spliced(handle, lambda head: with_leading_chunks(head, beside))
    _saved(image, "png", cast("BinaryIO", spliced), keep="none", **_PNG_OPTIONS)


def _jpeg(image: Any, encoding: Encoding, handle: BinaryIO) -> None:
    segments, _ = leading_segments(encoding.metadata, encoding.icc_profile)

    def with_segments(head: bytes) -> bytes | None:
        if len(head) < _JFIF_HEAD_BYTES:
            return None
        before, rest = with_jfif(head, encoding.dpi)
        return before + segments + rest

    spliced = _Spliced(handle, with_segments)
    sampling = "off" if encoding.quality >= 90 else "on"
    options = {"Q": encoding.quality, "subsample_mode": sampling, "keep": "none"}
    _saved(image, "jpeg", cast("BinaryIO", spliced), **options)


def _tiff(image: Any, encoding: Encoding, handle: BinaryIO) -> None:
    size = image.width * image.height * image.bands * encoding.dtype.itemsize
    options = dict(_TIFF_OPTIONS, bigtiff=size > _MAX_CLASSIC_TIFF_BYTES)
    if encoding.dtype.kind != "f":
        options["predictor"] = "horizontal"
    _saved(image, "tiff", handle, keep="none", **options)
    complete_tiff(handle, encoding.metadata, encoding.icc_profile, encoding.dpi)


def _webp(image: Any, encoding: Encoding, handle: BinaryIO) -> None:
    data = libvips().Operation.call(
        "webpsave_buffer",
        image,
        Q=encoding.quality,
        lossless=encoding.is_lossless,
        exact=True,
        keep="none",
    )
    layout = encoding.layout
    handle.write(
        with_metadata(data, encoding.metadata, encoding.icc_profile, layout.width, layout.height)
    )


def _avif(image: Any, encoding: Encoding, handle: BinaryIO) -> None:
    image, keep = give_metadata(image, encoding.metadata, encoding.icc_profile)
    options = {"Q": encoding.quality, "lossless": encoding.is_lossless, "compression": "av1"}
    _saved(image, "heif", handle, keep=keep, subsample_mode="off", **options)


def _gif(image: Any, encoding: Encoding, handle: BinaryIO) -> None:
    _saved(image, "gif", handle, keep="none")


def _with_pillow(samples: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(samples[..., 0] if samples.shape[2] == 1 else samples)


def _bmp(samples: NDArray[Any], encoding: Encoding, handle: BinaryIO) -> None:
    options = {"dpi": encoding.dpi} if encoding.dpi else {}
    _with_pillow(samples).save(handle, "BMP", **options)


def _jpeg2000(samples: NDArray[Any], encoding: Encoding, handle: BinaryIO) -> None:
    _with_pillow(samples).save(handle, "JPEG2000", no_jp2=False)


def _heif(samples: NDArray[Any], encoding: Encoding, handle: BinaryIO) -> None:
    import pillow_heif

    metadata = encoding.metadata
    file = pillow_heif.from_pillow(_with_pillow(samples))
    quality = -1 if encoding.is_lossless else encoding.quality
    file.save(
        handle,
        quality=quality,
        exif=metadata.exif,
        xmp=metadata.xmp,
        icc_profile=encoding.icc_profile,
    )


def _jxl(samples: NDArray[Any], encoding: Encoding, handle: BinaryIO) -> None:
    __import__("pillow_jxl")
    metadata = encoding.metadata
    options: dict[str, Any] = {
        name: value
        for name, value in (
            ("exif", metadata.exif),
            ("xmp", metadata.xmp),
            ("icc_profile", encoding.icc_profile),
        )
        if value
    }
    _with_pillow(samples).save(
        handle, "JXL", lossless=encoding.is_lossless, quality=encoding.quality, **options
    )


_ENCODERS = {
    "PNG": _png,
    "JPEG": _jpeg,
    "WEBP": _webp,
    "TIFF": _tiff,
    "GIF": _gif,
    "AVIF": _avif,
}
_PILLOW_ENCODERS = {"BMP": _bmp, "HEIF": _heif, "JPEG2000": _jpeg2000, "JXL": _jxl}


def encode_array(samples: NDArray[Any], encoding: Encoding, handle: BinaryIO) -> None:
    """Encode a whole picture.

    Args:
        samples: [height, width, channels]: the colours, then the opacity if there is any.
        encoding: how to encode it.
        handle: an empty file, open for reading and writing.

    Raises:
        OSError: the file cannot be written.
        pyvips.Error: libvips cannot encode the picture.
    """
    samples = fitting(samples, encoding)
    with_pillow = _PILLOW_ENCODERS.get(encoding.kind)
    if with_pillow is None:
        encode(image_of(samples), encoding, handle)
        return
    if encoding.gray_profile:
        with operations():
            samples = samples_of(gray_to_srgb(image_of(samples), encoding.gray_profile))
    with_pillow(samples, encoding, handle)
