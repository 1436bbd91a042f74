"""Check a written video before it gets its name, and say what it does not keep."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import av
import av.error

from swinir_deploy.errors import VideoError
from swinir_deploy.video.source import VideoSource
from swinir_deploy.video.streams import lost_tags

if TYPE_CHECKING:
    from av.container.input import InputContainer

__all__ = ["check_result"]


def check_result(
    target: Path, name: str, opened: VideoSource, packets: int, frames: int
) -> list[str]:
    """Read the head of a written file again.

    Args:
        target: the written file.
        name: the name that it will get.
        opened: the source.
        packets: number of packets of new frames that were written.
        frames: number of frames that were restored.

    Returns:
        Sentences for the user on what the container did not keep.

    Raises:
        VideoError: the file has not all frames, or cannot be read.
    """
    if packets != frames:
        raise VideoError(
            f"The encoder gave {packets} packets for {frames} frames; {name} would not be whole. "
            "Choose another --codec."
        )
    try:
        with av.open(str(target), metadata_errors="replace") as result:
            return _differences(opened, result)
    except av.error.FFmpegError as error:
        raise VideoError(
            f"{name} cannot be read after writing ({error.strerror or error}). Choose another "
            "--codec or container."
        ) from error


def _differences(opened: VideoSource, result: InputContainer) -> list[str]:
    notes = []
    lost = lost_tags(opened.container, result)
    if lost:
        notes.append(f"The container does not hold these tags: {', '.join(sorted(lost))}.")
    before, after = len(opened.container.chapters()), len(result.chapters())
    if before != after and not opened.reading.is_part:
        notes.append(f"The container holds {after} of {before} chapters.")
    return notes
