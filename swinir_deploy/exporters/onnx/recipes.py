"""The recipes of ``--for``, which name the rewrites of a graph, and the check of a request."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from swinir_deploy.artifacts.metadata import IoLayout, Precision
from swinir_deploy.errors import InputError, UsageError
from swinir_deploy.system.choices import unknown_choice
from swinir_deploy.system.files import check_output
from swinir_deploy.system.library_names import library_name

__all__ = [
    "RECIPES",
    "SUPPORTED_OPSETS",
    "Recipe",
    "check_request",
    "get_recipe",
]


@dataclass(frozen=True)
class Recipe:
    """The rewrites of a graph for one target.

    Attributes:
        name: value of ``--for``, which the metadata of the file also hold.
        rewrites: names from :data:`swinir_deploy.network.rewrites.REWRITES`.
        summary: purpose in one line.
        attention_operator: whether attention becomes ONNX's operator Attention, which is possible
            in FP32 at opset 23 or newer.
    """

    name: str
    rewrites: tuple[str, ...]
    summary: str
    attention_operator: bool = False

    def rewrites_for(self, precision: str, opset: int) -> tuple[str, ...]:
        """Return the rewrites for a graph of this precision and operator set."""
        if self.attention_operator and precision == "fp32" and opset >= _ATTENTION_OPSET:
            return (*self.rewrites, "use_onnx_attention")
        return self.rewrites

    def default_opset(self, precision: str) -> int:
        """Return the operator set for a graph of this precision if the request names none."""
        if precision == "bf16":
            return _BF16_OPSET
        if self.attention_operator and precision == "fp32":
            return _ATTENTION_OPSET
        return _DEFAULT_OPSET


_DEFAULT_OPSET = 20
_BF16_OPSET = 22
"""The first operator set in which Conv takes BF16."""
_ATTENTION_OPSET = 23
"""The first operator set with the operator Attention."""

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
"""Name -> recipe. docs/performance.md and docs/tensorrt.md have measurements of each."""


_RECIPE_OF = {"rtx": "tensorrt"}
"""Library -> recipe, where the names differ: TensorRT for RTX fuses what TensorRT fuses."""


def get_recipe(name: str) -> Recipe:
    """Return the recipe with this name.

    Raises:
        UsageError: there is no such recipe; the message suggests a near name.
    """
    known = _RECIPE_OF.get(library_name(name), library_name(name))
    if known in RECIPES:
        return RECIPES[known]
    raise UsageError(unknown_choice("recipe", name, RECIPES))


SUPPORTED_OPSETS = range(17, 24)


def check_request(
    output: str | os.PathLike[str] | None = None,
    *,
    io: str = "tensor",
    target: str = "any",
    precision: str = "fp32",
    opset: int | None = None,
    calibrate: object = None,
) -> tuple[Recipe, int]:
    """Check the arguments of an export, without torch and before a model is loaded.

    Args:
        output: the file to write; None where its name is not known yet.
        io: as in :func:`swinir_deploy.export_onnx`.
        target: as in :func:`swinir_deploy.export_onnx`.
        precision: as in :func:`swinir_deploy.export_onnx`.
        opset: as in :func:`swinir_deploy.export_onnx`.
        calibrate: as in :func:`swinir_deploy.export_onnx`.

    Returns:
        The recipe, and the operator set that the graph gets.

    Raises:
        UsageError: a name is unknown, or arguments exclude each other.
        InputError: the output cannot be written, or there is no folder ``calibrate``.
    """
    recipe = get_recipe(target)
    if precision not in get_args(Precision):
        raise UsageError(unknown_choice("precision", precision, get_args(Precision)))
    if precision == "fp32" and calibrate is not None:
        raise UsageError(
            "Calibration pictures are for half precision; FP32 needs none. Add --precision fp16, "
            "or leave out --calibrate."
        )
    if calibrate is not None and not Path(str(calibrate)).is_dir():
        raise InputError(f"There is no folder {calibrate}; --calibrate takes a folder of pictures.")
    if io not in get_args(IoLayout):
        raise UsageError(unknown_choice("io", io, get_args(IoLayout)))
    if output is not None:
        check_output(output)
        if Path(output).suffix.lower() != ".onnx":
            raise UsageError(
                f"The output {os.fspath(output)!r} does not end in .onnx. Give a name such as "
                "model.onnx."
            )
    return recipe, _opset_of(opset, precision, recipe)


def _opset_of(opset: int | None, precision: str, recipe: Recipe) -> int:
    if opset is None:
        return recipe.default_opset(precision)
    if opset not in SUPPORTED_OPSETS:
        raise UsageError(
            f"Opset {opset} is not supported. Choose one from {SUPPORTED_OPSETS.start} to "
            f"{SUPPORTED_OPSETS.stop - 1} (default {_DEFAULT_OPSET})."
        )
    if precision == "bf16" and opset < _BF16_OPSET:
        raise UsageError(
            f"Opset {opset} has no BF16 convolutions. Choose {_BF16_OPSET} or 23, or leave out "
            f"--opset (bf16 then takes {_BF16_OPSET})."
        )
    return opset
