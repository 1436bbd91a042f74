"""``swinir-deploy restore``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from swinir_deploy.cli.options import (
    ModelRequest,
    NearChoice,
    common_options,
    given,
    model_options,
    runtime_options,
)
from swinir_deploy.cli.output import Output, Stopwatch, size_text
from swinir_deploy.cli.restore_video import (
    PIPE_FORMATS,
    VideoRequest,
    is_video,
    place_of_video,
    restore_video,
    video_options,
)
from swinir_deploy.cli.selection import local_path, select_model
from swinir_deploy.errors import UsageError
from swinir_deploy.system.memory import parse_bytes

if TYPE_CHECKING:
    from swinir_deploy.restoration.auto_tile import TileChoice
    from swinir_deploy.restoration.reports import FolderReport, RestoredFile
    from swinir_deploy.runtimes import RuntimeSpec

    _Size = click.ParamType[int]
else:  # before click 8.2, this class takes no type argument
    _Size = click.ParamType

__all__ = ["command"]

EPILOG = """\b
Examples:
  swinir-deploy restore photo.png photo-x4.png --model tiny-sr-x4.onnx
  swinir-deploy restore photos/ restored/ --task sr --scale 4 --format png
  swinir-deploy restore photos/ restored/ --task sr --scale 4 --format png --resume
  swinir-deploy restore scan.jpg clean.png --task jpeg --quality 40 --tile 256
  swinir-deploy restore map.tif map-x4.tif --task sr --scale 4 --max-memory 2GB --tile auto
  swinir-deploy restore film.mp4 film-x2.mkv --task sr --scale 2 --codec hevc

ONNX files need onnxruntime only; checkpoints and names of the catalogue need torch.
"""

_SHOWN_FAILURES = 20


class _MemorySize(_Size):
    """A size such as 500MB or 2GB, converted to bytes."""

    name = "SIZE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number of bytes."""
        try:
            return parse_bytes(str(value))
        except UsageError as error:
            self.fail(str(error), param, ctx)


class _TileSize(_Size):
    """A number of pixels, or ``auto``."""

    name = "PX"

    def convert(  # type: ignore[override]
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | str:
        """Return the number of pixels as int, or ``auto``."""
        text = str(value).strip().lower()
        if text == "auto":
            return text
        if not text.isdecimal():
            self.fail(
                f"{value!r} is neither a number of pixels nor 'auto'. Give one of them.",
                param,
                ctx,
            )
        return int(text)


@click.command("restore", epilog=EPILOG)
@click.argument("source", metavar="IN", type=click.Path())
@click.argument("target", metavar="[OUT]", required=False, type=click.Path())
@model_options
@click.option("-o", "--output", type=click.Path(), metavar="OUT", help="OUT, given as an option.")
@runtime_options
@click.option(
    "--tile",
    type=_TileSize(),
    metavar="PX",
    help="Side of a tile. 0 is the whole picture; auto tries which tile is fastest and fits in "
    "memory.  [default: by size]",
)
@click.option(
    "--overlap",
    type=click.IntRange(0),
    metavar="PX",
    help="Overlap of neighbouring tiles.  [default: 32]",
)
@click.option(
    "--batch",
    type=click.IntRange(1),
    metavar="N",
    help="Number of tiles in one run.  [default: 1; --tile auto tries several]",
)
@click.option(
    "--format",
    "picture_format",
    type=NearChoice(("png", "jpg", "webp", "tif", "bmp", *PIPE_FORMATS)),
    help="Format of the results, or of a video in a pipe.  [default: that of each picture]",
)
@click.option(
    "--output-quality",
    type=click.IntRange(1, 100),
    metavar="Q",
    help="Quality of JPEG and WebP results.  [default: 95]",
)
@click.option(
    "--max-pixels",
    type=click.IntRange(0),
    metavar="N",
    help="Refuse larger pictures. 0 is no limit.",
)
@click.option(
    "--max-memory",
    "max_memory_bytes",
    type=_MemorySize(),
    metavar="SIZE",
    help="Maximum memory for pictures, such as 2GB. Larger PNG, TIFF and JPEG results are written "
    "in strips. The model needs further memory; --tile auto counts that of its tiles. IN is "
    "decoded whole.",
)
@click.option("--overwrite", is_flag=True, help="Replace results that exist.")
@click.option(
    "--resume",
    is_flag=True,
    help="Skip pictures of a folder whose result exists and is not older; go on with a video that "
    "was interrupted.",
)
@video_options
@common_options
def command(
    out: Output,
    source: str,
    target: str | None,
    request: ModelRequest,
    output: str | None,
    backend: str | None,
    device: str | None,
    provider: str | None,
    provider_options: dict[str, str] | None,
    precision: str | None,
    kernels: str | None,
    threads: int | None,
    tile: int | str | None,
    overlap: int | None,
    batch: int | None,
    picture_format: str | None,
    output_quality: int | None,
    max_pixels: int | None,
    max_memory_bytes: int | None,
    overwrite: bool,
    resume: bool,
    video: VideoRequest,
) -> int:
    """Restore a picture, every picture of a folder, or a video.

    Takes PNG, JPEG, WebP, TIFF and BMP, 8 or 16 bit, gray or colour, of any size. IN and OUT are
    files or folders. If a picture of a folder fails, the others are restored, and the failure is
    reported at the end. A result appears only when it is complete; --resume continues after a stop.

    Takes videos, too (extra 'video'): what FFmpeg reads. Sound, subtitles and all else is kept. IN
    and OUT may be - for pipes, with --format y4m or rawvideo.
    """
    from swinir_deploy.restoration.places import check_places, place_of_result
    from swinir_deploy.restoration.restorer import Restorer
    from swinir_deploy.runtimes import open_runtime

    options = given(
        provider=provider,
        provider_options=provider_options,
        precision=precision,
        kernels=kernels,
        threads=threads,
    )
    tiling = given(tile=tile, overlap_px=overlap, batch=batch)
    if is_video(source, picture_format):
        video.refuse_others(
            output_quality=output_quality, max_pixels=max_pixels, max_memory=max_memory_bytes
        )
        goal = place_of_video(source, _one_target(target, output), overwrite, resume, out)
        selection = select_model(request, out, f"restore {source} OUT --task sr --scale 4")
        with open_runtime(local_path(selection, out), backend, device, **options) as runtime:
            restore_video(out, runtime, source, goal, picture_format, video, tiling, resume)
        return 0
    video.refuse(source)
    start, suffix = Path(source), f".{picture_format}" if picture_format else None
    destination = place_of_result(start, _one_target(target, output), suffix)
    selection = select_model(request, out, f"restore {source} {destination} --task sr --scale 4")
    check_places(start, destination, suffix, overwrite, resume)
    limits: dict[str, Any] = given(quality=output_quality, max_memory_bytes=max_memory_bytes)
    if max_pixels is not None:
        limits["max_pixels"] = max_pixels or None
    watch = Stopwatch()
    with open_runtime(local_path(selection, out), backend, device, **options) as runtime:
        restorer = Restorer(runtime, progress=out.progress, **tiling)
        if start.is_dir():
            report = restorer.restore_folder(start, destination, suffix, resume=resume, **limits)
            _tell_choice(out, restorer.tile_choice)
            return _finish_folder(out, report, start, destination, runtime.spec, watch)
        restored = restorer.restore_file(start, destination, overwrite_input=overwrite, **limits)
        _tell_choice(out, restorer.tile_choice)
        _finish_file(out, restored, runtime.spec, watch)
        return 0


def _one_target(target: str | None, output: str | None) -> str:
    if target is not None and output is not None:
        raise UsageError(f"OUT is given twice: {target} and --output {output}. Give one.")
    if target is None and output is None:
        raise UsageError(
            "Missing output. Give a file or folder as OUT, such as "
            "'swinir-deploy restore photo.png photo-x4.png --model tiny-sr-x4.onnx'."
        )
    return target or output or ""


def _tell_choice(out: Output, choice: TileChoice | None) -> None:
    """Print the tile that ``--tile auto`` selected."""
    if choice is None:
        return
    chosen = choice.chosen
    memory = "" if chosen.taken_bytes is None else f", {size_text(chosen.taken_bytes)} of memory"
    out.note(
        f"Tiles of {chosen.width}x{chosen.height} pixels, {chosen.batch} at a time, were the "
        f"fastest of {len(choice.trials)} that were tried ({chosen.ms_per_mpix / 1e3:.2f} s for a "
        f"megapixel{memory})."
    )


def _model(spec: RuntimeSpec) -> dict[str, Any]:
    names = ["model_id", "task", "scale", "precision", "backend", "device"]
    names += ["kernels", "kernels_reason"] if spec.kernels else []
    return {name: getattr(spec, name) for name in names}


def _entry(restored: RestoredFile) -> dict[str, Any]:
    return {**vars(restored), "size_bytes": restored.target.stat().st_size}


def _finish_file(out: Output, restored: RestoredFile, spec: RuntimeSpec, watch: Stopwatch) -> None:
    for note in restored.notes:
        out.note(note)
    entry = _entry(restored)
    out.done(
        {
            "model": _model(spec),
            "restored": [entry],
            "failures": [],
            "skipped": [],
            "ignored": 0,
            "seconds": watch.seconds,
        },
        f"Restored {restored.source} -> {restored.target} ({restored.width}x{restored.height} -> "
        f"{restored.target_width}x{restored.target_height}, {size_text(entry['size_bytes'])}, "
        f"{spec.model_id} on {spec.backend} {spec.device}) in {watch}",
    )


def _finish_folder(
    out: Output,
    report: FolderReport,
    source: Path,
    destination: Path,
    spec: RuntimeSpec,
    watch: Stopwatch,
) -> int:
    entries = [_entry(restored) for restored in report.restored]
    done, failed, skipped = len(entries), len(report.failures), len(report.skipped)
    for restored in report.restored:
        for note in restored.notes:
            out.note(f"{restored.source}: {note}")
    if report.ignored:
        out.note(f"{report.ignored} files in {source} are no pictures and were left alone.")
    out.done(
        {
            "model": _model(spec),
            "restored": entries,
            "failures": report.failures,
            "skipped": report.skipped,
            "ignored": report.ignored,
            "seconds": watch.seconds,
        },
        f"Restored {done} of {done + failed + skipped} pictures in {source} -> {destination}"
        f"{f', {skipped} were done already' if skipped else ''} "
        f"({size_text(sum(entry['size_bytes'] for entry in entries))}, "
        f"{spec.model_id} on {spec.backend} {spec.device}) in {watch}",
    )
    if not failed:
        return 0
    lines = [f"  {failure.source}: {failure.error}" for failure in report.failures]
    if failed > _SHOWN_FAILURES:
        lines[_SHOWN_FAILURES:] = [f"  and {failed - _SHOWN_FAILURES} more; --json lists all"]
    click.echo("\n".join([f"Error: {failed} could not be restored:", *lines]), err=True)
    return 1
