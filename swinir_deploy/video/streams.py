"""Copy everything of a video but the frames: sound, subtitles, attachments, chapters, metadata."""

from __future__ import annotations

import contextlib
import io
import struct
from collections.abc import Iterable
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import av.error

from swinir_deploy.errors import VideoError
from swinir_deploy.video.side_data import Type, side_data_of

if TYPE_CHECKING:
    from av.container.core import Container
    from av.container.output import OutputContainer
    from av.stream import Stream
    from av.video.frame import VideoFrame

__all__ = ["add_copy", "copied_chapters", "copied_tags", "display_matrix", "lost_tags"]

# Tags that describe the file and the encoder that the source had.
_OF_THE_FILE = {"encoder", "major_brand", "minor_version", "compatible_brands"}
_OF_THE_ENCODING = {"encoder", "vendor_id", "duration", "bps", "number_of_frames"}
_OF_THE_ENCODING |= {"number_of_bytes", "rotate"}

_DISPLAY_MATRIX = struct.Struct("=9i")


def copied_tags(tags: dict[str, str], is_restored_stream: bool | None = None) -> dict[str, str]:
    """Return the tags to copy.

    Args:
        tags: those of the source's file or of one of its streams.
        is_restored_stream: None for the file, else whether the stream gets new frames.
    """
    if is_restored_stream is None:
        return {name: text for name, text in tags.items() if name.lower() not in _OF_THE_FILE}
    if not is_restored_stream:
        return {name: text for name, text in tags.items() if name.lower() != "duration"}
    return {
        name: text
        for name, text in tags.items()
        if name.lower().removesuffix("-eng") not in _OF_THE_ENCODING
        and not name.upper().startswith("_STATISTICS")
    }


def display_matrix(frame: VideoFrame) -> list[int] | None:
    """Return how players turn or mirror a frame, as FFmpeg's matrix of 9 numbers; None if not."""
    matrix = side_data_of(frame).get(Type.DISPLAYMATRIX)
    return None if matrix is None else list(_DISPLAY_MATRIX.unpack_from(matrix))


def add_copy(output: OutputContainer, stream: Stream, name: str) -> Stream | None:
    """Add a stream that gets the packets of another one as they are.

    Args:
        output: the container to write.
        stream: the stream of the source.
        name: the target, for messages.

    Returns:
        The stream; None for a track of time codes, which the muxer makes again from the metadata.

    Raises:
        VideoError: the container cannot hold such a stream.
    """
    if stream.type == "data" and (stream.metadata.get("timecode") or _is_timecode(stream)):
        return None
    try:
        _try(output, stream)
    except (ValueError, av.error.FFmpegError) as error:
        what = f"stream {stream.index} ({stream.type}, {_codec(stream)})"
        raise VideoError(
            f"{name} cannot hold {what} of the source. Choose another container (.mkv holds "
            "nearly everything), or leave such streams out with --drop-unsupported."
        ) from error
    added = _added(output, stream)
    added.metadata.update(copied_tags(stream.metadata, is_restored_stream=False))
    added.disposition = stream.disposition
    return added


def _added(output: OutputContainer, stream: Stream) -> Stream:
    if stream.type != "attachment":
        return output.add_stream_from_template(stream, opaque=True)
    return output.add_attachment(
        stream.metadata.get("filename", "attachment"),
        stream.metadata.get("mimetype", "application/octet-stream"),
        stream.data,  # type: ignore[attr-defined]
    )


def _try(output: OutputContainer, stream: Stream) -> None:
    """Write the head of a file with this stream alone; some muxers refuse a stream only then.

    Raises:
        ValueError: the container takes no such codec.
        av.error.FFmpegError: the head cannot be written.
    """
    trial = av.open(io.BytesIO(), "w", format=output.format.name)
    try:
        _added(trial, stream)
        trial.start_encoding()
    finally:
        with contextlib.suppress(ValueError, av.error.FFmpegError):
            trial.close()


def _is_timecode(stream: Stream) -> bool:
    return "tmcd" in (getattr(stream, "codec_tag", "") or "") or stream.name == "tmcd"


def _codec(stream: Stream) -> str:
    context = stream.codec_context
    return context.name if context is not None else stream.name or "unknown"


def copied_chapters(
    chapters: Iterable[Any], shift: Fraction, end: Fraction | None, origin: Fraction
) -> list[Any]:
    """Return chapters moved by a time; those that lie outside are left out.

    Args:
        chapters: those of the source.
        shift: time in seconds that is taken off.
        end: end of the result in seconds; None keeps all to the end.
        origin: start of the result in seconds.
    """
    moved = []
    for chapter in chapters:
        base = chapter["time_base"] or Fraction(1, 1_000_000)
        start, stop = chapter["start"] * base - shift, chapter["end"] * base - shift
        if shift:
            start = max(start, origin)
        if end is not None:
            stop = min(stop, end)
        if stop > start:
            moved.append({**chapter, "start": round(start / base), "end": round(stop / base)})
    return moved


def lost_tags(source: Container, result: Container) -> list[str]:
    """Return the names of the source's tags that a written result does not have."""
    wanted = copied_tags(source.metadata)
    found = {name.lower(): text for name, text in result.metadata.items()}
    return [
        name
        for name, text in wanted.items()
        if found.get(name.lower()) != text and name.lower() not in ("creation_time", "duration")
    ]
