"""The check must pass what is right and refuse every kind of wrong graph."""

from __future__ import annotations

import copy
import sys
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from exported import export, network_of
from onnx import numpy_helper
from variants import SMALL

from swinir_deploy.artifacts.metadata import IoLayout
from swinir_deploy.artifacts.shapes import ShapePattern
from swinir_deploy.errors import BackendUnavailableError, CheckFailedError
from swinir_deploy.exporters.onnx.check import check_against_network, check_shapes, structure_check

ANY = ShapePattern()


def exported_model(io: IoLayout = "tensor") -> onnx.ModelProto:
    return copy.deepcopy(export(io=io).model)


def change_weight(model: onnx.ModelProto, name: str, by: float) -> None:
    (tensor,) = (tensor for tensor in model.graph.initializer if tensor.name == name)
    values = numpy_helper.to_array(tensor).copy()
    values += by
    tensor.CopyFrom(numpy_helper.from_array(values, name))


@pytest.mark.parametrize("window", [4, 7, 8])
def test_shapes_of_the_check(window: int) -> None:
    network = network_of(replace(SMALL, window_size=window))
    shapes = check_shapes(network, ANY)
    assert len(set(shapes)) == len(shapes) >= 6
    assert {shape[1] for shape in shapes} == {3}
    assert max(shape[0] for shape in shapes) >= 2
    sides = [side for shape in shapes for side in shape[2:]]
    assert min(sides) == window // 2 + 1
    assert (1, 3, window, window) in shapes
    assert len([1 for shape in shapes if shape[2] % window and shape[3] % window]) >= 3


def test_fixed_sides_are_kept() -> None:
    network = network_of(SMALL)
    assert check_shapes(network, ShapePattern(1, 64, 48)) == [(1, 3, 64, 48)]
    shapes = check_shapes(network, ShapePattern(None, 24, None))
    assert {shape[2] for shape in shapes} == {24}
    assert {shape[0] for shape in shapes} == {1, 2, 3}
    assert len(shapes) >= 6


@pytest.mark.parametrize("io", ["tensor", "image"])
def test_a_right_graph(io: IoLayout) -> None:
    network = network_of(SMALL)
    threads = torch.get_num_threads()
    checks = check_against_network(exported_model(io).SerializeToString(), network, io, ANY)
    assert [check.shape for check in checks] == check_shapes(network, ANY)
    limit = 1 if io == "image" else 1e-5
    assert all(check.comparison.max_abs <= limit for check in checks)
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("io", ["tensor", "image"])
@pytest.mark.parametrize(
    "name",
    [
        "conv_first.weight",
        "layers.0.residual_group.blocks.1.attn.position_bias",
        "layers.1.residual_group.blocks.2.mlp.fc2.bias",
        "upsample.0.bias",
    ],
)
def test_a_wrong_weight(name: str, io: IoLayout) -> None:
    model = exported_model(io)
    change_weight(model, name, 0.01 if "position" not in name else 0.0)
    if "position" in name:  # a constant on all logits changes nothing: turn it around instead
        (tensor,) = (tensor for tensor in model.graph.initializer if tensor.name == name)
        values = numpy_helper.to_array(tensor)[..., ::-1].copy()
        tensor.CopyFrom(numpy_helper.from_array(values, name))
    with pytest.raises(CheckFailedError, match=r"differs from the network by .*limit is"):
        check_against_network(model.SerializeToString(), network_of(SMALL), io, ANY)


def test_a_graph_that_truncates_instead_of_rounding() -> None:
    model = exported_model("image")
    (node,) = (node for node in model.graph.node if node.op_type == "Round")
    node.op_type = "Floor"
    with pytest.raises(CheckFailedError, match=r"differs from the network by 0\.9\d"):
        check_against_network(model.SerializeToString(), network_of(SMALL), "image", ANY)


def test_a_graph_that_works_at_one_size_only() -> None:
    model = exported_model()
    del model.graph.value_info[:]
    (pads,) = (node for node in model.graph.node if node.op_type == "Pad")
    fixed = numpy_helper.from_array(np.array([0, 0, 0, 0, 0, 0, 3, 3]), "fixed")
    model.graph.initializer.append(fixed)
    pads.input[1] = "fixed"  # right for 5x5, the first of the shapes
    with pytest.raises(CheckFailedError, match=r"at input \[1, 3, 8, 8\]"):
        check_against_network(model.SerializeToString(), network_of(SMALL), "tensor", ANY)


def test_a_graph_of_another_scale() -> None:
    other = replace(SMALL, upscale=3)
    with pytest.raises(CheckFailedError, match=r"gives \[1, 3, 10, 10\] .*network gives.*15, 15"):
        check_against_network(
            exported_model().SerializeToString(), network_of(other), "tensor", ANY
        )


def test_bytes_that_are_no_model() -> None:
    with pytest.raises(CheckFailedError, match=r"cannot load the exported graph.*Try another"):
        check_against_network(b"no model", network_of(SMALL), "tensor", ANY)


@pytest.mark.parametrize("io", ["tensor", "image"])
def test_a_network_that_gives_nan(io: IoLayout) -> None:
    network = network_of(SMALL)
    network.conv_first.bias[0] = float("nan")
    with pytest.raises(CheckFailedError, match="network itself gives NaN or Inf"):
        check_against_network(exported_model(io).SerializeToString(), network, io, ANY)


def test_without_onnxruntime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(BackendUnavailableError, match=r"swinir-deploy\[export\]"):
        check_against_network(b"", network_of(SMALL), "tensor", ANY)


def test_structure() -> None:
    model = exported_model()
    structure_check(model)
    model.graph.node[5].input[0] = "nobody"
    with pytest.raises(CheckFailedError, match=r"(?s)checker refuses .*Nothing was written"):
        structure_check(model)


def test_a_wrong_type_shows_in_shape_inference() -> None:
    model = exported_model()
    model.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.INT64
    with pytest.raises(CheckFailedError, match=r"onnx\.checker refuses"):
        structure_check(model)
