"""The recipes of ``--for``: which rewrites a graph gets, and which requests make sense."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import get_args

from swinir_deploy.artifacts.metadata import Precision
from swinir_deploy.errors import UsageError

__all__ = [
    "ATTENTION_OPSET",
    "BF16_OPSET",
    "DEFAULT_OPSET",
    "RECIPES",
    "SUPPORTED_OPSETS",
    "Recipe",
    "check_precision",
    "chosen_opset",
    "get_recipe",
]


@dataclass(frozen=True)
class Recipe:
    """One target's choice.

    Attributes:
        name: what ``--for`` takes and the artefact's metadata records.
        rewrites: names from :data:`swinir_deploy.network.rewrites.REWRITES`.
        summary: one line on what it is for.
        attention_operator: write attention as ONNX's operator Attention where the graph may hold
            it: in FP32, at opset 23 or newer.
    """

    name: str
    rewrites: tuple[str, ...]
    summary: str
    attention_operator: bool = False

    def rewrites_for(self, precision: str, opset: int) -> tuple[str, ...]:
        """Those of a graph of this precision and operator set."""
        if self.attention_operator and precision == "fp32" and opset >= ATTENTION_OPSET:
            return (*self.rewrites, "use_onnx_attention")
        return self.rewrites

    def default_opset(self, precision: str) -> int:
        """The operator set that a graph of this precision gets where none is asked for."""
        if precision == "bf16":
            return BF16_OPSET
        if self.attention_operator and precision == "fp32":
            return ATTENTION_OPSET
        return DEFAULT_OPSET


DEFAULT_OPSET = 20
BF16_OPSET = 22
"""The first in which Conv takes BF16."""
ATTENTION_OPSET = 23
"""The first with the operator Attention."""

_PLAIN = ("fold_attention_scale", "expand_position_bias")
_SPLIT = (*_PLAIN, "split_projections")

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe("any", _SPLIT, "correct and fast everywhere"),
        Recipe("ort", _SPLIT, "ONNX Runtime on a CPU: attention as one operator", True),
        Recipe(
            "openvino",
            (*_SPLIT, "align_near_heads", "fold_norms"),
            "OpenVINO, which fuses attention by itself",
        ),
        Recipe(
            "tensorrt",
            (*_PLAIN, "align_heads", "widen_stream", "make_token_major"),
            "TensorRT's fused attention, with nothing re-laid around it",
        ),
    )
}
"""Name -> recipe. What each brings: docs/performance.md and docs/tensorrt.md."""


def get_recipe(name: str) -> Recipe:
    """The recipe called ``name``; :class:`UsageError` with the near match otherwise."""
    if name in RECIPES:
        return RECIPES[name]
    near = difflib.get_close_matches(name, RECIPES, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise UsageError(f"No export target {name!r}; there are {', '.join(RECIPES)}.{hint}")


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
