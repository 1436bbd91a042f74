"""Which rewrites each target's graph gets: what one compiler fuses, another may not."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from swinir_deploy.errors import UsageError

__all__ = [
    "ATTENTION_OPSET",
    "BF16_OPSET",
    "DEFAULT_OPSET",
    "RECIPES",
    "Recipe",
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
