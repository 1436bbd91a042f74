from __future__ import annotations

import logging
import sys
import warnings
from dataclasses import replace

import onnx
import pytest
from exported import network_of, traced
from variants import JPEG, SMALL

from swinir_deploy.exporters.onnx import trace as tracing
from swinir_deploy.exporters.onnx.trace import block_kind
from swinir_deploy.network.swinir import SwinIR, SwinTransformerBlock


def blocks(network: SwinIR) -> list[SwinTransformerBlock]:
    return [module for module in network.modules() if isinstance(module, SwinTransformerBlock)]


def test_blocks_differ_by_shift_and_heads() -> None:
    network = network_of(replace(SMALL, depths=(2, 3, 1), num_heads=(2, 3, 2)))
    assert [block_kind(block) for block in blocks(network)] == [
        "plain block, 2 heads",
        "shifted block, 2 heads",
        "plain block, 3 heads",
        "shifted block, 3 heads",
        "plain block, 3 heads",
        "plain block, 2 heads",
    ]


def test_example_sizes_do_not_meet() -> None:
    sizes = {tracing._EXAMPLE_BATCH, tracing._EXAMPLE_ROWS, tracing._EXAMPLE_COLUMNS}
    assert len(sizes) == 3
    assert min(sizes) > 1


def test_one_unit_of_each_kind_and_nothing_of_another() -> None:
    network = network_of(JPEG)
    units = traced(JPEG, "openvino", 23)
    assert set(units) == {
        "opening",
        "reorder",
        "junction",
        "closing",
        "plain block, 2 heads",
    }
    interfaces = {
        kind: ([value.name for value in unit.graph.input], [v.name for v in unit.graph.output])
        for kind, unit in units.items()
    }
    assert interfaces["opening"] == (
        ["image"],
        ["centred", "shallow", "stream", "order", "inverse_order", "mask"],
    )
    assert interfaces["plain block, 2 heads"] == (["windows"], ["windows_out"])
    assert interfaces["junction"] == (["windows", "stream"], ["stream_out"])
    assert interfaces["closing"] == (["stream", "shallow", "centred"], ["image_out"])
    names = {name for name, _ in [*network.named_parameters(), *network.named_buffers()]}
    for kind, unit in units.items():
        known = {value.name for value in unit.graph.input}
        known |= {tensor.name for tensor in unit.graph.initializer}
        for node in unit.graph.node:
            assert set(node.input) - {""} <= known, kind
            known |= set(node.output)
        weights = {tensor.name for tensor in unit.graph.initializer} & names
        assert all(name.startswith(unit.place) for name in weights - {"mean"}), kind
    assert units["plain block, 2 heads"].place == "layers.0.residual_group.blocks.0."
    assert units["junction"].place == "layers.0."


def test_opset_17_has_no_attribute_of_18() -> None:
    resize = onnx.helper.make_node(
        "Resize",
        ["x", "", "scales"],
        ["y"],
        mode="nearest",
        antialias=0,
        keep_aspect_ratio_policy="stretch",
    )
    relu = onnx.helper.make_node("LeakyRelu", ["y"], ["z"], alpha=0.2)
    graph = onnx.helper.make_graph([resize, relu], "g", [], [])
    tracing._lower_to_opset_17(graph)
    assert [attribute.name for attribute in graph.node[0].attribute] == ["mode"]
    assert [attribute.name for attribute in graph.node[1].attribute] == ["alpha"]


@pytest.mark.parametrize("fails", [False, True])
def test_quiet_is_quiet_and_puts_everything_back(
    fails: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    level, filters, out = logging.root.manager.disable, list(warnings.filters), sys.stdout

    def chatter() -> None:
        with tracing._quiet():
            print("progress")
            logging.getLogger("torch.onnx").warning("remark")
            warnings.warn("remark", UserWarning, stacklevel=1)
            if fails:
                raise RuntimeError("trace")

    if fails:
        with pytest.raises(RuntimeError, match="trace"):
            chatter()
    else:
        chatter()
    assert capsys.readouterr() == ("", "")
    assert logging.root.manager.disable == level
    assert warnings.filters == filters
    assert sys.stdout is out
