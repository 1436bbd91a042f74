"""Restore a video file: the public function."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from swinir_deploy.errors import UsageError, VideoError
from swinir_deploy.exports.open import open_model
from swinir_deploy.restoration.tiled_model import DEFAULT_OVERLAP_PX, TiledModel
from swinir_deploy.system.files import atomic_output, check_output
from swinir_deploy.video.encoding import Encoding
from swinir_deploy.video.job import VideoJob, VideoOptions
from swinir_deploy.video.reports import VideoReport
from swinir_deploy.video.resumed_job import restore_resumed
from swinir_deploy.video.source import Reading

__all__ = ["restore_file", "restore_video"]


def restore_video(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    model: str | os.PathLike[str],
    backend: str | None = None,
    device: str | None = None,
    tile: int | Literal["auto"] | None = None,
    overlap_px: int = DEFAULT_OVERLAP_PX,
    batch: int | None = None,
    codec: str | None = None,
    crf: int | None = None,
    bitrate: int | None = None,
    pix_fmt: str | None = None,
    codec_options: Mapping[str, str] | None = None,
    decoder: str | None = None,
    matrix: Literal["bt601", "bt709", "bt2020"] | None = None,
    deinterlace: bool = False,
    start_s: float = 0.0,
    duration_s: float | None = None,
    frames: int | None = None,
    every_nth: int = 1,
    dedupe: bool = True,
    on_error: Literal["fail", "conceal"] = "fail",
    drop_unsupported: bool = False,
    resume: bool = False,
    progress: bool | None = None,
    **options: Any,
) -> VideoReport:
    """Restore a video.

    Frames keep their times, colours and bits. Sound, subtitles, chapters, attachments and metadata
    are copied. The result appears when it is complete.

    Args:
        source: the video to read: what FFmpeg reads.
        target: the video to write; its suffix decides the container. Its folder must exist.
        model: an exported file, a checkpoint or a catalogue id, as in
            :func:`swinir_deploy.restore`.
        backend: name of the back end, as in :func:`swinir_deploy.restore`.
        device: the device, as in :func:`swinir_deploy.open_runtime`.
        tile: side of a tile in input pixels, as in :class:`Restorer`.
        overlap_px: the smallest overlap of tiles in input pixels, as in :class:`Restorer`.
        batch: number of tiles in a run; tiles of several frames go together.
        codec: ``h264``, ``hevc``, ``av1``, ``vp9``, ``ffv1``, ``prores``, or the name of an encoder
            such as ``hevc_nvenc``; None chooses one by container and bits.
        crf: constant rate factor; lower is better and larger. None takes a visually lossless one.
        bitrate: bits per second instead of a constant quality.
        pix_fmt: FFmpeg's name of the pixel format; None keeps that of the source.
        codec_options: further options of the encoder, such as ``{"preset": "slow"}``.
        decoder: FFmpeg's name of a decoder, such as ``h264_cuvid``.
        matrix: the colour matrix if the video does not tell it, or tells a wrong one.
        deinterlace: make whole frames of interlaced ones (bwdif).
        start_s: where to start, in seconds from the start of the video.
        duration_s: how much to restore, in seconds; None restores all.
        frames: the largest number of frames; None restores all.
        every_nth: restore only every n-th frame.
        dedupe: compute a frame that equals the one before it only once.
        on_error: what a broken packet does: ``fail`` raises, ``conceal`` repeats the frame before.
        drop_unsupported: leave out streams that the target's container cannot hold.
        resume: keep finished segments in a folder beside ``target`` when the run is interrupted; a
            run with the same arguments goes on from there, and joins them at the end.
        progress: whether to show a progress bar on stderr; None shows it if stderr is a terminal.
        **options: options of the back end, as in :func:`swinir_deploy.restore`.

    Returns:
        A :class:`VideoReport` with counts, times, and notes on what was assumed or left out.

    Raises:
        VideoError: the video cannot be read or written, or holds what cannot be kept.
        UsageError: the options are impossible, or the target is the source.
        BackendUnavailableError: the packages or the device of the back end are missing, or the
            encoder needs hardware that is missing.
        CheckFailedError: the model gave values that are not finite.
        DeviceMemoryError: the memory does not suffice for the smallest tile.

    Example:
        >>> import av, tempfile
        >>> import numpy as np
        >>> from pathlib import Path
        >>> from swinir_deploy import restore_video
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     source, target = Path(folder, "small.mp4"), Path(folder, "large.mkv")
        ...     with av.open(source, "w") as video:
        ...         stream = video.add_stream("libx264", rate=25, width=32, height=16)
        ...         for level in (40, 80, 120):
        ...             pixels = np.full((16, 32, 3), level, np.uint8)
        ...             video.mux(stream.encode(av.VideoFrame.from_ndarray(pixels)))
        ...         video.mux(stream.encode())
        ...     report = restore_video(source, target, model="tiny-sr-x2")
        >>> report.frames, report.target_width, report.target_height
        (3, 64, 32)
    """
    _check_numbers(start_s=start_s, duration_s=duration_s, frames=frames, every_nth=every_nth)
    reading = Reading(
        decoder, on_error, matrix, deinterlace, start_s, duration_s, frames, every_nth
    )
    encoding = Encoding(codec, crf, bitrate, pix_fmt, dict(codec_options or {}))
    asked = VideoOptions(reading, encoding, dedupe, drop_unsupported, None, progress)
    with open_model(model, backend, device, **options) as runtime:
        tiled = TiledModel(runtime, tile, overlap_px, batch, progress=False)
        return restore_file(tiled, Path(source), Path(target), asked, resume)


def restore_file(
    model: TiledModel, source: Path, target: Path, options: VideoOptions, resume: bool = False
) -> VideoReport:
    """Restore a video file into another one, which appears when it is complete.

    Args:
        model: the model; it is not closed.
        source: the video to read.
        target: the video to write.
        options: how the video is restored.
        resume: go on from finished segments, and keep them if the run is interrupted.

    Raises:
        VideoError: the video cannot be read or written, or holds what cannot be kept.
        UsageError: the options are impossible, or the target is the source.
    """
    if target.exists() and source.exists() and target.samefile(source):
        raise UsageError(f"{target} is the video itself. Give another name for the result.")
    if not source.exists():
        raise VideoError(f"Cannot read {source}: there is no such file. Check the path.")
    if source.is_dir():
        raise VideoError(f"Cannot read {source}: it is a folder. Give a video file.")
    check_output(target)
    if resume:
        return restore_resumed(model, source, target, options)
    with atomic_output(target) as temporary:
        return VideoJob(model, options).restore(source, temporary, str(target))


def _check_numbers(
    start_s: float, duration_s: float | None, frames: int | None, every_nth: int
) -> None:
    for name, value, minimum in (
        ("start_s", start_s, 0),
        ("frames", frames, 1),
        ("every_nth", every_nth, 1),
    ):
        if value is not None and value < minimum:
            raise UsageError(f"{name} is {value}; it must be at least {minimum}.")
    if duration_s is not None and duration_s <= 0:
        raise UsageError(f"duration_s is {duration_s}; it must be more than 0.")
