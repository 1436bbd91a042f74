"""An open video: what it is, its decoded frames, and the packets of everything else."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, cast

import av
import av.error
from av.stream import Disposition
from av.video.frame import VideoFrame

from swinir_deploy.errors import UsageError, VideoError
from swinir_deploy.system.choices import unknown_choice
from swinir_deploy.video.colour import Colour, colour_of
from swinir_deploy.video.decoding import Decoder, MissingFrame, OnError, open_decoder
from swinir_deploy.video.pixel_formats import PixelFormat, describe

if TYPE_CHECKING:
    from av.container.input import InputContainer
    from av.packet import Packet
    from av.stream import Stream
    from av.video.stream import VideoStream

__all__ = ["PIPE_FORMATS", "RawVideo", "Reading", "VideoSource", "is_cover"]

PIPE_FORMATS = {"y4m": "yuv4mpegpipe", "rawvideo": "rawvideo"}
"""Formats for pipes -> FFmpeg's names."""

# Containers whose head has the true duration.
_TELL_DURATION = ("matroska", "mov", "nut")
_SLACK_S = 0.1

_MOST_DEMUX_ERRORS = 100

# Time stamps in milliseconds make the mean rate differ a little from the true one.
_REGULAR = Fraction(1, 1000)
_SEEK_FROM_S = 5


@dataclass(frozen=True)
class RawVideo:
    """What a stream of raw frames does not tell.

    Attributes:
        width: width of a frame in pixels.
        height: height of a frame in pixels.
        pix_fmt: FFmpeg's name of the pixel format.
        rate: frames per second.
    """

    width: int
    height: int
    pix_fmt: str = "rgb24"
    rate: Fraction = Fraction(25)


@dataclass(frozen=True)
class Reading:
    """How a video is read.

    Attributes:
        decoder: FFmpeg's name of a decoder; None takes the usual one.
        on_error: ``fail`` raises at a broken packet; ``conceal`` repeats the frame before it.
        matrix: the matrix if the video does not tell it or tells a wrong one.
        deinterlace: whether to make whole frames of interlaced ones.
        start_s: first time to read, in seconds from the start of the video.
        duration_s: time to read, in seconds; None reads to the end.
        frames: the largest number of frames; None reads all.
        every_nth: read only every n-th frame.
        format: ``y4m`` or ``rawvideo`` for a stream without a head of its own.
        raw: what a stream of raw frames does not tell.
    """

    decoder: str | None = None
    on_error: OnError = "fail"
    matrix: str | None = None
    deinterlace: bool = False
    start_s: float = 0.0
    duration_s: float | None = None
    frames: int | None = None
    every_nth: int = 1
    format: str | None = None
    raw: RawVideo | None = None

    @property
    def is_part(self) -> bool:
        """Return whether only a part of the video is read."""
        return bool(self.start_s) or self.duration_s is not None or self.frames is not None


class VideoSource:
    """An open video. Use it as a context manager.

    Attributes:
        path: the file, or ``-``.
        name: the path, or ``stdin``, for messages.
        container: the open file.
        stream: the stream that is decoded.
        first: the first frame.
        form: the pixel format of the frames.
        colour: how their samples are to be understood.
        broken: number of broken packets and damaged frames so far.
        notes: sentences for the user on what was assumed.

    Args:
        source: the file, or an open binary stream with ``reading.format``.
        reading: how it is read.

    Raises:
        VideoError: the file cannot be read, has no video, or holds what is not supported.
        UsageError: the decoder or the matrix does not exist, or the raw frames are not described.
    """

    def __init__(self, source: Path | IO[bytes], reading: Reading) -> None:
        self.path = source if isinstance(source, Path) else Path("-")
        self.name = str(source) if isinstance(source, Path) else "stdin"
        self.reading = reading
        self.container = _open(source, self.name, reading)
        try:
            self.stream = self._find_stream()
            self._context = open_decoder(self.stream, reading.decoder)
            self._decoder = Decoder(self._context, self.time_base, reading.on_error)
            self._broken_before = 0
            self._packets, self._end_s = 0, 0.0
            self._coming = self._decoded()
            self._ahead: list[VideoFrame | MissingFrame | Packet[Any]] = []
            self.first = self._first_frame()
            self.form: PixelFormat = describe(self.first.format.name)
            self.colour: Colour
            self.colour, self.notes = colour_of(self.first, self.form, reading.matrix)
        except BaseException:
            self.container.close()
            raise

    def __enter__(self) -> VideoSource:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.container.close()

    # ------------------------------------------------------------------------------ what it is

    @property
    def time_base(self) -> Fraction:
        """Return the unit of the frames' times, in seconds."""
        return self.stream.time_base or Fraction(1, 90_000)

    @property
    def rate(self) -> Fraction:
        """Return the frame rate; the mean one if it changes."""
        stream = self.stream
        return stream.guessed_rate or stream.average_rate or Fraction(25)

    @property
    def is_regular(self) -> bool:
        """Return whether all frames seem to have the same distance."""
        stream = self.stream
        mean, base = stream.average_rate, stream.base_rate
        return not mean or not base or abs(mean / base - 1) < _REGULAR

    @property
    def step(self) -> int:
        """Return the usual distance of two frames in units of :attr:`time_base`."""
        return max(1, round(1 / (self.rate * self.time_base)))

    @property
    def start_pts(self) -> int:
        """Return the time of the start of the file in units of :attr:`time_base`."""
        start = self.container.start_time
        if start is None:
            return self.stream.start_time or 0
        return round(Fraction(start, 1_000_000) / self.time_base)

    @property
    def broken(self) -> int:
        """Return the number of broken packets and damaged frames so far."""
        return self._broken_before + self._decoder.broken

    @property
    def others(self) -> list[Stream]:
        """Return all streams but the one that is decoded, in their order."""
        return [stream for stream in self.container.streams if stream is not self.stream]

    @property
    def expected_frames(self) -> int | None:
        """Return the number of frames that will come, as far as the head tells; else None."""
        reading, total = self.reading, self.stream.frames or None
        if total is None and self.container.duration:
            total = round(self.container.duration / 1e6 * float(self.rate))
        if total is None:
            return reading.frames
        total = max(0, total - round(reading.start_s * float(self.rate)))
        if reading.duration_s is not None:
            total = min(total, round(reading.duration_s * float(self.rate)))
        total = -(-total // reading.every_nth)
        return total if reading.frames is None else min(total, reading.frames)

    # ---------------------------------------------------------------------------------- reading

    def items(self) -> Iterator[VideoFrame | MissingFrame | Packet[Any]]:
        """Yield decoded frames, missing ones and the packets of other streams, as they come.

        Only one iterator at a time may be used; a later one goes on where an earlier one stopped.

        Raises:
            VideoError: the video is damaged, and ``on_error`` is ``fail``.
        """
        while self._ahead:
            yield self._ahead.pop(0)
        # 'yield from' would end self._coming with this iterator.
        for item in self._coming:  # noqa: UP028
            yield item

    def seek(self, pts: int) -> None:
        """Go to the key frame before a time, if that is worth it and the file can be sought.

        Frames before the time may still come.
        """
        file = self.container.file
        near = (pts - self.start_pts) * self.time_base < _SEEK_FROM_S
        if near or (file is not None and not file.seekable()):
            return
        with contextlib.suppress(av.error.FFmpegError):
            self._go_to(pts)
            if (self._first_frame().pts or 0) > pts:
                self._go_to(self.start_pts)  # the file's index is not exact: read all

    def _go_to(self, pts: int) -> None:
        self.container.seek(pts, stream=self.stream)
        self._context.flush_buffers()
        self._broken_before += self._decoder.broken
        self._decoder = Decoder(self._context, self.time_base, self.reading.on_error)
        self._ahead, self._coming = [], self._decoded()

    def _first_frame(self) -> VideoFrame:
        for item in self._coming:
            self._ahead.append(item)
            if isinstance(item, VideoFrame):
                if item.pts is None:
                    item.pts = self.start_pts
                return item
        raise VideoError(
            f"{self.name} has a video stream and no frame that can be decoded. Check that the file "
            "is whole."
        )

    def _decoded(self) -> Iterator[VideoFrame | MissingFrame | Packet[Any]]:
        errors = 0
        while True:
            try:
                for packet in self.container.demux():
                    if packet.dts is None and not packet.size:
                        continue  # PyAV's mark of the end of a stream
                    self._note_end(packet)
                    if packet.stream is not self.stream:
                        yield packet
                        continue
                    self._packets += 1
                    yield from self._decoder.decode(cast("Packet[VideoStream]", packet))
                break
            except av.error.FFmpegError as error:
                errors += 1
                self._broken_before += 1
                if self.reading.on_error == "fail" or errors > _MOST_DEMUX_ERRORS:
                    raise VideoError(
                        f"Cannot read {self.name} further than {self._end_s:.3f} s: "
                        f"{error.strerror or error}. Give '--on-error conceal' to keep what can be "
                        "read, or repair the file."
                    ) from error
        yield from self._decoder.decode(None)

    def _note_end(self, packet: Packet[Any]) -> None:
        if packet.pts is not None:
            end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
            self._end_s = max(self._end_s, end)

    def check_end(self) -> None:
        """Tell whether the file ended before its head said so; call it after all items.

        Raises:
            VideoError: it did, and ``on_error`` is ``fail``.
        """
        kinds = self.container.format.name
        due = (self.container.duration or 0) / 1e6 + (self.container.start_time or 0) / 1e6
        counted = self.stream.frames if "mov" in kinds or "avi" in kinds else 0
        is_short = counted > self._packets
        if any(kind in kinds for kind in _TELL_DURATION):
            is_short = is_short or self._end_s < due - _SLACK_S - 2 / float(self.rate)
        if not is_short:
            return
        promised = f"{counted} frames" if counted > self._packets else f"{due:.3f} s"
        text = f"{self.name} ends at {self._end_s:.3f} s, and its head promises {promised}"
        self._broken_before += 1
        if self.reading.on_error == "fail":
            raise VideoError(
                f"{text}: the file was cut. Give '--on-error conceal' to keep what there is."
            )
        self.notes.append(f"{text}: the file was cut, and the result ends there.")

    def _find_stream(self) -> VideoStream:
        videos = [stream for stream in self.container.streams.video if not is_cover(stream)]
        if not videos:
            raise VideoError(
                f"{self.name} has no video stream. 'swinir-deploy restore' takes pictures, folders "
                "of pictures and videos."
            )
        if videos[0].codec_context is None:
            raise VideoError(f"This build of FFmpeg cannot decode the video of {self.name}.")
        return videos[0]


def is_cover(stream: Stream) -> bool:
    """Return whether a video stream is a cover picture."""
    return bool(stream.disposition & (Disposition.attached_pic | Disposition.timed_thumbnails))


def _open(source: Path | IO[bytes], name: str, reading: Reading) -> InputContainer:
    options: dict[str, str] = {}
    if reading.format is not None and reading.format not in PIPE_FORMATS:
        raise UsageError(unknown_choice("format", reading.format, PIPE_FORMATS))
    if reading.format == "rawvideo":
        raw = reading.raw
        if raw is None:
            raise UsageError(
                "Raw frames do not tell their size. Give it, such as '--frame-size 640x360 "
                "--frame-format rgb24 --rate 25', or use --format y4m."
            )
        options = {
            "video_size": f"{raw.width}x{raw.height}",
            "pixel_format": raw.pix_fmt,
            "framerate": f"{raw.rate.numerator}/{raw.rate.denominator}",
        }
    try:
        return av.open(
            source if not isinstance(source, Path) else str(source),
            "r",
            format=PIPE_FORMATS.get(reading.format or ""),
            options=options,
            metadata_errors="replace",
        )
    except (av.error.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise VideoError(
            f"Cannot read {name}: {reason}. Check the path, and that the file is a whole video "
            "(a cut MP4 often lacks its index)."
        ) from error
