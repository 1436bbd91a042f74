"""What ``swinir-deploy restore`` does with a video."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from swinir_deploy.cli.output import Output, Stopwatch, size_text
from swinir_deploy.cli.outputs import check_outputs
from swinir_deploy.cli.pipes import PIPE, is_pipe
from swinir_deploy.cli.restored_pictures import tell_choice
from swinir_deploy.cli.streams import take_binary_stdout
from swinir_deploy.cli.video_options import PIPE_FORMATS, VideoRequest
from swinir_deploy.errors import UsageError

if TYPE_CHECKING:
    from swinir_deploy.runtimes.base import Runtime
    from swinir_deploy.video.reports import VideoReport

__all__ = ["is_video", "place_of_video", "restore_video"]

_SUFFIXES = frozenset(
    [
        ".3g2",
        ".3gp",
        ".asf",
        ".avi",
        ".dv",
        ".flv",
        ".h264",
        ".hevc",
        ".ivf",
        ".m2ts",
        ".m2v",
        ".m4v",
        ".mjpeg",
        ".mkv",
        ".mov",
        ".mp4",
        ".mpeg",
        ".mpg",
        ".mts",
        ".mxf",
        ".nut",
        ".ogv",
        ".rm",
        ".rmvb",
        ".ts",
        ".vob",
        ".webm",
        ".wmv",
        ".y4m",
    ]
)
"""Names of videos. FFmpeg decides what it is by the content."""

_EITHER = frozenset([".gif"])
"""Pictures, or videos where OUT is the name of a video."""


def is_video(source: str, target: str, form: str | None) -> bool:
    """Return whether the command is about a video.

    Args:
        source: IN of the command line.
        target: OUT of the command line.
        form: ``--format``.
    """
    if form in PIPE_FORMATS:
        return True
    if Path(source).is_dir():
        return False
    return _is_named(source) or (
        Path(source).suffix.lower() in _EITHER and form is None and _is_named(target)
    )


def place_of_video(
    source: str, target: str, model: str | None, overwrite: bool, resume: bool, out: Output
) -> Path | None:
    """Return the file to write; None is stdout.

    Args:
        source: IN of the command line.
        target: OUT of the command line. A folder gets a file with the name of ``source``.
        model: ``--model``, which the output may not replace.
        overwrite: replace the file if it exists.
        resume: keep the finished part when interrupted, and go on after it.
        out: the output of the command.

    Raises:
        UsageError: the options exclude each other; the file is IN or the model; or it exists and
            ``overwrite`` is False.
        InputError: the file cannot be written there.
    """
    if resume and (is_pipe(source) or target == PIPE):
        raise UsageError("--resume is for files: a pipe cannot be read again. Leave it out.")
    if resume and overwrite:
        raise UsageError("--resume keeps results and --overwrite replaces them. Give one of them.")
    if source == PIPE and sys.stdin.isatty():
        raise UsageError("IN is -, and stdin is a terminal. Pipe a video in, or name a file.")
    if target == PIPE:
        if out.as_json:
            raise UsageError("OUT - and --json both write to stdout. Leave one of them out.")
        if sys.stdout.isatty():
            raise UsageError("OUT is -, and stdout is a terminal. Pipe it on, or name a file.")
        return None
    goal = Path(target)
    if goal.is_dir() or target.endswith("/"):
        if is_pipe(source):
            raise UsageError(f"OUT is the folder {target}, and a pipe has no name. Name a file.")
        goal = goal / Path(source).name
    check_outputs([goal], [None if is_pipe(source) else source, model], overwrite)
    return goal


def restore_video(
    out: Output,
    runtime: Runtime,
    source: str,
    target: Path | None,
    form: str | None,
    request: VideoRequest,
    tiling: dict[str, Any],
    resume: bool,
) -> None:
    """Restore a video, and print the report.

    Args:
        out: the output of the command.
        runtime: the open model.
        source: IN of the command line; ``-`` is stdin.
        target: the file to write; None is stdout.
        form: ``--format``.
        request: the options for videos.
        tiling: ``tile``, ``overlap_px`` and ``batch``, as far as they were given.
        resume: keep finished segments when interrupted, and go on from them.

    Raises:
        SwinIRDeployError: see :func:`swinir_deploy.restore_video`.
    """
    from swinir_deploy.restoration.tiled_model import DEFAULT_OVERLAP_PX, TiledModel
    from swinir_deploy.video.pipes import restore_pipe
    from swinir_deploy.video.restore import restore_file

    watch = Stopwatch()
    asked = {"tile": None, "overlap_px": DEFAULT_OVERLAP_PX, "batch": None, **tiling}
    model = TiledModel(runtime, **asked, progress=False)
    options = request.options(None if _is_named(source) else form, out)
    if target is not None and form == "rawvideo" and not _is_named(str(target)):
        options = replace(options, pipe_format=form)
    if target is not None and not is_pipe(source):
        report = restore_file(model, Path(source), target, options, resume)
    else:
        with ExitStack() as stack:
            start: Path | IO[bytes] = Path(source)
            if source == PIPE:
                start = sys.stdin.buffer
            elif is_pipe(source):
                start = stack.enter_context(open(source, "rb"))
            goal: Path | IO[bytes] | None = target
            if goal is None:
                goal, out.stdout_is_taken = take_binary_stdout(), True
            report = restore_pipe(model, start, goal, options, form)
    tell_choice(out, model.choice)
    for note in report.notes:
        out.note(note)
    size = "" if target is None else f", {size_text(target.stat().st_size)}"
    spec = runtime.spec
    line = (
        f"Restored {report.source} -> {report.target} ({report.width}x{report.height} -> "
        f"{report.target_width}x{report.target_height}, {report.frames} frames"
        f"{_details(report)}{size}, {report.encoder} {report.pix_fmt}, {spec.model_id} on "
        f"{spec.backend} {spec.device}) in {watch}, {report.fps:.2f} fps"
    )
    out.done({"video": {**vars(report), "fps": report.fps}, "seconds": watch.seconds}, line)


def _details(report: VideoReport) -> str:
    repeated = f", {report.repeated} equal to the one before" if report.repeated else ""
    broken = f", {report.broken} broken packets" if report.broken else ""
    return repeated + broken


def _is_named(source: str) -> bool:
    """Return whether a file says itself what it is; a file of raw frames does not."""
    return Path(source).suffix.lower() in _SUFFIXES
