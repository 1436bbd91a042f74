"""Write a video: new frames through an encoder, everything else as it was."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any

import av
import av.error
from av.codec.context import ThreadType
from numpy.typing import NDArray

from swinir_deploy.errors import BackendUnavailableError, UsageError, VideoError
from swinir_deploy.video.colour import Colour
from swinir_deploy.video.convert import ToFrames
from swinir_deploy.video.encoding import EncoderChoice, joined_option
from swinir_deploy.video.pixel_formats import PixelFormat
from swinir_deploy.video.source import PIPE_FORMATS
from swinir_deploy.video.streams import add_copy, copied_tags

if TYPE_CHECKING:
    from av.container.output import OutputContainer
    from av.packet import Packet
    from av.stream import Stream
    from av.video.stream import VideoStream

__all__ = ["FrameLayout", "VideoWriter", "mux_errors"]

_FRAME_DURATION = 1 << 8  # AV_CODEC_FLAG_FRAME_DURATION; PyAV has no name for it
_HARDWARE = ("_nvenc", "_qsv", "_amf", "_vaapi", "_videotoolbox", "_v4l2m2m", "_mf", "_vulkan")

# Containers that say how players turn a video.
_TELL_ROTATION = ("mov", "mp4", "ipod", "matroska", "webm")

# Tags that MP4 has a place for. With others, all are written under their own names.
_TAGS_OF_MP4 = {
    *("title", "artist", "album_artist", "composer", "album", "date", "comment", "genre", "track"),
    *("copyright", "grouping", "lyrics", "description", "synopsis", "show", "episode_id", "disc"),
    *("network", "keywords", "creation_time", "hd_video", "gapless_playback", "compilation"),
    *("media_type", "season_number", "episode_sort", "encoding_tool"),
}


@dataclass(frozen=True)
class FrameLayout:
    """What the frames of a result are.

    Attributes:
        width: width in pixels.
        height: height in pixels.
        form: pixel format of the frames in the file.
        colour: how the samples of the frames are to be understood.
        time_base: unit of the frames' times, in seconds.
        rate: frame rate; the mean one if it changes.
        is_regular: whether all frames have the same distance.
        aspect: width of a pixel divided by its height; None if unknown.
        matrix: how players turn a frame, as FFmpeg's matrix; None if they do not.
        starts_late: whether no frame has a time below 0.
    """

    width: int
    height: int
    form: PixelFormat
    colour: Colour
    time_base: Fraction
    rate: Fraction
    is_regular: bool = True
    aspect: Fraction | None = None
    matrix: list[int] | None = None
    starts_late: bool = True


class VideoWriter:
    """Writes one video. Use it as a context manager; :meth:`finish` completes the file.

    Attributes:
        packets: number of packets of new frames that were written.
        unwritten: streams of the source that were left out.

    Args:
        target: the file, or an open binary stream with ``pipe_format``.
        layout: what the frames are.
        encoder: what encodes them.
        name: the target, for messages.
        pipe_format: a key of ``PIPE_FORMATS``; None takes the format of the suffix.
    """

    def __init__(
        self,
        target: Path | IO[bytes],
        layout: FrameLayout,
        encoder: EncoderChoice,
        name: str,
        pipe_format: str | None = None,
    ) -> None:
        self._layout, self._encoder, self._name = layout, encoder, name
        self._options: dict[str, str] = {}
        if pipe_format == "y4m":
            self._options["strict"] = "-1"  # more than 8 bits are an extension
        self._container = _open(target, name, PIPE_FORMATS.get(pipe_format or ""), self._options)
        self._copies: dict[int, Stream] = {}
        self._durations: dict[int, int] = {}
        self._stream: VideoStream | None = None
        self._convert = ToFrames(
            layout.width,
            layout.height,
            layout.form,
            layout.colour,
            layout.time_base,
        )
        self.packets = 0
        self.unwritten: list[Stream] = []

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            return
        with contextlib.suppress(Exception):  # the first error is the one to tell
            self._container.close()

    # ----------------------------------------------------------------------------------- streams

    def add_frames(self, source: Stream | None = None) -> None:
        """Add the stream of new frames; it takes the tags and disposition of a source's stream.

        Raises:
            UsageError: the container takes no such codec.
            VideoError: the container cannot say how players turn the frames.
        """
        layout, encoder = self._layout, self._encoder
        kinds = self._container.format.name
        if layout.matrix is not None and not any(kind in kinds for kind in _TELL_ROTATION):
            raise VideoError(
                f"Players turn this video by its metadata, and {self._name} cannot hold that. "
                "Write an .mp4, .mov or .mkv."
            )
        try:
            stream = self._container.add_stream(
                encoder.name,
                rate=layout.rate,
                options=self._encoder_options(),
                width=layout.width,
                height=layout.height,
                bit_rate=encoder.bitrate or 0,
            )
        except ValueError as error:
            raise UsageError(
                f"{self._name} cannot hold what {encoder.name} writes. Choose another --codec, or "
                "another container (.mkv holds every codec)."
            ) from error
        stream.time_base = layout.time_base
        context = stream.codec_context
        context.time_base = layout.time_base
        context.pix_fmt = layout.form.name
        if layout.aspect:
            context.sample_aspect_ratio = layout.aspect
        colour = layout.colour
        context.colorspace, context.color_range = colour.matrix, colour.range
        context.color_primaries, context.color_trc = colour.primaries, colour.transfer
        # PyAV asks for threads within a frame; x264 would cut frames into slices for them.
        context.thread_type = ThreadType.AUTO
        context.flags |= _FRAME_DURATION
        stream.set_display_matrix(layout.matrix)
        if source is not None:
            stream.metadata.update(copied_tags(source.metadata, is_restored_stream=True))
            stream.disposition = source.disposition
        self._stream = stream

    def _encoder_options(self) -> dict[str, str]:
        options = dict(self._encoder.options)
        if self._layout.colour.chroma is not None:
            options["chroma_sample_location"] = self._layout.colour.chroma
        if self._encoder.name == "libx264" and self._layout.is_regular:
            # Else the stream says that its rate is one frame a tick of the time base.
            joined_option(options, "x264-params", "force-cfr=1")
        if self._encoder.name == "libsvtav1":
            os.environ.setdefault("SVT_LOG", "1")  # errors only; it writes to stderr itself
        return options

    def add_copy(self, stream: Stream, drop_unsupported: bool = False) -> None:
        """Add a stream that gets the packets of a source's stream as they are.

        Raises:
            VideoError: the container cannot hold it, and ``drop_unsupported`` is not set.
        """
        try:
            copy = add_copy(self._container, stream, self._name)
        except VideoError:
            if not drop_unsupported:
                raise
            self.unwritten.append(stream)
            return
        if copy is not None:
            self._copies[stream.index] = copy

    def start(self, tags: Mapping[str, str], chapters: list[Any]) -> None:
        """Write the head of the file.

        Raises:
            UsageError: the encoder does not take its options.
            BackendUnavailableError: the encoder needs hardware that is missing.
            VideoError: the file cannot be written.
        """
        container = self._container
        container.metadata.update(copied_tags(dict(tags)))
        if chapters:
            container.set_chapters(chapters)
        kinds, layout = container.format.name, self._layout
        if kinds in ("mov", "mp4", "ipod") and not set(map(str.lower, container.metadata)) <= (
            _TAGS_OF_MP4
        ):
            container.options["movflags"] = "use_metadata_tags"
        if layout.starts_late and kinds in ("matroska", "webm"):
            # FFmpeg would move the frames, too, if the sound begins with samples to be dropped.
            container.options["avoid_negative_ts"] = "disabled"
        if self._stream is not None:
            self._open_encoder(self._stream)
        with mux_errors(self._name):
            container.start_encoding()

    def _open_encoder(self, stream: VideoStream) -> None:
        name, asked = self._encoder.name, set(self._encoder.options)
        try:
            stream.codec_context.open()
        except (av.error.FFmpegError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            if name.endswith(_HARDWARE):
                raise BackendUnavailableError(
                    f"The encoder {name} cannot be opened on this machine ({reason}). It needs its "
                    "hardware and driver; choose another --codec, such as h264, hevc or av1."
                ) from error
            raise UsageError(
                f"The encoder {name} does not take these settings ({reason}): "
                f"{self._layout.width}x{self._layout.height} {self._layout.form.name}, "
                f"{self._encoder.options}. Choose others (--codec, --pix-fmt, --codec-option)."
            ) from error
        unknown = sorted(asked & set(stream.codec_context.options))
        if unknown:
            raise UsageError(
                f"The encoder {name} has no option {', '.join(unknown)}. List its options with "
                f"'ffmpeg -h encoder={name}'."
            )

    # ------------------------------------------------------------------------------------ packets

    def write_frame(self, pixels: NDArray[Any], pts: int, duration: int) -> None:
        """Encode a frame and write the packets that are ready.

        Args:
            pixels: [height, width, channels], as :class:`Picture` has it.
            pts: time of presentation in units of ``layout.time_base``.
            duration: duration in the same units; 0 if unknown.
        """
        assert self._stream is not None
        self._durations[pts] = duration
        frame = self._convert.convert(pixels, pts, duration)
        with mux_errors(self._name):
            self._mux(self._stream.encode(frame))

    def write_packet(self, packet: Packet[Any]) -> None:
        """Write a packet of a stream that is copied; others are left out."""
        copy = self._copies.get(packet.stream.index)
        if copy is None:
            return
        if packet.dts is None:
            packet.dts = packet.pts
        packet.stream = copy
        with mux_errors(self._name):
            self._container.mux(packet)

    def finish(self) -> None:
        """Write what the encoder still holds, and the end of the file."""
        with mux_errors(self._name):
            if self._stream is not None:
                self._mux(self._stream.encode(None))
            self._container.close()

    def _mux(self, packets: list[Packet[Any]]) -> None:
        for packet in packets:
            if packet.pts is not None:
                duration = self._durations.pop(packet.pts, 0)
                if not packet.duration:
                    packet.duration = duration
            self.packets += 1
            self._container.mux(packet)


@contextlib.contextmanager
def mux_errors(name: str) -> Iterator[None]:
    """Turn FFmpeg's errors while a file is written into a :class:`VideoError`."""
    try:
        yield
    except BrokenPipeError:
        raise
    except (av.error.FFmpegError, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise VideoError(
            f"Cannot write {name}: {reason}. Check that the disk has room, that the file may be "
            "written, and that the container holds this codec (.mkv holds every one)."
        ) from error


def _open(
    target: Path | IO[bytes], name: str, kind: str | None, options: dict[str, str]
) -> OutputContainer:
    try:
        return av.open(
            str(target) if isinstance(target, Path) else target,
            "w",
            format=kind,
            options=options,
            metadata_errors="replace",
        )
    except (av.error.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise VideoError(
            f"Cannot write {name}: {reason}. Give a name with the suffix of a container, such as "
            ".mkv, .mp4, .mov or .webm."
        ) from error
