"""Metadata of high dynamic range: read it from a frame, hand it to an encoder."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from swinir_deploy.errors import VideoError
from swinir_deploy.video.side_data import Type, side_data_of

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

__all__ = ["HDR_TRANSFERS", "Hdr", "hdr_of"]

HDR_TRANSFERS = {16: "PQ", 18: "HLG"}
"""Transfer characteristics of high dynamic range."""

_DYNAMIC = {
    Type.DYNAMIC_HDR_PLUS: "HDR10+",
    Type.DYNAMIC_HDR_VIVID: "HDR Vivid",
    Type.DOVI_METADATA: "Dolby Vision",
    Type.DOVI_RPU_BUFFER: "Dolby Vision",
}

# AVMasteringDisplayMetadata: red, green, blue (x, y), white (x, y), darkest, brightest: all
# fractions; then whether the colours and the luminance are set.
_MASTERING = struct.Struct("=22i")
_LIGHT = struct.Struct("=2I")  # AVContentLightMetadata: MaxCLL, MaxFALL


@dataclass(frozen=True)
class Hdr:
    """What the mastering display was, and how bright the video gets.

    Attributes:
        primaries: x and y of red, green, blue and white; None if unknown.
        luminance: darkest and brightest luminance of the display in cd/m²; None if unknown.
        light: brightest pixel and brightest mean of a frame in cd/m²; None if unknown.
    """

    primaries: tuple[tuple[Fraction, Fraction], ...] | None = None
    luminance: tuple[Fraction, Fraction] | None = None
    light: tuple[int, int] | None = None

    def encoder_options(self, encoder: str) -> dict[str, str] | None:
        """Return the parameters with which an encoder writes it, or None if it cannot.

        Returns:
            Name of the option that holds the encoder's own parameters -> what to add to it.
        """
        names = {
            "libx265": ("x265-params", "master-display", "max-cll", False),
            "libx264": ("x264-params", "mastering-display", "cll", False),
            "libsvtav1": ("svtav1-params", "mastering-display", "content-light", True),
        }
        if encoder not in names:
            return None
        option, display, light, in_floats = names[encoder]
        parts = []
        if self.primaries is not None and self.luminance is not None:
            parts.append(f"{display}={self._display(in_floats)}")
        if self.light is not None:
            parts.append(f"{light}={self.light[0]},{self.light[1]}")
        return {option: ":".join(parts)} if parts else {}

    def _display(self, in_floats: bool) -> str:
        """Return the display as G(x,y)B(x,y)R(x,y)WP(x,y)L(max,min)."""
        assert self.primaries is not None
        assert self.luminance is not None

        def number(value: Fraction, unit: int) -> str:
            return f"{float(value):.5f}" if in_floats else str(round(value * unit))

        red, green, blue, white = (
            ",".join(number(part, 50_000) for part in point) for point in self.primaries
        )
        darkest, brightest = (number(value, 10_000) for value in self.luminance)
        return f"G({green})B({blue})R({red})WP({white})L({brightest},{darkest})"


def hdr_of(frame: VideoFrame, transfer: int) -> tuple[Hdr | None, list[str]]:
    """Return a frame's metadata of high dynamic range, and sentences on what is left out.

    Args:
        frame: a decoded frame.
        transfer: transfer characteristics of the video.

    Raises:
        VideoError: the frames cannot be understood without Dolby Vision's metadata.
    """
    kinds = side_data_of(frame)
    notes = []
    dynamic = sorted({_DYNAMIC[kind] for kind in kinds if kind in _DYNAMIC})
    if "Dolby Vision" in dynamic and transfer not in (1, 6, 14, 15, *HDR_TRANSFERS):
        raise VideoError(
            "The video is Dolby Vision without a layer that other players understand (profile 5); "
            "its colours cannot be restored. Convert it to HDR10 first."
        )
    if dynamic:
        notes.append(
            f"The metadata of {' and '.join(dynamic)}, which change with every scene, were left "
            "out: no encoder of this build writes them. The HDR picture below them is kept."
        )
    primaries = luminance = light = None
    if Type.MASTERING_DISPLAY_METADATA in kinds:
        values = _MASTERING.unpack_from(kinds[Type.MASTERING_DISPLAY_METADATA])
        numbers = [
            Fraction(above, below or 1)
            for above, below in zip(values[:20:2], values[1:20:2], strict=True)
        ]
        if values[20]:
            pairs = zip(numbers[:8:2], numbers[1:8:2], strict=True)
            primaries = tuple(pairs)
        if values[21]:
            luminance = numbers[8], numbers[9]
    if Type.CONTENT_LIGHT_LEVEL in kinds:
        light = _LIGHT.unpack_from(kinds[Type.CONTENT_LIGHT_LEVEL])
    if primaries is None and light is None:
        return None, notes
    return Hdr(primaries, luminance, light), notes
