"""``swinir-deploy restore``."""

from __future__ import annotations

from collections.abc import Sequence
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
from swinir_deploy.cli.output import Output, Stopwatch
from swinir_deploy.cli.pipes import is_pipe, through_files
from swinir_deploy.cli.restore_video import is_video, place_of_video, restore_video
from swinir_deploy.cli.restored_pictures import finish_file, finish_folder, tell_choice
from swinir_deploy.cli.selection import require_model, select_model
from swinir_deploy.cli.tasks import requests_in_a_row, with_level
from swinir_deploy.cli.video_options import PIPE_FORMATS, VideoRequest, video_options
from swinir_deploy.errors import UsageError

if TYPE_CHECKING:
    from swinir_deploy.models.find import FoundModel
    from swinir_deploy.runtimes import Runtime

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
  swinir-deploy restore film.mp4 film-x2.mkv --task sr --scale 2 --codec hevc

ONNX files and built-in models need onnxruntime only. Other models are exported when they are
first used, which needs torch, and kept for the next time ('swinir-deploy cache'). --backend torch
runs a checkpoint without an export.
"""


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
        ("png", "jpg", "webp", "tif", "bmp", "gif", "avif", "heic", "jxl", "jp2", *PIPE_FORMATS),
    ),
    help="Format of the results, or of a video in a pipe.  [default: that of each picture]",
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
    help="Skip pictures of a folder whose result exists and is not older. Keep the finished part "
    "of a video when stopped, and go on after it.",
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
    strip: bool,
    pages: bool,
    overwrite: bool,
    resume: bool,
    video: VideoRequest,
) -> int:
    """Restore a picture, every picture of a folder, or a video.

    Takes PNG, JPEG, WebP, TIFF, BMP, GIF, AVIF and JPEG 2000, with extras HEIC and JPEG XL, 8 or 16
    bit or floating point, gray or colour, of any size. IN and OUT are files or folders; IN may be -
    for stdin, and OUT - for stdout. Metadata is carried over. If a picture of a folder fails, the
    others are restored, and the failure is reported at the end. A result appears only when it is
    complete; --resume continues after a stop.

    --task jpeg and --task denoise find the quality or the noise by themselves, and say it.
    --task jpeg,sr runs one model after the other.

    Takes videos, too (extra 'video'): what FFmpeg reads. Sound, subtitles and all else are kept. In
    a pipe, a video has --format y4m or rawvideo.
    """
    from swinir_deploy.restoration.places import check_places, place_of_result
    from swinir_deploy.restoration.restorer import Restorer
    from swinir_deploy.restoration.tiled_model import DEFAULT_OVERLAP_PX

    suffix = f".{picture_format}" if picture_format else None
    named = _one_target(target, output)
    example = f"restore {source} {named} --task sr --scale 4"
    require_model(request, example)
    requests = requests_in_a_row(request)
    options = {
        "backend": backend,
        "device": device,
        "load_options": request.weights,
        **out.loading,
        **given(
            provider=provider,
            provider_options=provider_options,
            precision=precision,
            kernels=kernels,
            threads=threads,
        ),
    }
    if overlap is None and len(requests) > 1:
        overlap = DEFAULT_OVERLAP_PX * len(requests)  # as far as all of them see together
    tiling = given(tile=tile, overlap_px=overlap, batch=batch)
    if is_video(source, named, picture_format):
        video.refuse_others(
            output_quality=output_quality,
            max_pixels=max_pixels,
            max_memory=max_memory_bytes,
            strip=strip or None,
            pages=pages or None,
        )
        goal = place_of_video(source, named, request.model, overwrite, resume, out)
        selections = [select_model(one, out, example) for one in requests]
        with ExitStack() as stack:
            runtime = _opened(selections, stack, options)
            restore_video(out, runtime, source, goal, picture_format, video, tiling, resume)
        return 0
    video.refuse(source)
    limits: dict[str, Any] = given(quality=output_quality, max_memory_bytes=max_memory_bytes)
    limits |= {"strip": strip, "pages": pages, "replace_pages": overwrite or resume}
    if max_pixels is not None:
        limits["max_pixels"] = max_pixels or None
    watch = Stopwatch()
    with ExitStack() as stack:
        paths = stack.enter_context(through_files(source, named, suffix, out))
        start = Path(paths[0])
        destination = place_of_result(start, paths[1], suffix)
        check_places(start, destination, suffix, overwrite, resume)
        requests = [with_level(one, start, destination, out) for one in requests]
        selections = [select_model(one, out, example) for one in requests]
        runtime = _opened(selections, stack, options)
        restorer = Restorer(runtime, progress=out.progress, **tiling)
        if start.is_dir():
            report = restorer.restore_folder(start, destination, suffix, resume=resume, **limits)
            tell_choice(out, restorer.tile_choice)
            return finish_folder(out, report, start, destination, runtime.spec, watch)
        restored = restorer.restore_file(start, destination, overwrite_input=overwrite, **limits)
        tell_choice(out, restorer.tile_choice)
        if is_pipe(source):
            restored = replace(restored, source=Path(source))
        finish_file(out, restored, runtime.spec, watch)
        return 0


def _opened(selections: Sequence[FoundModel], stack: ExitStack, options: dict[str, Any]) -> Runtime:
    """Open the models in a row; the stack closes them."""
    from swinir_deploy.exports.open import open_model
    from swinir_deploy.runtimes.chain import chained

    return chained([stack.enter_context(open_model(one, **options)) for one in selections])


def _one_target(target: str | None, output: str | None) -> str:
    if target is not None and output is not None:
        raise UsageError(f"OUT is given twice: {target} and --output {output}. Give one.")
    if target is None and output is None:
        raise UsageError(
            "Missing output. Give a file or folder as OUT, such as "
            "'swinir-deploy restore photo.png photo-x4.png --model tiny-sr-x4.onnx'."
        )
    return target or output or ""
