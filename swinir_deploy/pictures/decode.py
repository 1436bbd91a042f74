"""Decode the pixels of a file that was opened: upright, in gray or RGB, as arrays."""

from __future__ import annotations

import abc
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swinir_deploy.pictures.colour import in_gray_or_rgb, lab_of_bytes
from swinir_deploy.pictures.containers.contents import Contents, UnsupportedKindError
from swinir_deploy.pictures.containers.tiff_parts import TiffKind
from swinir_deploy.pictures.picture import Picture, PictureLayout
from swinir_deploy.pictures.pillow_files import PillowFile
from swinir_deploy.pictures.vips import VipsStream, samples_of

__all__ = ["Opened", "PillowOpened", "ProbedFile", "VipsOpened", "upright"]

_ROWS_IN_DECODER = 700


@dataclass(frozen=True)
class ProbedFile:
    """What a picture file says about itself.

    Attributes:
        layout: layout of the picture that reading gives.
        decode_bytes: peak memory of reading in bytes, including the result; an upper bound.
        frames: number of frames or pages.
    """

    layout: PictureLayout
    decode_bytes: int
    frames: int = 1


class Opened(abc.ABC):
    """A file whose head was read.

    Attributes:
        contents: what was found in it.
    """

    def __init__(self, contents: Contents) -> None:
        self.contents = contents

    @abc.abstractmethod
    def decode(self) -> Picture:
        """Decode the pixels."""

    @abc.abstractmethod
    def probe(self) -> ProbedFile:
        """Return what the head says."""

    def _layout(self, colours: int, has_alpha: bool, dtype: Any) -> PictureLayout:
        found = self.contents
        sides = found.width, found.height
        width, height = sides[::-1] if found.orientation >= 5 else sides
        return PictureLayout(width, height, colours, has_alpha, np.dtype(dtype))

    def _picture(self, samples: NDArray[Any], has_alpha: bool) -> Picture:
        """Return the upright picture of samples [height, width, bands], the opacity last."""
        found = self.contents
        pixels, alpha = samples, None
        if has_alpha:
            pixels, alpha = samples[..., :-1].copy(), samples[..., -1].copy()
        value_range = (0.0, 1.0)
        if pixels.dtype not in (np.uint8, np.uint16):
            pixels, alpha, value_range = _as_values(pixels, alpha, found.notes)
        picture = Picture(
            pixels,
            alpha,
            found.icc_profile,
            found.dpi,
            tuple(dict.fromkeys(found.notes)),
            found.metadata,
            value_range,
            found.is_lossless,
        )
        return upright(picture, found.orientation)


def _as_values(
    pixels: NDArray[Any], alpha: NDArray[Any] | None, notes: list[str]
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None, tuple[float, float]]:
    """Return numbers of other kinds than 8 or 16 bits as float32 in 0..1, and what these mean."""
    is_float = pixels.dtype.kind == "f"
    low, high = float(pixels.min()), float(pixels.max())
    if not np.isfinite([low, high]).all():
        raise UnsupportedKindError("some of its samples are not finite numbers (NaN or infinite)")
    low, high = min(0.0, low), max(1.0, high)
    values = pixels.astype(np.float32)
    if (low, high) != (0.0, 1.0):
        values = np.clip((values - np.float32(low)) / np.float32(high - low), 0, 1)
        notes.append(f"Values from {low:g} to {high:g} were mapped to 0..1 for the model.")
    if not is_float:
        kind = "signed" if pixels.dtype.kind == "i" else "unsigned"
        bits = pixels.dtype.itemsize * 8
        notes.append(f"Whole numbers ({kind}, {bits} bits) became floating point.")
    if alpha is not None:
        top = 1.0 if is_float else float(np.iinfo(alpha.dtype).max)
        alpha = np.clip(np.nan_to_num(alpha.astype(np.float32)) / np.float32(top), 0, 1)
    return values, alpha, (low, high)


def upright(picture: Picture, orientation: int) -> Picture:
    """Return the picture upright.

    Args:
        picture: the picture as it is stored.
        orientation: the EXIF value, from 1 (upright) to 8.
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

    return replace(
        picture,
        pixels=turn(picture.pixels),
        alpha=None if picture.alpha is None else turn(picture.alpha),
        dpi=picture.dpi[::-1] if picture.dpi and orientation >= 5 else picture.dpi,
        metadata=picture.metadata.turned_upright(),
    )


class VipsOpened(Opened):
    """A file that libvips decodes."""

    def __init__(
        self,
        contents: Contents,
        streams: list[VipsStream],
        image: Any,
        kind: TiffKind | None = None,
    ) -> None:
        super().__init__(contents)
        self._streams = streams
        if kind is not None:
            image = _meant_by(kind, image)
        alpha = (
            kind.alpha if kind is not None else image.bands - 1 if image.bands in (2, 4) else None
        )
        if image.interpretation == "cmyk" and kind is None:
            alpha = 4 if image.bands > 4 else None
        self._has_alpha = alpha is not None
        colours = 4 if image.interpretation == "cmyk" else 1 if image.bands < 3 else 3
        if kind is not None and kind.is_palette and alpha is not None:
            alpha = image.bands - 1  # the colours have become three, or one if all were gray
        if kind is not None and kind.is_associated and alpha is not None:
            image = _unmultiplied(image, alpha)
        plain = image if image.bands == colours else image.extract_band(0, n=colours)
        self._image = in_gray_or_rgb(plain, contents)
        self._is_converted = self._image is not plain
        if alpha is not None:
            self._image = self._image.bandjoin(_cast_like(image.extract_band(alpha), self._image))

    def decode(self) -> Picture:
        """Decode the pixels."""
        try:
            samples = samples_of(self._image)
        except Exception:
            for stream in self._streams:
                if stream.error is not None:
                    raise stream.error from None
            raise
        for stream in self._streams:
            if stream.error is not None:
                raise stream.error
        return self._picture(samples, self._has_alpha)

    def probe(self) -> ProbedFile:
        """Return what the head says."""
        dtype = {"uchar": np.uint8, "ushort": np.uint16}.get(self._image.format, np.float32)
        colours = 1 if self._image.bands < 3 else 3
        layout = self._layout(colours, self._has_alpha, dtype)
        samples = layout.width * layout.height * layout.pixel_bytes
        copies = 1 + (self._has_alpha or self.contents.orientation > 1)
        copies += 2 * (dtype == np.float32)
        # Rows on their way through the decoder, and through a conversion in floating point.
        rows = (
            min(_ROWS_IN_DECODER, layout.height)
            * layout.width
            * (layout.pixel_bytes + 24 * self._is_converted)
        )
        extra = self.contents.extra_bytes
        return ProbedFile(layout, copies * samples + rows + extra + (1 << 22), self.contents.frames)


def _unmultiplied(image: Any, alpha: int) -> Any:
    """Return an image whose colours were multiplied by its opacity, with the plain colours."""
    plain = image.unpremultiply(
        alpha_band=alpha, max_alpha=65535 if image.format == "ushort" else 255
    )
    return plain.rint().cast(image.format) if image.format in ("uchar", "ushort") else plain


def _cast_like(alpha: Any, image: Any) -> Any:
    """Return opacity with the bits of the colours, which a conversion may have changed."""
    return alpha if alpha.format == image.format else alpha.cast(image.format, shift=True)


class PillowOpened(Opened):
    """A file that Pillow or a package of its own decodes."""

    def __init__(self, file: PillowFile) -> None:
        super().__init__(file.contents)
        self._file = file

    def decode(self) -> Picture:
        """Decode the pixels."""
        pixels, alpha = self._file.decode()
        samples = pixels if alpha is None else np.concatenate([pixels, alpha[..., None]], axis=2)
        return self._picture(samples, alpha is not None)

    def probe(self) -> ProbedFile:
        """Return what the head says."""
        file = self._file
        layout = self._layout(
            file.colours, file.has_alpha, np.uint16 if file.bits > 8 else np.uint8
        )
        # Pillow's picture, the converted one, and the arrays.
        each = 12 + 4 * layout.pixel_bytes
        return ProbedFile(
            layout,
            layout.width * layout.height * each + self.contents.extra_bytes,
            self.contents.frames,
        )


def _meant_by(kind: TiffKind, image: Any) -> Any:
    """Return an image of libvips whose bands have the meaning that a TIFF gives them."""
    if kind.is_lab_of_bytes:
        lab = lab_of_bytes(image.extract_band(0, n=3), kind.photometric == 8)
        extra = [image.extract_band(band) for band in range(3, image.bands)]
        return lab.bandjoin(extra) if extra else lab
    if kind.is_in_planes:
        is_deep = image.format == "ushort"
        meaning = {1: ("b-w", "grey16"), 3: ("srgb", "rgb16"), 4: ("cmyk", "cmyk")}[kind.colours]
        return image.copy(interpretation=meaning[is_deep])
    return image
