from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import configs

from swinir_deploy.artifacts.metadata import (
    METADATA_PREFIX,
    SCHEMA_VERSION,
    ArtifactMetadata,
    IoLayout,
    Precision,
)
from swinir_deploy.errors import ArtifactError

FULL = ArtifactMetadata(
    io="image",
    scale=4,
    in_chans=3,
    window_size=8,
    precision="fp16",
    task="sr",
    model_id="123",  # text that would also be JSON
    source_sha256="0" * 64,
    target="tensorrt",
    shape="1x3xHxW",
    residual_scale_log2=-6,
    opset=20,
    config={"upscale": 4, "depths": [6, 6]},
    tools={"onnx": "1.20.0"},
    parity={"max_abs": 1e-6, "shapes": [[1, 3, 5, 5]]},
    adopted={"file": "theirs.onnx"},
)


@st.composite
def metadata(draw: st.DrawFn) -> ArtifactMetadata:
    return ArtifactMetadata(
        io=draw(st.sampled_from(get_args(IoLayout))),
        scale=draw(st.integers(1, 16)),
        in_chans=draw(st.integers(1, 16)),
        out_chans=draw(st.integers(0, 16)),
        window_size=draw(st.integers(2, 256)),
        precision=draw(st.sampled_from(get_args(Precision))),
        task=draw(st.text()),
        model_id=draw(st.text()),
        residual_scale_log2=draw(st.integers(-20, 20)),
        opset=draw(st.integers(17, 23)),
        config=draw(configs()).to_dict(),
        tools=draw(st.dictionaries(st.text(), st.text(), max_size=3)),
    )


@given(metadata())
def test_round_trips(made: ArtifactMetadata) -> None:
    props = made.to_props()
    assert all(isinstance(value, str) for value in props.values())
    assert ArtifactMetadata.from_props(props, "a.onnx") == made
    assert ArtifactMetadata.from_dict(json.loads(json.dumps(made.to_dict())), "a.json") == made


KEYS = [
    "config",
    "in_chans",
    "io",
    "model_id",
    "opset",
    "out_chans",
    "parity",
    "precision",
    "precision_report",
    "residual_scale_log2",
    "scale",
    "schema_version",
    "shape",
    "source_sha256",
    "target",
    "task",
    "tools",
    "weights",
    "window_size",
]
"""Of every exported file; programs of users, libswinir among them, read these."""


def test_the_keys_of_a_file_stay() -> None:
    export = replace(FULL, adopted={})
    assert sorted(export.to_props()) == [f"swinir_deploy.{key}" for key in KEYS]
    assert sorted(export.to_dict()) == KEYS
    assert sorted(FULL.to_dict()) == sorted([*KEYS, "adopted"])


def test_properties_are_prefixed_and_complete() -> None:
    props = FULL.to_props()
    assert set(props) == {METADATA_PREFIX + f.name for f in fields(ArtifactMetadata)}
    assert props["swinir_deploy.io"] == "image"
    assert props["swinir_deploy.scale"] == "4"
    assert json.loads(props["swinir_deploy.parity"]) == FULL.parity


def test_foreign_and_unknown_properties_are_ignored() -> None:
    props = {**FULL.to_props(), "author": "someone", "swinir_deploy.colour": "red", "io": "x"}
    assert ArtifactMetadata.from_props(props, "a.onnx") == FULL
    assert ArtifactMetadata.from_dict({**FULL.to_dict(), "colour": 1}, "a.json") == FULL


def test_what_may_be_left_out() -> None:
    names = ("io", "scale", "in_chans", "window_size", "schema_version")
    props = FULL.to_props()
    few = {METADATA_PREFIX + name: props[METADATA_PREFIX + name] for name in names}
    read = ArtifactMetadata.from_props(few, "a.onnx")
    assert read == ArtifactMetadata(io="image", scale=4, in_chans=3, window_size=8)


@pytest.mark.parametrize("name", ["io", "scale", "in_chans", "window_size"])
def test_what_must_be_there(name: str) -> None:
    props = FULL.to_props()
    del props[METADATA_PREFIX + name]
    with pytest.raises(ArtifactError, match=f"a.onnx: metadata {name} is None"):
        ArtifactMetadata.from_props(props, "a.onnx")


def test_a_file_of_someone_else() -> None:
    for props in ({}, {"author": "someone"}):
        with pytest.raises(ArtifactError, match=r"b\.onnx: not made by swinir-deploy"):
            ArtifactMetadata.from_props(props, "b.onnx")


@pytest.mark.parametrize("version", [SCHEMA_VERSION + 1, 0, -1, "1", None, 1.0, [1], True])
def test_another_schema(version: Any) -> None:
    with pytest.raises(ArtifactError, match=r"a\.json: "):
        ArtifactMetadata.from_dict({**FULL.to_dict(), "schema_version": version}, "a.json")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("io", "planar"),
        ("io", ["tensor"]),
        ("scale", 17),
        ("scale", 0),
        ("scale", "4"),
        ("scale", 4.0),
        ("in_chans", 17),
        ("in_chans", 0),
        ("out_chans", 17),
        ("in_chans", True),
        ("window_size", 1),
        ("window_size", 257),
        ("window_size", "8"),
        ("precision", "int8"),
        ("model_id", 5),
        ("task", None),
        ("opset", "20"),
        ("opset", 1e400),
        ("config", []),
        ("tools", "none"),
        ("parity", None),
    ],
)
def test_values_that_make_no_sense(name: str, value: Any) -> None:
    with pytest.raises(ArtifactError, match=f"a.json: metadata {name} is .*it must be"):
        ArtifactMetadata.from_dict({**FULL.to_dict(), name: value}, "a.json")


@pytest.mark.parametrize("text", ["", "four", "{", "9" * 5000, "[" * 100_000, "4 4"])
def test_text_that_is_not_json(text: str) -> None:
    props = {**FULL.to_props(), "swinir_deploy.scale": text}
    with pytest.raises(ArtifactError, match=r"a.onnx: metadata 'swinir_deploy.scale' holds"):
        ArtifactMetadata.from_props(props, "a.onnx")


@given(st.dictionaries(st.sampled_from(sorted(FULL.to_props())), st.text()))
def test_damaged_properties_give_metadata_or_a_clear_error(damage: dict[str, str]) -> None:
    try:
        ArtifactMetadata.from_props({**FULL.to_props(), **damage}, "a.onnx")
    except ArtifactError as error:
        assert "a.onnx" in str(error)
