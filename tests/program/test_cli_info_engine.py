"""``info`` of an engine: what its description says, without a library or a GPU."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from cli_runs import Program

from swinir_deploy.artifacts.engine import EngineMetadata, sidecar_path, write_engine
from swinir_deploy.artifacts.metadata import ArtifactMetadata
from swinir_deploy.artifacts.shapes import ShapeProfile

MODEL = ArtifactMetadata(
    io="tensor",
    scale=2,
    in_chans=3,
    window_size=8,
    precision="fp16",
    task="sr",
    model_id="small",
    source_sha256="2" * 64,
    target="tensorrt",
    shape="Nx3xHxW",
)


def engine(folder: Path, **changes: Any) -> Path:
    values: dict[str, Any] = {
        "model": MODEL,
        "onnx_name": "small.onnx",
        "onnx_sha256": "1" * 64,
        "flavour": "rtx",
        "library_version": "1.7.1.116",
        "cuda_major": 13,
        "system": "Linux",
        "machine": "x86_64",
        "architectures": ("sm86", "sm89"),
        "profiles": (
            ShapeProfile((1, 3, 64, 64), (4, 3, 64, 64), (8, 3, 64, 64)),
            ShapeProfile((1, 3, 64, 64), (1, 3, 128, 128), (1, 3, 256, 512)),
        ),
        "options": {"compat": "none", "opt_level": 3, "workspace_bytes": 0},
        "activation_bytes": 95_400_000,
    }
    path = folder / "small.engine"
    write_engine(path, b"a plan", EngineMetadata(**{**values, **changes}))
    return path


def lines_of(text: str) -> list[str]:
    """Return the rows; what was wrapped into further lines, which are indented more, is joined."""
    rows = re.sub(r"\n {3,}", " ", text)
    return [" ".join(line.split()) for line in rows.splitlines()]


def test_the_text(swinir: Program, tmp_path: Path) -> None:
    lines = lines_of(swinir("info", engine(tmp_path)).stdout)
    for wanted in (
        "file engine, 1 KB, by TensorRT for RTX 1.7.1.116 for CUDA 13",
        f"built from small.onnx, SHA-256 {'1' * 64}",
        "target rtx:sm86,sm89, Linux x86_64",
        "runs on sm86, sm89 (compiled ahead of time)",
        "takes 1..8x3x64x64 (tuned for 4x3x64x64)",
        "takes 1x3x64..256x64..512 (tuned for 1x3x128x128)",
        "activations 95.4 MB",
        "options opt_level 3",
        "model small",
        "precision fp16",
    ):
        assert wanted in lines


@pytest.mark.parametrize(
    ("compat", "wanted"),
    [
        ("none", "runs on RTX 4090, compute capability 8.9"),
        (
            "same-cc",
            "runs on RTX 4090, compute capability 8.9, and others of its compute capability",
        ),
        ("ampere+", "runs on RTX 4090, compute capability 8.9, and others from Ampere on"),
    ],
)
def test_where_an_engine_runs(swinir: Program, tmp_path: Path, compat: str, wanted: str) -> None:
    changes = {"flavour": "tensorrt", "architectures": (), "options": {"compat": compat}}
    path = engine(tmp_path, **changes, gpu_name="RTX 4090", gpu_capability="8.9")
    assert wanted in lines_of(swinir("info", path).stdout)


def test_the_document_is_the_sidecar_and_more(swinir: Program, tmp_path: Path) -> None:
    path = engine(tmp_path)
    document = swinir("info", path, "--json", "-o", "info.json").document
    written = json.loads(sidecar_path(path).read_text())
    assert {**document, **written} == document
    assert (document["kind"], document["target"]) == ("engine", "rtx:sm86,sm89")
    assert document["sidecar"] == str(sidecar_path(path))
    assert json.loads(Path("info.json").read_text()) == document


def test_files_that_are_missing_or_damaged(swinir: Program, tmp_path: Path) -> None:
    path = engine(tmp_path)
    sidecar = sidecar_path(path)
    whole = sidecar.read_text()
    sidecar.write_text("{")
    assert "it is not JSON. Build the engine again." in swinir("info", path, code=4).stderr
    sidecar.write_text("{}")
    assert "not a description of an engine" in swinir("info", path, code=4).stderr
    sidecar.unlink()
    assert "has no description small.engine.json" in swinir("info", path, code=4).stderr
    sidecar.write_text(whole)
    path.write_bytes(b"a plot")
    assert "is not the plan that small.engine.json describes" in swinir("info", path, code=4).stderr
    path.unlink()
    assert "There is no file" in swinir("info", path, code=4).stderr


def test_an_engine_is_no_checkpoint(swinir: Program, tmp_path: Path) -> None:
    run = swinir("export", "--model", engine(tmp_path), code=4)
    assert "small.engine is an engine, not a checkpoint" in run.stderr
