"""``swinir-deploy adopt``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from swinir_deploy.cli.options import NearChoice, common_options, given, overwrite_option
from swinir_deploy.cli.output import Output, size_text
from swinir_deploy.cli.outputs import check_outputs
from swinir_deploy.system.packages import require

if TYPE_CHECKING:
    from swinir_deploy.adoption.adopt import AdoptionReport

__all__ = ["command"]

EPILOG = """\b
Examples:
  swinir-deploy adopt swinir_x4.onnx
  swinir-deploy adopt swinir_x4.onnx -o x4.onnx --model finetuned.pth
  swinir-deploy adopt bytes.onnx --range 0..255 --bgr

The original is never changed. The copy is used as an exported file: restore, bench, eval, build,
inspect, bundle, verify and the C library take it.
"""


@click.command("adopt", epilog=EPILOG)
@click.argument("source", metavar="FILE.onnx", type=click.Path())
@click.option(
    "-o",
    "--output",
    type=click.Path(),
    metavar="FILE",
    help="The copy to write.  [default: ./NAME-adopted.onnx]",
)
@click.option(
    "-m",
    "--model",
    metavar="MODEL",
    help="The checkpoint or id that it was exported from: the copy is compared with it.",
)
@click.option(
    "--range",
    "value_range",
    type=NearChoice(("0..1", "0..255", "-1..1")),
    help="Values of black and white.  [default: found by looking and by running]",
)
@click.option("--bgr/--rgb", default=None, help="Order of the channels.  [default: RGB]")
@click.option(
    "--shape",
    metavar="HxW",
    help="The only size in pixels at which it is right.  [default: found by running]",
)
@overwrite_option
@common_options
def command(
    out: Output,
    source: str,
    output: str | None,
    model: str | None,
    value_range: str | None,
    bgr: bool | None,
    shape: str | None,
    overwrite: bool,
) -> None:
    """Take an ONNX file that another program wrote.

    Finds out by looking and by running what the model takes: layout, channels, scale, range of
    values, sizes, batch and precision. Writes a copy with this program's metadata, after it was
    compared with the original and, in tiles, with the whole picture. What does not restore
    pictures is refused.
    """
    target = output if output is not None else f"{Path(source).stem}-adopted.onnx"
    check_outputs([target], [source, model], overwrite)
    require("adopt", "Adopting a model")
    from swinir_deploy.adoption.adopt import adopt_onnx
    from swinir_deploy.models.find import find_model

    reference = None
    if model is not None:
        require("export", "Comparing with a checkpoint")
        from swinir_deploy.models.load import load_model

        name = find_model(model).checkpoint
        reference = load_model(name, progress=not out.quiet, offline=out.offline)
    report = adopt_onnx(
        source,
        target,
        reference=reference,
        say=out.say,
        **given(value_range=value_range, bgr=bgr, shape=shape),
    )
    for note in report.notes:
        out.note(note)
    out.done(report.to_dict(), _line(report))


def _line(report: AdoptionReport) -> str:
    metadata, proof = report.metadata, report.proof
    found = metadata.adopted
    colour = found["order"].upper() if metadata.in_chans == 3 else "gray"
    parts = [
        size_text(report.size_bytes),
        f"x{metadata.scale}",
        colour,
        f"values {found['range']}",
        metadata.shape,
        metadata.precision,
        f"opset {metadata.opset}",
        f"windows of {metadata.window_size}",
    ]
    proofs = [f"{proof.copy.max_abs:.1e} from the original"]
    if proof.tiles_db is not None:
        proofs.append(f"tiles {min(proof.tiles_db, 200):.1f} dB from the whole")
    if proof.network is not None:
        proofs.append(f"{proof.network.psnr_db:.1f} dB from the checkpoint")
    return (
        f"Adopted {report.source} -> {report.path} ({', '.join(parts)}; {', '.join(proofs)}) in "
        f"{report.seconds:.1f} s"
    )
