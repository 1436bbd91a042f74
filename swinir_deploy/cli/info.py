"""``swinir-deploy info``."""

from __future__ import annotations

from typing import Any

import click

from swinir_deploy.cli.options import common_options, report_option, weight_options
from swinir_deploy.cli.output import Output
from swinir_deploy.cli.outputs import check_outputs
from swinir_deploy.cli.selection import require_checkpoint

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
@weight_options
@report_option
@common_options
def command(
    out: Output, model: str, weights: dict[str, Any], output: str | None, overwrite: bool
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
    from swinir_deploy.models.find import find_model
    from swinir_deploy.models.info import CheckpointInfo, info
    from swinir_deploy.network.config import SwinIRConfig

    check_outputs([output], [model], overwrite)
    require_checkpoint(find_model(model), weights)
    result = info(model, **weights)
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
