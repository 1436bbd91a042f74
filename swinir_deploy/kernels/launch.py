"""Runs a plan: every launch with its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from swinir_deploy.artifacts.launch_program import Buffer, Plan, Weight
from swinir_deploy.kernels.device.block import swin_block
from swinir_deploy.kernels.device.convolution import convolution
from swinir_deploy.kernels.device.edges import first_convolution, layer_norm
from swinir_deploy.kernels.device.halves_of_block import attention_half, mlp_half
from swinir_deploy.kernels.settings import Settings

__all__ = ["KERNELS", "run_plan"]

KERNELS: Mapping[str, Any] = {
    kernel.__name__: kernel
    for kernel in (
        swin_block,
        attention_half,
        mlp_half,
        convolution,
        first_convolution,
        layer_norm,
    )
}
"""Name -> kernel of Triton."""


def run_plan(
    plan: Plan,
    settings: Settings,
    stored: int,
    weights: Mapping[str, Tensor],
    picture: Tensor,
    arena: Tensor,
    output: Tensor,
) -> None:
    """Launch all kernels of a plan in the current stream.

    Args:
        plan: for the shape of ``picture``.
        settings: those that the plan was made with.
        stored: channels of the stream in memory.
        weights: of :class:`.packing.PackedSwinIR`.
        picture: contiguous, as the plan's ``io`` says.
        arena: [plan.arena_elements] of the packed dtype; its content means nothing.
        output: plan.output_shape; written completely.
    """
    places = {"input": picture, "output": output}
    for launch in plan.launches:
        arguments = {
            name: weights[argument.name]
            if isinstance(argument, Weight)
            else _place(argument, arena, places)
            if isinstance(argument, Buffer)
            else argument
            for name, argument in launch.arguments.items()
        }
        options = settings.launch_options(launch.kernel, stored)
        KERNELS[launch.kernel][launch.grid](**arguments, **launch.constants, **options)


def _place(buffer: Buffer, arena: Tensor, places: Mapping[str, Tensor]) -> Tensor:
    return arena[buffer.offset :] if buffer.name == "arena" else places[buffer.name]
