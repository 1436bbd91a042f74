"""``swinir-deploy info``."""

from __future__ import annotations

import click

from swinir_deploy.cli.options import common_options, report_option
from swinir_deploy.cli.output import Output
from swinir_deploy.cli.outputs import check_outputs

__all__ = ["command"]

_FUSED = "in torch on an NVIDIA GPU from sm80 on, in fp16 or bf16."

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
@click.option(
    "--img-range", type=float, metavar="R", help="1 or 255, if the checkpoint does not name it."
)
@report_option
@common_options
def command(
    out: Output,
    model: str,
    key: str | None,
    img_range: float | None,
    output: str | None,
    overwrite: bool,
) -> None:
    """Describe a checkpoint, an exported file, an engine or a model of the catalogue.

    Checkpoint: hyper-parameters as read from its tensors, hash, number of parameters. ONNX file:
    inputs, outputs, opset, nodes, metadata. Engine: library, GPUs, shapes and options, from the
    description beside it; neither the library nor a GPU is needed. Model of the catalogue: origin,
    licence, published figures. For checkpoints and models of the catalogue, also whether torch can
    run them by fused kernels on an NVIDIA GPU.
    """
    from swinir_deploy.cli.describe import describe
    from swinir_deploy.kernels.served import why_network_not_fused
    from swinir_deploy.models.catalog import ModelCard
    from swinir_deploy.models.info import CheckpointInfo, info
    from swinir_deploy.network.config import SwinIRConfig

    check_outputs([output], [model], overwrite)
    result = info(model, key=key, img_range=img_range)
    document = result.to_dict()
    if isinstance(result, ModelCard):
        document = {"kind": "card", **document, "purpose": result.purpose}
    rows = []
    if isinstance(result, (ModelCard, CheckpointInfo)):
        reason = why_network_not_fused(SwinIRConfig.from_dict(document["config"]), "fp16")
        document["kernels"] = "plain" if reason else "fused"
        document["kernels_reason"] = reason or _FUSED
        rows.append(("kernels", f"{document['kernels']}: {document['kernels_reason']}"))
    out.answer(document, describe(result, rows))
    out.save(output)
