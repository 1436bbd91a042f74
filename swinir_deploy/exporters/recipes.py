"""Which rewrites each target's graph gets: what one compiler fuses, another may not."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from swinir_deploy.errors import UsageError

__all__ = ["RECIPES", "Recipe", "get_recipe"]


@dataclass(frozen=True)
class Recipe:
    """One target's choice.

    Attributes:
        name: what ``--for`` takes and the artefact's metadata records.
        rewrites: names from :data:`swinir_deploy.network.rewrites.REWRITES`.
        summary: one line on what it is for.
    """

    name: str
    rewrites: tuple[str, ...]
    summary: str


_PLAIN = ("fold_attention_scale", "expand_position_bias")

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe("any", _PLAIN, "correct and compact everywhere"),
        Recipe("ort", _PLAIN, "ONNX Runtime, which padded heads would slow down"),
        Recipe("openvino", (*_PLAIN, "align_heads"), "OpenVINO, which likes padded heads in bf16"),
        Recipe(
            "tensorrt",
            (*_PLAIN, "align_heads", "widen_stream", "make_token_major"),
            "TensorRT's fused attention, with nothing re-laid around it",
        ),
    )
}
"""Name -> recipe. Which heads to pad: docs/architecture.md, 'One recipe a target'."""


def get_recipe(name: str) -> Recipe:
    """The recipe called ``name``; :class:`UsageError` with the near match otherwise."""
    if name in RECIPES:
        return RECIPES[name]
    near = difflib.get_close_matches(name, RECIPES, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise UsageError(f"No export target {name!r}; there are {', '.join(RECIPES)}.{hint}")
