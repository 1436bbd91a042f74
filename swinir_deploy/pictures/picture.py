"""A picture in memory: its pixels, opacity, colour profile and DPI."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swinir_deploy.errors import PictureError

__all__ = ["Picture", "PictureLayout"]


@dataclass(frozen=True)
class PictureLayout:
    """Everything about a picture except its pixels.

    Attributes:
        width: columns of pixels.
        height: rows of pixels.
        colours: 1 for gray, 3 for RGB.
        has_alpha: whether the picture also has opacity.
        dtype: dtype of a sample, uint8 or uint16.
        icc_profile: colour profile as a file holds it, or None.
        dpi: dots per inch, horizontal and vertical, or None.
    """

    width: int
    height: int
    colours: int
    has_alpha: bool
    dtype: np.dtype[Any]
    icc_profile: bytes | None = None
    dpi: tuple[float, float] | None = None

    @property
    def channels(self) -> int:
        """Return the number of samples in a pixel, 1 to 4: the colours, then the opacity."""
        return self.colours + self.has_alpha

    @property
    def bit_depth(self) -> int:
        """Return the bits of a sample, 8 or 16."""
        return self.dtype.itemsize * 8

    @property
    def pixel_bytes(self) -> int:
        """Return the size of a pixel in bytes, 1 to 8."""
        return self.channels * self.dtype.itemsize


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture as it is shown: upright, in gray or RGB.

    Attributes:
        pixels: [height, width, channels] uint8 (0..255) or uint16 (0..65535); one channel is
            gray, three are RGB.
        alpha: [height, width] opacity of the same dtype, where 0 is transparent; None if all
            pixels are opaque. The colours are not multiplied by it.
        icc_profile: colour profile as the file holds it, or None.
        dpi: dots per inch, horizontal and vertical, or None.
        notes: sentences for the user about what reading or restoring has changed.

    Raises:
        PictureError: pixels or opacity have another shape or dtype.
    """

    pixels: NDArray[Any]
    alpha: NDArray[Any] | None = None
    icc_profile: bytes | None = None
    dpi: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        pixels = self.pixels
        if (
            pixels.dtype not in (np.uint8, np.uint16)
            or pixels.ndim != 3
            or pixels.shape[2] not in (1, 3)
            or min(pixels.shape) < 1
        ):
            raise PictureError(
                f"Picture.pixels is {list(pixels.shape)} {pixels.dtype}; it must be "
                "[height, width, 1 or 3] uint8 or uint16 with at least one pixel."
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
    def bit_depth(self) -> int:
        """Return the bits of a sample, 8 or 16."""
        return int(self.pixels.dtype.itemsize * 8)
