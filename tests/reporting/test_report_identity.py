"""The identity block: which model, made by whom, where, when and by which command."""

from __future__ import annotations

import hashlib
import json
import shlex
from datetime import UTC, datetime
from pathlib import Path

import onnx
import pytest
from sample_reports import HALF, SOURCE, SPEC

from swinir_deploy.artifacts.metadata import ArtifactMetadata
from swinir_deploy.models.catalog import load_catalog
from swinir_deploy.reporting.identity import identify, identify_model
from swinir_deploy.reporting.words import decibels, number, printable, size, small


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """A file with metadata; nothing looks at its graph."""
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["x"], ["y"])],
        "g",
        [value],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])],
    )
    model = onnx.helper.make_model(graph)
    metadata = ArtifactMetadata(
        "tensor", 4, 3, 8, "fp16", "sr", "my-model", SOURCE, residual_scale_log2=7,
        precision_report=HALF, tools={"torch": "2"},
    )  # fmt: skip
    onnx.helper.set_model_props(model, metadata.to_props())
    path = tmp_path / "x4.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_an_exported_file_says_what_it_is(exported: Path) -> None:
    found = identify_model(exported)
    assert found.sha256 == hashlib.sha256(exported.read_bytes()).hexdigest()
    assert found.size_bytes == exported.stat().st_size
    assert (found.kind, found.model_id, found.task, found.scale) == ("onnx", "my-model", "sr", 4)
    assert (found.precision, found.residual_scale_log2) == ("fp16", 7)
    assert found.checkpoint_sha256 == SOURCE
    assert found.precision_report == HALF
    assert found.made_with == {"torch": "2"}


def test_a_model_of_the_catalogue_has_the_hash_of_its_file() -> None:
    card = load_catalog().get("tiny-sr-x4")
    found = identify_model("tiny-sr-x4", SPEC)
    assert (found.kind, found.model_id) == ("catalogue", "my-model")  # how it ran wins
    assert found.sha256 == card.sha256
    assert found.checkpoint_sha256 == SOURCE


@pytest.mark.parametrize("name", ["no-such-model", "gone.onnx", "/nonexistent/\ud800.pth"])
def test_what_cannot_be_read_is_unknown(name: str) -> None:
    found = identify_model(name)
    assert (found.name, found.sha256, found.precision) == (name, "", "")


def test_a_damaged_file_has_its_hash_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"no model")
    found = identify_model(path)
    assert found.sha256 == hashlib.sha256(b"no model").hexdigest()
    assert found.model_id == ""


def test_the_block_says_who_when_and_how(exported: Path) -> None:
    model = identify_model(exported)
    before = datetime.now(UTC).replace(microsecond=0)
    given = ["verify", "my model.onnx", "--limit", "1e-4"]
    block = identify("verify", [model, model], given)
    assert block.models == (model,)
    assert before <= datetime.fromisoformat(block.date) <= datetime.now(UTC)
    assert shlex.split(block.command) == ["swinir-deploy", *given]
    assert block.made_by["swinir-deploy"]
    assert block.machine["processor"]
    json.dumps(block.to_dict(), allow_nan=False)
    assert identify("bench", [], None, {"processor": "x"}, {"numpy": "1"}).command == ""


def test_numbers_of_reports_become_words() -> None:
    assert small("inf") == small(None) == "not finite"
    assert (small(0.0), small(1.23e-6)) == ("0", "1.2e-06")
    assert (decibels("inf"), decibels("-inf"), decibels(61.25)) == (
        "equal",
        "not finite",
        "61.2 dB",
    )
    assert (size(None), size(999), size(811_634), size(3e9)) == (
        "-",
        "999 bytes",
        "811.6 KB",
        "3.0 GB",
    )
    assert number("x") != number("x")
    assert printable({"a\x00": ["\ud800", 1, None]}) == {"a\ufffd": ["\ufffd", 1, None]}
