"""The report on a restored video."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["VideoReport"]


@dataclass(frozen=True)
class VideoReport:
    """The report on one restored video.

    Attributes:
        source: the file that was read, or ``-``.
        target: the file that was written, or ``-``.
        width: width of the source's frames in pixels.
        height: height of the source's frames in pixels.
        target_width: width of the target's frames in pixels.
        target_height: height of the target's frames in pixels.
        frames: number of frames that were written.
        repeated: how many of them were equal to the frame before them and were not computed again.
        broken: number of broken packets and damaged frames of the source.
        encoder: FFmpeg's name of the encoder.
        pix_fmt: pixel format of the result.
        elapsed_s: time in seconds.
        model_share: part of this time in which the model computed, 0 to 1.
        notes: sentences for the user about what was assumed or left out.

    Example:
        >>> from swinir_deploy import VideoReport
        >>> report = VideoReport(
        ...     "in.mp4", "out.mkv", 64, 48, 128, 96, 50, 3, 0, "libx264", "yuv420p", 2.0, 0.97
        ... )
        >>> report.fps
        25.0
    """

    source: Path
    target: Path
    width: int
    height: int
    target_width: int
    target_height: int
    frames: int
    repeated: int
    broken: int
    encoder: str
    pix_fmt: str
    elapsed_s: float
    model_share: float
    notes: tuple[str, ...] = ()

    @property
    def fps(self) -> float:
        """Return the number of frames for a second of work."""
        return self.frames / self.elapsed_s if self.elapsed_s else 0.0
