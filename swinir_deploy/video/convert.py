"""Convert decoded frames to arrays for the model, and arrays to frames for the encoder.

libswscale converts 8 bits and resamples colours, with its accurate settings; deeper formats go
through floats (:mod:`swinir_deploy.video.samples`). bwdif makes whole frames of interlaced ones.
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
from swinir_deploy.video.samples import floats_of, frame_of, planar_format

if TYPE_CHECKING:
    from av.filter.context import FilterContext

__all__ = ["Picture", "ToArrays", "ToFrames"]

_LIMITED, _FULL = 1, 2

# Without these, libswscale rounds down and takes one colour for two neighbours.
_FLAGS = "bicubic+accurate_rnd+full_chroma_int+full_chroma_inp+bitexact"

_ARRAY_FORMATS = {1: "gray", 3: "rgb24", 4: "rgba"}


@dataclass(frozen=True)
class Picture:
    """A frame as an array.

    Attributes:
        pixels: [height, width, channels]: gray, RGB, or RGB and opacity. Of 8 bits it is uint8,
            of more it is float32 around 0..1, or uint16 with opacity.
        pts: time of presentation in units of the stream's time base.
        duration: duration in the same units; 0 if unknown.
        frame: the frame that it came from, with its side data; None for one that is repeated.
    """

    pixels: NDArray[Any]
    pts: int
    duration: int
    frame: VideoFrame | None


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
        self._form, self._colour = form, colour
        self._waiting: list[VideoFrame] = []
        self._marks = colour.matrix, _FULL if colour.is_full else _LIMITED
        filters = ["bwdif=mode=send_frame:deint=interlaced"] if deinterlace else []
        name, ranged = colour.matrix_name, colour.range_name
        if form.bits <= 8:
            wanted = _ARRAY_FORMATS[4 if form.has_alpha else form.colours]
            ends = f"in_color_matrix={name}:in_range={ranged}:out_range=pc"
        else:  # only the colours are resampled
            wanted = planar_format(form)
            ends = f"in_color_matrix={name}:out_color_matrix={name}" if form.is_yuv else ""
            ends += f":in_range={ranged}:out_range={ranged}"
        ends += f":in_chroma_loc={colour.chroma}" if colour.chroma else ""
        filters += [f"scale={ends.strip(':')}:flags={_FLAGS}", f"format={wanted}"]
        sides = frame.width, frame.height
        self._graph = _Graph(
            sides, frame.format.name, frame.time_base or Fraction(1, 1000), self._marks, filters
        )

    def convert(self, frame: VideoFrame | None) -> Iterator[Picture]:
        """Yield the arrays that are ready; None gives those that are left at the end."""
        if frame is not None:
            frame.colorspace, frame.color_range = self._marks
            self._waiting.append(frame)
        for converted in self._graph.run(frame):
            source = self._waiting.pop(0)
            if self._form.bits <= 8:
                pixels = converted.to_ndarray()
                pixels = pixels if pixels.ndim == 3 else pixels[..., None]
            else:
                pixels = floats_of(converted, self._form, self._colour)
            yield Picture(pixels, source.pts or 0, source.duration or 0, source)


class ToFrames:
    """Converts arrays of one size and format to frames for an encoder.

    Args:
        width: width of the arrays.
        height: height of the arrays.
        form: pixel format of the frames.
        colour: how the samples of the frames are to be understood.
        time_base: unit of times.
    """

    def __init__(
        self, width: int, height: int, form: PixelFormat, colour: Colour, time_base: Fraction
    ) -> None:
        self._sides, self._form, self._colour = (width, height), form, colour
        self._time_base = time_base
        self._graph: _Graph | None = None
        self._marks = (0, _FULL)

    def convert(self, pixels: NDArray[Any], pts: int, duration: int) -> VideoFrame:
        """Return the frame of an array, as :class:`Picture` has it."""
        # libswscale adds 1 to the opacity of bright pixels.
        by_library = pixels.dtype == np.uint8 and self._form.bits <= 8 and not self._form.has_alpha
        if by_library:
            name = _ARRAY_FORMATS[pixels.shape[2]]
            plain = pixels[..., 0] if pixels.shape[2] == 1 else pixels
            frame = VideoFrame.from_ndarray(np.ascontiguousarray(plain), name)
        else:
            frame = frame_of(pixels, self._form, self._colour)
        if self._graph is None:
            self._graph = self._make_graph(frame.format.name, by_library)
        frame.pts, frame.time_base = pts, self._time_base
        frame.colorspace, frame.color_range = self._marks
        (made,) = self._graph.run(frame)
        made.pts, made.time_base, made.duration = pts, self._time_base, duration
        made.colorspace, made.color_range = self._colour.matrix, self._colour.range
        made.color_primaries, made.color_trc = self._colour.primaries, self._colour.transfer
        return made

    def _make_graph(self, name: str, by_library: bool) -> _Graph:
        colour = self._colour
        ranged = colour.range_name
        ends = f"out_color_matrix={colour.matrix_name}:out_range={ranged}"
        if by_library:
            self._marks = 2 if name == "gray" else 0, _FULL
            ends += ":in_range=pc"
        else:
            self._marks = colour.matrix, _FULL if colour.is_full else _LIMITED
            ends += f":in_range={ranged}:in_color_matrix={colour.matrix_name}"
        ends += f":out_chroma_loc={colour.chroma}" if colour.chroma else ""
        filters = [f"scale={ends}:flags={_FLAGS}", f"format={self._form.name}"]
        return _Graph(self._sides, name, self._time_base, self._marks, filters)


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
