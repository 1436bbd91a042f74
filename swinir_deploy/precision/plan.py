"""FP16 and BF16 networks: which modules compute in which dtype.

A typed network runs in PyTorch and is traced without further changes. So the exported graph has
exactly the types that were tested.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from swinir_deploy.artifacts.metadata import Precision
from swinir_deploy.network.rewrites import apply_rewrites, rescale_residual
from swinir_deploy.network.swinir import RSTB, Mlp, SwinIR, WindowAttention

__all__ = [
    "DTYPES",
    "PrecisionPlan",
    "deployed_network",
    "dtype_of",
    "set_precision",
    "typed_modules",
]

DTYPES: dict[Precision, torch.dtype] = {
    "fp32": torch.float32,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
}
"""Precision -> dtype of the weights and activations."""

_OUTSIDE_THE_STREAM = (
    "conv_first",
    "conv_after_body",
    "conv_before_upsample",
    "upsample",
    "conv_up1",
    "conv_up2",
    "conv_up3",
    "conv_up4",
    "conv_hr",
    "conv_last",
)


@dataclass(frozen=True)
class PrecisionPlan:
    """The precision of a network and the exceptions from it.

    Attributes:
        precision: precision of weights and activations.
        residual_scale_log2: k of the factor 2**-k on the stream; 0 leaves the stream as it is.
        keep_fp32: paths from :func:`typed_modules` that compute in FP32 nevertheless.
    """

    precision: Precision = "fp32"
    residual_scale_log2: int = 0
    keep_fp32: tuple[str, ...] = ()


def deployed_network(
    network: SwinIR, rewrites: Iterable[str] = (), plan: PrecisionPlan | None = None
) -> SwinIR:
    """Return a rewritten and typed copy of ``network``, in eval mode.

    Args:
        network: the network in FP32, which is not changed.
        rewrites: names from :data:`swinir_deploy.network.rewrites.REWRITES`.
        plan: precision of the copy; None is FP32.

    Raises:
        KeyError: an unknown rewrite, or a path that is not in :func:`typed_modules`.
    """
    plan = plan or PrecisionPlan()
    deployed = copy.deepcopy(network).eval().requires_grad_(False)
    if plan.residual_scale_log2:
        rescale_residual(deployed, plan.residual_scale_log2)
    apply_rewrites(deployed, rewrites)
    set_precision(deployed, plan.precision, plan.keep_fp32)
    return deployed


def typed_modules(network: SwinIR) -> dict[str, nn.Module]:
    """Return path -> module for the modules that each compute in one dtype, in running order.

    These are the convolutions at both ends, and the attentions, MLPs and convolutions inside the
    RSTBs. They hold all parameters except those of the LayerNorms and the absolute position
    embedding.
    """
    inside: dict[str, nn.Module] = {
        name: module
        for name, module in network.layers.named_modules(prefix="layers")
        if isinstance(module, (WindowAttention, Mlp))
    }
    for name, module in network.layers.named_modules(prefix="layers"):
        if isinstance(module, RSTB):
            inside[f"{name}.conv"] = module.conv
    ends = {name: getattr(network, name) for name in _OUTSIDE_THE_STREAM if hasattr(network, name)}
    first = {"conv_first": ends.pop("conv_first")}
    ordered = {**first, **inside, **ends}
    # With upscale 1 the 'pixelshuffle' head has an empty upsampler.
    return {name: module for name, module in ordered.items() if [*module.parameters()]}


@torch.no_grad()
def set_precision(network: SwinIR, precision: Precision, keep_fp32: Collection[str] = ()) -> None:
    """Convert the weights in place, so that the forward pass computes in that precision.

    LayerNorms (statistics, weights, eps), softmax and the picture at both ends stay FP32. Apply
    rewrites before: on FP32 weights, the weights are rounded only once.

    Args:
        network: the network in FP32.
        precision: precision of weights, activations and the deep-feature stream.
        keep_fp32: paths from :func:`typed_modules` that compute in FP32 nevertheless.

    Raises:
        KeyError: a path that is not in :func:`typed_modules`.
    """
    dtype = DTYPES[precision]
    modules = typed_modules(network)
    unknown = sorted(set(keep_fp32) - set(modules))
    if unknown:
        raise KeyError(f"Unknown modules {unknown} to keep in FP32. Choose from {list(modules)}.")
    for name, module in modules.items():
        if name not in keep_fp32:
            module.to(dtype)
    network.stream_dtype = None if precision == "fp32" else dtype


def dtype_of(module: nn.Module) -> torch.dtype:
    """Return the dtype of the first parameter of a module."""
    parameter: Tensor = next(module.parameters())
    return parameter.dtype
