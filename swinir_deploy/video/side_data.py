"""What a decoder attaches to a frame beside its samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame

if TYPE_CHECKING:
    from collections.abc import Iterable

    from av.sidedata.sidedata import SideData

__all__ = ["Type", "side_data_of"]


def side_data_of(frame: VideoFrame) -> dict[Type, bytes]:
    """Return the side data of a frame: its kind -> the bytes of FFmpeg's structure."""
    # PyAV's stubs describe a dictionary of motion vectors.
    entries = cast("Iterable[SideData]", frame.side_data)
    return {entry.type: bytes(entry) for entry in entries}
