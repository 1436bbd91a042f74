"""Rounding after every node, against NumPy's own half types."""

from __future__ import annotations

import collections

import ml_dtypes
import numpy as np
import onnx
import onnx.parser
import pytest
from exported import network_of
from variants import SMALL

from swinir_deploy.artifacts.shapes import ShapePattern
from swinir_deploy.errors import CheckFailedError
from swinir_deploy.exporters.onnx.check import open_session
from swinir_deploy.exporters.onnx.export import build_graph
from swinir_deploy.exporters.onnx.recipes import get_recipe
from swinir_deploy.exporters.onnx.rounding import round_every_result
from swinir_deploy.precision.plan import PrecisionPlan

TEXT = """
    <ir_version: 10, opset_import: ["" : 22]>
    agraph (float[N] x, float[N] y) => (float[N] z)
    {
        a = Cast <to = TYPE> (x)
        b = Cast <to = TYPE> (y)
        sum = Add (a, b)
        same = Add (sum, sum)
        difference = Sub (same, sum)
        back = Sub (difference, b)
        z = Cast <to = 1> (back)
    }
"""
HALVES = {
    "fp16": (10, np.float16),
    "bf16": (16, ml_dtypes.bfloat16),
}


def run(model: onnx.ModelProto, *arrays: np.ndarray) -> np.ndarray:
    session = open_session(model.SerializeToString(), optimise=False)
    names = [value.name for value in session.get_inputs()]
    return np.asarray(session.run(None, dict(zip(names, arrays, strict=True)))[0])


@pytest.mark.parametrize("half", HALVES)
def test_every_sum_is_rounded(half: str) -> None:
    number, dtype = HALVES[half]
    model = onnx.parser.parse_model(TEXT.replace("TYPE", str(number)))
    x = np.append(np.linspace(1, 2, 50), 40000).astype(np.float32)
    y = np.append(np.linspace(0.01, 0.02, 50), 30000).astype(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        a, b = x.astype(dtype), y.astype(dtype)  # their arithmetic rounds every result
        total = (a + b).astype(dtype)
        wanted = (((total + total).astype(dtype) - total).astype(dtype) - b).astype(np.float32)
    rounded = round_every_result(model)
    onnx.checker.check_model(rounded, full_check=True)
    assert np.array_equal(run(rounded, x, y), wanted, equal_nan=True)
    assert (wanted != a.astype(np.float32)).any()  # in FP32 all would come back
    assert np.isfinite(wanted[-1]) == (half == "bf16")


def test_the_model_stays_and_so_does_the_interface() -> None:
    model = onnx.parser.parse_model(TEXT.replace("TYPE", "10"))
    before = model.SerializeToString()
    rounded = round_every_result(model)
    assert model.SerializeToString() == before
    assert [v.name for v in rounded.graph.input] == ["x", "y"]
    assert [v.name for v in rounded.graph.output] == ["z"]


@pytest.mark.parametrize(
    ("precision", "opset"), [("fp16", 20), pytest.param("bf16", 22, marks=pytest.mark.slow)]
)
def test_no_arithmetic_is_left_in_half(precision: str, opset: int) -> None:
    plan = PrecisionPlan(precision)  # type: ignore[arg-type]
    model = build_graph(network_of(SMALL), get_recipe("any"), "image", ShapePattern(), opset, plan)
    half = onnx.TensorProto.FLOAT16 if precision == "fp16" else onnx.TensorProto.BFLOAT16
    rounded = onnx.shape_inference.infer_shapes(round_every_result(model))
    graph = rounded.graph
    values = (*graph.value_info, *graph.input, *graph.output)
    types = {value.name: value.type.tensor_type.elem_type for value in values}
    types |= {tensor.name: tensor.data_type for tensor in graph.initializer}
    touched = collections.Counter(
        node.op_type
        for node in graph.node
        if any(types.get(name) == half for name in (*node.input, *node.output))
    )
    assert set(touched) == {"Cast"}
    # As many results are rounded as had the type before.
    typed = onnx.shape_inference.infer_shapes(model).graph
    halves = {v.name for v in typed.value_info if v.type.tensor_type.elem_type == half}
    results = sum(name in halves for node in typed.node for name in node.output)
    assert sum(types[n.output[0]] == half for n in graph.node if n.op_type == "Cast") == results


def test_a_value_without_a_type_is_refused() -> None:
    """It would stay unrounded, and the proof would be weaker than it says."""
    model = onnx.parser.parse_model(
        """<ir_version: 10, opset_import: ["" : 20, "foreign" : 1]>
        graph (float16[4] x) => (float16[4] y) { z = foreign.Something(x) y = Add(x, x) }"""
    )
    with pytest.raises(CheckFailedError, match="'z'"):
        round_every_result(model)
