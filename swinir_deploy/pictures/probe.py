"""Read the size and kind of a picture file from its head, and the memory that decoding takes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL.ImageFile import ImageFile

from swinir_deploy.pictures.decode import ORIENTATION_TAG
from swinir_deploy.pictures.limits import DEFAULT_MAX_PIXELS
from swinir_deploy.pictures.picture import PictureLayout
from swinir_deploy.pictures.png16 import is_png16
from swinir_deploy.pictures.read import decoding, format_of, opened, opened_tiff, reading
from swinir_deploy.pictures.tiff16 import is_tiff16

__all__ = ["ProbedFile", "probe_picture"]


@dataclass(frozen=True)
class ProbedFile:
    """What a picture file says about itself.

    Attributes:
        layout: layout of the picture that reading gives, without colour profile and DPI.
        decode_bytes: peak memory of reading in bytes, including the result; an upper bound.
            Pillow decodes pictures as a whole, with four bytes for a pixel that is not gray.
    """

    layout: PictureLayout
    decode_bytes: int


def probe_picture(
    path: str | os.PathLike[str], max_pixels: int | None = DEFAULT_MAX_PIXELS
) -> ProbedFile:
    """Read the head of a picture file.

    Args:
        path: the file.
        max_pixels: the largest accepted number of pixels; None for no limit.

    Raises:
        PictureError: the same reasons as for ``read_picture``, if the head shows them.
    """
    source = Path(path)
    with reading(source), open(source, "rb") as handle:
        size = os.fstat(handle.fileno()).st_size
        head = handle.read(26)
        kind = format_of(head[:16], source)
        handle.seek(0)
        with decoding(source, kind, size):
            return _probe(handle, size, head, kind, source, max_pixels)


def _probe(
    handle: BinaryIO, size: int, head: bytes, kind: str, source: Path, max_pixels: int | None
) -> ProbedFile:
    if kind == "TIFF":
        tags = opened_tiff(handle, source, max_pixels)
        if is_tiff16(size, tags):
            samples = int(tags.get(277, 1))
            colours = 3 if tags[262] == 2 else 1
            is_turned = int(tags.get(ORIENTATION_TAG, 1)) >= 5
            layout = _layout(tags[256], tags[257], is_turned, colours, samples > colours, 16)
            # The file and a copy of it, then four pictures: Pillow's, this package's, the one of
            # the predictor, and the one that is turned upright.
            return ProbedFile(layout, 2 * size + tags[256] * tags[257] * samples * 2 * 4)
        handle.seek(0)
    image, _ = opened(handle, kind, source, max_pixels)
    pixels = image.width * image.height
    is_turned = int(image.getexif().get(ORIENTATION_TAG, 1)) >= 5
    has_alpha = "transparency" in image.info or image.mode in ("LA", "La", "PA", "RGBA", "RGBa")
    if kind == "PNG" and is_png16(head):
        colours = 1 if head[25] in (0, 4) else 3
        layout = _layout(image.width, image.height, is_turned, colours, has_alpha, 16)
        # The file three times, and Pillow's picture. Then seven times the samples: the filtered
        # bytes, the 16-bit integers in which filters are undone, the bytes of the result, the
        # samples, and the colours without the opacity.
        return ProbedFile(layout, 3 * size + pixels * (4 + 7 * layout.pixel_bytes))
    is_gray = image.mode in ("1", "L", "LA", "La") or image.mode.startswith("I;16")
    bits = 16 if image.mode.startswith("I;16") else 8
    layout = _layout(image.width, image.height, is_turned, 1 if is_gray else 3, has_alpha, bits)
    each = _pillow_pixel_bytes(image) + 2 * layout.pixel_bytes
    if has_alpha or image.mode not in ("L", "RGB"):
        each += 4 + layout.pixel_bytes  # the converted picture, and colours without opacity
    if kind == "WEBP":
        each += 12  # the two canvases of the decoder, and its result
    return ProbedFile(layout, size + pixels * each)


def _pillow_pixel_bytes(image: ImageFile) -> int:
    if image.mode in ("1", "L", "P"):
        return 1
    return 2 if image.mode.startswith("I;16") else 4


def _layout(
    width: int, height: int, is_turned: bool, colours: int, has_alpha: bool, bits: int
) -> PictureLayout:
    sides = (height, width) if is_turned else (width, height)
    dtype = np.dtype(np.uint16 if bits == 16 else np.uint8)
    return PictureLayout(int(sides[0]), int(sides[1]), colours, has_alpha, dtype)
