"""``swinir-deploy restore``."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from swinir_deploy.cli.options import (
    MemorySize,
    ModelRequest,
    NearChoice,
    common_options,
    given,
    model_options,
    runtime_options,
)
from swinir_deploy.cli.output import Output, Stopwatch, size_text, tell_failures
from swinir_deploy.cli.pipes import is_pipe, through_files
from swinir_deploy.cli.selection import require_model, select_model
from swinir_deploy.cli.tasks import requests_in_a_row, with_level
from swinir_deploy.errors import UsageError

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
  swinir-deploy restore photos/ restored/ --task sr --scale 4 --real --format png
  swinir-deploy restore photos/ restored/ --task sr --scale 4 --format png --resume
  swinir-deploy restore scan.jpg clean.png --task jpeg --tile 256
  swinir-deploy restore small.jpg large.png --task jpeg,sr --scale 4
  cat scan.jpg | swinir-deploy restore - - --task jpeg --format png > clean.png
  swinir-deploy restore map.tif map-x4.tif --task sr --scale 4 --max-memory 2GB --tile auto

ONNX files and built-in models need onnxruntime only. Other models are exported when they are
first used, which needs torch, and kept for the next time ('swinir-deploy cache'). --backend torch
runs a checkpoint without an export.
"""


_SHOWN_LINKS = 4


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
    type=NearChoice(
        ("png", "jpg", "webp", "tif", "bmp", "gif", "avif", "heic", "jxl", "jp2"),
    ),
    help="Format of the results.  [default: that of each picture]",
)
@click.option(
    "--output-quality",
    type=click.IntRange(1, 100),
    metavar="Q",
    help="Quality of JPEG, WebP, AVIF, HEIC and JPEG XL results; 100 is lossless in all but JPEG.  "
    "[default: 95; a WebP without loss stays so]",
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
    type=MemorySize(),
    metavar="SIZE",
    help="Maximum memory for pictures, with its unit: 2GB. Larger PNG, TIFF and JPEG results are "
    "written in strips. The model needs further memory; --tile auto counts that of its tiles. IN "
    "is decoded whole.",
)
@click.option(
    "--strip",
    is_flag=True,
    help="Leave out metadata: EXIF, XMP, IPTC, text, DPI and the time of the last change. The "
    "colour profile stays.",
)
@click.option(
    "--pages",
    is_flag=True,
    help="Restore every page or frame: the first as OUT, the others as OUT-page2 and so on.",
)
@click.option("--overwrite", is_flag=True, help="Replace results that exist.")
@click.option(
    "--resume",
    is_flag=True,
    help="Skip pictures of a folder whose result exists and is not older.",
)
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
    strip: bool,
    pages: bool,
    overwrite: bool,
    resume: bool,
) -> int:
    """Restore a picture, or every picture of a folder.

    Takes PNG, JPEG, WebP, TIFF, BMP, GIF, AVIF and JPEG 2000, with extras HEIC and JPEG XL, 8 or 16
    bit or floating point, gray or colour, of any size. IN and OUT are files or folders; IN may be -
    for stdin, and OUT - for stdout. Metadata is carried over. If a picture of a folder fails, the
    others are restored, and the failure is reported at the end. A result appears only when it is
    complete; --resume continues after a stop.

    --task jpeg and --task denoise find the quality or the noise by themselves, and say it.
    --task jpeg,sr runs one model after the other.
    """
    from swinir_deploy.exports.open import open_model
    from swinir_deploy.restoration.places import check_places, place_of_result
    from swinir_deploy.restoration.restorer import Restorer
    from swinir_deploy.restoration.tiled_model import DEFAULT_OVERLAP_PX
    from swinir_deploy.runtimes.chain import chained

    suffix = f".{picture_format}" if picture_format else None
    named = _one_target(target, output)
    example = f"restore {source} {named} --task sr --scale 4"
    require_model(request, example)
    requests = requests_in_a_row(request)
    limits: dict[str, Any] = given(quality=output_quality, max_memory_bytes=max_memory_bytes)
    limits |= {"strip": strip, "pages": pages, "replace_pages": overwrite or resume}
    if max_pixels is not None:
        limits["max_pixels"] = max_pixels or None
    watch = Stopwatch()
    options = given(
        provider=provider,
        provider_options=provider_options,
        precision=precision,
        kernels=kernels,
        threads=threads,
    )
    with ExitStack() as stack:
        paths = stack.enter_context(through_files(source, named, suffix, out))
        start = Path(paths[0])
        destination = place_of_result(start, paths[1], suffix)
        check_places(start, destination, suffix, overwrite, resume)
        requests = [with_level(one, start, destination, out) for one in requests]
        selections = [select_model(one, out, example) for one in requests]
        if len(selections) > 1 and overlap is None:
            overlap = DEFAULT_OVERLAP_PX * len(selections)  # as far as all of them see together
        loading = {"load_options": request.weights, **out.loading}
        runtime = chained(
            [
                stack.enter_context(open_model(one, backend, device, **loading, **options))
                for one in selections
            ]
        )
        restorer = Restorer(
            runtime, progress=out.progress, **given(tile=tile, overlap_px=overlap, batch=batch)
        )
        if start.is_dir():
            report = restorer.restore_folder(start, destination, suffix, resume=resume, **limits)
            _tell_choice(out, restorer.tile_choice)
            return _finish_folder(out, report, start, destination, runtime.spec, watch)
        restored = restorer.restore_file(start, destination, overwrite_input=overwrite, **limits)
        _tell_choice(out, restorer.tile_choice)
        if is_pipe(source):
            restored = replace(restored, source=Path(source))
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


def _entries(restored: RestoredFile) -> list[dict[str, Any]]:
    """Return the documents of a restored file and of its other pages."""
    entries = []
    for page in (restored, *restored.pages):
        entry = {**vars(page), "size_bytes": page.target.stat().st_size}
        del entry["pages"]
        entries.append(entry)
    return entries


def _tell_notes(out: Output, files: Iterable[RestoredFile], is_folder: bool) -> None:
    """Print each note once, with the file or the number of files that it is about."""
    sources: dict[str, list[Path]] = {}
    for restored in files:
        for page in (restored, *restored.pages):
            for note in page.notes:
                sources.setdefault(note, []).append(page.source)
    for note, about in sources.items():
        if not is_folder:
            out.note(note)
        elif len(about) == 1:
            out.note(f"{about[0]}: {note}")
        else:
            out.note(f"{len(about)} pictures: {note}")


def _finish_file(out: Output, restored: RestoredFile, spec: RuntimeSpec, watch: Stopwatch) -> None:
    _tell_notes(out, [restored], is_folder=False)
    entries = _entries(restored)
    entry = entries[0]
    target = "stdout" if out.stdout_is_taken else restored.target
    out.done(
        {
            "model": _model(spec),
            "restored": entries,
            "failures": [],
            "skipped": [],
            "unread": {},
            "ignored": 0,
            "linked_folders": [],
            "seconds": watch.seconds,
        },
        f"Restored {restored.source} -> {target} ({restored.width}x{restored.height} -> "
        f"{restored.target_width}x{restored.target_height}, {size_text(entry['size_bytes'])}, "
        f"{f'{len(entries)} pages, ' if len(entries) > 1 else ''}"
        f"{spec.model_id} on {spec.backend} {spec.device}) in {watch}",
    )


def _by_suffix(paths: Iterable[Path]) -> dict[str, list[Path]]:
    kinds: dict[str, list[Path]] = {}
    for path in paths:
        kinds.setdefault(path.suffix.lower(), []).append(path)
    return kinds


def _finish_folder(
    out: Output,
    report: FolderReport,
    source: Path,
    destination: Path,
    spec: RuntimeSpec,
    watch: Stopwatch,
) -> int:
    from swinir_deploy.pictures.formats import unread_in_words

    entries = [entry for restored in report.restored for entry in _entries(restored)]
    done, failed, skipped = len(report.restored), len(report.failures), len(report.skipped)
    _tell_notes(out, report.restored, is_folder=True)
    if report.unread:
        out.note(unread_in_words(report.unread))
    if report.linked_folders:
        links = ", ".join(map(str, report.linked_folders[:_SHOWN_LINKS]))
        more = len(report.linked_folders) - _SHOWN_LINKS
        out.note(
            f"Links to folders were not followed: {links}{f' and {more} more' * (more > 0)}. To "
            "restore what is there, give them as IN."
        )
    if report.ignored:
        out.note(f"{report.ignored} files in {source} are no pictures and were left alone.")
    out.done(
        {
            "model": _model(spec),
            "restored": entries,
            "failures": report.failures,
            "skipped": report.skipped,
            "unread": _by_suffix(report.unread),
            "ignored": report.ignored,
            "linked_folders": report.linked_folders,
            "seconds": watch.seconds,
        },
        f"Restored {done} of {done + failed + skipped} pictures in {source} -> {destination}"
        f"{f', {skipped} were done already' if skipped else ''} "
        f"({size_text(sum(entry['size_bytes'] for entry in entries))}, "
        f"{spec.model_id} on {spec.backend} {spec.device}) in {watch}",
    )
    return tell_failures("restored", [(str(f.source), f.error) for f in report.failures])
