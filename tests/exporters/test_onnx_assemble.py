from __future__ import annotations

import numpy as np
import onnx
import pytest
from exported import open_model

from swinir_deploy.exporters.onnx.assemble import GraphAssembler

UNIT = """
unit (float[N, 2] x) => (float[N, 2] y)
<float[2] constant = {10, 20}, float[2] blocks.0.weight = {1, 2}>
{ scaled = Mul (x, blocks_weight)
  moved = Add (scaled, constant)
  y = Identity (moved) }
"""


def unit() -> onnx.GraphProto:
    """y = x * ``blocks.0.weight`` + a constant, as if traced from module ``blocks.0``."""
    graph = onnx.parser.parse_graph(UNIT.replace("blocks.0.weight", "blocks_weight"))
    for tensor in graph.initializer:
        tensor.name = tensor.name.replace("blocks_weight", "blocks.0.weight")
    graph.node[0].input[1] = "blocks.0.weight"
    scopes = graph.node[0].metadata_props.add()
    scopes.key = "pkg.torch.onnx.name_scopes"
    scopes.value = "['', 'network.blocks.0', 'network.blocks.0.inner', 'mul']"
    trace = graph.node[1].metadata_props.add()
    trace.key, trace.value = "pkg.torch.onnx.stack_trace", "File /home/someone/code.py"
    graph.node[1].doc_string = "File /home/someone/code.py"
    return graph


WEIGHTS = {
    "blocks.0.weight": np.array([3, 4], np.float32),
    "blocks.1.weight": np.array([5, 6], np.float32),
}


def chain() -> tuple[GraphAssembler, str]:
    assembler = GraphAssembler(WEIGHTS)
    value = "input"
    for number in range(2):
        value = assembler.stamp(
            unit(),
            f"blocks.{number}.block",
            {"x": value},
            traced_place="blocks.0.",
            place=f"blocks.{number}.",
        )["y"]
    return assembler, value


def test_every_stamp_has_the_weights_of_its_place() -> None:
    assembler, value = chain()
    assembler.rename(value, "output")
    graph = onnx.helper.make_graph(
        assembler.nodes,
        "chain",
        [onnx.helper.make_tensor_value_info("input", onnx.TensorProto.FLOAT, ["N", 2])],
        [onnx.helper.make_tensor_value_info("output", onnx.TensorProto.FLOAT, ["N", 2])],
        list(assembler.initializers.values()),
    )
    model = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=10
    )
    onnx.checker.check_model(model, full_check=True)
    x = np.array([[1, 1], [0, 2]], np.float32)
    # Not the values that the trace held, but those of the assembler.
    wanted = (x * [3, 4] + [10, 20]) * [5, 6] + [10, 20]
    assert np.array_equal(open_model(model).run(None, {"input": x})[0], wanted)


def test_names_are_unique_and_tell_the_place() -> None:
    assembler, _ = chain()
    names = [node.name for node in assembler.nodes]
    assert names == [
        "blocks.0.inner/Mul",
        "blocks.0.block/Add",
        "blocks.0.block/Identity",
        "blocks.1.inner/Mul",
        "blocks.1.block/Add",
        "blocks.1.block/Identity",
    ]
    outputs = [output for node in assembler.nodes for output in node.output]
    assert len(set(outputs)) == len(outputs)
    assert list(assembler.initializers) == [
        "blocks.0.block/constant",
        "blocks.0.weight",
        "blocks.1.block/constant",
        "blocks.1.weight",
    ]
    assert all(name == tensor.name for name, tensor in assembler.initializers.items())


def test_one_place_stamped_twice_is_numbered() -> None:
    assembler = GraphAssembler(WEIGHTS)
    for label in ("first", "second"):
        assembler.stamp(unit(), label, {"x": "input"}, traced_place="blocks.0.", place="blocks.0.")
    names = [node.name for node in assembler.nodes]
    assert names[0] == "blocks.0.inner/Mul"
    assert names[3] == "blocks.0.inner/Mul_2"
    assert sorted(assembler.initializers) == [
        "blocks.0.weight",
        "first/constant",
        "second/constant",
    ]


def test_nothing_of_the_trace_is_kept() -> None:
    assembler, _ = chain()
    for node in assembler.nodes:
        assert not node.doc_string
        assert not node.metadata_props
        assert b"someone" not in node.SerializeToString()


def test_an_input_that_is_not_given() -> None:
    with pytest.raises(KeyError, match="x"):
        GraphAssembler(WEIGHTS).stamp(unit(), "alone", {})


def test_the_stamped_graph_is_not_changed() -> None:
    graph = unit()
    before = graph.SerializeToString()
    GraphAssembler(WEIGHTS).stamp(
        graph, "a", {"x": "input"}, traced_place="blocks.0.", place="blocks.1."
    )
    assert graph.SerializeToString() == before
