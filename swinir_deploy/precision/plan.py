"""FP16 and BF16 networks: which modules compute in which dtype.

A typed network runs in PyTorch as it is and is traced as it is, so that the exported graph has
the very types that were tried.
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
    "conv_hr",
    "conv_last",
)


@dataclass(frozen=True)
class PrecisionPlan:
    """How a network is typed.

    Attributes:
        precision: of weights and activations.
        residual_scale_log2: k; the stream is multiplied by 2**-k.
        keep_fp32: paths from :func:`typed_modules` that compute in FP32 all the same.
    """

    precision: Precision = "fp32"
    residual_scale_log2: int = 0
    keep_fp32: tuple[str, ...] = ()


def deployed_network(
    network: SwinIR, rewrites: Iterable[str] = (), plan: PrecisionPlan | None = None
) -> SwinIR:
    """A rewritten and typed copy of ``network``, in eval mode; the network stays as it is.

    Args:
        network: in FP32.
        rewrites: names from :data:`swinir_deploy.network.rewrites.REWRITES`.
        plan: None is FP32.
    """
    plan = plan or PrecisionPlan()
    deployed = copy.deepcopy(network).eval().requires_grad_(False)
    if plan.residual_scale_log2:
        rescale_residual(deployed, plan.residual_scale_log2)
    apply_rewrites(deployed, rewrites)
    set_precision(deployed, plan.precision, plan.keep_fp32)
    return deployed


def typed_modules(network: SwinIR) -> dict[str, nn.Module]:
    """The modules that compute in one dtype each, by path, in the order of the computation.

    They are the convolutions at both ends, and the attention, the MLP and the closing convolution
    inside the RSTBs. All parameters but those of the LayerNorms and the absolute position
    embedding are theirs.
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
    """Convert the weights in place; the forward pass then computes in that precision.

    LayerNorms (statistics, weights, eps), softmax and the picture at both ends stay FP32.
    Rewrites come before: they round once if the weights are still FP32.

    Args:
        network: in FP32.
        precision: of weights, activations and the deep-feature stream.
        keep_fp32: paths from :func:`typed_modules` that compute in FP32 all the same.

    Raises:
        KeyError: a path that is not in :func:`typed_modules`.
    """
    dtype = DTYPES[precision]
    modules = typed_modules(network)
    unknown = sorted(set(keep_fp32) - set(modules))
    if unknown:
        raise KeyError(f"No module {unknown} to keep in FP32; there are {list(modules)}.")
    for name, module in modules.items():
        if name not in keep_fp32:
            module.to(dtype)
    network.stream_dtype = None if precision == "fp32" else dtype


def dtype_of(module: nn.Module) -> torch.dtype:
    """Of the first parameter."""
    parameter: Tensor = next(module.parameters())
    return parameter.dtype
