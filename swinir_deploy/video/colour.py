"""The colour of a video: matrix, range, primaries, transfer and place of the colour samples.

Numbers are those of ITU-T H.273, which FFmpeg uses, too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import av
import av.logging

from swinir_deploy.errors import UsageError, VideoError
from swinir_deploy.system.choices import unknown_choice
from swinir_deploy.video.pixel_formats import PixelFormat

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

__all__ = ["MATRICES", "Colour", "colour_of", "colour_of_result"]

MATRICES = {"bt601": 6, "bt709": 1, "bt2020": 9}
"""What a caller may state for a video that does not tell its matrix."""

_RGB, _UNKNOWN = 0, 2
_LIMITED, _FULL = 1, 2

# Number -> libswscale's name. The two of BT.601 have the same coefficients.
_CONVERTIBLE = {
    1: "bt709",
    4: "fcc",
    5: "bt470bg",
    6: "smpte170m",
    7: "smpte240m",
    9: "bt2020",
}
_NAMES = {
    8: "YCgCo",
    10: "BT.2020 with constant luminance",
    11: "SMPTE ST 2085",
    12: "derived from the primaries",
    13: "derived from the primaries, with constant luminance",
    14: "ICtCp",
    15: "IPT-PQ-C2",
    16: "YCgCo-Re",
    17: "YCgCo-Ro",
}
_BT2020_PRIMARIES = 9

# Players take unmarked videos of at least these sides for BT.709, smaller ones for BT.601.
_HD_WIDTH, _HD_HEIGHT = 1280, 577


@dataclass(frozen=True)
class Colour:
    """How the samples of frames are to be understood.

    Attributes:
        matrix: matrix coefficients; 0 is RGB.
        range: 1 is limited (16 to 235 of 8 bits), 2 is full, 0 is unknown.
        primaries: colour primaries; 2 is unknown.
        transfer: transfer characteristics; 2 is unknown.
        chroma: FFmpeg's name for the place of the colour samples, such as ``left``; None if unknown
            or if every pixel has its own.
    """

    matrix: int
    range: int
    primaries: int
    transfer: int
    chroma: str | None = None

    @property
    def is_full(self) -> bool:
        """Return whether the samples use all levels."""
        return self.matrix == _RGB or self.range == _FULL

    @property
    def range_name(self) -> str:
        """Return the range as libswscale names it."""
        return "pc" if self.is_full else "tv"

    @property
    def matrix_name(self) -> str:
        """Return the matrix as libswscale names it."""
        return _CONVERTIBLE.get(self.matrix, "bt709")


def colour_of(frame: VideoFrame, form: PixelFormat, stated: str | None) -> tuple[Colour, list[str]]:
    """Return the colour of a frame, and sentences on what was assumed.

    Args:
        frame: a decoded frame.
        form: its pixel format.
        stated: a key of :data:`MATRICES`, which takes precedence; None takes what the frame says.

    Raises:
        UsageError: ``stated`` is no such key.
        VideoError: the matrix is not supported.
    """
    if stated is not None and stated not in MATRICES:
        raise UsageError(unknown_choice("matrix", stated, MATRICES))
    transfer, primaries = int(frame.color_trc), int(frame.color_primaries)
    is_full = int(frame.color_range) == _FULL or frame.format.name.startswith("yuvj")
    found = _FULL if is_full else int(frame.color_range)
    if not form.is_yuv:
        return Colour(_RGB, _FULL, primaries, transfer), []
    if form.colours == 1:
        return Colour(_UNKNOWN, found, primaries, transfer), []
    matrix = int(frame.colorspace)
    if stated is not None:
        matrix = MATRICES[stated]
    notes = []
    if matrix in (_RGB, _UNKNOWN, 3):
        is_hd = frame.width >= _HD_WIDTH or frame.height >= _HD_HEIGHT
        usual = "bt709" if is_hd else "bt601"
        stated = "bt2020" if primaries == _BT2020_PRIMARIES else usual
        matrix = MATRICES[stated]
        notes.append(
            f"The video does not tell its colour matrix. {stated} was assumed, as players do for "
            f"{frame.width}x{frame.height}, and written into the result (--matrix states another)."
        )
    if matrix not in _CONVERTIBLE:
        raise VideoError(
            f"The colour matrix of the video is {_NAMES.get(matrix, f'number {matrix}')}; BT.601, "
            "BT.709 and BT.2020 with non-constant luminance are supported. Convert the video "
            "first, or state the right one (--matrix)."
        )
    chroma = _place_of_chroma(frame) if form.chroma_step != (1, 1) else None
    return Colour(matrix, found, primaries, transfer, chroma), notes


def colour_of_result(source: Colour, form: PixelFormat) -> Colour:
    """Return the colour of a result in another pixel format.

    RGB becomes BT.709, or BT.2020 if it has these primaries, in the limited range.
    """
    if not form.is_yuv:
        return replace(source, matrix=_RGB, range=_FULL, chroma=None)
    if form.colours == 1:
        return replace(source, matrix=_UNKNOWN, chroma=None)
    changed = source if form.chroma_step != (1, 1) else replace(source, chroma=None)
    if source.matrix == _RGB:
        matrix = 9 if source.primaries == _BT2020_PRIMARIES else 1
        return replace(changed, matrix=matrix, range=_LIMITED)
    if source.matrix == _UNKNOWN:  # gray, and the encoder has no gray
        return replace(changed, matrix=MATRICES["bt709"])
    return changed


def _place_of_chroma(frame: VideoFrame) -> str | None:
    """Return where the colour samples of a frame lie.

    PyAV does not tell it, but FFmpeg's filter ``showinfo`` writes it to the log.
    """
    before = av.logging.get_level()
    av.logging.set_level(av.logging.INFO)
    try:
        with av.logging.Capture() as messages:
            graph = av.filter.Graph()
            source = graph.add_buffer(
                width=frame.width,
                height=frame.height,
                format=frame.format,
                time_base=frame.time_base,
            )
            show, sink = graph.add("showinfo"), graph.add("buffersink")
            graph.link_nodes(source, show, sink).configure()
            source.push(frame)
            sink.pull()
    finally:
        av.logging.set_level(before)
    found = re.search(r" cl:([a-z]+) ", " ".join(message[2] for message in messages))
    return found[1] if found and found[1] not in ("unspecified", "unknown") else None
