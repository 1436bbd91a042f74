"""Restore a video that comes from a pipe or goes into one, as Y4M or raw frames."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import IO

from swinir_deploy.errors import UsageError
from swinir_deploy.restoration.tiled_model import TiledModel
from swinir_deploy.system.choices import unknown_choice
from swinir_deploy.system.files import atomic_output
from swinir_deploy.video.job import VideoJob, VideoOptions
from swinir_deploy.video.reports import VideoReport
from swinir_deploy.video.source import PIPE_FORMATS

__all__ = ["restore_pipe"]


def restore_pipe(
    model: TiledModel,
    source: Path | IO[bytes],
    target: Path | IO[bytes],
    options: VideoOptions,
    form: str | None,
) -> VideoReport:
    """Restore a video of which at least one end is an open binary stream.

    Args:
        model: the model; it is not closed.
        source: a file, or a stream to read.
        target: a file, or a stream to write.
        options: how the video is restored; its formats of pipes are set here.
        form: ``y4m`` or ``rawvideo``: the format of the streams.

    Raises:
        UsageError: the format is missing or unknown.
        VideoError: the video cannot be read or written, or holds what cannot be kept.
    """
    if form not in PIPE_FORMATS:
        raise UsageError(
            "A pipe needs a format: give --format y4m (frames with their size and rate) or "
            "--format rawvideo (frames alone)."
            if form is None
            else unknown_choice("format of a pipe", form, PIPE_FORMATS)
        )
    if not isinstance(source, Path):
        options = replace(options, reading=replace(options.reading, format=form))
    job = VideoJob(
        model, options if isinstance(target, Path) else replace(options, pipe_format=form)
    )
    if not isinstance(target, Path):
        return job.restore(source, target, "stdout")
    with atomic_output(target) as temporary:
        return job.restore(source, temporary, str(target))
