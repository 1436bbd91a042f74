"""From a checkpoint to an engine in one command, and what is checked before."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from cli_runs import Program

from swinir_deploy.artifacts.engine import read_engine_metadata, rebuild_command
from swinir_deploy.errors import BackendUnavailableError
from swinir_deploy.exporters.onnx import export as exporter
from swinir_deploy.exporters.tensorrt import target as targets
from swinir_deploy.exporters.tensorrt.target import Target

TILE = ("--tile", "16", "--batch", "1")


@pytest.fixture
def no_export(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail if an export begins."""

    def export_onnx(*_: object, **__: object) -> None:
        raise AssertionError("the export began")

    monkeypatch.setattr(exporter, "export_onnx", export_onnx)


@pytest.mark.slow
def test_a_checkpoint_becomes_an_engine_in_one_command(
    swinir: Program, checkpoint: Path, tmp_path: Path
) -> None:
    pytest.importorskip("tensorrt_rtx")
    options = ("--target", "rtx:sm89", "--precision", "bf16", "--io", "image", *TILE)
    run = swinir("build", checkpoint, *options)
    assert "Exporting small for TensorRT in bf16 first." in run.stderr
    assert "[1/3] Tracing" in run.stderr
    metadata = read_engine_metadata("small.engine")
    assert (metadata.onnx_name, metadata.model.precision) == ("small.safetensors", "bf16")
    assert (metadata.model.io, metadata.model.target) == ("image", "tensorrt")
    assert {path.name for path in Path().iterdir()} >= {"small.engine", "small.engine.json"}
    assert not list(Path().glob("*.onnx"))
    # The engine is the one that export and build make, and so it is in the cache.
    swinir("export", checkpoint, "--for", "tensorrt", *options[2:6], "-o", "two.onnx")
    swinir("build", "two.onnx", "--target", "rtx:sm89", *TILE, "-o", "two.engine")
    two = read_engine_metadata("two.engine")
    assert (two.model, two.profiles) == (metadata.model, metadata.profiles)
    # And the command that builds it again does.
    words = shlex.split(rebuild_command(metadata, "again.engine"))
    assert words[:3] == ["swinir-deploy", "build", "small.safetensors"]
    Path("small.safetensors").write_bytes(checkpoint.read_bytes())
    swinir(*words[1:])
    assert read_engine_metadata("again.engine").profiles == metadata.profiles


@pytest.mark.slow
def test_the_default_is_half_precision_and_an_id_is_enough(swinir: Program) -> None:
    pytest.importorskip("tensorrt_rtx")
    run = swinir("build", "-m", "tiny-sr-x2", "--target", "trt-rtx:sm89", *TILE, "--json")
    assert run.document["path"] == "tiny-sr-x2.engine"
    assert run.document["metadata"]["model"]["precision"] == "fp16"
    assert run.document["metadata"]["onnx_name"] == "tiny-sr-x2"


@pytest.mark.usefixtures("no_export")
@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--target", "rtx:sm90"], 2, "sm89"),
        (["--target", "cudnn"], 2, "Choose tensorrt or rtx"),
        (["--target", "rtx:sm89", "--tile", "2"], 2, "at least 5"),
        (["--target", "rtx:sm89", "-o", "none/x.engine"], 4, "none"),
        (["--target", "rtx:sm89", "--compat", "ampere+"], 2, "has no --compat"),
        (["--target", "rtx:sm89", "--calibrate", "none"], 4, "There is no folder none"),
        (["--target", "rtx:sm89", "--workspace", "4"], 2, "'4' has no unit. Give one: 4GB, 4MiB"),
        (["--target", "rtx"], 3, "--target rtx:sm89"),  # there is no GPU in tests
    ],
)
def test_what_is_wrong_is_said_before_the_export(
    swinir: Program, checkpoint: Path, options: list[str], code: int, said: str
) -> None:
    pytest.importorskip("tensorrt_rtx")
    assert said in swinir("build", checkpoint, *options, code=code).stderr


def test_an_exported_file_has_its_own_precision(swinir: Program, onnx_file: Path) -> None:
    run = swinir("build", onnx_file, "--target", "rtx:sm89", "--precision", "fp16", code=2)
    assert "--precision cannot be used with" in run.stderr


@pytest.mark.parametrize(
    ("installed", "chosen"),
    [({"tensorrt", "tensorrt_rtx"}, "tensorrt"), ({"tensorrt_rtx"}, "rtx"), (set(), None)],
)
def test_without_a_target_it_is_the_library_that_is_installed(
    monkeypatch: pytest.MonkeyPatch, installed: set[str], chosen: str | None
) -> None:
    monkeypatch.setattr(targets, "is_importable", lambda name: name in installed)
    if chosen is not None:
        assert str(Target.of_installed()) == chosen
        return
    with pytest.raises(BackendUnavailableError, match=r"\[tensorrt\].*\[rtx\]"):
        Target.of_installed()


@pytest.mark.slow
def test_stages_of_an_export_are_told_and_counted(swinir: Program, checkpoint: Path) -> None:
    run = swinir("export", checkpoint, "--precision", "fp16", "-o", "half.onnx")
    stages = [line for line in run.stderr.splitlines() if line.startswith("[")]
    assert [line[:5] for line in stages] == ["[1/4]", "[2/4]", "[3/4]", "[4/4]"]
    assert "on 13 pictures" in stages[-1]
    # One scale: the proof of half precision is in dB, and so is the comparison.
    assert "e-0" not in run.stdout
    assert run.stdout.count(" dB") == 2
    assert "[" not in swinir("export", checkpoint, "-o", "q.onnx", "--quiet").stderr


@pytest.mark.usefixtures("no_export")
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--shape", "1x1x64x64"], "has 1 channels"),
        (["--shape", "1x3x2x64"], "a side of 2 pixels"),
        (["--precision", "fp16", "--calibrate", "none"], "There is no folder none"),
        (["-o", "x.engine"], "does not end in .onnx"),
    ],
)
def test_an_export_is_checked_before_a_download(
    swinir: Program, options: list[str], said: str
) -> None:
    run = swinir("export", "medium-sr-x4", "--offline", *options, code=None)
    assert said in run.stderr


def test_the_model_is_an_argument_everywhere(
    swinir: Program, checkpoint: Path, onnx_file: Path, tmp_path: Path
) -> None:
    both = swinir("export", checkpoint, "-m", checkpoint, code=2)
    assert "The model is given twice" in both.stderr
    rows = swinir("bench", onnx_file, checkpoint, "--runs", 1, "--shape", "8x8", "--json").document[
        "rows"
    ]
    assert [row["backend"] for row in rows] == ["ort", "torch"]
    rows = swinir(
        "bench", checkpoint, "-m", onnx_file, "--runs", 1, "--shape", "8x8", "--json"
    ).document["rows"]
    assert [row["backend"] for row in rows] == ["ort", "torch"]
    assert json.dumps(rows)
