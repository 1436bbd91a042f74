"""What the kernels serve, and the reason where they do not; Triton is never imported for it."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Collection
from typing import TYPE_CHECKING

from swinir_deploy.artifacts.metadata import Precision
from swinir_deploy.kernels.settings import ARCHITECTURES
from swinir_deploy.network.config import SwinIRConfig
from swinir_deploy.system.packages import is_importable

if TYPE_CHECKING:
    import torch

__all__ = ["triton_version", "why_network_not_fused", "why_not_fused"]

_OLDEST_TRITON = (3, 6)
_TRITONS = ("triton", "pytorch-triton", "triton-windows")
"""Distributions that bring the module ``triton``."""


def why_not_fused(
    config: SwinIRConfig,
    precision: Precision,
    device: torch.device | str,
    *,
    keep_fp32: Collection[str] = (),
    spare_channels: int = 0,
) -> str | None:
    """Say why a network cannot run by the kernels on a device.

    Args:
        config: of the network.
        precision: of weights and activations.
        device: where it is to run.
        keep_fp32: modules that the precision plan keeps in FP32.
        spare_channels: that a rewrite has added to the network's stream.

    Returns:
        One sentence, or None where the kernels serve it.
    """
    return (
        _why_device_not(device)
        or _why_triton_not()
        or why_network_not_fused(
            config, precision, keep_fp32=keep_fp32, spare_channels=spare_channels
        )
    )


def why_network_not_fused(
    config: SwinIRConfig,
    precision: Precision,
    *,
    keep_fp32: Collection[str] = (),
    spare_channels: int = 0,
) -> str | None:
    """Say why the kernels serve a network on no device; arguments as in :func:`why_not_fused`."""
    head = config.embed_dim // min(config.num_heads)
    if precision == "fp32":
        return "The precision is fp32; the kernels compute in fp16 or bf16."
    if config.ape:
        return "The network has an absolute position embedding (ape); the kernels have none."
    if config.in_chans not in (1, 3) or config.out_chans is not None:
        return (
            f"The network has {config.in_chans} channels in and {config.channels_out} out; the "
            "kernels take gray or RGB pictures and give the same."
        )
    if config.unshuffle > 1 or config.head_scale not in (1, 2, 3, 4, 8):
        return (
            f"The network enlarges by {config.head_scale} after an unshuffle of "
            f"{config.unshuffle}; the kernels take scales of 1, 2, 3, 4 or 8 and no unshuffle."
        )
    if config.upsampler == "nearest+conv" and config.head_scale > 4:
        return "The head 'nearest+conv' enlarges by 8; the kernels take it up to 4."
    if config.shift_size == 0 and max(config.depths) > 1:
        return "The network was trained without shifted windows; the kernels shift them."
    if config.window_size > 8:
        return f"The windows have {config.window_size} pixels a side; the kernels take up to 8."
    if head > 64:
        return f"The attention heads have {head} channels; the kernels take up to 64."
    if config.embed_dim > 256:
        return (
            f"The network has {config.embed_dim} channels (embed_dim); the kernels take up to 256."
        )
    if keep_fp32:
        return (
            f"The precision plan keeps {', '.join(keep_fp32)} in FP32; the kernels compute every "
            f"module in {precision}."
        )
    if spare_channels:
        return (
            f"The network's stream has {spare_channels} spare channels of a rewrite; the kernels "
            "take networks as they were trained."
        )
    return None


def triton_version() -> str | None:
    """Return the version of the Triton that is installed; None where that is unknown."""
    for name in _TRITONS:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def _why_device_not(name: torch.device | str) -> str | None:
    import torch

    device = torch.device(name)
    if device.type != "cuda":
        return f"The device is {device}; the kernels run on NVIDIA GPUs (--device cuda)."
    if torch.version.hip is not None:
        return f"This torch was built for AMD's ROCm {torch.version.hip}; the kernels need CUDA."
    if not torch.cuda.is_available():
        return "torch finds no CUDA device; the kernels run on NVIDIA GPUs."
    major, minor = torch.cuda.get_device_capability(device)
    oldest = min(ARCHITECTURES)
    if major * 10 + minor < oldest:
        name = torch.cuda.get_device_name(device)
        return f"{name} is sm{major}{minor}; the kernels need sm{oldest} or newer."
    return None


def _why_triton_not() -> str | None:
    if not is_importable("triton"):
        return "Triton is not installed: pip install 'swinir-deploy[cuda]'."
    version = triton_version()
    oldest = ".".join(map(str, _OLDEST_TRITON))
    numbers = re.match(r"(\d+)\.(\d+)", version or "")
    if numbers is not None and (int(numbers[1]), int(numbers[2])) < _OLDEST_TRITON:
        return (
            f"Triton {version} is installed; the kernels need {oldest} or newer: "
            "pip install 'swinir-deploy[cuda]'."
        )
    return None
