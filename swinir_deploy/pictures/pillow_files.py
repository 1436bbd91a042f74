"""Read what libvips does not know: BMP, JPEG 2000, rare TIFF, HEIC, JPEG XL."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.ImageFile import ImageFile

from swinir_deploy.pictures.containers.contents import (
    Contents,
    UnsupportedKindError,
    several_frames,
)
from swinir_deploy.pictures.exif import read_exif
from swinir_deploy.pictures.limits import check_size, pillow_limit
from swinir_deploy.pictures.metadata import Metadata

__all__ = ["PillowFile", "open_with_pillow"]

_PLUGINS = {
    "BMP": "PIL.BmpImagePlugin",
    "JPEG2000": "PIL.Jpeg2KImagePlugin",
    "PNG": "PIL.PngImagePlugin",
    "TIFF": "PIL.TiffImagePlugin",
    "JXL": "pillow_jxl.JpegXLImagePlugin",
}
Samples = tuple[NDArray[Any], NDArray[Any] | None]


@dataclass(frozen=True)
class PillowFile:
    """A file whose head was read.

    Attributes:
        contents: what was found in it.
        colours: 1 for gray, 3 for RGB.
        has_alpha: whether there is opacity.
        bits: bits of a sample, 8 or 16.
        decode: returns pixels [height, width, 1 or 3] and opacity [height, width], or None.
    """

    contents: Contents
    colours: int
    has_alpha: bool
    bits: int
    decode: Callable[[], Samples]


def open_with_pillow(
    stream: BinaryIO,
    kind: str,
    source: Path,
    max_pixels: int | None,
    page: int | None = None,
    contents: Contents | None = None,
) -> PillowFile:
    """Read the head of a file.

    Args:
        stream: the file.
        kind: the name of its format.
        source: its path, for messages.
        max_pixels: the largest accepted number of pixels; None for no limit.
        page: the frame, from 0; None is the first, and a note on others.
        contents: what is known about the file already; None takes it from Pillow.

    Raises:
        PictureError: the picture has no pixels, or too many.
        UnsupportedKindError: its colours or samples are not supported.
    """
    stream.seek(0)
    if kind == "HEIF":
        return _open_heif(stream, source, max_pixels, page)
    __import__(_PLUGINS[kind])  # registers the format; Image.init() would import forty others
    with pillow_limit(None):
        image: ImageFile = Image.OPEN[kind][0](stream, str(source))
        if page:
            image.seek(page)
    check_size(source, image.width, image.height, max_pixels)
    if contents is None:
        contents = _contents_of(image, page)
    tags = getattr(image, "tag_v2", {})
    mode = image.mode
    if mode in ("F", "I", "LAB", "HSV"):
        raise UnsupportedKindError(f"its samples are of the kind {mode}")
    is_gray16 = mode.startswith("I;16")
    gray = mode in ("1", "L", "LA", "La") or is_gray16
    has_alpha = "transparency" in image.info or mode in ("LA", "La", "PA", "RGBA", "RGBa")

    def decode() -> Samples:
        with image:
            image.load()
            if is_gray16:
                return _gray16(image, int(np.atleast_1d(tags.get(258, 16))[0]), tags.get(262)), None
            pixels, alpha = _arrays(image, gray, has_alpha)
        if kind == "BMP" and alpha is not None and not alpha.any():
            # Programs that know no opacity leave these bytes 0.
            contents.notes.append("The opacity of the file is 0 everywhere and was not applied.")
            alpha = np.full_like(alpha, 255)
        return pixels, alpha

    return PillowFile(contents, 1 if gray else 3, has_alpha, 16 if is_gray16 else 8, decode)


def _contents_of(image: ImageFile, page: int | None) -> Contents:
    found = Contents(image.width, image.height)
    info = image.info
    found.frames = int(getattr(image, "n_frames", 1))
    if found.frames > 1 and page is None:
        found.notes.append(several_frames(found.frames))
    found.icc_profile = info.get("icc_profile") or None
    dpi = info.get("dpi")
    if dpi and all(0 < side < 1e6 for side in dpi):
        found.dpi = (float(dpi[0]), float(dpi[1]))
    block = info.get("exif")
    if isinstance(block, bytes) and block:
        block = block.removeprefix(b"Exif\0\0")
        facts = read_exif(block)
        if facts.problem:
            found.damaged("EXIF", facts.problem)
            block = None
    xmp = info.get("xmp")
    found.metadata = Metadata(block or None, xmp if isinstance(xmp, bytes) else None)
    return found


def _arrays(image: ImageFile, gray: bool, has_alpha: bool) -> Samples:
    expected = ("LA" if gray else "RGBA") if has_alpha else ("L" if gray else "RGB")
    samples = np.asarray(image if image.mode == expected else image.convert(expected))
    if samples.ndim == 2:
        return samples[..., None], None
    if has_alpha:
        return samples[..., :-1].copy(), samples[..., -1].copy()
    return samples, None


def _gray16(image: ImageFile, bits: int, photometric: int | None) -> NDArray[np.uint16]:
    """Return the samples of a gray image of 9 to 16 bits, scaled to the range of 16 bits.

    Returns:
        [height, width, 1] uint16.
    """
    samples = np.asarray(image).astype(np.uint16)[..., None]
    top = 2**bits - 1
    spread: NDArray[np.uint16] = ((samples.astype(np.uint32) * 65535 + top // 2) // top).astype(
        np.uint16
    )
    # The tag PhotometricInterpretation 0 means that 0 is white; Pillow ignores it here.
    return np.subtract(65535, spread, dtype=np.uint16) if photometric == 0 else spread


def _open_heif(
    stream: BinaryIO, source: Path, max_pixels: int | None, page: int | None
) -> PillowFile:
    import pillow_heif

    file = pillow_heif.open_heif(io.BytesIO(stream.read()), convert_hdr_to_8bit=False)
    image = file[page or 0]
    check_size(source, *image.size, max_pixels)
    found = Contents(*image.size, frames=len(file))
    if len(file) > 1 and page is None:
        found.notes.append(several_frames(len(file)))
    info: dict[str, Any] = image.info
    block = info.get("exif")
    if block:
        block = bytes(block).removeprefix(b"Exif\0\0")
        facts = read_exif(block)
        found.dpi = facts.dpi
        if facts.problem:
            found.damaged("EXIF", facts.problem)
            block = None
    found.icc_profile = info.get("icc_profile") or None
    # The library has turned the picture upright; the orientation in EXIF is not applied again.
    found.metadata = Metadata(block or None, info.get("xmp") or None)
    has_alpha, bits = image.has_alpha, 16 if ";16" in image.mode else 8

    def decode() -> Samples:
        samples = np.asarray(image)
        if has_alpha:
            return samples[..., :-1].copy(), samples[..., -1].copy()
        return samples if samples.ndim == 3 else samples[..., None], None

    return PillowFile(found, 1 if image.mode.startswith("L") else 3, has_alpha, bits, decode)
