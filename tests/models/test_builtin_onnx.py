"""The exported files of the built-in models that are part of the package."""

from __future__ import annotations

import onnx
import pytest
from onnx import numpy_helper

from swinir_deploy import export_onnx, load_model
from swinir_deploy.artifacts.onnx_file import load_onnx, metadata_of
from swinir_deploy.models.catalog import load_catalog
from swinir_deploy.models.weights_cache import builtin_onnx, ensure_local
from swinir_deploy.system.files import sha256_of

BUILT_IN = [card.id for card in load_catalog().all() if card.builtin]


@pytest.mark.parametrize("name", BUILT_IN)
def test_it_was_made_from_the_weights_beside_it(name: str) -> None:
    card = load_catalog().get(name)
    path = builtin_onnx(card)
    assert path is not None, "make it: python tools/export_builtin.py"
    metadata = metadata_of(load_onnx(path), path)
    assert metadata.source_sha256 == sha256_of(ensure_local(card)), "tools/export_builtin.py"
    assert (metadata.model_id, metadata.target, metadata.io) == (name, "any", "tensor")
    assert metadata.shape == f"Nx{card.config.in_chans}xHxW"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tiny-sr-x3", "tiny-real-sr-x4", "tiny-jpeg-gray-40"])
def test_it_equals_a_fresh_export(name: str, tmp_path: object) -> None:
    """Node for node and bit for bit, where the same tools make it; the weights everywhere."""
    path = builtin_onnx(load_catalog().get(name))
    assert path is not None
    fresh_path = export_onnx(load_model(name), f"{tmp_path}/fresh.onnx").path
    kept, fresh = load_onnx(path), load_onnx(fresh_path)
    tools = [metadata_of(model, path).tools for model in (kept, fresh)]
    assert weights(kept) == weights(fresh)
    if tools[0] != tools[1]:
        pytest.skip(f"made by other versions of the tools: {tools[0]}")
    for model in (kept, fresh):
        del model.metadata_props[:]
    assert kept.SerializeToString(deterministic=True) == fresh.SerializeToString(deterministic=True)


def weights(model: onnx.ModelProto) -> dict[str, bytes]:
    """The weights that have names of the network, as bytes."""
    return {
        tensor.name: numpy_helper.to_array(tensor).tobytes()
        for tensor in model.graph.initializer
        if tensor.name.startswith(("layers.", "conv_", "norm.", "upsample."))
    }
