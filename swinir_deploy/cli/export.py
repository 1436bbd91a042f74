"""``swinir-deploy export``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from swinir_deploy.artifacts.shapes import ShapePattern
from swinir_deploy.cli.describe import precision_text
from swinir_deploy.cli.options import (
    LibraryChoice,
    ModelRequest,
    NearChoice,
    common_options,
    given,
    model_options,
    overwrite_option,
)
from swinir_deploy.cli.output import Output, size_text
from swinir_deploy.cli.outputs import check_outputs
from swinir_deploy.cli.pages import identified, page_option, save_page
from swinir_deploy.cli.positional import model_argument
from swinir_deploy.cli.selection import select_model
from swinir_deploy.exporters.onnx.recipes import check_request
from swinir_deploy.system.files import check_output
from swinir_deploy.system.packages import require
from swinir_deploy.system.stages import Stages

if TYPE_CHECKING:
    from swinir_deploy.exporters.onnx.export import ExportReport

__all__ = ["command"]

EPILOG = """\b
Examples:
  swinir-deploy export --task sr --scale 4
  swinir-deploy export medium-sr-x4 --for ort -o medium.onnx
  swinir-deploy export finetuned.pth --io image --shape 1x3x256x256
  swinir-deploy export medium-sr-x4 --precision fp16 --for tensorrt
"""


@click.command("export", epilog=EPILOG)
@model_options
@model_argument
@click.option(
    "-o",
    "--output",
    type=click.Path(),
    metavar="FILE",
    help="The ONNX file to write.  [default: ./MODEL.onnx]",
)
@click.option(
    "--io",
    type=NearChoice(("tensor", "image")),
    help="tensor: NCHW float32, 0..1 (default); image: NHWC uint8.",
)
@click.option(
    "--for",
    "target",
    type=LibraryChoice(("any", "ort", "openvino", "tensorrt")),
    help="Back end that will run it. 'any' (default) runs on every back end.",
)
@click.option(
    "--shape",
    metavar="NxCxHxW",
    help="Numbers are fixed sides, letters dynamic ones: 1x3xHxW.  [default: all dynamic]",
)
@click.option(
    "--precision",
    type=NearChoice(("fp32", "fp16", "bf16")),
    help="Precision of weights and activations. Half precision is measured and proved, so that "
    "FP16 never overflows.  [default: fp32]",
)
@click.option(
    "--calibrate",
    type=click.Path(),
    metavar="DIR",
    help="Pictures to calibrate half precision with.  [default: built-in ones]",
)
@click.option(
    "--opset",
    type=int,
    metavar="N",
    help="ONNX operator set, 17 to 23.  [default: 20; 22 for bf16; 23 for fp32 --for ort]",
)
@page_option
@overwrite_option
@common_options
def command(
    out: Output,
    request: ModelRequest,
    output: str | None,
    io: str | None,
    target: str | None,
    shape: str | None,
    precision: str | None,
    calibrate: str | None,
    opset: int | None,
    page: str | None,
    overwrite: bool,
) -> None:
    """Export a model to an ONNX file.

    The file is compared with the PyTorch network at several shapes. If a difference is beyond the
    limit, the command fails and writes nothing. A file in half precision is also tested on
    photographs and on adversarial pictures (docs/precision.md).
    """
    found = select_model(request, out, "export --task sr --scale 4")
    name = found.checkpoint
    requested = given(io=io, target=target, opset=opset, precision=precision, calibrate=calibrate)
    check_request(output, **requested)
    check_outputs([output, page], [found, calibrate], overwrite)
    if output is None and found.card is not None:
        check_output(f"{found.card.id}.onnx")
    if shape is not None and found.card is not None:
        ShapePattern.parse(shape, found.card.config)  # before a download
    require("export", "Exporting a model")
    from swinir_deploy.exporters.onnx.export import export_onnx, stages_of_export
    from swinir_deploy.models.load import load_model
    from swinir_deploy.models.origin import remember_checkpoint

    model = load_model(name, progress=not out.quiet, offline=out.offline, **request.weights)
    path = Path(output) if output is not None else Path(f"{Path(model.model_id).name}.onnx")
    check_outputs([path, page], [found, calibrate], overwrite)
    out.say(f"Exporting {model.model_id} and checking it against PyTorch ...")
    total = stages_of_export(requested.get("precision", "fp32"))
    with Stages(out.say, total=total, bar=out.progress) as stages:
        report = export_onnx(model, path, **given(shape=shape), **requested, stages=stages)
    if model.card is None:
        remember_checkpoint(model.path, model.source_sha256)
    from swinir_deploy.reporting.identity import identify_model

    document = identified(
        out,
        "export",
        _document(report),
        lambda: [identify_model(report.path, metadata=report.metadata)],
        page,
    )
    out.done(document, _line(report))
    save_page(out, page)


def _document(report: ExportReport) -> dict[str, Any]:
    return {
        "path": report.path,
        "size_bytes": report.size_bytes,
        "seconds": report.seconds,
        "nodes": report.nodes,
        "worst_max_abs": report.worst.comparison.max_abs,
        "metadata": report.metadata.to_dict(),
        "checks": [{"shape": check.shape, **vars(check.comparison)} for check in report.checks],
    }


def _line(report: ExportReport) -> str:
    metadata, count = report.metadata, len(report.checks)
    unit = " levels" if metadata.io == "image" else ""
    worst = f"worst difference {report.worst.comparison.max_abs:.1e}{unit}"
    precision = ""
    if metadata.precision != "fp32":  # its proof is in dB, and so is this
        precision = f"{precision_text(metadata)}, "
        worst = f"at least {min(c.comparison.psnr_db for c in report.checks):.1f} dB"
    return (
        f"Exported {metadata.model_id} -> {report.path} ({size_text(report.size_bytes)}, "
        f"{report.nodes} nodes, opset {metadata.opset}, {precision}{worst} over {count} "
        f"shape{'s' if count > 1 else ''}) in {report.seconds:.1f} s"
    )
