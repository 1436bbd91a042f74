"""Restore a video in segments, so that an interrupted run can go on; then join them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
from av.packet import Packet

from swinir_deploy.errors import UsageError, VideoError
from swinir_deploy.restoration.tiled_model import TiledModel
from swinir_deploy.system.files import atomic_output
from swinir_deploy.video.convert import Picture
from swinir_deploy.video.job import Run, VideoJob, VideoOptions, captions_note
from swinir_deploy.video.proof import check_result
from swinir_deploy.video.reader import FrameReader
from swinir_deploy.video.reports import VideoReport
from swinir_deploy.video.segments import Request, SegmentStore, SegmentWriter, StoredPacket
from swinir_deploy.video.source import VideoSource
from swinir_deploy.video.write_plan import WritePlan
from swinir_deploy.video.writer import VideoWriter

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["restore_resumed"]

SEGMENT_FRAMES = 120
"""Frames of a segment: at most so many are lost when a run is interrupted."""

_CONTAINERS = (".mkv", ".mp4", ".m4v", ".mov", ".webm")


def restore_resumed(
    model: TiledModel, source: Path, target: Path, options: VideoOptions
) -> VideoReport:
    """Restore a video; if the run is interrupted, the next one goes on from its segments.

    Args:
        model: the model; it is not closed.
        source: the video to read.
        target: the video to write. Segments lie in a folder beside it until they are joined.
        options: how the video is restored.

    Raises:
        UsageError: only a part is read, the container is not one that can be joined, or there are
            segments of another request.
        VideoError: the video cannot be read or written, or holds what cannot be kept.
    """
    if options.reading.is_part or options.reading.every_nth > 1:
        raise UsageError(
            "--resume restores the whole video. Leave --start, --duration, --frames and "
            "--every-nth out, or leave --resume out."
        )
    if target.suffix.lower() not in _CONTAINERS:
        raise UsageError(
            f"--resume writes {', '.join(_CONTAINERS)}; {target} is another container. Choose one, "
            "or leave --resume out."
        )
    started = time.perf_counter()
    job = VideoJob(model, options)
    with VideoSource(source, options.reading) as opened:
        plan = job.plan(opened, str(target))
        if plan.encoder.name.startswith("libvpx") and plan.layout.form.has_alpha:
            raise UsageError(
                "--resume cannot keep the opacity of VP9. Choose --codec ffv1, or leave --resume "
                "out."
            )
        store = SegmentStore(target, _request(source, model, options, plan))
        before = store.frames
        run = _compute(job, opened, plan, store) if not store.is_complete else Run()
        run.frames, run.broken = store.frames, store.broken
        with atomic_output(target) as temporary:
            with VideoWriter(temporary, plan.layout, plan.encoder, str(target)) as writer:
                plan.prepare(writer, opened, options.drop_unsupported)
                _join(source, opened, store, writer, plan)
                writer.finish(flush=False)
            notes = check_result(temporary, str(target), opened, writer.packets, run.frames)
        store.remove()
        if before:
            notes.append(f"{before} frames were there already, from a run before.")
        return job.report(opened, plan, run, str(target), time.perf_counter() - started, notes)


def _request(source: Path, model: TiledModel, options: VideoOptions, plan: WritePlan) -> Request:
    """Return what identifies the segments; the progress bar does not count."""
    found = source.stat()
    spec = model.spec
    every = {**asdict(options), "encoder": asdict(plan.encoder), "layout": asdict(plan.layout)}
    every.pop("progress")
    return Request(
        f"{source.resolve()}, {found.st_size} bytes, changed {found.st_mtime_ns}",
        f"{spec.model_id} {spec.task} x{spec.scale} {spec.precision} on {spec.backend}",
        ", ".join(f"{name}={value}" for name, value in sorted(every.items())),
    )


def _compute(job: VideoJob, opened: VideoSource, plan: WritePlan, store: SegmentStore) -> Run:
    """Restore the frames that no segment holds yet."""
    after = store.segments[-1].last_pts if store.segments else None
    with SegmentWriter(store, plan.layout, plan.encoder, SEGMENT_FRAMES) as writer:

        def write(item: Any) -> None:
            if isinstance(item, Picture):  # other streams are copied when segments are joined
                writer.write(item)

        items = FrameReader(opened).items()
        left = (
            item
            for item in items
            if after is None or not isinstance(item, Picture) or item.pts > after
        )
        run = job.work(opened, left, write, store.frames)
        writer.finish()
        if writer.lost_captions:
            plan.notes.append(captions_note(plan.encoder.name))
    store.complete(opened.broken)
    return run


def _join(
    source: Path,
    opened: VideoSource,
    store: SegmentStore,
    writer: VideoWriter,
    plan: WritePlan,
) -> None:
    """Write the packets of all segments, and those of the other streams between them.

    Raises:
        VideoError: the segments do not fit together.
    """
    heads = {segment.head for segment in store.segments}
    if heads != {writer.head}:
        raise VideoError(
            "The segments have different heads, and cannot be one stream; they are of another "
            f"version of the encoder. Remove {store.folder} to start again."
        )
    frames = iter(_timed(store, plan.layout.time_base))
    waiting = next(frames, None)
    for packet in _others(source, opened):
        at = packet.dts if packet.dts is not None else packet.pts
        time_s = None if at is None else at * packet.time_base
        while waiting is not None and time_s is not None and waiting.dts is not None:
            if waiting.dts * waiting.time_base > time_s:
                break
            writer.write_encoded(waiting)
            waiting = next(frames, None)
        writer.write_packet(packet)
    while waiting is not None:
        writer.write_encoded(waiting)
        waiting = next(frames, None)


def _others(source: Path, opened: VideoSource) -> Iterator[Packet[Any]]:
    """Yield the packets of all streams but the restored one."""
    if not opened.others:
        return
    with av.open(str(source), metadata_errors="replace") as again:
        wanted = [s for s in again.streams if s.index != opened.stream.index]
        for packet in again.demux([s for s in wanted if s.type != "attachment"]):
            if packet.dts is not None or packet.size:
                yield packet


def _timed(store: SegmentStore, time_base: Fraction) -> Iterator[Packet[Any]]:
    """Yield packets with decoding times that grow over the joints.

    Each encoder began its segment with its own delay. Here the whole video gets one: the packet at
    place i is decoded at the i-th smallest time of presentation, moved by the largest number of
    places that a packet stands behind its turn.
    """
    pts = [packet.pts for packet in store.packets()]
    ordered = sorted(pts)
    places = {value: place for place, value in enumerate(ordered)}
    delay = max((index - places[value] for index, value in enumerate(pts)), default=0)
    dts = _decoding_times(ordered, delay)
    for stored, decoded_at in zip(store.packets(), dts, strict=True):
        yield _packet(stored, decoded_at, time_base)


def _decoding_times(ordered: Sequence[int], delay: int) -> Iterable[int]:
    step = ordered[1] - ordered[0] if len(ordered) > 1 else 1
    for index in range(len(ordered)):
        if index < delay:
            yield ordered[0] - (delay - index) * step
        else:
            yield ordered[index - delay]


def _packet(stored: StoredPacket, dts: int, time_base: Fraction) -> Packet[Any]:
    packet: Packet[Any] = Packet(stored.data)
    packet.pts, packet.dts, packet.duration = stored.pts, dts, stored.duration
    packet.time_base = time_base
    packet.is_keyframe = stored.is_key
    return packet
