"""Encode restored frames to packets."""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, cast

import av.error
from av.codec.context import CodecContext, Flags, ThreadType

from swinir_deploy.errors import BackendUnavailableError, UsageError
from swinir_deploy.video.captions import carrying_captions, has_captions, writes_captions
from swinir_deploy.video.colour import Colour
from swinir_deploy.video.convert import Picture, ToFrames
from swinir_deploy.video.encoding import EncoderChoice, joined_option
from swinir_deploy.video.pixel_formats import PixelFormat

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.codeccontext import VideoCodecContext

__all__ = ["FrameEncoder", "FrameLayout"]

_HARDWARE = ("_nvenc", "_qsv", "_amf", "_vaapi", "_videotoolbox", "_v4l2m2m", "_mf", "_vulkan")


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


class FrameEncoder:
    """Encodes frames.

    Attributes:
        lost_captions: whether a frame had closed captions that the encoder cannot write.

    Args:
        layout: what the frames are.
        choice: the encoder and its options.
        context: the context of a stream that was added to a container; None makes one whose head
            is kept apart from its packets, as MP4 and Matroska want it.
    """

    def __init__(
        self, layout: FrameLayout, choice: EncoderChoice, context: VideoCodecContext | None = None
    ) -> None:
        self._layout, self._choice = layout, choice
        if context is None:
            context = cast("VideoCodecContext", CodecContext.create(choice.name, "w"))
            context.width, context.height = layout.width, layout.height
            context.framerate = layout.rate
            context.bit_rate = choice.bitrate or 0
            context.flags |= Flags.global_header
        self._context = context
        context.options = self._options()
        context.time_base = layout.time_base
        context.pix_fmt = layout.form.name
        if layout.aspect:
            context.sample_aspect_ratio = layout.aspect
        colour = layout.colour
        context.colorspace, context.color_range = colour.matrix, colour.range
        context.color_primaries, context.color_trc = colour.primaries, colour.transfer
        # PyAV asks for threads within a frame; x264 would cut frames into slices for them.
        context.thread_type = ThreadType.AUTO
        if choice.name == "rawvideo":  # nothing to compute, and a thread would hold frames back
            context.thread_count = 1
        context.flags |= Flags.frame_duration
        self._convert = ToFrames(
            layout.width, layout.height, layout.form, layout.colour, layout.time_base
        )
        self._durations: dict[int, int] = {}
        self._writes_captions = writes_captions(choice.name)
        self.lost_captions = False

    @property
    def head(self) -> bytes:
        """Return what a decoder needs before the first packet (extradata); open it first."""
        return self._context.extradata or b""

    def open(self) -> None:
        """Open the encoder.

        Raises:
            UsageError: the encoder does not take its options.
            BackendUnavailableError: the encoder needs hardware that is missing.
        """
        name, layout = self._choice.name, self._layout
        try:
            self._context.open()
        except (av.error.FFmpegError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            if name.endswith(_HARDWARE):
                raise BackendUnavailableError(
                    f"The encoder {name} cannot be opened on this machine ({reason}). It needs its "
                    "hardware and driver; choose another --codec, such as h264, hevc or av1."
                ) from error
            raise UsageError(
                f"The encoder {name} does not take these settings ({reason}): "
                f"{layout.width}x{layout.height} {layout.form.name}, {self._choice.options}. "
                "Choose others (--codec, --pix-fmt, --codec-option)."
            ) from error
        unknown = sorted(set(self._choice.options) & set(self._context.options))
        if unknown:
            raise UsageError(
                f"The encoder {name} has no option {', '.join(unknown)}. List its options with "
                f"'ffmpeg -h encoder={name}'."
            )

    def encode(self, picture: Picture) -> list[Packet[Any]]:
        """Encode a frame and return the packets that are ready.

        Args:
            picture: the frame, with times in units of ``layout.time_base``.

        Raises:
            av.error.FFmpegError: the encoder failed.
        """
        self._durations[picture.pts] = picture.duration
        frame = self._convert.convert(picture.pixels, picture.pts, picture.duration)
        if picture.frame is not None and has_captions(picture.frame):
            if self._writes_captions:
                frame = carrying_captions(frame, picture.frame)
            else:
                self.lost_captions = True
        return self._timed(self._context.encode(frame))

    def finish(self) -> list[Packet[Any]]:
        """Return the packets that the encoder still holds; nothing can be encoded afterwards.

        Raises:
            av.error.FFmpegError: the encoder failed.
        """
        return self._timed(self._context.encode(None))

    def _timed(self, packets: list[Packet[Any]]) -> list[Packet[Any]]:
        """Return the packets with the durations of their frames; not every encoder keeps them."""
        for packet in packets:
            packet.time_base = self._layout.time_base
            if packet.pts is not None:
                duration = self._durations.pop(packet.pts, 0)
                packet.duration = packet.duration or duration
        return packets

    def _options(self) -> dict[str, str]:
        options = dict(self._choice.options)
        if self._layout.colour.chroma is not None:
            options["chroma_sample_location"] = self._layout.colour.chroma
        if self._choice.name == "libx264" and self._layout.is_regular:
            # Else the stream says that its rate is one frame a tick of the time base.
            joined_option(options, "x264-params", "force-cfr=1")
        if self._choice.name == "libsvtav1":
            os.environ.setdefault("SVT_LOG", "1")  # errors only; it writes to stderr itself
        return options
