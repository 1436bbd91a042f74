"""What the compiler makes of a model's kernels, without a GPU."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from swinir_deploy.errors import UsageError
from swinir_deploy.kernels.compile import (
    CompiledKernel,
    compile_kernels,
    parse_architecture,
)
from swinir_deploy.kernels.served import triton_version, why_network_not_fused
from swinir_deploy.kernels.settings import ARCHITECTURES
from swinir_deploy.models.find import find_model
from swinir_deploy.network.config import SwinIRConfig
from swinir_deploy.system.packages import require

__all__ = ["HalfPrecision", "KernelInspection", "inspect_kernels", "parse_target"]

HalfPrecision = Literal["fp16", "bf16"]


@dataclass(frozen=True)
class KernelInspection:
    """The kernels of one model, compiled.

    Attributes:
        model: id or path.
        precision: of products, weights and stream.
        triton: version of the compiler.
        kernels_per_block: that a Swin block takes.
        kernels: by architecture, such as ``sm90``, in the order of the network.
        seconds: that compiling took.
    """

    model: str
    precision: HalfPrecision
    triton: str
    kernels_per_block: int
    kernels: dict[str, tuple[CompiledKernel, ...]]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "model": self.model,
            "target": f"cuda:{','.join(self.kernels)}",
            "precision": self.precision,
            "triton": self.triton,
            "kernels_per_block": self.kernels_per_block,
            "architectures": {
                name: [kernel.to_dict() for kernel in kernels]
                for name, kernels in self.kernels.items()
            },
            "seconds": self.seconds,
        }


def parse_target(target: str) -> tuple[int, ...]:
    """Return the architectures of a target such as ``cuda:sm80,sm90``: (80, 90).

    Raises:
        UsageError: another kind of target, none or an unknown architecture.
    """
    kind, _, names = target.strip().lower().partition(":")
    if kind != "cuda" or not names:
        known = ",".join(f"sm{number}" for number in ARCHITECTURES)
        raise UsageError(
            f"The target {target!r} names no GPU to compile for. Give some of cuda:{known}."
        )
    return tuple(dict.fromkeys(parse_architecture(name.strip()) for name in names.split(",")))


def inspect_kernels(
    model: str | os.PathLike[str],
    target: str,
    *,
    precision: HalfPrecision = "fp16",
    say: Callable[[str], None] = lambda line: None,
    **weights: Any,
) -> KernelInspection:
    """Compile the fused kernels of a model for GPUs that need not be here.

    Args:
        model: a checkpoint, or an id of the catalogue, which is not downloaded.
        target: such as ``cuda:sm80,sm90``.
        precision: ``fp16`` or ``bf16``.
        say: told in a line what is being compiled.
        **weights: ``key``, ``prefix``, ``img_range`` and ``mean`` of a checkpoint, as in
            :func:`swinir_deploy.load_model`.

    Raises:
        BackendUnavailableError: Triton is not installed.
        InferenceError: a kernel does not compile, or needs more shared memory than the GPU has.
        InputError: an exported file or an engine, or a checkpoint that cannot be read.
        UsageError: no such target, or a network that the kernels do not serve.
    """
    architectures = parse_target(target)
    config, name = _config(model, weights)
    reason = why_network_not_fused(config, precision)
    if reason is not None:
        raise UsageError(f"{name} has no fused kernels. {reason}")
    require("cuda", "Compiling fused kernels")
    started = time.perf_counter()
    kernels = {}
    for architecture in architectures:
        say(f"Compiling the kernels of {name} for sm{architecture} ...")
        found = compile_kernels(config, [architecture], half=precision)
        kernels[f"sm{architecture}"] = tuple(found)
    return KernelInspection(
        model=name,
        precision=precision,
        triton=triton_version() or "unknown",
        kernels_per_block=_per_block(next(iter(kernels.values()))),
        kernels=kernels,
        seconds=time.perf_counter() - started,
    )


def _config(model: str | os.PathLike[str], weights: dict[str, Any]) -> tuple[SwinIRConfig, str]:
    """Return the configuration of a model, and what to call it."""
    found = find_model(model)
    if found.card is not None:
        return found.card.config, found.card.id
    from swinir_deploy.models.checkpoint import load_checkpoint

    return load_checkpoint(found.checkpoint, **weights).config, found.name


def _per_block(kernels: Sequence[CompiledKernel]) -> int:
    """Return how many kernels a Swin block takes: one, or one for each half."""
    return len({kernel.part for kernel in kernels} & {"block", "attention", "mlp"})
