"""Closed captions inside the frames of a video (CEA-608 and CEA-708): carry them to new frames."""

from __future__ import annotations

from av.codec.context import CodecContext
from av.video.frame import VideoFrame

from swinir_deploy.video.side_data import Type, side_data_of

__all__ = ["carrying_captions", "has_captions", "writes_captions"]


def writes_captions(encoder: str) -> bool:
    """Return whether an encoder writes the captions that frames carry."""
    options = CodecContext.create(encoder, "w").supported_options.private
    return any(option.name == "a53cc" for option in options)


def has_captions(frame: VideoFrame) -> bool:
    """Return whether a frame carries captions."""
    return Type.A53_CC in side_data_of(frame)


def carrying_captions(frame: VideoFrame, source: VideoFrame) -> VideoFrame:
    """Return the picture of a frame with the captions of another one.

    PyAV cannot attach them, but a frame that is scaled keeps them: the source is scaled to the size
    of the frame, and gets its samples.
    """
    carrier = source.reformat(frame.width, frame.height, frame.format.name, interpolation="POINT")
    for old, new in zip(carrier.planes, frame.planes, strict=True):
        if old.line_size == new.line_size:
            old.update(bytes(new))
        else:
            width = min(old.line_size, new.line_size)
            rows = memoryview(new).cast("B")
            pieces = (rows[row * new.line_size :][:width] for row in range(new.height))
            old.update(b"".join(bytes(piece).ljust(old.line_size, b"\0") for piece in pieces))
    carrier.pts, carrier.time_base, carrier.duration = frame.pts, frame.time_base, frame.duration
    carrier.colorspace, carrier.color_range = frame.colorspace, frame.color_range
    carrier.color_primaries, carrier.color_trc = frame.color_primaries, frame.color_trc
    carrier.pict_type = 0
    return carrier
