"""What an export refuses at once, before torch is imported or a checkpoint read."""

from __future__ import annotations

from typing import get_args

from swinir_deploy.artifact import Precision
from swinir_deploy.errors import UsageError
from swinir_deploy.exporters.recipes import BF16_OPSET, DEFAULT_OPSET, Recipe

__all__ = [
    "SUPPORTED_OPSETS",
    "check_precision",
    "chosen_opset",
]

SUPPORTED_OPSETS = range(17, 24)


def chosen_opset(opset: int | None, precision: str, recipe: Recipe) -> int:
    """The operator set of an export; None takes the default of the precision and the target.

    Raises:
        UsageError: it is not supported, or lacks BF16 convolutions that are asked for.
    """
    if opset is None:
        return recipe.default_opset(precision)
    if opset not in SUPPORTED_OPSETS:
        raise UsageError(
            f"Opset {opset} is not supported; give one from {SUPPORTED_OPSETS.start} to "
            f"{SUPPORTED_OPSETS.stop - 1} (default {DEFAULT_OPSET})."
        )
    if precision == "bf16" and opset < BF16_OPSET:
        raise UsageError(
            f"Opset {opset} has no BF16 convolutions; give {BF16_OPSET} or 23, or leave --opset "
            f"away (bf16 then takes {BF16_OPSET})."
        )
    return opset


def check_precision(precision: str, calibrate_with: object) -> None:
    """Refuse a precision that there is not, or pictures for one that needs none.

    Raises:
        UsageError: either of them.
    """
    if precision not in get_args(Precision):
        raise UsageError(f"No precision {precision!r}; there are {', '.join(get_args(Precision))}.")
    if precision == "fp32" and calibrate_with is not None:
        raise UsageError(
            "Calibration pictures are for half precision; FP32 needs none. Add --precision fp16, "
            "or leave --calibrate away."
        )
