"""Exported graphs against the official network; files that are whole or absent."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from exported import Exported, export, network_of, traces_of_other_weights
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper
from shared_traces import real_traces
from variants import SLOW_VARIANTS, SMALL, VARIANTS

from swinir_deploy.artifacts.metadata import ArtifactMetadata
from swinir_deploy.errors import CatalogError, CheckFailedError, InputError, UsageError
from swinir_deploy.exporters.onnx import export as onnx_exporter
from swinir_deploy.exporters.onnx.check import structure_check
from swinir_deploy.exporters.onnx.export import export_onnx
from swinir_deploy.exporters.onnx.recipes import SUPPORTED_OPSETS, get_recipe
from swinir_deploy.models.catalog import load_catalog
from swinir_deploy.models.hyperparameters import is_buffer
from swinir_deploy.models.load import LoadedModel, load_model
from swinir_deploy.network.config import SwinIRConfig
from swinir_deploy.precision.plan import deployed_network

LIMIT = 1e-5
"""Largest absolute difference to the official network, whose outputs are of order 1."""

STATIC_MASK_BYTES = 1_000_000

slow = pytest.mark.slow


@pytest.fixture(autouse=True)
def one_trace_for_all(request: pytest.FixtureRequest) -> Iterator[None]:
    if request.node.get_closest_marker("slow"):
        yield
        return
    with traces_of_other_weights("any"):
        yield


def loaded(config: SwinIRConfig = SMALL, model_id: str = "small") -> LoadedModel:
    return LoadedModel(network_of(config), config, None, model_id, "sr", Path("x"), "ab" * 32)


@pytest.mark.parametrize(
    "arguments",
    [
        *(pytest.param(value, id=key) for key, value in VARIANTS.items()),
        *(pytest.param(value, id=key, marks=slow) for key, value in SLOW_VARIANTS.items()),
    ],
)
def test_every_kind_at_many_sizes(arguments: dict[str, object]) -> None:
    exported: Exported = export(**arguments)  # type: ignore[arg-type]
    structure_check(exported.model)
    assert exported.model.opset_import[0].version == arguments.get("opset", 20)
    assert {entry.domain for entry in exported.model.opset_import} == {""}
    config = exported.oracle.config
    window, least = config.window_size, config.min_side
    limit = 1 if exported.io == "image" else LIMIT
    for batch, height, width in [
        (1, least, least),
        (1, window, window),
        (2, 2 * window, 3 * window),
        (3, 13, 21),
        (2, 4 * window + 1, least),
        (1, window - 1, 5 * window + 2),
    ]:
        assert exported.difference(batch, height, width) <= limit, (batch, height, width)


def test_images_are_within_a_level() -> None:
    exported = export(io="image")
    structure_check(exported.model)
    for batch, height, width in [(1, 5, 5), (3, 13, 21), (2, 24, 40)]:
        assert exported.difference(batch, height, width) <= 1


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 3), st.integers(5, 70), st.integers(5, 70))
def test_any_size_through_one_session(batch: int, height: int, width: int) -> None:
    assert export().difference(batch, height, width) <= LIMIT


def test_every_opset_is_tried_by_some_variant() -> None:
    variants = [*VARIANTS.values(), *SLOW_VARIANTS.values()]
    assert {variant.get("opset", 20) for variant in variants} == set(SUPPORTED_OPSETS)


@pytest.mark.parametrize("size", [(4, 9), (3, 3), (1, 1)])
def test_a_side_too_short_to_reflect_is_an_error_in_the_graph_too(size: tuple[int, int]) -> None:
    with pytest.raises(Exception, match="Pad reflect"):
        export().session.run(None, {"input": np.zeros((1, 3, *size), np.float32)})


@pytest.mark.parametrize(
    ("shape", "interface", "sizes"),
    [
        ("1x3xHxW", [1, 3, "height", "width"], [(1, 5, 7), (1, 33, 16)]),
        ("2x3x24xW", [2, 3, 24, "width"], [(2, 24, 5), (2, 24, 41)]),
        ("Nx3x21x13", ["batch", 3, 21, 13], [(1, 21, 13), (3, 21, 13)]),
    ],
)
def test_partly_fixed_shapes(
    shape: str, interface: list[int | str], sizes: list[tuple[int, int, int]]
) -> None:
    exported = export(shape=shape)
    structure_check(exported.model)
    assert exported.session.get_inputs()[0].shape == interface
    for size in sizes:
        assert exported.difference(*size) <= LIMIT
    if isinstance(interface[0], int):
        other = np.zeros((interface[0] + 1, 3, 24, 24), np.float32)
        with pytest.raises(Exception, match="Got invalid dimensions"):
            exported.session.run(None, {"input": other})


def test_a_static_shape_bakes_no_mask_for_every_window() -> None:
    exported = export(shape="1x3x256x256")
    structure_check(exported.model)
    largest = max(len(tensor.raw_data) for tensor in exported.model.graph.initializer)
    assert largest <= STATIC_MASK_BYTES  # the mask of 32 x 32 windows has 16 MB
    assert exported.model.ByteSize() <= 2 * STATIC_MASK_BYTES
    assert exported.session.get_outputs()[0].shape == [1, 3, 512, 512]
    assert exported.difference(1, 256, 256) <= LIMIT


@slow
def test_absolute_positions_at_their_size() -> None:
    config = replace(SMALL, ape=True, img_size=24, depths=(2,), num_heads=(2,))
    exported = export(config, shape="Nx3x24x24")
    structure_check(exported.model)
    assert exported.difference(1, 24, 24) <= LIMIT
    assert exported.difference(3, 24, 24) <= LIMIT
    padded = export(config, shape="2x3x20x17")
    assert padded.difference(2, 20, 17) <= LIMIT


def test_the_interface() -> None:
    tensor, image = export().session, export(io="image").session
    for session, kind, sides in (
        (tensor, "tensor(float)", ["batch", 3, "height", "width"]),
        (image, "tensor(uint8)", ["batch", "height", "width", 3]),
    ):
        (given_value,), (result,) = session.get_inputs(), session.get_outputs()
        assert (given_value.name, result.name) == ("input", "output")
        assert given_value.type == result.type == kind
        assert given_value.shape == sides
        doubled = [f"2*{side}" if side in ("height", "width") else side for side in sides]
        assert result.shape == doubled


def test_names_tell_where_a_node_and_a_weight_belong() -> None:
    graph = export().model.graph
    names = [node.name for node in graph.node]
    assert len(set(names)) == len(names)
    rewritten = deployed_network(network_of(SMALL), get_recipe("any").rewrites)
    modules = {name for name, _ in rewritten.named_modules()}
    places = {name.rpartition("/")[0] for name in names}
    unknown = places - modules - {"opening", "closing", "opening_edge", "closing_edge"}
    for place in unknown:
        module, _, unit = place.rpartition(".")
        assert module in modules, place
        assert unit in ("block", "reorder", "junction"), place
    weights = {name for name in rewritten.state_dict() if "bias_table" not in name}
    initializers = {tensor.name for tensor in graph.initializer}
    assert weights <= initializers


def test_weights_under_official_names_are_the_official_ones() -> None:
    exported = export()
    stored = {t.name: numpy_helper.to_array(t) for t in exported.model.graph.initializer}
    compared = 0
    for name, tensor in exported.oracle.network.state_dict().items():
        if is_buffer(name) or "bias_table" in name:
            continue
        if ".qkv." in name:  # three layers, and the query's has a factor in it
            _, *wanted = tensor.chunk(3)
            for part, values in zip(("key", "value"), wanted, strict=True):
                assert np.array_equal(stored[name.replace("qkv", part)], values.numpy()), name
        else:
            assert np.array_equal(stored[name], tensor.numpy()), name
        compared += 1
    assert compared > 60


def test_the_file_tells_nothing_of_this_machine() -> None:
    model = export().model
    text = model.SerializeToString()
    for secret in (str(Path.home()), str(Path.cwd()), sys.prefix, "site-packages", ".py"):
        assert secret.encode() not in text.replace(b"pytorch", b""), secret
    assert not model.doc_string
    assert not model.graph.doc_string
    assert not model.metadata_props
    for node in model.graph.node:
        assert not node.doc_string
        assert not node.metadata_props
    for value in [*model.graph.input, *model.graph.output, *model.graph.value_info]:
        assert not value.doc_string
        assert not value.metadata_props


def test_an_export_says_what_it_is(tmp_path: Path) -> None:
    target = tmp_path / "small.onnx"
    model = loaded()
    before = {name: tensor.clone() for name, tensor in model.network.state_dict().items()}
    report = export_onnx(model, target, shape="1x3xHxW")
    assert list(tmp_path.iterdir()) == [target]
    assert report.path == target
    assert report.size_bytes == target.stat().st_size
    written = onnx.load(target)
    onnx.checker.check_model(written, full_check=True)
    assert report.nodes == len(written.graph.node)
    assert report.seconds > 0

    session = onnxruntime.InferenceSession(target, providers=["CPUExecutionProvider"])
    props = session.get_modelmeta().custom_metadata_map
    metadata = ArtifactMetadata.from_props(props, str(target))
    assert metadata == report.metadata
    assert (metadata.io, metadata.scale, metadata.in_chans, metadata.window_size) == (
        *("tensor", 2, 3, 8),
    )
    assert (metadata.model_id, metadata.task, metadata.source_sha256) == ("small", "sr", "ab" * 32)
    assert (metadata.target, metadata.opset, metadata.shape) == ("any", 20, "1x3xHxW")
    assert SwinIRConfig.from_dict(metadata.config) == SMALL
    assert {"swinir-deploy", "torch", "onnx", "onnxruntime"} <= set(metadata.tools)
    assert metadata.parity["max_abs"] == report.worst.comparison.max_abs <= LIMIT
    assert len(metadata.parity["shapes"]) == len(report.checks) >= 6
    json.dumps(metadata.to_dict(), allow_nan=False)

    after = model.network.state_dict()
    assert all(list(after[name].shape) == list(tensor.shape) for name, tensor in before.items())
    assert all(bool((after[name] == tensor).all()) for name, tensor in before.items())


def corrupt(model: onnx.ModelProto) -> onnx.ModelProto:
    """A pass gone wrong: one bias of one block has another sign."""
    name = "layers.1.residual_group.blocks.0.mlp.fc1.bias"
    (tensor,) = (tensor for tensor in model.graph.initializer if tensor.name == name)
    tensor.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(tensor), name))
    return model


@pytest.mark.parametrize("io", ["tensor", "image"])
def test_a_wrong_graph_is_refused_and_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, io: str
) -> None:
    simplify = onnx_exporter.simplify
    monkeypatch.setattr(onnx_exporter, "simplify", lambda model: corrupt(simplify(model)))
    target = tmp_path / "wrong.onnx"
    with pytest.raises(CheckFailedError, match="differs from the network"):
        export_onnx(loaded(), target, io=io)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
    target.write_bytes(b"an older export")
    with pytest.raises(CheckFailedError):
        export_onnx(loaded(), target, io=io)  # type: ignore[arg-type]
    assert target.read_bytes() == b"an older export"


def test_a_graph_that_the_checker_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    simplify = onnx_exporter.simplify

    def mistyped(model: onnx.ModelProto) -> onnx.ModelProto:
        simplified = simplify(model)
        simplified.graph.node[0].attribute.append(onnx.helper.make_attribute("colour", "red"))
        return simplified

    monkeypatch.setattr(onnx_exporter, "simplify", mistyped)
    with pytest.raises(CheckFailedError):
        export_onnx(loaded(), tmp_path / "wrong.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"io": "planar"}, UsageError, "Unknown io 'planar'. Choose tensor or image"),
        ({"target": "tensort"}, UsageError, "mean 'tensorrt'"),
        ({"opset": 16}, UsageError, "Opset 16 .*17 to 23"),
        ({"opset": 24}, UsageError, "Opset 24 .*17 to 23"),
        ({"shape": "1x3x2xW"}, UsageError, "a side of 2 pixels"),
        ({"output": "model.pth"}, UsageError, "'model.pth' does not end in .onnx"),
        ({"output": "missing/model.onnx"}, InputError, "there is no folder missing"),
        ({"output": "folder.onnx"}, InputError, "it is a folder"),
    ],
)
def test_what_makes_no_sense_is_refused_before_any_work(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: dict[str, object],
    error: type[Exception],
    message: str,
) -> None:
    def too_late(*_: object) -> None:
        raise AssertionError("the trace began")

    monkeypatch.setattr(onnx_exporter, "build_graph", too_late)
    monkeypatch.chdir(tmp_path)
    Path("folder.onnx").mkdir()
    with pytest.raises(error, match=message):
        export_onnx(loaded(), **{"output": "model.onnx", **arguments})  # type: ignore[arg-type]
    assert [path.name for path in tmp_path.iterdir()] == ["folder.onnx"]


def test_a_name_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="tiny-sr-x4"):
        export_onnx("tiny-sr-x5", tmp_path / "model.onnx")


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> int:
        with open(path, "wb") as handle:
            handle.write(data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(InputError, match=r"model\.onnx: No space left on device"):
        export_onnx(loaded(), tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


KILLED = """
import sys, time
from pathlib import Path

def slowly(path, data):
    with open(path, "wb") as handle:
        handle.write(data[: len(data) // 2])
        handle.flush()
        print("half", flush=True)
        time.sleep(120)

Path.write_bytes = slowly
from swinir_deploy.exporters.onnx.export import export_onnx
export_onnx("tiny-sr-x4", sys.argv[1])
"""


@slow
@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
def test_a_killed_export_leaves_no_file_under_its_name(tmp_path: Path) -> None:
    target = tmp_path / "model.onnx"
    command = [sys.executable, "-c", KILLED, str(target)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "half\n"
        finally:
            process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not target.exists()
    (left,) = tmp_path.iterdir()
    pid = process.pid
    assert re.fullmatch(rf"\.swinir-[0-9a-f]{{8}}-{pid}-[0-9a-f]{{8}}\.partial\.onnx", left.name)


def cpu_seconds_of_export(model: LoadedModel, target: Path) -> tuple[float, int]:
    """Processor time, which a busy machine stretches less than the clock, and the node count."""
    started = time.process_time()
    with real_traces():
        report = export_onnx(model, target)
    assert report.worst.comparison.max_abs <= 1e-4
    return time.process_time() - started, report.nodes


@slow
@pytest.mark.serial
def test_medium_x4_is_compact_and_quick(tmp_path: Path) -> None:
    card = load_catalog().get("medium-sr-x4")
    model = replace(loaded(card.config, card.id), card=card)
    seconds, nodes = cpu_seconds_of_export(model, tmp_path / "medium.onnx")
    assert nodes <= 1800
    assert seconds <= 90  # 45 s on two cores


@slow
@pytest.mark.serial
def test_tiny_is_compact_and_quick(tmp_path: Path) -> None:
    seconds, nodes = cpu_seconds_of_export(load_model("tiny-sr-x4"), tmp_path / "tiny.onnx")
    assert nodes <= 400
    assert seconds <= 20  # 10 s on two cores
