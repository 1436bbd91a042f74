"""Turn what Pillow has loaded into upright gray or RGB samples."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms
from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from swinir_deploy.errors import PictureError
from swinir_deploy.pictures.picture import Picture
from swinir_deploy.pictures.tiff16 import read_tiff16

__all__ = ["ORIENTATION_TAG", "arrays", "dpi_of", "picture_from_tiff16", "upright"]

ORIENTATION_TAG = 274
"""The tag of EXIF and TIFF that says how the camera was held, from 1 to 8."""


def arrays(
    image: ImageFile, source: Path, notes: list[str]
) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Return pixels and opacity of a loaded Pillow image.

    Args:
        image: the loaded image.
        source: its file, for messages.
        notes: gets a sentence for each change that a user would want to know.

    Returns:
        Pixels [height, width, 1 or 3] uint8 or uint16, and opacity [height, width] of the same
        dtype, or None if all pixels are opaque.

    Raises:
        PictureError: the samples are floating point or have 32 bits, or the colours are LAB or
            HSV.
    """
    mode = image.mode
    if mode.startswith("I;16"):
        return _gray16(image), None
    if mode in ("F", "I"):
        raise PictureError(
            f"Cannot read {source}: its samples are {'floating point' if mode == 'F' else '32 bit'}"
            "; they must be whole numbers of 8 or 16 bits. Convert it."
        )
    if mode in ("LAB", "HSV"):
        raise PictureError(
            f"Cannot read {source}: its colours are {mode}; they must be gray, palette, RGB or "
            "CMYK. Convert it to RGB."
        )
    tags = getattr(image, "tag_v2", {})
    depth = max(np.atleast_1d(tags.get(258, 8)))
    if depth > 8:
        notes.append(
            f"The file's {depth} bits a sample were reduced to 8, because its layout is rare."
        )
    if mode == "CMYK":
        return np.asarray(_cmyk_to_rgb(image, notes)), None
    with_alpha = "transparency" in image.info or mode in ("LA", "La", "PA", "RGBA", "RGBa")
    gray = mode in ("1", "L", "LA", "La")
    expected = ("LA" if gray else "RGBA") if with_alpha else ("L" if gray else "RGB")
    samples = np.asarray(image if mode == expected else image.convert(expected))
    if samples.ndim == 2:
        return samples[..., None], None
    if with_alpha:
        return samples[..., :-1].copy(), samples[..., -1].copy()
    return samples, None


def _gray16(image: ImageFile) -> NDArray[np.uint16]:
    """Return the samples of a gray image of 9 to 16 bits, scaled to the range of 16 bits.

    Returns:
        [height, width, 1] uint16.
    """
    samples = np.asarray(image).astype(np.uint16)[..., None]
    tags = getattr(image, "tag_v2", {})
    top = 2 ** int(np.atleast_1d(tags.get(258, 16))[0]) - 1
    spread: NDArray[np.uint16] = ((samples.astype(np.uint32) * 65535 + top // 2) // top).astype(
        np.uint16
    )
    # The tag PhotometricInterpretation 0 means that 0 is white; Pillow ignores it here.
    return 65535 - spread if tags.get(262) == 0 else spread


def _cmyk_to_rgb(image: ImageFile, notes: list[str]) -> Image.Image:
    profile = image.info.get("icc_profile")
    if profile:
        with contextlib.suppress(ImageCms.PyCMSError, OSError):
            converted = ImageCms.profileToProfile(
                image,
                ImageCms.ImageCmsProfile(io.BytesIO(profile)),
                ImageCms.createProfile("sRGB"),
                outputMode="RGB",
            )
            if converted is not None:
                notes.append("CMYK became sRGB through the file's colour profile.")
                return converted
    notes.append("CMYK became RGB without a colour profile: colours may differ from the print.")
    return image.convert("RGB")


def picture_from_tiff16(data: bytes, tags: ImageFileDirectory_v2) -> Picture:
    """Decode a 16-bit TIFF, with its colour profile, DPI and orientation.

    Args:
        data: the whole file; :func:`.tiff16.is_tiff16` must accept it.
        tags: the tags of its first directory.
    """
    samples = read_tiff16(data, tags)
    colours = 3 if tags[262] == 2 else 1
    pixels = samples[..., :colours].copy()
    alpha = None
    extra = np.atleast_1d(tags.get(338, 0))[0]
    if samples.shape[2] > colours and extra in (1, 2):
        alpha = samples[..., colours].copy()
        if extra == 1:  # colours are multiplied by the opacity
            plain = pixels * (65535.0 / np.maximum(alpha, 1))[..., None]
            pixels = np.rint(np.minimum(plain, 65535)).astype(np.uint16)
    if tags[262] == 0:
        pixels = 65535 - pixels
    dpi = None
    if 282 in tags and 283 in tags:
        per_inch = {2: 1.0, 3: 2.54}.get(tags.get(296, 2))
        dpi = dpi_of((tags[282], tags[283]), per_inch)
    notes = ("The file has several frames; the first is used.",) if tags.next else ()
    picture = Picture(pixels, alpha, tags.get(34675) or None, dpi, notes)
    return upright(picture, int(tags.get(ORIENTATION_TAG, 1)))


def dpi_of(value: Any, factor: float | None = 1.0) -> tuple[float, float] | None:
    """Return the dots per inch (horizontal, vertical), or None if they are missing or absurd.

    Args:
        value: two numbers, or None.
        factor: converts them to dots per inch; None if their unit is unknown.
    """
    if value is None or factor is None:
        return None
    x, y = (float(v) * factor for v in value)
    return (x, y) if 0 < x < 1e6 and 0 < y < 1e6 else None


def upright(picture: Picture, orientation: int) -> Picture:
    """Return the picture upright.

    Args:
        picture: the picture as it is stored.
        orientation: the EXIF value, from 1 (upright) to 8; other values count as 1.
    """
    if orientation not in range(2, 9):
        return picture

    def turn(array: NDArray[Any]) -> NDArray[Any]:
        if orientation >= 5:
            array = array.swapaxes(0, 1)
        if orientation in (2, 3, 6, 7):
            array = array[:, ::-1]
        if orientation in (3, 4, 7, 8):
            array = array[::-1]
        return np.ascontiguousarray(array)

    alpha = None if picture.alpha is None else turn(picture.alpha)
    dpi = picture.dpi[::-1] if picture.dpi and orientation >= 5 else picture.dpi
    return Picture(turn(picture.pixels), alpha, picture.icc_profile, dpi, picture.notes)
