"""Pictures for the calibration and the proof of a half-precision export."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from swinir_deploy.errors import InputError
from swinir_deploy.models.load import LoadedModel
from swinir_deploy.network.config import SwinIRConfig
from swinir_deploy.pictures.read import PICTURE_SUFFIXES, read_picture
from swinir_deploy.pictures.values import nchw_values, to_levels

__all__ = [
    "MAX_PICTURES",
    "MAX_SIDE",
    "NamedPicture",
    "builtin_pictures",
    "fit",
    "hostile_pictures",
    "pictures_of_folder",
]

MAX_PICTURES = 32
"""Largest number of pictures that are read from a folder. That many show how the stream's maximum
varies, and take about a minute."""

MAX_SIDE = 128
"""Largest side in pixels of the part that is cut from the middle of a folder's picture."""

_DEFAULT_NOISE, _DEFAULT_QUALITY = 50, 10
"""The strongest degradation of the official models, for models without a value in the catalogue."""


@dataclass(frozen=True, eq=False)
class NamedPicture:
    """One picture.

    Attributes:
        name: name in messages and reports.
        values: [1, channels, height, width] float32 in 0..1, each a multiple of 1/255, so that a
            graph that takes bytes gets the same picture.
    """

    name: str
    values: NDArray[np.float32]


def builtin_pictures(model: LoadedModel) -> list[NamedPicture]:
    """Return eight crops of photographs, degraded as ``model`` expects its input.

    For super-resolution they stay as they are. For denoising they get noise of the model's sigma.
    For JPEG models they are compressed at the model's quality.

    Returns:
        Pictures of 64x64 pixels.
    """
    data = (files("swinir_deploy") / "precision" / "crops.png").read_bytes()
    with Image.open(io.BytesIO(data)) as sheet:
        side = sheet.height
        boxes = [(left, 0, left + side, side) for left in range(0, sheet.width, side)]
        crops = [sheet.crop(box) for box in boxes]
    degraded = [_degraded(crop.convert(_mode(model.config)), model) for crop in crops]
    return [
        NamedPicture(f"built-in crop {number}", _values(pixels, model.config.in_chans))
        for number, pixels in enumerate(degraded, 1)
    ]


def pictures_of_folder(folder: str | os.PathLike[str], config: SwinIRConfig) -> list[NamedPicture]:
    """Read the middle of every picture of a folder.

    The pictures should be typical inputs of the model; they are not degraded further. From a
    folder with more than :data:`MAX_PICTURES` pictures, that many are read, evenly spaced by name.

    Returns:
        Pictures of at most :data:`MAX_SIDE` pixels a side. Pictures that are smaller than a window
        are repeated.

    Raises:
        InputError: there is no such folder, or it holds no picture.
        PictureError: a picture cannot be read.
    """
    place = Path(folder)
    if not place.is_dir():
        raise InputError(f"There is no folder {place}; --calibrate takes a folder of pictures.")
    paths = sorted(p for p in place.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES)
    if not paths:
        raise InputError(
            f"{place} holds no picture to calibrate with; put some in that end in "
            f"{', '.join(PICTURE_SUFFIXES)}."
        )
    step = max(1, len(paths) / MAX_PICTURES)
    selected = [paths[int(i * step)] for i in range(min(len(paths), MAX_PICTURES))]
    pictures = [
        NamedPicture(path.name, _values(_middle(path, config), config.in_chans))
        for path in selected
    ]
    return [_at_least_a_window(picture, config.side_multiple) for picture in pictures]


def hostile_pictures(config: SwinIRConfig, side_px: int) -> list[NamedPicture]:
    """Return unnatural pictures: flat black and white, noise, a checkerboard, one bright pixel."""
    shape = (side_px, side_px, config.in_chans)
    rows, columns = np.indices(shape[:2])
    board = np.broadcast_to(((rows + columns) % 2 * 255)[:, :, None], shape)
    point = np.zeros(shape)
    point[side_px // 2, side_px // 2] = 255
    noise = np.random.default_rng(0).integers(0, 256, shape)
    pictures = {
        "all black": np.zeros(shape),
        "all white": np.full(shape, 255),
        "noise": noise,
        "checkerboard": board,
        "single bright pixel": point,
    }
    return [NamedPicture(k, _values(v.astype(np.uint8))) for k, v in pictures.items()]


def fit(picture: NamedPicture, side_px: int) -> NamedPicture:
    """Cut the middle of a picture to sides of ``side_px``; repeat the picture if it is small."""
    height, width = picture.values.shape[2:]
    grown = np.tile(picture.values, (1, 1, -(-side_px // height), -(-side_px // width)))
    top, left = (grown.shape[2] - side_px) // 2, (grown.shape[3] - side_px) // 2
    cut = grown[:, :, top : top + side_px, left : left + side_px]
    return NamedPicture(picture.name, np.ascontiguousarray(cut))


def _mode(config: SwinIRConfig) -> str:
    return "L" if config.in_chans == 1 else "RGB"


def _degraded(crop: Image.Image, model: LoadedModel) -> NDArray[np.uint8]:
    if model.task == "jpeg":
        quality = (model.card.quality if model.card else None) or _DEFAULT_QUALITY
        buffer = io.BytesIO()
        crop.save(buffer, "JPEG", quality=quality)
        with Image.open(buffer) as compressed:
            return np.asarray(compressed.convert(crop.mode))
    pixels = np.asarray(crop)
    if model.task == "denoise":
        sigma = (model.card.noise if model.card else None) or _DEFAULT_NOISE
        noise = np.random.default_rng(0).normal(0, sigma, pixels.shape)
        return np.clip(np.round(pixels + noise), 0, 255).astype(np.uint8)
    return pixels


def _middle(path: Path, config: SwinIRConfig) -> NDArray[np.uint8]:
    pixels = read_picture(path).pixels
    height, width = (min(side, MAX_SIDE) for side in pixels.shape[:2])
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    middle = pixels[top : top + height, left : left + width]
    if middle.dtype == np.uint16:
        middle = (middle >> 8).astype(np.uint8)
    elif middle.dtype == np.float32:
        middle = to_levels(middle)
    image = Image.fromarray(middle[..., 0] if middle.shape[2] == 1 else middle)
    return np.asarray(image.convert(_mode(config)))


def _at_least_a_window(picture: NamedPicture, window: int) -> NamedPicture:
    height, width = picture.values.shape[2:]
    repeats = (1, 1, -(-window // height), -(-window // width))
    return NamedPicture(picture.name, np.tile(picture.values, repeats))


def _values(pixels: NDArray[np.uint8], channels: int | None = None) -> NDArray[np.float32]:
    """Return [height, width] or [height, width, c] bytes as [1, channels, height, width].

    A network with other channels than pictures gets those of a picture in turn.
    """
    values = nchw_values(pixels.reshape(1, *pixels.shape[:2], -1))
    if channels in (None, values.shape[1]):
        return values
    turns = np.arange(channels) % values.shape[1]
    return np.ascontiguousarray(values[:, turns])
