"""Decode the packets of a video stream; say which frames are missing because of broken packets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Literal, cast

import av.error
from av.codec.codec import Codec, UnknownCodecError
from av.codec.context import CodecContext
from av.video.frame import VideoFrame

from swinir_deploy.errors import BackendUnavailableError, UsageError, VideoError

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.codeccontext import VideoCodecContext
    from av.video.stream import VideoStream

__all__ = ["Decoder", "MissingFrame", "OnError", "open_decoder"]

OnError = Literal["fail", "conceal"]


@dataclass(frozen=True)
class MissingFrame:
    """A frame that a broken packet did not give.

    Attributes:
        pts: its time of presentation in units of the stream's time base.
    """

    pts: int


class Decoder:
    """Turns packets into frames.

    Attributes:
        broken: number of broken packets and damaged frames so far.

    Args:
        context: the decoder of the stream.
        time_base: unit of the stream's times, in seconds.
        on_error: ``fail`` raises at a broken packet; ``conceal`` counts it and goes on.
    """

    def __init__(self, context: VideoCodecContext, time_base: Fraction, on_error: OnError) -> None:
        self._context = context
        self._time_base = time_base
        self._on_error = on_error
        self._expected: set[int] = set()
        self._unresolved = 0
        self._last: int | None = None
        self.broken = 0

    def decode(self, packet: Packet[VideoStream] | None) -> Iterator[VideoFrame | MissingFrame]:
        """Yield the frames that a packet completes; None yields those that are left.

        Raises:
            VideoError: the packet is broken, and ``on_error`` is ``fail``.
        """
        if packet is not None and packet.pts is not None and not packet.is_discard:
            self._expected.add(packet.pts)
        try:
            frames = self._context.decode(packet)
        except av.error.EOFError:
            frames = []
        except av.error.FFmpegError as error:
            self._count(packet, f"cannot be decoded ({error.strerror or error})")
            self._unresolved += 1
            frames = []
        else:
            if packet is not None and packet.is_corrupt and not frames:
                self._count(packet, "is cut or damaged")
                self._unresolved += 1
        for frame in frames:
            if frame.is_corrupt:
                self._count(packet, "is damaged")
            frame.time_base = self._time_base  # PyAV leaves it out at the end
            if frame.pts is None:
                frame.pts = frame.dts
            yield from self._missing_before(frame.pts)
            self._last = frame.pts
            yield frame
        if packet is None:
            yield from self._missing_before(None)

    def _missing_before(self, pts: int | None) -> Iterator[MissingFrame]:
        """Yield frames that should have come before ``pts``; None is the end.

        Not every packet gives a frame: a field, or a frame that is never shown, gives none. So
        there are at most as many missing frames as there were broken packets.
        """
        absent = sorted(value for value in self._expected if pts is None or value < pts)
        self._expected.difference_update(absent)
        if pts is not None:
            self._expected.discard(pts)
        late = [value for value in absent if self._last is None or value > self._last]
        for value in late[: self._unresolved]:
            self._unresolved -= 1
            self._last = value
            yield MissingFrame(value)

    def _count(self, packet: Packet[VideoStream] | None, what: str) -> None:
        self.broken += 1
        if self._on_error == "conceal":
            return
        time = None if packet is None or packet.pts is None else packet.pts * packet.time_base
        where = "" if time is None else f" at {float(time):.3f} s"
        raise VideoError(
            f"A packet of the video{where} {what}. Give '--on-error conceal' to show the frame "
            "before it instead, or repair the video first."
        )


def open_decoder(stream: VideoStream, name: str | None) -> VideoCodecContext:
    """Return the decoder of a stream.

    Args:
        stream: the stream.
        name: FFmpeg's name of a decoder, such as ``h264_cuvid``; None takes the usual one.

    Raises:
        UsageError: this build of FFmpeg has no such decoder, or it is for another codec.
        BackendUnavailableError: the decoder needs hardware that is missing.
    """
    usual = stream.codec_context
    if name is None and stream.metadata.get("alpha_mode") == "1":
        # FFmpeg's own decoders of VP8 and VP9 leave the opacity out.
        name = {"vp8": "libvpx", "vp9": "libvpx-vp9"}.get(usual.codec.canonical_name)
        name = name if name and _exists(name) else None
    if name is None or name == usual.codec.name:
        return usual
    if not _exists(name):
        raise UsageError(
            f"This build of FFmpeg has no decoder {name!r}. Leave --decoder out to use "
            f"{usual.codec.name}."
        )
    codec = Codec(name, "r")
    if codec.canonical_name != usual.codec.canonical_name:
        raise UsageError(
            f"The decoder {name} is for {codec.canonical_name}; the video is "
            f"{usual.codec.canonical_name}. Leave --decoder out to use {usual.codec.name}."
        )
    context = cast("VideoCodecContext", CodecContext.create(codec, "r"))
    context.extradata = usual.extradata
    context.width, context.height = usual.width, usual.height
    try:
        context.open()
    except (av.error.FFmpegError, ValueError) as error:
        raise BackendUnavailableError(
            f"The decoder {name} cannot be opened on this machine "
            f"({getattr(error, 'strerror', None) or error}). It needs its hardware and driver; "
            f"leave --decoder out to use {usual.codec.name}."
        ) from error
    return context


def _exists(name: str) -> bool:
    try:
        codec = Codec(name, "r")
    except UnknownCodecError:
        return False
    return codec.name == name
