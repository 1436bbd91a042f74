"""Convert decoded frames to arrays for the model, and arrays to frames for the encoder.

libswscale converts, with its accurate settings; bwdif makes whole frames of interlaced ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import av.error
import av.filter
import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from swinir_deploy.video.colour import Colour
from swinir_deploy.video.pixel_formats import PixelFormat

if TYPE_CHECKING:
    from av.filter.context import FilterContext

__all__ = ["Picture", "ToArrays", "ToFrames"]

_LIMITED, _FULL = 1, 2

# Without these, libswscale rounds down and takes one colour for two neighbours.
_FLAGS = "bicubic+accurate_rnd+full_chroma_int+full_chroma_inp+bitexact"


@dataclass(frozen=True)
class Picture:
    """A frame as an array.

    Attributes:
        pixels: [height, width, channels] uint8 or uint16: gray, RGB, or RGB and opacity.
        pts: time of presentation in units of the stream's time base.
        duration: duration in the same units; 0 if unknown.
        frame: the frame that it came from, with its side data.
    """

    pixels: NDArray[Any]
    pts: int
    duration: int
    frame: VideoFrame


class ToArrays:
    """Converts frames of one size and format to arrays.

    Args:
        frame: the first frame, which is not converted yet.
        form: its pixel format.
        colour: how its samples are to be understood.
        deinterlace: whether to make whole frames of interlaced ones; the number of frames stays.
    """

    def __init__(
        self, frame: VideoFrame, form: PixelFormat, colour: Colour, deinterlace: bool
    ) -> None:
        self._time_base = _time_base(frame)
        self._waiting: list[VideoFrame] = []
        filters = ["bwdif=mode=send_frame:deint=interlaced"] if deinterlace else []
        filters += [_scale(in_=colour), f"format={form.array_format}"]
        self._marks = colour.matrix, _FULL if colour.is_full else _LIMITED
        sides = frame.width, frame.height
        self._graph = _Graph(sides, frame.format.name, self._time_base, self._marks, filters)

    def convert(self, frame: VideoFrame | None) -> Iterator[Picture]:
        """Yield the arrays that are ready; None gives those that are left at the end."""
        if frame is not None:
            frame.colorspace, frame.color_range = self._marks
            self._waiting.append(frame)
        for converted in self._graph.run(frame):
            source = self._waiting.pop(0)
            pixels = converted.to_ndarray()
            yield Picture(
                pixels if pixels.ndim == 3 else pixels[..., None],
                source.pts or 0,
                source.duration or 0,
                source,
            )


class ToFrames:
    """Converts arrays of one size and format to frames for an encoder.

    Args:
        width: width of the arrays.
        height: height of the arrays.
        array_format: format of the arrays, as :attr:`PixelFormat.array_format` has it.
        form: pixel format of the frames.
        colour: how the samples of the frames are to be understood.
        time_base: unit of times.
    """

    def __init__(
        self,
        width: int,
        height: int,
        array_format: str,
        form: PixelFormat,
        colour: Colour,
        time_base: Fraction,
    ) -> None:
        self._array_format, self._colour, self._time_base = array_format, colour, time_base
        filters = [_scale(out=colour), f"format={form.name}"]
        self._marks = 2 if array_format.startswith("gray") else 0, _FULL
        self._graph = _Graph((width, height), array_format, time_base, self._marks, filters)

    def convert(self, pixels: NDArray[Any], pts: int, duration: int) -> VideoFrame:
        """Return the frame of an array."""
        plain = pixels[..., 0] if pixels.shape[2] == 1 else pixels
        frame = VideoFrame.from_ndarray(np.ascontiguousarray(plain), self._array_format)
        frame.pts, frame.time_base = pts, self._time_base
        frame.colorspace, frame.color_range = self._marks
        (made,) = self._graph.run(frame)
        made.pts, made.time_base, made.duration = pts, self._time_base, duration
        made.colorspace = self._colour.matrix
        made.color_range = self._colour.range
        made.color_primaries = self._colour.primaries
        made.color_trc = self._colour.transfer
        return made


def _scale(in_: Colour | None = None, out: Colour | None = None) -> str:
    """Return libswscale's filter from a colour to arrays, or from arrays to a colour."""
    if in_ is not None:
        ends = f"in_color_matrix={in_.matrix_name}:in_range={in_.range_name}:out_range=pc"
    else:
        assert out is not None
        ends = f"out_color_matrix={out.matrix_name}:in_range=pc:out_range={out.range_name}"
        ends += f":out_chroma_loc={out.chroma}" if out.chroma else ""
    return f"scale={ends}:flags={_FLAGS}"


def _time_base(frame: VideoFrame) -> Fraction:
    return frame.time_base or Fraction(1, 90_000)


class _Graph:
    """A chain of FFmpeg's filters."""

    def __init__(
        self,
        sides: tuple[int, int],
        name: str,
        time_base: Fraction,
        marks: tuple[int, int],
        filters: list[str],
    ) -> None:
        self._graph = av.filter.Graph()
        self._source: FilterContext = self._graph.add(
            "buffer",
            f"video_size={sides[0]}x{sides[1]}:pix_fmt={name}:pixel_aspect=1/1:"
            f"time_base={time_base.numerator}/{time_base.denominator}:"
            f"colorspace={marks[0]}:range={marks[1]}",
        )
        nodes = [self._source]
        for text in filters:
            kind, _, arguments = text.partition("=")
            nodes.append(self._graph.add(kind, arguments))
        self._sink: FilterContext = self._graph.add("buffersink")
        self._graph.link_nodes(*nodes, self._sink).configure()

    def run(self, frame: VideoFrame | None) -> Iterator[VideoFrame]:
        """Yield the frames that are ready after ``frame``; None is the end."""
        self._source.push(frame)
        while True:
            try:
                yield self._sink.pull()  # type: ignore[misc]
            except (av.error.BlockingIOError, av.error.EOFError):
                return
