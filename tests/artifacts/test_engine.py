"""Plans and sidecars: what is written is read again, what does not fit is named."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from swinir_deploy.artifacts.engine import (
    EngineMetadata,
    mismatches,
    read_engine_metadata,
    rebuild_command,
    sidecar_path,
    write_engine,
)
from swinir_deploy.artifacts.metadata import ArtifactMetadata
from swinir_deploy.artifacts.shapes import ShapeProfile
from swinir_deploy.errors import ArtifactError, InputError
from swinir_deploy.nvidia.gpu import Gpu
from swinir_deploy.nvidia.tensorrt_library import FLAVOURS, Library

PLAN = b"ptrt" + bytes(range(256))
MODEL = ArtifactMetadata(io="tensor", scale=4, in_chans=3, window_size=8, precision="fp16")
METADATA = EngineMetadata(
    model=MODEL,
    onnx_name="x4.onnx",
    onnx_sha256="a" * 64,
    flavour="tensorrt",
    library_version="10.13.0.35",
    cuda_major=12,
    gpu_name="NVIDIA GeForce RTX 4090",
    gpu_capability="8.9",
    profiles=(ShapeProfile((1, 3, 256, 256), (4, 3, 256, 256), (8, 3, 256, 256)),),
    options={"compat": "none", "opt_level": 3, "workspace_bytes": 0, "strip_weights": False},
    tools={"swinir-deploy": "0.1"},
)
RTX_4090 = Gpu(0, "NVIDIA GeForce RTX 4090", "8.9", 24 * 2**30)
AHEAD_OF_TIME = replace(
    METADATA, flavour="rtx", gpu_name="", gpu_capability="", architectures=("sm86", "sm89")
)


class FakeLogger:
    pass


class FakeApi:
    """As much of the bindings as a Library asks when it is made."""

    ILogger = FakeLogger

    def __init__(self, version: str) -> None:
        self.__version__ = version


def library(name: Any = "tensorrt", version: str = "10.13.0.35", cuda: int | None = 12) -> Library:
    api: Any = FakeApi(version)
    made = Library(FLAVOURS[name], api)
    made.cuda_major = cuda
    return made


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    engine = tmp_path / "x4.engine"
    written = write_engine(engine, PLAN, METADATA)
    assert engine.read_bytes() == PLAN, "the plan is bare"
    assert sidecar_path(engine).name == "x4.engine.json"
    assert read_engine_metadata(engine, check_hash=True) == written
    assert written.plan_bytes == 260
    assert replace(written, plan_bytes=0, plan_sha256="") == METADATA
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x4.engine", "x4.engine.json"]


KEYS = [
    "activation_bytes",
    "architectures",
    "cuda_major",
    "flavour",
    "gpu_capability",
    "gpu_name",
    "input_name",
    "library_version",
    "machine",
    "model",
    "onnx_name",
    "onnx_sha256",
    "options",
    "plan_bytes",
    "plan_sha256",
    "plugins",
    "profiles",
    "schema_version",
    "system",
    "tools",
]
"""Of every sidecar; programs of users, libswinir among them, read these."""


def test_the_keys_of_a_sidecar_stay(tmp_path: Path) -> None:
    write_engine(tmp_path / "x4.engine", PLAN, METADATA)
    sidecar = json.loads(sidecar_path(tmp_path / "x4.engine").read_text())
    assert sorted(sidecar) == KEYS
    assert [sorted(profile) for profile in sidecar["profiles"]] == [["max", "min", "opt"]]


def test_an_ahead_of_time_engine_comes_back_whole(tmp_path: Path) -> None:
    write_engine(tmp_path / "a.engine", PLAN, AHEAD_OF_TIME)
    read = read_engine_metadata(tmp_path / "a.engine")
    assert read.architectures == ("sm86", "sm89")
    assert read.target == "rtx:sm86,sm89"


def test_a_failed_write_leaves_neither_file(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        write_engine(tmp_path / "missing" / "x4.engine", PLAN, METADATA)
    unserialisable = replace(METADATA, options={"opt_level": object()})
    with pytest.raises(TypeError):
        write_engine(tmp_path / "x4.engine", PLAN, unserialisable)
    assert list(tmp_path.iterdir()) == []


def test_files_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    engine = tmp_path / "x4.engine"
    with pytest.raises(ArtifactError, match="Missing engine"):
        read_engine_metadata(engine)
    write_engine(engine, PLAN, METADATA)
    engine.write_bytes(PLAN[:-1])
    with pytest.raises(ArtifactError, match=r"259 bytes.*260 bytes"):
        read_engine_metadata(engine)
    engine.write_bytes(PLAN[:-1] + b"!")
    read_engine_metadata(engine)
    with pytest.raises(ArtifactError, match="is not the plan"):
        read_engine_metadata(engine, check_hash=True)
    sidecar_path(engine).unlink()
    with pytest.raises(ArtifactError, match=r"no description x4\.engine\.json"):
        read_engine_metadata(engine)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"schema_version": 99}, "99"),
        ({"schema_version": None}, "None"),
        ({"model": {"io": "tensor"}}, "schema_version"),
        ({"model": 3}, "not a description"),
        ({"flavour": "tensorflow"}, "flavour"),
        ({"onnx_sha256": ""}, "onnx_sha256"),
        ({"library_version": 10}, "library_version"),
        ({"profiles": []}, "profiles"),
        ({"profiles": [{"min": [1, 3, 8, 8], "opt": [1, 3, 8, 8]}]}, "profiles"),
        ({"profiles": [{key: [1, 3, 8] for key in ("min", "opt", "max")}]}, "profiles"),
        ({"profiles": [{key: [1, 3, 8, "8"] for key in ("min", "opt", "max")}]}, "profiles"),
        (
            {"profiles": [{"min": [2, 3, 8, 8], "opt": [1, 3, 8, 8], "max": [4, 3, 8, 8]}]},
            "profiles",
        ),
        ({"options": {"compat": "everything"}}, "compat"),
        ({"options": []}, "options"),
        ({"architectures": [89]}, "architectures"),
        ({"architectures": "sm89"}, "architectures"),
        ({"plan_bytes": "many"}, "plan_bytes"),
        ({"gpu_name": 4090}, "gpu_name"),
    ],
)
def test_a_damaged_sidecar_is_named_with_its_field(
    tmp_path: Path, change: dict[str, Any], named: str
) -> None:
    engine = tmp_path / "x4.engine"
    write_engine(engine, PLAN, METADATA)
    sidecar = sidecar_path(engine)
    sidecar.write_text(json.dumps({**json.loads(sidecar.read_text()), **change}))
    with pytest.raises(ArtifactError, match=named):
        read_engine_metadata(engine)


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', "[" * 100_000])
def test_a_sidecar_that_is_no_record_is_refused(tmp_path: Path, text: str) -> None:
    engine = tmp_path / "x4.engine"
    write_engine(engine, PLAN, METADATA)
    sidecar_path(engine).write_text(text)
    with pytest.raises(ArtifactError):
        read_engine_metadata(engine)


def test_an_engine_fits_where_it_was_built() -> None:
    assert mismatches(METADATA, library(), RTX_4090, onnx_sha256="a" * 64) == []


@pytest.mark.parametrize(
    ("metadata", "here", "gpu", "named"),
    [
        (METADATA, library("rtx", "1.7.1.116"), RTX_4090, "library"),
        (METADATA, library(version="10.13.0.36"), RTX_4090, "10.13.0.36"),
        (METADATA, library(cuda=13), RTX_4090, "CUDA"),
        (replace(METADATA, system="Plan9"), library(), RTX_4090, "Plan9"),
        (replace(METADATA, machine="m68k"), library(), RTX_4090, "m68k"),
        (METADATA, library(), replace(RTX_4090, name="NVIDIA L4"), "NVIDIA L4"),
        (METADATA, library(), replace(RTX_4090, capability="12.0"), "sm120"),
        (AHEAD_OF_TIME, library("rtx"), replace(RTX_4090, capability="7.5"), "sm75"),
        (
            replace(METADATA, options={"compat": "ampere+"}),
            library(),
            replace(RTX_4090, capability="7.5"),
            "Ampere",
        ),
        (
            replace(METADATA, options={"compat": "same-cc"}),
            library(),
            replace(RTX_4090, capability="8.6"),
            "sm86",
        ),
    ],
)
def test_the_part_that_differs_is_named(
    metadata: EngineMetadata, here: Library, gpu: Gpu, named: str
) -> None:
    found = mismatches(metadata, here, gpu)
    assert len(found) == 1
    assert named in found[0]


def test_another_model_is_named() -> None:
    (found,) = mismatches(METADATA, library(), RTX_4090, onnx_sha256="b" * 64)
    assert found.startswith("model: ")


def test_levels_of_compatibility_let_other_gpus_in() -> None:
    other = replace(RTX_4090, name="NVIDIA L4")
    same = replace(METADATA, options={"compat": "same-cc"})
    ampere = replace(METADATA, options={"compat": "ampere+"})
    assert mismatches(same, library(), other) == []
    assert mismatches(ampere, library(), replace(other, capability="12.0")) == []
    elsewhere = replace(AHEAD_OF_TIME, system="Plan9", machine="m68k")
    assert mismatches(elsewhere, library("rtx"), other) == []
    assert mismatches(METADATA, library(), None) == []
    assert mismatches(replace(METADATA, cuda_major=0), library(), RTX_4090) == []


def test_the_key_changes_with_everything_that_changes_the_plan() -> None:
    small = ShapeProfile((1, 3, 64, 64), (1, 3, 64, 64), (1, 3, 64, 64))
    changes: list[dict[str, Any]] = [
        {"onnx_sha256": "b" * 64},
        {"flavour": "rtx"},
        {"library_version": "10.13.0.36"},
        {"cuda_major": 13},
        {"system": "Windows"},
        {"machine": "aarch64"},
        {"gpu_name": "NVIDIA L4"},
        {"gpu_capability": "9.0"},
        {"architectures": ("sm89",)},
        {"profiles": (small,)},
        {"profiles": (*METADATA.profiles, small)},
        {"options": {**METADATA.options, "opt_level": 4}},
        {"options": {**METADATA.options, "compat": "same-cc"}},
        {"plugins": ("c" * 64,)},
        {"tools": {"swinir-deploy": "0.2"}},
        {"schema_version": 2},
        {"model": replace(MODEL, schema_version=2)},
    ]
    keys = {METADATA.cache_key()} | {replace(METADATA, **change).cache_key() for change in changes}
    assert len(keys) == 1 + len(changes)


def test_the_key_ignores_what_does_not() -> None:
    small = ShapeProfile((1, 3, 64, 64), (1, 3, 64, 64), (1, 3, 64, 64))
    two = replace(METADATA, profiles=(small, *METADATA.profiles))
    turned = replace(METADATA, profiles=(*METADATA.profiles, small))
    assert two.cache_key() == turned.cache_key()
    built = replace(METADATA, onnx_name="y.onnx", plan_bytes=1, plan_sha256="d", activation_bytes=9)
    assert built.cache_key() == METADATA.cache_key()
    same = replace(METADATA, options={**METADATA.options, "compat": "same-cc"})
    assert replace(same, gpu_name="NVIDIA L4").cache_key() == same.cache_key()
    turned_list = replace(AHEAD_OF_TIME, architectures=("sm89", "sm86"))
    assert turned_list.cache_key() == AHEAD_OF_TIME.cache_key()


def test_the_rebuild_command_says_everything_that_was_asked_for() -> None:
    options = {
        "compat": "same-cc",
        "opt_level": 4,
        "workspace_bytes": 2**30,
        "strip_weights": True,
    }
    words = shlex.split(rebuild_command(replace(METADATA, options=options), "my folder/x4.engine"))
    assert words[:5] == ["swinir-deploy", "build", "x4.onnx", "--target", "tensorrt"]
    pairs = dict(zip(words[5::2], words[6::2], strict=False))
    assert pairs["--min-shape"] == "1x3x256x256"
    assert pairs["--opt-shape"] == "4x3x256x256"
    assert pairs["--max-shape"] == "8x3x256x256"
    assert pairs["--compat"] == "same-cc"
    assert pairs["--workspace"] == "1024MiB"
    assert pairs["--opt-level"] == "4"
    assert "--strip-weights" in words
    assert words[-2:] == ["-o", "my folder/x4.engine"]


@pytest.mark.parametrize(
    ("size", "text"), [(1, "1KiB"), (2**19, "512KiB"), (2**20, "1MiB"), (2**20 + 1, "1025KiB")]
)
def test_the_rebuild_command_rounds_no_workspace_down(size: int, text: str) -> None:
    metadata = replace(METADATA, options={"workspace_bytes": size})
    assert f"--workspace {text} " in rebuild_command(metadata, "x4.engine")


def test_the_rebuild_command_names_the_gpu_and_lets_other_graphs_in() -> None:
    made_for_it = replace(METADATA, model=replace(MODEL, target="tensorrt"))
    assert "--any-graph" not in rebuild_command(made_for_it, "x4.engine")
    other = replace(METADATA, model=replace(MODEL, target="ort"))
    assert "--any-graph" in shlex.split(rebuild_command(other, "x4.engine"))
    assert "--device" not in rebuild_command(METADATA, "x4.engine")
    assert "--device 2 " in rebuild_command(METADATA, "x4.engine", 2)
    assert "--device" not in rebuild_command(AHEAD_OF_TIME, "x4.engine", 2)


def test_the_rebuild_command_names_the_channels_second_for_images_too() -> None:
    profile = ShapeProfile((1, 64, 96, 3), (2, 64, 96, 3), (4, 64, 96, 3))
    image = replace(METADATA, model=replace(MODEL, io="image"), profiles=(profile,))
    assert "--max-shape 4x3x64x96" in rebuild_command(image, "x4.engine")


def test_a_profile_knows_its_shapes() -> None:
    profile = ShapeProfile((1, 3, 64, 64), (1, 3, 128, 128), (4, 3, 256, 256))
    assert profile.contains((2, 3, 64, 256))
    assert not profile.contains((5, 3, 64, 64))
    assert not profile.contains((1, 3, 64))
    with pytest.raises(ValueError, match="min to max"):
        ShapeProfile((2, 3, 64, 64), (1, 3, 64, 64), (4, 3, 64, 64))
