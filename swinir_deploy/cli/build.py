"""``swinir-deploy build``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from swinir_deploy.cli.engine_options import engine_options
from swinir_deploy.cli.options import NearChoice, common_options, given, overwrite_option
from swinir_deploy.cli.output import Output, size_text
from swinir_deploy.cli.outputs import check_outputs

if TYPE_CHECKING:
    from swinir_deploy.exporters.tensorrt.build import BuildReport
    from swinir_deploy.exporters.tensorrt.shapes import ShapeRequest

__all__ = ["command"]

EPILOG = """\b
Examples:
  swinir-deploy build x4.onnx --target tensorrt
  swinir-deploy build x4.onnx --target rtx:sm86,sm89,sm120 --tile 256 --batch 1,4,8
  swinir-deploy build x4.onnx --target rtx --min-shape 64x64 --opt-shape 256x256 --max-shape 512x512

\b
Targets:
  tensorrt          TensorRT 10.x or 11.x, for the GPU in this machine
  rtx               TensorRT for RTX, for the GPU in this machine
  rtx:sm86,sm89     TensorRT for RTX, ahead of time: no GPU needed (sm75 sm80 sm86 sm89 sm120 sm121)
"""


@click.command("build", epilog=EPILOG)
@click.argument("model", metavar="MODEL.onnx", type=click.Path())
@click.option(
    "--target", required=True, metavar="TARGET", help="Library and GPUs, as listed below."
)
@click.option("-o", "--output", type=click.Path(), metavar="FILE", help="[default: ./MODEL.engine]")
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
    model: str,
    target: str,
    output: str | None,
    shapes: ShapeRequest,
    builder: dict[str, Any],
    compat: str | None,
    strip_weights: bool,
    any_graph: bool,
    device: int,
    no_cache: bool,
    overwrite: bool,
) -> None:
    """Build a TensorRT engine from an exported model.

    By default, the engine takes tiles of 256 x 256 pixels in batches of 1 to 8. The engine is a
    bare plan; NAME.engine.json beside it describes it. Engines are kept in a cache, so that the
    same one is never built twice ('swinir-deploy cache ls').
    """
    from swinir_deploy.artifacts.engine import sidecar_path
    from swinir_deploy.artifacts.engine_cache import EngineCache
    from swinir_deploy.exporters.tensorrt.build import build_engine, engine_path
    from swinir_deploy.exporters.tensorrt.options import BuildOptions

    path = engine_path(model, output)
    check_outputs([path, sidecar_path(path)], [model], overwrite)
    report = build_engine(
        model,
        target,
        path,
        shapes=shapes,
        options=BuildOptions(**given(compat=compat), strip_weights=strip_weights, **builder),
        any_graph=any_graph,
        cache=None if no_cache else EngineCache(),
        device=device,
        progress=out.progress,
        on_wait=lambda: out.say("Another process is building this engine; waiting for it."),
    )
    for note in report.notes:
        out.note(note)
    if report.log is not None:
        out.say(f"TensorRT's warnings are in {report.log}")
    out.done(_document(report), _line(report))


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
