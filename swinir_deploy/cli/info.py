"""``swinir-deploy info``."""

from __future__ import annotations

import click

from swinir_deploy.cli.options import common_options, report_option
from swinir_deploy.cli.output import Output, plain
from swinir_deploy.cli.selection import find_model
from swinir_deploy.system.packages import require

__all__ = ["command"]

EPILOG = """\b
Examples:
  swinir-deploy info tiny-sr-x4
  swinir-deploy info tiny-sr-x4.onnx --json
  swinir-deploy info tiny-sr-x4.engine
  swinir-deploy info finetuned.pth --key params_ema
"""


@click.command("info", epilog=EPILOG)
@click.argument("model", metavar="FILE|ID", type=click.Path())
@click.option("--key", metavar="NAME", help="Entry of the checkpoint with the weights.")
@click.option("--img-range", type=float, metavar="R", help="Of a checkpoint that does not say.")
@report_option
@common_options
def command(
    out: Output, model: str, key: str | None, img_range: float | None, output: str | None
) -> None:
    """Say what a checkpoint, an exported file, an engine or a model is.

    Checkpoint: hyper-parameters as read from its tensors, hash, number of parameters. ONNX file:
    inputs, outputs, opset, nodes, metadata. Engine: library, GPUs, shapes, options, as its
    description beside it says; neither library nor GPU is needed. Catalogue: origin, licence,
    published figures.
    """
    selection = find_model(model)
    if selection.card is not None:
        card = selection.card
        out.answer({"kind": "card", **card.to_dict(), "purpose": card.purpose}, card.describe())
    elif selection.is_onnx:
        from swinir_deploy.cli.describe import read_onnx

        found = read_onnx(selection.name)
        out.answer({"kind": "onnx", **plain(found)}, found.text())
    elif selection.is_engine:
        from swinir_deploy.cli.describe_engine import describe_engine

        out.answer(*describe_engine(selection.name))
    else:
        require("export", "Looking into a checkpoint")
        from swinir_deploy.cli.describe import describe_checkpoint
        from swinir_deploy.models.checkpoint import load_checkpoint

        checkpoint = load_checkpoint(selection.name, img_range=img_range, key=key)
        out.answer(*describe_checkpoint(checkpoint))
    out.save(output)
