"""ONNX files: read once for all, with one set of messages."""

from __future__ import annotations

import re
from pathlib import Path

import onnx
import pytest

from swinir_deploy.artifacts.metadata import ArtifactMetadata
from swinir_deploy.artifacts.onnx_file import find_metadata, load_onnx, metadata_of, parse_onnx
from swinir_deploy.errors import ArtifactError

METADATA = ArtifactMetadata(io="tensor", scale=2, in_chans=3, window_size=8, model_id="small")


def model(props: dict[str, str], external: str = "") -> onnx.ModelProto:
    ports = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "xy"]
    weight = onnx.helper.make_tensor("w", onnx.TensorProto.FLOAT, [1], [1.0])
    if external:
        weight = onnx.TensorProto(name="w", data_type=onnx.TensorProto.FLOAT, dims=[1])
        weight.data_location = onnx.TensorProto.EXTERNAL
        weight.external_data.add(key="location", value=external)
    node = onnx.helper.make_node("Add", ["x", "w"], ["y"])
    graph = onnx.helper.make_graph([node], "g", ports[:1], ports[1:], [weight])
    made = onnx.helper.make_model(graph)
    onnx.helper.set_model_props(made, props)
    return made


def test_the_metadata_of_a_file_are_those_that_were_written(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    onnx.save(model(METADATA.to_props()), path)
    assert metadata_of(load_onnx(path), path) == METADATA
    assert metadata_of(parse_onnx(path.read_bytes(), path), path) == METADATA
    assert find_metadata(load_onnx(path), path) == METADATA


def test_a_file_of_something_else_has_none(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    onnx.save(model({"author": "nobody"}), path)
    assert find_metadata(load_onnx(path), path) is None
    with pytest.raises(ArtifactError, match=r"a\.onnx"):
        metadata_of(load_onnx(path), path)
    onnx.save(model({"swinir_deploy.scale": "two"}), path)
    with pytest.raises(ArtifactError, match="not JSON"):
        find_metadata(load_onnx(path), path)


@pytest.mark.parametrize("content", [b"no model", b"\x08\x0a"])
def test_what_is_no_onnx_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.onnx"
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"a\.onnx is damaged or no ONNX file"):
        load_onnx(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty (0 bytes)"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        (b"<html>", "a web page"),
        (b"PK\x03\x04" + bytes(99), "a checkpoint of PyTorch"),
        (b'\x10\x00\x00\x00\x00\x00\x00\x00{"a":1}', "a safetensors file"),
    ],
)
def test_what_is_something_else_is_called_so(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "a.onnx"
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=re.escape(f"a.onnx is {words}")):
        load_onnx(path)


def test_missing_files_and_weights_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    with pytest.raises(ArtifactError, match=r"Cannot read .*a\.onnx: No such file"):
        load_onnx(path)
    onnx.save(model(METADATA.to_props(), external="weights.bin"), path)
    assert metadata_of(load_onnx(path, weights=False), path) == METADATA
    with pytest.raises(ArtifactError, match=r"weights\.bin"):
        load_onnx(path)
