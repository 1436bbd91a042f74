"""Picture files: PNG, JPEG, WebP, TIFF and BMP, 8 and 16 bit, read and written whole.

Pillow does the work, except where it would reduce 16 bits to 8 (:mod:`.png16`, :mod:`.tiff16`).
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import (
    BmpImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from swinir_deploy.atomic import atomic_output
from swinir_deploy.errors import InputError, PictureError, UsageError
from swinir_deploy.imaging.decode import (
    ORIENTATION_TAG,
    arrays,
    dpi_of,
    picture_from_tiff16,
    upright,
)
from swinir_deploy.imaging.limits import DEFAULT_MAX_PIXELS, check_size, pillow_limit
from swinir_deploy.imaging.picture import Picture
from swinir_deploy.imaging.png16 import Png16Writer, is_png16, read_png16
from swinir_deploy.imaging.tiff16 import is_tiff16, tiff_tags, write_tiff16

__all__ = [
    "DEFAULT_QUALITY",
    "PICTURE_SUFFIXES",
    "check_target",
    "read_picture",
    "write_picture",
]

DEFAULT_QUALITY = 95
"""Of JPEG and WebP output: restored detail is what the user came for."""

PICTURE_SUFFIXES = {
    ".bmp": "BMP",
    ".jpeg": "JPEG",
    ".jpg": "JPEG",
    ".png": "PNG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WEBP",
}
"""File name suffix (lower case) -> format, for reading and writing."""

# Importing a plug-in registers it in Image.OPEN; Image.init() would import some forty others.
_FORMATS = {
    "PNG": PngImagePlugin,
    "JPEG": JpegImagePlugin,
    "WEBP": WebPImagePlugin,
    "TIFF": TiffImagePlugin,
    "BMP": BmpImagePlugin,
}
_WITH_ALPHA = ("PNG", "WEBP", "TIFF")
_WITH_16_BIT = ("PNG", "TIFF")
_LONGEST_SIDE = {"JPEG": 65_500, "WEBP": 16_383}


# ---------------------------------------------------------------------------------------- reading


def read_picture(
    path: str | os.PathLike[str], max_pixels: int | None = DEFAULT_MAX_PIXELS
) -> Picture:
    """Read one picture file; what it is comes from its content, not from its name.

    The picture comes upright (EXIF orientation applied). Palettes become RGB, bilevel becomes
    gray, CMYK becomes RGB through its colour profile where it has one. Of several frames or pages
    the first is read. 16 bits stay 16 bits. Other EXIF data (camera, place) is not kept.

    Args:
        path: the file.
        max_pixels: refuse larger pictures before decoding them; None for no limit.

    Raises:
        PictureError: no such file, a folder, an empty, damaged or foreign file, more than
            ``max_pixels``, or a kind of pixel that is not supported (floating point, 32 bit).
    """
    source = Path(path)
    try:
        with open(source, "rb") as handle:
            head = handle.read(16)
            kind = _format_of(head, source)
            data = head + handle.read()
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
    try:
        return _decode(data, kind, source, max_pixels)
    except (PictureError, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise PictureError(
            f"Cannot read {source}: {error}. If the file is to be trusted, raise the limit "
            "(max_pixels)."
        ) from error
    except Exception as error:  # Pillow's decoders raise many types for damaged files.
        raise PictureError(
            f"Cannot read {source}: this {kind} file of {len(data)} bytes is damaged, cut short or "
            f"of a rare kind ({error}). Get the file again, or convert it."
        ) from error


def _format_of(head: bytes, source: Path) -> str:
    """One of ``_FORMATS``, by the first 16 bytes."""
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


def _decode(data: bytes, kind: str, source: Path, max_pixels: int | None) -> Picture:
    if kind == "TIFF":
        tags = tiff_tags(data)
        width, height = int(tags[256]), int(tags[257])
        check_size(source, width, height, max_pixels)
        # A tile may be larger than the picture, and is allocated whole.
        check_size(source, int(tags.get(322, width)), int(tags.get(323, height)), max_pixels)
        if is_tiff16(data, tags):
            return picture_from_tiff16(data, tags)
    # WebP allocates when it is opened; the others are checked after that.
    with pillow_limit(max_pixels if kind == "WEBP" else None):
        opened = Image.OPEN[kind][0](io.BytesIO(data), str(source))
        # Cameras put previews behind a JPEG; those are no frames that anyone would miss.
        frames = 1 if kind == "JPEG" else int(getattr(opened, "n_frames", 1))
        if kind == "TIFF":
            opened.load_prepare()  # looks at Pillow's limit, too
    with opened as image:
        check_size(source, image.width, image.height, max_pixels)
        notes = [f"The file has {frames} frames; the first is used."] if frames > 1 else []
        image.load()
        if kind == "PNG" and is_png16(data):
            pixels, alpha = read_png16(data)
        else:
            pixels, alpha = arrays(image, source, notes)
        icc_profile = None if image.mode == "CMYK" else image.info.get("icc_profile") or None
        picture = Picture(pixels, alpha, icc_profile, dpi_of(image.info.get("dpi")), tuple(notes))
        # Asked after loading: a PNG may hold it behind the pixels, and for a TIFF Pillow has then
        # turned the picture already and forgotten the tag.
        return upright(picture, int(image.getexif().get(ORIENTATION_TAG, 1)))


# ---------------------------------------------------------------------------------------- writing


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
    if target.is_dir():
        raise PictureError(f"Cannot write {target}: it is a folder. Give a file name.")
    if not target.parent.is_dir():
        raise PictureError(
            f"Cannot write {target}: {target.parent} is not a folder. Make it first."
        )
    if not os.access(target.parent, os.W_OK):
        raise PictureError(
            f"Cannot write {target}: the folder {target.parent} may not be written to. Give "
            "another one, or change its permissions."
        )
    return kind


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
        What the format could not keep, as sentences: 16 bits in JPEG, WebP or BMP, a colour
        profile in BMP.

    Raises:
        PictureError: an unknown suffix, transparency or a size that the format cannot hold (the
            message names one that can), or a target that cannot be written.
        UsageError: ``quality`` outside 1..100.
    """
    target = Path(path)
    if not 1 <= quality <= 100:
        raise UsageError(f"quality is {quality}; it must be from 1 to 100.")
    kind = check_target(target)
    _check_fits(target, kind, picture)
    notes = []
    if picture.bit_depth == 16 and kind not in _WITH_16_BIT:
        notes.append(f"16 bits a sample were reduced to 8: {kind} holds no more.")
    if kind == "BMP" and picture.icc_profile:
        notes.append("The colour profile was dropped: BMP holds none.")
    try:
        with atomic_output(target) as temporary:
            if picture.bit_depth == 16 and kind in _WITH_16_BIT:
                _write_16_bit(temporary, kind, picture)
            else:
                _write_8_bit(temporary, kind, picture, quality)
    except PictureError:
        raise
    except InputError as error:
        raise PictureError(str(error)) from error
    return tuple(notes)


def _check_fits(target: Path, kind: str, picture: Picture) -> None:
    alpha = picture.alpha
    if alpha is not None and kind not in _WITH_ALPHA and alpha.min() < np.iinfo(alpha.dtype).max:
        raise PictureError(
            f"Cannot write {target}: the picture has transparent pixels and {kind} holds none. "
            "Write a .png, .tif or .webp instead."
        )
    longest = _LONGEST_SIDE.get(kind)
    if longest is not None and max(picture.height, picture.width) > longest:
        raise PictureError(
            f"Cannot write {target}: {picture.width}x{picture.height} pixels; {kind} holds sides "
            f"of at most {longest}. Write a .png or .tif instead."
        )


def _samples(picture: Picture) -> NDArray[Any]:
    """[height, width, 1 to 4]: the colours, then the opacity if there is one."""
    if picture.alpha is None:
        return picture.pixels
    return np.concatenate([picture.pixels, picture.alpha[..., None]], axis=2)


def _write_16_bit(temporary: Path, kind: str, picture: Picture) -> None:
    samples = _samples(picture)
    height, width, channels = samples.shape
    with open(temporary, "wb") as handle:
        if kind == "TIFF":
            write_tiff16(handle, samples, picture.icc_profile, picture.dpi)
            return
        with Png16Writer(
            handle, width, height, channels, picture.icc_profile, picture.dpi
        ) as writer:
            writer.write_rows(samples)


def _write_8_bit(temporary: Path, kind: str, picture: Picture, quality: int) -> None:
    samples = _samples(picture)
    if samples.dtype == np.uint16:
        samples = ((samples.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if kind not in _WITH_ALPHA and picture.alpha is not None:  # opaque: checked before
        samples = samples[..., :-1]
    image = Image.fromarray(samples[..., 0] if samples.shape[2] == 1 else samples)
    options: dict[str, Any] = {}
    if picture.icc_profile and not (kind == "WEBP" and picture.is_gray):  # it stores RGB
        options["icc_profile"] = picture.icc_profile
    if picture.dpi:
        options["dpi"] = picture.dpi
    if kind == "JPEG":
        options |= {"quality": quality, "subsampling": 0 if quality >= 90 else 2}
    elif kind == "WEBP":
        options |= {"quality": quality, "lossless": quality == 100, "exact": True}
    elif kind == "TIFF":
        options["compression"] = "tiff_adobe_deflate"
    image.save(temporary, kind, **options)
