"""Restore one video: read, compute and write side by side."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from tqdm import tqdm

from swinir_deploy.restoration.frames import FrameRestorer
from swinir_deploy.restoration.tiled_model import TiledModel
from swinir_deploy.video.convert import Picture
from swinir_deploy.video.encoding import Encoding
from swinir_deploy.video.frame_work import FrameWork
from swinir_deploy.video.pipe_writer import PipeWriter
from swinir_deploy.video.proof import check_result
from swinir_deploy.video.reader import FrameReader
from swinir_deploy.video.reports import VideoReport
from swinir_deploy.video.side_by_side import Behind, ahead
from swinir_deploy.video.source import Reading, VideoSource
from swinir_deploy.video.write_plan import WritePlan
from swinir_deploy.video.writer import VideoWriter, mux_errors

__all__ = ["Run", "VideoJob", "VideoOptions"]

_FRAMES_BEHIND = 3
"""Results that may wait for the encoder."""


@dataclass(frozen=True)
class VideoOptions:
    """How a video is restored.

    Attributes:
        reading: what is read, and how.
        encoding: what the caller asks of the encoder.
        dedupe: whether a frame that equals the one before it is computed once.
        drop_unsupported: leave out streams that the target's container cannot hold.
        pipe_format: ``y4m`` or ``rawvideo`` if the target is a pipe, or a file of that kind.
        progress: whether to show a progress bar on stderr; None shows it if stderr is a terminal.
    """

    reading: Reading = field(default_factory=Reading)
    encoding: Encoding = field(default_factory=Encoding)
    dedupe: bool = True
    drop_unsupported: bool = False
    pipe_format: str | None = None
    progress: bool | None = None


@dataclass
class Run:
    """What a run has done.

    Attributes:
        frames: number of frames that were written.
        repeated: how many of them were not computed again.
        broken: number of broken packets and damaged frames of the source.
        model_s: time in which the model computed, in seconds.
    """

    frames: int = 0
    repeated: int = 0
    broken: int = 0
    model_s: float = 0.0


def _is_frame(item: object) -> bool:
    return isinstance(item, Picture)


def captions_note(encoder: str) -> str:
    """Return the sentence on closed captions that were left out."""
    return (
        f"Closed captions inside the frames were left out: {encoder} cannot write them; h264 and "
        "hevc can."
    )


class VideoJob:
    """Restores one video with a model.

    Args:
        model: the model; it is not closed.
        options: how the video is restored.
    """

    def __init__(self, model: TiledModel, options: VideoOptions) -> None:
        self._model, self._options = model, options
        self._frames = FrameRestorer(model)

    def restore(
        self,
        source: Path | IO[bytes],
        target: Path | IO[bytes],
        name: str,
    ) -> VideoReport:
        """Restore a video.

        Args:
            source: the file to read, or an open binary stream.
            target: the file to write, or an open binary stream.
            name: the name that the target will get, for its container, messages and the report.

        Raises:
            VideoError: the video cannot be read or written, or holds what cannot be kept.
            UsageError: the options are impossible.
            BackendUnavailableError: the encoder needs hardware that is missing.
            DeviceMemoryError: the memory does not suffice for the smallest tile.
            CheckFailedError: the model gave values that are not finite.
        """
        started, options = time.perf_counter(), self._options
        with VideoSource(source, options.reading) as opened:
            plan = self.plan(opened, name)
            notes: list[str] = []
            pipe_format = self._pipe_format(name)
            if pipe_format is None:
                assert isinstance(target, Path), "a stream has a pipe_format"
                run = self._into_container(opened, plan, target, name, notes)
            elif isinstance(target, Path):
                with mux_errors(name), open(target, "wb") as stream:
                    run = self._into_pipe(opened, plan, stream, name, pipe_format, notes)
            else:
                run = self._into_pipe(opened, plan, target, name, pipe_format, notes)
            elapsed = time.perf_counter() - started
            return self.report(opened, plan, run, name, elapsed, notes)

    def _into_container(
        self, opened: VideoSource, plan: WritePlan, target: Path, name: str, notes: list[str]
    ) -> Run:
        """Write frames and all other streams; add to the notes what the container did not keep."""
        with VideoWriter(target, plan.layout, plan.encoder, name) as writer:
            plan.prepare(writer, opened, self._options.drop_unsupported)

            def write(item: Any) -> None:
                if isinstance(item, Picture):
                    writer.write_frame(item)
                else:
                    writer.write_packet(item)

            run = self.work(opened, FrameReader(opened).items(), write)
            writer.finish()
        notes += check_result(target, name, opened, writer.packets, run.frames)
        if writer.lost_captions:
            notes.append(captions_note(plan.encoder.name))
        return run

    def _into_pipe(
        self,
        opened: VideoSource,
        plan: WritePlan,
        stream: IO[bytes],
        name: str,
        pipe_format: str,
        notes: list[str],
    ) -> Run:
        """Write frames alone; add to the notes what they do not hold."""
        writer = PipeWriter(stream, plan.layout, name, pipe_format)
        writer.start()
        frames = (item for item in FrameReader(opened).items() if isinstance(item, Picture))
        run = self.work(opened, frames, writer.write_frame)
        writer.finish()
        if writer.lost_times:
            notes.append(
                "Frames alone have one rate and no times: those of this variable rate were left "
                f"out ({float(plan.layout.rate):.3f} frames per second). A container keeps them."
            )
        return run

    def _pipe_format(self, name: str) -> str | None:
        """Return the format of frames alone; None for a container."""
        return "y4m" if name.lower().endswith(".y4m") else self._options.pipe_format

    def plan(self, opened: VideoSource, name: str) -> WritePlan:
        """Return what will be written for an open video; see :meth:`WritePlan.of`."""
        options = self._options
        scale = self._model.spec.scale
        return WritePlan.of(opened, options.encoding, Path(name), scale, self._pipe_format(name))

    def work(
        self,
        opened: VideoSource,
        items: Iterator[Any],
        write: Callable[[Any], None],
        done_before: int = 0,
    ) -> Run:
        """Restore frames and hand them on, with all other items between them.

        Args:
            opened: the source.
            items: its frames, and packets of other streams.
            write: called in another thread, one item after the other.
            done_before: number of frames that were done before, for the progress bar.
        """
        at_once = self._frames.frames_at_once(opened.first.height, opened.first.width)
        work = FrameWork(self._frames, at_once, self._options.dedupe)
        disable = None if self._options.progress is None else not self._options.progress
        run = Run()
        with (
            contextlib.closing(ahead(items, at_once + 1, _is_frame)) as coming,
            Behind(write, at_once + _FRAMES_BEHIND, _is_frame) as behind,
            tqdm(
                total=opened.expected_frames, initial=done_before, unit="frame", disable=disable
            ) as bar,
        ):
            for item in work.restored(coming):
                behind.put(item)
                if isinstance(item, Picture):
                    run.frames += 1
                    bar.update()
        run.repeated, run.model_s, run.broken = work.repeated, work.model_s, opened.broken
        return run

    def report(
        self,
        opened: VideoSource,
        plan: WritePlan,
        run: Run,
        name: str,
        elapsed_s: float,
        notes: list[str],
    ) -> VideoReport:
        """Return the report on a run."""
        every = [*opened.notes, *plan.notes, *self._frames.notes, *notes]
        return VideoReport(
            opened.path,
            Path(name),
            opened.first.width,
            opened.first.height,
            plan.layout.width,
            plan.layout.height,
            run.frames,
            run.repeated,
            run.broken,
            plan.encoder.name,
            plan.layout.form.name,
            elapsed_s,
            run.model_s / elapsed_s if elapsed_s else 0.0,
            tuple(dict.fromkeys(every)),
        )
