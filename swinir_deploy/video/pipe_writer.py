"""Write frames alone, without a container: Y4M (YUV4MPEG2) or raw frames.

FFmpeg's own muxer cannot be used through PyAV: it takes the rate from the unit of time, and the
shape of a pixel from a field that PyAV does not set.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import IO, TYPE_CHECKING, Any

from swinir_deploy.video.convert import Picture
from swinir_deploy.video.encoding import EncoderChoice
from swinir_deploy.video.frame_encoder import FrameEncoder, FrameLayout
from swinir_deploy.video.writer import mux_errors

if TYPE_CHECKING:
    from av.packet import Packet

__all__ = ["Y4M_FORMATS", "PipeWriter", "y4m_head"]

_HALF = Fraction(1, 2)  # of the distance of two frames: times are rounded to ticks

_DEPTHS = (9, 10, 12, 14, 16)

_Y4M_NAMES = {
    "gray": "mono",
    "yuv411p": "411",
    "yuv420p": "420jpeg",
    "yuv422p": "422",
    "yuv444p": "444",
    **{f"gray{bits}le": f"mono{bits}" for bits in (9, 10, 12, 16)},
    **{
        f"yuv{kind}p{bits}le": f"{kind}p{bits}"
        for kind in ("420", "422", "444")
        for bits in _DEPTHS
    },
}

Y4M_FORMATS = tuple(_Y4M_NAMES)
"""Pixel formats that Y4M has names for. Those of more than 8 bits are FFmpeg's extension."""

_BY_CHROMA = {"left": "420mpeg2", "topleft": "420paldv"}


def y4m_head(layout: FrameLayout) -> bytes:
    """Return the first line of a Y4M stream, with its end.

    It tells the size, the rate, the shape of a pixel (0:0 if unknown), the pixel format with the
    place of the colour samples, and the range; not the matrix.
    """
    name = _Y4M_NAMES[layout.form.name]
    if layout.form.name == "yuv420p":
        name = _BY_CHROMA.get(layout.colour.chroma or "", name)
    aspect = layout.aspect or Fraction(0)
    words = [
        "YUV4MPEG2",
        f"W{layout.width}",
        f"H{layout.height}",
        f"F{layout.rate.numerator}:{layout.rate.denominator}",
        "Ip",
        f"A{aspect.numerator}:{aspect.denominator if aspect else 0}",
        f"C{name}",
    ]
    if layout.colour.range:
        words.append(f"XCOLORRANGE={'FULL' if layout.colour.is_full else 'LIMITED'}")
    return " ".join(words).encode() + b"\n"


class PipeWriter:
    """Writes frames into a stream.

    Attributes:
        lost_times: whether the rate does not give the times of the frames.

    Args:
        stream: an open binary stream, which stays open.
        layout: what the frames are; for ``y4m`` its format is one of :data:`Y4M_FORMATS`.
        name: the target, for messages.
        pipe_format: ``y4m`` or ``rawvideo``.
    """

    def __init__(self, stream: IO[bytes], layout: FrameLayout, name: str, pipe_format: str) -> None:
        self._name, self._layout, self._is_y4m = name, layout, pipe_format == "y4m"
        self._stream = stream
        self._frames = FrameEncoder(layout, EncoderChoice("rawvideo", {}))
        self._first_pts: int | None = None
        self._count = 0
        self.lost_times = False

    def start(self) -> None:
        """Write the head, if the format has one.

        Raises:
            VideoError: it cannot be written.
        """
        self._frames.open()
        if self._is_y4m:
            self._write(y4m_head(self._layout))

    def write_frame(self, picture: Picture) -> None:
        """Write a frame.

        Raises:
            VideoError: it cannot be written.
        """
        if self._first_pts is None:
            self._first_pts = picture.pts
        frames = (picture.pts - self._first_pts) * self._layout.time_base * self._layout.rate
        self.lost_times = self.lost_times or abs(frames - self._count) > _HALF
        self._count += 1
        self._write_packets(self._frames.encode(picture))

    def finish(self) -> None:
        """Write what is left.

        Raises:
            VideoError: it cannot be written.
        """
        self._write_packets(self._frames.finish())

    def _write_packets(self, packets: Iterable[Packet[Any]]) -> None:
        for packet in packets:
            self._write((b"FRAME\n" if self._is_y4m else b"") + bytes(packet))

    def _write(self, data: bytes) -> None:
        with mux_errors(self._name):
            self._stream.write(data)
            self._stream.flush()  # the program behind the pipe may be waiting for it
