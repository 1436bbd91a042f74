"""The recipes of ``--for``, and the requests that make sense."""

from __future__ import annotations

import pytest

from swinir_deploy.errors import UsageError
from swinir_deploy.exporters.onnx.recipes import RECIPES, get_recipe
from swinir_deploy.network.rewrites import REWRITES


def test_recipes() -> None:
    assert set(RECIPES) == {"any", "ort", "openvino", "tensorrt"}
    assert all(recipe.name == name for name, recipe in RECIPES.items())
    assert all(set(recipe.rewrites) <= set(REWRITES) for recipe in RECIPES.values())
    assert "align_heads" in get_recipe("tensorrt").rewrites
    assert "align_near_heads" in get_recipe("openvino").rewrites
    assert not {"align_heads", "align_near_heads"} & set(get_recipe("ort").rewrites)
    assert "use_onnx_attention" in get_recipe("ort").rewrites_for("fp32", 23)
    for precision, opset in (("fp16", 23), ("bf16", 23), ("fp32", 22)):
        assert "use_onnx_attention" not in get_recipe("ort").rewrites_for(precision, opset)
    assert all(
        "use_onnx_attention" not in recipe.rewrites_for("fp32", 23)
        for name, recipe in RECIPES.items()
        if name != "ort"
    )
    with pytest.raises(UsageError, match=r"Unknown recipe 'tensort'.*mean 'tensorrt'\?"):
        get_recipe("tensort")
