"""Write a video: new frames through an encoder, everything else as it was."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

import av
import av.error

from swinir_deploy.errors import UsageError, VideoError
from swinir_deploy.video.convert import Picture
from swinir_deploy.video.encoding import EncoderChoice
from swinir_deploy.video.frame_encoder import FrameEncoder, FrameLayout
from swinir_deploy.video.streams import add_copy, copied_tags

if TYPE_CHECKING:
    from av.container.output import OutputContainer
    from av.packet import Packet
    from av.stream import Stream
    from av.video.stream import VideoStream

__all__ = ["VideoWriter", "mux_errors"]

# Containers that say how players turn a video.
_TELL_ROTATION = ("mov", "mp4", "ipod", "matroska", "webm")

# Tags that MP4 has a place for. With others, all are written under their own names.
_TAGS_OF_MP4 = {
    *("title", "artist", "album_artist", "composer", "album", "date", "comment", "genre", "track"),
    *("copyright", "grouping", "lyrics", "description", "synopsis", "show", "episode_id", "disc"),
    *("network", "keywords", "creation_time", "hd_video", "gapless_playback", "compilation"),
    *("media_type", "season_number", "episode_sort", "encoding_tool"),
}


class VideoWriter:
    """Writes one video. Use it as a context manager; :meth:`finish` completes the file.

    Attributes:
        packets: number of packets of new frames that were written.
        unwritten: streams of the source that were left out.

    Args:
        target: the file; its suffix decides the container.
        layout: what the frames are.
        encoder: what encodes them.
        name: the target, for messages.
    """

    def __init__(
        self,
        target: Path,
        layout: FrameLayout,
        encoder: EncoderChoice,
        name: str,
    ) -> None:
        self._layout, self._encoder, self._name = layout, encoder, name
        self._container = _open(target, name)
        self._copies: dict[int, Stream] = {}
        self._stream: VideoStream | None = None
        self._frames: FrameEncoder | None = None
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
            added = self._container.add_stream(
                encoder.name,
                rate=layout.rate,
                width=layout.width,
                height=layout.height,
                bit_rate=encoder.bitrate or 0,
            )
        except ValueError as error:
            raise UsageError(
                f"{self._name} cannot hold what {encoder.name} writes. Choose another --codec, or "
                "another container (.mkv holds every codec)."
            ) from error
        stream = cast("VideoStream", added)
        stream.time_base = layout.time_base
        self._frames = FrameEncoder(layout, encoder, stream.codec_context)
        stream.set_display_matrix(layout.matrix)
        if source is not None:
            stream.metadata.update(copied_tags(source.metadata, is_restored_stream=True))
            stream.disposition = source.disposition
        self._stream = stream

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
        if self._frames is not None:
            self._frames.open()
        with mux_errors(self._name):
            container.start_encoding()

    # ------------------------------------------------------------------------------------ packets

    def write_frame(self, picture: Picture) -> None:
        """Encode a frame and write the packets that are ready."""
        assert self._frames is not None
        with mux_errors(self._name):
            for packet in self._frames.encode(picture):
                self._mux(packet)

    def write_encoded(self, packet: Packet[Any]) -> None:
        """Write a packet of new frames that was encoded before, with its times."""
        with mux_errors(self._name):
            self._mux(packet)

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

    @property
    def lost_captions(self) -> bool:
        """Return whether a frame had closed captions that the encoder cannot write."""
        return self._frames is not None and self._frames.lost_captions

    @property
    def head(self) -> bytes:
        """Return what a decoder needs before the first packet of new frames."""
        return b"" if self._frames is None else self._frames.head

    def finish(self, flush: bool = True) -> None:
        """Write the end of the file.

        Args:
            flush: write what the encoder still holds before; False if it has encoded nothing.
        """
        with mux_errors(self._name):
            if self._frames is not None and flush:
                for packet in self._frames.finish():
                    self._mux(packet)
            self._container.close()

    def _mux(self, packet: Packet[Any]) -> None:
        assert self._stream is not None
        packet.stream = self._stream
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


def _open(target: Path, name: str) -> OutputContainer:
    try:
        return av.open(str(target), "w", metadata_errors="replace")
    except (av.error.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise VideoError(
            f"Cannot write {name}: {reason}. Give a name with the suffix of a container, such as "
            ".mkv, .mp4, .mov or .webm."
        ) from error
