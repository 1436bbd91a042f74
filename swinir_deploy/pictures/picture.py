"""A picture in memory: its pixels, opacity, colour profile, DPI and metadata."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swinir_deploy.errors import PictureError
from swinir_deploy.pictures.metadata import Metadata

__all__ = ["Picture", "PictureLayout", "largest_level"]


@dataclass(frozen=True)
class PictureLayout:
    """Everything about a picture except its pixels.

    Attributes:
        width: columns of pixels.
        height: rows of pixels.
        colours: 1 for gray, 3 for RGB.
        has_alpha: whether the picture also has opacity.
        dtype: dtype of a sample, uint8, uint16 or float32.
        icc_profile: colour profile as a file holds it, or None.
        dpi: dots per inch, horizontal and vertical, or None.
        metadata: what a file says about the picture.
        value_range: what 0 and 1 of float32 samples mean in a file of floating point.
        is_lossless: whether the picture came from a WebP without loss.
    """

    width: int
    height: int
    colours: int
    has_alpha: bool
    dtype: np.dtype[Any]
    icc_profile: bytes | None = None
    dpi: tuple[float, float] | None = None
    metadata: Metadata = field(default_factory=Metadata)
    value_range: tuple[float, float] = (0.0, 1.0)
    is_lossless: bool = False

    @property
    def channels(self) -> int:
        """Return the number of samples in a pixel, 1 to 4: the colours, then the opacity."""
        return self.colours + self.has_alpha

    @property
    def bit_depth(self) -> int:
        """Return the bits of a sample: 8, 16, or 32 for floating point."""
        return self.dtype.itemsize * 8

    @property
    def pixel_bytes(self) -> int:
        """Return the size of a pixel in bytes, 1 to 16."""
        return self.channels * self.dtype.itemsize


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture as it is shown: upright, in gray or RGB.

    Attributes:
        pixels: [height, width, channels] uint8 (0..255), uint16 (0..65535) or float32 (0..1); one
            channel is gray, three are RGB.
        alpha: [height, width] opacity of the same dtype, where 0 is transparent; None if all
            pixels are opaque. The colours are not multiplied by it.
        icc_profile: colour profile as the file holds it, or None.
        dpi: dots per inch, horizontal and vertical, or None.
        notes: sentences for the user about what reading or restoring has changed.
        metadata: what the file says about the picture.
        value_range: what 0 and 1 of float32 samples mean in a file of floating point.
        is_lossless: whether the picture came from a WebP without loss.

    Raises:
        PictureError: pixels or opacity have another shape or dtype.
    """

    pixels: NDArray[Any]
    alpha: NDArray[Any] | None = None
    icc_profile: bytes | None = None
    dpi: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()
    metadata: Metadata = field(default_factory=Metadata)
    value_range: tuple[float, float] = (0.0, 1.0)
    is_lossless: bool = False

    def __post_init__(self) -> None:
        pixels = self.pixels
        if (
            pixels.dtype not in (np.uint8, np.uint16, np.float32)
            or pixels.ndim != 3
            or pixels.shape[2] not in (1, 3)
            or min(pixels.shape) < 1
        ):
            raise PictureError(
                f"Picture.pixels is {list(pixels.shape)} {pixels.dtype}; it must be "
                "[height, width, 1 or 3] uint8, uint16 or float32 with at least one pixel."
            )
        alpha = self.alpha
        if alpha is not None and (alpha.shape != pixels.shape[:2] or alpha.dtype != pixels.dtype):
            raise PictureError(
                f"Picture.alpha is {list(alpha.shape)} {alpha.dtype}; it must be "
                f"{list(pixels.shape[:2])} {pixels.dtype}, like the pixels."
            )

    @property
    def layout(self) -> PictureLayout:
        """Return everything except the pixels."""
        return PictureLayout(
            self.width,
            self.height,
            int(self.pixels.shape[2]),
            self.alpha is not None,
            self.pixels.dtype,
            self.icc_profile,
            self.dpi,
            self.metadata,
            self.value_range,
            self.is_lossless,
        )

    @property
    def height(self) -> int:
        """Return the height in pixels."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Return the width in pixels."""
        return int(self.pixels.shape[1])

    @property
    def is_gray(self) -> bool:
        """Return whether the picture is gray: one channel instead of three."""
        return bool(self.pixels.shape[2] == 1)

    @property
    def is_transparent(self) -> bool:
        """Return whether any pixel is not opaque."""
        if self.alpha is None:
            return False
        return bool(self.alpha.min() < largest_level(self.alpha.dtype))

    @property
    def bit_depth(self) -> int:
        """Return the bits of a sample: 8, 16, or 32 for floating point."""
        return int(self.pixels.dtype.itemsize * 8)


def largest_level(dtype: np.dtype[Any]) -> int:
    """Return the sample that means white or opaque: 255, 65535, or 1 for floating point."""
    return 1 if dtype.kind == "f" else int(np.iinfo(dtype).max)
