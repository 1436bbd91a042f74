"""``swinir-deploy build``."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from swinir_deploy.cli.engine_options import engine_options
from swinir_deploy.cli.options import (
    PRECISIONS,
    ModelRequest,
    NearChoice,
    common_options,
    given,
    model_options,
    overwrite_option,
)
from swinir_deploy.cli.output import Output, size_text
from swinir_deploy.cli.outputs import check_outputs
from swinir_deploy.cli.positional import model_argument
from swinir_deploy.cli.selection import select_model
from swinir_deploy.errors import UsageError
from swinir_deploy.system.packages import require

if TYPE_CHECKING:
    from collections.abc import Callable

    from swinir_deploy.artifacts.engine_cache import EngineCache
    from swinir_deploy.exporters.tensorrt.build import BuildReport
    from swinir_deploy.exporters.tensorrt.shapes import ShapeRequest
    from swinir_deploy.models.find import FoundModel

__all__ = ["command"]

EPILOG = """\b
Examples:
  swinir-deploy build finetuned.pth --precision fp16
  swinir-deploy build medium-sr-x4 --target rtx:sm89 --precision fp16
  swinir-deploy build medium-sr-x4 --target cuda:sm80,sm90
  swinir-deploy build x4.onnx --target tensorrt
  swinir-deploy build x4.onnx --target rtx:sm86,sm89,sm120 --tile 256 --batch 1,4,8
  swinir-deploy build x4.onnx --target rtx --min-shape 64x64 --opt-shape 256x256 --max-shape 512x512

\b
Targets:
  tensorrt          TensorRT 10.x or 11.x, for the GPU in this machine
  rtx               TensorRT for RTX, for the GPU in this machine
  cuda:sm80,sm90    this project's own kernels, ahead of time: no GPU needed, and no TensorRT to run
                    it (sm80 sm86 sm89 sm90 sm100 sm120; cuda alone is all of them)
  rtx:sm86,sm89     TensorRT for RTX, ahead of time: no GPU needed (sm75 sm80 sm86 sm89 sm120 sm121)
"""


@click.command("build", epilog=EPILOG)
@model_options
@model_argument
@click.option(
    "--target",
    metavar="TARGET",
    help="Library and GPUs, as listed below.  [default: the library that is installed, for the GPU "
    "in this machine]",
)
@click.option("-o", "--output", type=click.Path(), metavar="FILE", help="[default: ./MODEL.engine]")
@click.option(
    "--precision",
    type=NearChoice(PRECISIONS),
    help="Precision of a checkpoint's engine; an ONNX file has its own.  [default: fp16]",
)
@click.option(
    "--io",
    type=NearChoice(("tensor", "image")),
    help="Of a checkpoint's engine. tensor: NCHW float32, 0..1 (default); image: NHWC uint8.",
)
@click.option(
    "--calibrate",
    type=click.Path(),
    metavar="DIR",
    help="Pictures to calibrate a checkpoint in half precision with.  [default: built-in ones]",
)
@engine_options
@click.option(
    "--compat",
    type=NearChoice(("none", "same-cc", "ampere+")),
    help="Other GPUs that can run it: none (default), those of the same compute capability, "
    "or all from Ampere on.",
)
@click.option("--strip-weights", is_flag=True, help="Leave the weights out of the engine.")
@click.option(
    "--any-graph", is_flag=True, help="Also build a graph that was exported for another back end."
)
@click.option("--device", type=click.IntRange(0), default=0, help="Number of the GPU to build for.")
@click.option(
    "--no-cache",
    is_flag=True,
    help="Build even if the cache has the engine, and do not keep it there.",
)
@overwrite_option
@common_options
def command(
    out: Output,
    request: ModelRequest,
    target: str | None,
    output: str | None,
    precision: str | None,
    io: str | None,
    calibrate: str | None,
    shapes: ShapeRequest,
    builder: dict[str, Any],
    compat: str | None,
    strip_weights: bool,
    any_graph: bool,
    device: int,
    no_cache: bool,
    overwrite: bool,
) -> None:
    """Build an engine from a checkpoint, a model of the catalogue, or an exported file.

    By default, the engine takes tiles of 256 x 256 pixels in batches of 1 to 8. The engine is a
    bare plan; NAME.engine.json beside it describes it. Engines are kept in a cache, so that the
    same one is never built twice ('swinir-deploy cache ls'). A checkpoint is exported first, with
    the checks of 'swinir-deploy export'.
    """
    from swinir_deploy.artifacts.engine import ENGINE_SUFFIX, sidecar_path
    from swinir_deploy.artifacts.engine_cache import EngineCache
    from swinir_deploy.exporters.cuda.build import is_cuda_target
    from swinir_deploy.exporters.tensorrt.build import build_engine, check_build
    from swinir_deploy.exporters.tensorrt.from_checkpoint import exported_for_tensorrt, name_of
    from swinir_deploy.exporters.tensorrt.options import BuildOptions

    found = select_model(request, out, "build --task sr --scale 4 --target rtx:sm89")
    options = BuildOptions(**given(compat=compat), strip_weights=strip_weights, **builder)
    exporting = given(precision=precision, io=io, calibrate=calibrate)
    path = Path(output) if output is not None else Path(f"{name_of(found)}{ENGINE_SUFFIX}")
    check_sources(found, exporting)
    check_outputs([path, sidecar_path(path)], [found, calibrate], overwrite)
    cache = None if no_cache else EngineCache()

    def waiting() -> None:
        out.say("Another process is building this engine; waiting for it.")

    if target is not None and is_cuda_target(target):
        if any(vars(shapes).values()) or options != BuildOptions() or any_graph:
            raise UsageError(
                f"--target {target} builds for every shape, with kernels of its own: it takes no "
                "shapes and no options of TensorRT. Leave them out."
            )
        if found.is_onnx:
            raise UsageError(
                f"{found.name} is an ONNX file; --target {target} builds from a checkpoint. Give "
                "the checkpoint or id that it came from, or --target rtx:sm89."
            )
        _build_for_cuda(out, found, target, path, exporting, request.weights, cache, waiting)
        return
    check_build(target, path, options=options, device=device)
    with ExitStack() as stack:
        source, built_from = found.name, ""
        if not found.is_onnx:
            exported = exported_for_tensorrt(
                found,
                **exporting,
                load_options=request.weights,
                shapes=shapes,
                progress=not out.quiet,
                offline=out.offline,
                say=out.say,
                bar=out.progress,
            )
            source = str(stack.enter_context(exported))
            built_from = found.card.id if found.card is not None else Path(found.name).name
        report = build_engine(
            source,
            target,
            path,
            shapes=shapes,
            options=options,
            any_graph=any_graph,
            cache=cache,
            device=device,
            progress=out.progress,
            on_wait=waiting,
            built_from=built_from,
        )
    for note in report.notes:
        out.note(note)
    if report.log is not None:
        out.say(f"TensorRT's warnings are in {report.log}")
    out.done(_document(report), _line(report))


def _build_for_cuda(
    out: Output,
    found: FoundModel,
    target: str,
    path: Path,
    exporting: dict[str, Any],
    weights: dict[str, Any],
    cache: EngineCache | None,
    on_wait: Callable[[], None],
) -> None:
    from swinir_deploy.exporters.cuda.build import architectures_of, build_cuda_engine

    architectures_of(target)  # before a download
    require("cuda", "Building for cuda")
    require("export", "Building for cuda")
    from swinir_deploy.models.load import load_model

    loaded = load_model(found.checkpoint, progress=not out.quiet, offline=out.offline, **weights)
    report = build_cuda_engine(
        loaded, target, path, **exporting, cache=cache, say=out.say, on_wait=on_wait
    )
    out.done(_document(report), _line(report))


def check_sources(found: FoundModel, exporting: dict[str, Any]) -> None:
    """Check that a model can be compiled, and that the options of an export fit it.

    Args:
        found: the model.
        exporting: those of ``precision``, ``io`` and ``calibrate`` that were given.

    Raises:
        UsageError: the model is an engine, or an exported file with options of an export.
    """
    if found.is_engine:
        raise UsageError(
            f"{found.name} is an engine, which is compiled already. {after_engine(found.name)}"
        )
    if found.is_onnx and exporting:
        names = ", ".join(f"--{name}" for name in exporting)
        raise UsageError(
            f"{names} cannot be used with {found.name}, which was exported already and has its "
            "own. Leave it out, or give the checkpoint."
        )


def after_engine(engine: str) -> str:
    """Return sentences with the commands that take an engine."""
    import shlex

    from swinir_deploy.artifacts.engine import read_engine_metadata
    from swinir_deploy.errors import SwinIRDeployError

    name = shlex.quote(engine)
    try:
        metadata = read_engine_metadata(engine)
    except SwinIRDeployError:
        return f"'swinir-deploy info {name}' says what is wrong with it."
    source = shlex.quote(metadata.onnx_name)
    target = f"rtx:{metadata.architectures[0]}" if metadata.architectures else "rtx:sm89"
    return (
        f"What it is and where it runs: swinir-deploy info {name}. How fast it is there: "
        f"swinir-deploy bench {name}. Its kernels and memory come from what it was built from: "
        f"swinir-deploy inspect {source} --target {target}"
    )


def _document(report: BuildReport) -> dict[str, Any]:
    return {
        "path": report.path,
        "from_cache": report.from_cache,
        "seconds": report.seconds,
        "key": report.key,
        "log": report.log,
        "metadata": report.metadata.to_dict(),
    }


def _line(report: BuildReport) -> str:
    metadata = report.metadata
    memory = metadata.activation_bytes
    needs = f", {size_text(memory)} of activations" if memory else ""
    did = "Took from the cache" if report.from_cache else "Built"
    return (
        f"{did} {metadata.onnx_name} -> {report.path} ({metadata.target}, "
        f"{metadata.library_version}, {size_text(metadata.plan_bytes)}{needs}) "
        f"in {report.seconds:.1f} s"
    )
