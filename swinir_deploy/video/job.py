"""Restore one video: read, compute and write side by side."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

import av
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from swinir_deploy.errors import VideoError
from swinir_deploy.restoration.frames import FrameRestorer
from swinir_deploy.restoration.tiled_model import TiledModel
from swinir_deploy.video.colour import colour_of_result
from swinir_deploy.video.convert import Picture
from swinir_deploy.video.encoding import (
    EncoderChoice,
    Encoding,
    choose_encoder,
    formats_of,
    joined_option,
)
from swinir_deploy.video.hdr import hdr_of
from swinir_deploy.video.pixel_formats import format_of_result
from swinir_deploy.video.reader import FrameReader
from swinir_deploy.video.reports import VideoReport
from swinir_deploy.video.side_by_side import Behind, ahead
from swinir_deploy.video.source import Reading, VideoSource
from swinir_deploy.video.streams import copied_chapters, display_matrix
from swinir_deploy.video.writer import FrameLayout, VideoWriter

__all__ = ["VideoJob", "VideoOptions"]

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
        pipe_format: ``y4m`` or ``rawvideo`` if the target is a pipe.
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
    """The state of a run: counts and times."""

    frames: int = 0
    repeated: int = 0
    model_s: float = 0.0
    last_pixels: NDArray[Any] | None = None
    last_result: NDArray[Any] | None = None


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
        written: Path | None = None,
    ) -> VideoReport:
        """Restore a video.

        Args:
            source: the file to read, or an open binary stream.
            target: the file to write, or an open binary stream.
            name: the target, for messages and the report.
            written: the name that the target will get; None takes ``target``.

        Raises:
            VideoError: the video cannot be read or written, or holds what cannot be kept.
            UsageError: the options are impossible.
            BackendUnavailableError: the encoder needs hardware that is missing.
            DeviceMemoryError: the memory does not suffice for the smallest tile.
            CheckFailedError: the model gave values that are not finite.
        """
        started = time.perf_counter()
        run = Run()
        with VideoSource(source, self._options.reading) as opened:
            named = written or Path(name)
            plan = WritePlan.of(opened, self._options, named, self._model.spec.scale)
            with VideoWriter(
                target, plan.layout, plan.encoder, name, self._options.pipe_format
            ) as writer:
                plan.prepare(writer, opened)
                self._work(opened, writer, run)
                writer.finish()
            notes = [*opened.notes, *plan.notes, *self._frames.notes]
            if isinstance(target, Path):
                notes += proved(target, name, opened, writer, run)
            elapsed = time.perf_counter() - started
            return VideoReport(
                source if isinstance(source, Path) else Path("-"),
                Path(name),
                opened.first.width,
                opened.first.height,
                plan.layout.width,
                plan.layout.height,
                run.frames,
                run.repeated,
                opened.broken,
                plan.encoder.name,
                plan.layout.form.name,
                elapsed,
                run.model_s / elapsed,
                tuple(dict.fromkeys(notes)),
            )

    def _work(self, opened: VideoSource, writer: VideoWriter, run: Run) -> None:
        at_once = self._frames.frames_at_once(opened.first.height, opened.first.width)
        items = FrameReader(opened).items()
        disable = None if self._options.progress is None else not self._options.progress

        def write(item: Any) -> None:
            if isinstance(item, Picture):
                writer.write_frame(item.pixels, item.pts, item.duration)
            else:
                writer.write_packet(item)

        with (
            contextlib.closing(ahead(items, at_once + 1)) as coming,
            Behind(write, at_once + _FRAMES_BEHIND) as behind,
            tqdm(total=opened.expected_frames, unit="frame", disable=disable) as bar,
        ):
            for item in self._restored(coming, at_once, run):
                behind.put(item)
                if isinstance(item, Picture):
                    run.frames += 1
                    bar.update()

    def _restored(self, items: Iterator[Any], at_once: int, run: Run) -> Iterator[Any]:
        """Yield restored frames in their order, and packets as they come."""
        group: list[Picture] = []
        to_compute = 0
        for item in items:
            if not isinstance(item, Picture):
                yield item
                continue
            before = group[-1].pixels if group else run.last_pixels
            if not (self._options.dedupe and same_pixels(before, item.pixels)):
                to_compute += 1
            elif group:
                item = replace(item, pixels=before)
            group.append(item)
            # A still picture must not make the group grow.
            if to_compute >= at_once or len(group) >= 2 * at_once:
                yield from self._computed(group, run)
                group, to_compute = [], 0
        yield from self._computed(group, run)

    def _computed(self, group: list[Picture], run: Run) -> Iterator[Picture]:
        """Yield the results of a group of frames; equal neighbours are computed once."""
        fresh: list[NDArray[Any]] = []
        last = run.last_pixels
        places = []
        for picture in group:
            if not (self._options.dedupe and same_pixels(last, picture.pixels)):
                fresh.append(picture.pixels)
            last = picture.pixels
            places.append(len(fresh) - 1)
        started = time.perf_counter()
        results = self._frames.restore(fresh)
        run.model_s += time.perf_counter() - started
        run.repeated += len(group) - len(fresh)
        for picture, place in zip(group, places, strict=True):
            result = results[place] if place >= 0 else run.last_result
            assert result is not None
            yield Picture(result, picture.pts, picture.duration, picture.frame)
        if results:
            run.last_result = results[-1]
        if group:
            run.last_pixels = last


def same_pixels(one: NDArray[Any] | None, other: NDArray[Any]) -> bool:
    """Return whether two frames are equal."""
    return one is other or (one is not None and bool(np.array_equal(one, other)))


@dataclass(frozen=True)
class WritePlan:
    """What will be written.

    Attributes:
        layout: what the frames are.
        encoder: what encodes them.
        notes: sentences for the user.
    """

    layout: FrameLayout
    encoder: EncoderChoice
    notes: list[str]
    drop_unsupported: bool

    @classmethod
    def of(cls, opened: VideoSource, options: VideoOptions, target: Path, scale: int) -> WritePlan:
        """Return the plan for a video.

        Raises:
            UsageError: the options are impossible.
            VideoError: the encoder would lose bits, opacity or colour resolution.
        """
        sides = opened.first.width * scale, opened.first.height * scale
        source = opened.form
        if options.pipe_format is not None:
            encoder = EncoderChoice("rawvideo", {})
            possible = _Y4M if options.pipe_format == "y4m" else None
        else:
            encoder = choose_encoder(options.encoding, target, source)
            possible = formats_of(encoder.name)
        form = format_of_result(
            source,
            possible,
            options.encoding.pix_fmt,
            "y4m" if options.pipe_format == "y4m" else encoder.name,
            sides,
            encoder.keeps_odd_sides,
        )
        colour = colour_of_result(opened.colour, form)
        notes = []
        if source.is_yuv != form.is_yuv and source.colours == 3:
            kinds = ("RGB", "YUV")
            notes.append(
                f"The frames became {kinds[form.is_yuv]} ({form.name}): {encoder.name} takes no "
                f"{source.name}."
            )
        if options.pipe_format is None:
            encoder, more = _with_hdr(encoder, opened)
            notes += more
        stream = opened.stream
        layout = FrameLayout(
            *sides,
            form,
            colour,
            opened.time_base,
            opened.rate,
            opened.is_regular,
            stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio,
            display_matrix(opened.first) if options.pipe_format is None else None,
            (opened.first.pts or 0) >= 0,
        )
        return cls(layout, encoder, notes, options.drop_unsupported)

    def prepare(self, writer: VideoWriter, opened: VideoSource) -> None:
        """Add all streams in the order of the source, and write the head."""
        is_pipe = self.encoder.name == "rawvideo"
        for stream in opened.container.streams:
            if stream is opened.stream:
                writer.add_frames(stream)
            elif not is_pipe:
                writer.add_copy(stream, self.drop_unsupported)
        others = [s for s in opened.others if s.type == "video"]
        if len(others) and not is_pipe:
            self.notes.append(
                f"The first of {len(others) + 1} video streams was restored; the others (such as a "
                "cover) were copied."
            )
        if is_pipe and opened.others:
            self.notes.append(
                "Pipes of raw frames hold no sound and no subtitles: "
                f"{len(opened.others)} other streams were left out."
            )
        for stream in writer.unwritten:
            self.notes.append(
                f"Stream {stream.index} ({stream.type}) was left out: the container cannot hold it."
            )
        reading = opened.reading
        shift = Fraction(reading.start_s).limit_denominator(10**9)
        origin = Fraction(opened.container.start_time or 0, 1_000_000)
        end = None
        if reading.duration_s is not None:
            end = origin + Fraction(reading.duration_s).limit_denominator(10**9)
        chapters = copied_chapters(opened.container.chapters(), shift, end, origin)
        writer.start(opened.container.metadata, [] if is_pipe else chapters)


def _with_hdr(encoder: EncoderChoice, opened: VideoSource) -> tuple[EncoderChoice, list[str]]:
    """Return the encoder with the metadata of high dynamic range among its options."""
    hdr, notes = hdr_of(opened.first, opened.colour.transfer)
    if hdr is None:
        return encoder, notes
    added = hdr.encoder_options(encoder.name)
    if added is None:
        notes.append(
            f"{encoder.name} cannot write what the mastering display of this HDR video was; its "
            "colours and transfer are marked. hevc, av1 and h264 can."
        )
        return encoder, notes
    options = dict(encoder.options)
    for option, text in added.items():
        joined_option(options, option, text)
    return replace(encoder, options=options), notes


_Y4M = [
    "gray",
    "yuv411p",
    "yuv420p",
    "yuv422p",
    "yuv444p",
    *(f"gray{bits}le" for bits in (9, 10, 12, 16)),
    *(f"yuv{kind}p{bits}le" for kind in (420, 422, 444) for bits in (9, 10, 12, 14, 16)),
]


def proved(
    target: Path, name: str, opened: VideoSource, writer: VideoWriter, run: Run
) -> list[str]:
    """Read the head of a written file again, and return sentences on what it did not keep.

    Raises:
        VideoError: the file has not all frames, or cannot be read.
    """
    if writer.packets != run.frames:
        raise VideoError(
            f"The encoder gave {writer.packets} packets for {run.frames} frames; {name} would not "
            "be whole. Choose another --codec."
        )
    notes = []
    try:
        with av.open(str(target), metadata_errors="replace") as result:
            notes += differences(opened, result)
    except av.error.FFmpegError as error:
        raise VideoError(
            f"{name} cannot be read after writing ({error.strerror or error}). Choose another "
            "--codec or container."
        ) from error
    return notes


def differences(opened: VideoSource, result: Any) -> list[str]:
    """Return sentences on what a result does not keep of its source."""
    from swinir_deploy.video.streams import lost_tags

    notes = []
    lost = lost_tags(opened.container, result)
    if lost:
        notes.append(f"The container does not hold these tags: {', '.join(sorted(lost))}.")
    chapters = len(opened.container.chapters()), len(result.chapters())
    if chapters[0] != chapters[1] and not opened.reading.is_part:
        notes.append(f"The container holds {chapters[1]} of {chapters[0]} chapters.")
    return notes
