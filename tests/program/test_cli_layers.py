"""``verify --layers`` on the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from cli_runs import Program
from onnx import numpy_helper

from swinir_deploy.errors import BackendUnavailableError
from swinir_deploy.nvidia.gpu import find_gpu
from swinir_deploy.runtimes import BACKENDS

pytest.importorskip("polygraphy", reason="polygraphy is not installed")

DAMAGED = "layers.0.residual_group.blocks.1.mlp.fc1"


@pytest.fixture
def damaged(onnx_file: Path, tmp_path: Path) -> Path:
    model = onnx.load(onnx_file)
    weight = next(t for t in model.graph.initializer if t.name == f"{DAMAGED}.weight")
    values = numpy_helper.to_array(weight) * np.float32(-1)
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    onnx.save(model, tmp_path / "damaged.onnx")
    return tmp_path / "damaged.onnx"


def test_the_damaged_node_is_named(swinir: Program, damaged: Path, onnx_file: Path) -> None:
    run = swinir("verify", damaged, "--layers", "--against", onnx_file, code=1)
    assert f"differ first at {DAMAGED}/Gemm" in run.stderr
    table = [line for line in run.stderr.splitlines() if line.endswith(("passed", "FAILED"))]
    assert len(table) == 10
    assert all(line.endswith("FAILED") for line in table)

    run = swinir("verify", damaged, "--layers", "--against", onnx_file, "--json", code=1)
    assert run.document["first"]["node"] == f"{DAMAGED}/Gemm"
    assert run.document["passed"] is False


def test_the_checkpoint_is_the_reference_if_no_file_is_named(
    swinir: Program, damaged: Path, checkpoint: Path
) -> None:
    run = swinir("verify", damaged, "-m", checkpoint, "--layers", code=1)
    assert f"small in fp32 on ort cpu, fp32 differ first at {DAMAGED}/Gemm" in run.stderr


def test_another_back_end_is_compared_with_onnx_runtime(
    swinir: Program, damaged: Path, onnx_file: Path
) -> None:
    pytest.importorskip("openvino")
    options = ("--layers", "--backend", "openvino")
    run = swinir("verify", onnx_file, *options, "--precision", "bf16")
    assert f"{onnx_file} on openvino cpu, " in run.stdout
    assert f"{onnx_file} on ort cpu, fp32 agree" in run.stdout
    run = swinir("verify", damaged, *options, "--against", onnx_file, "--json", code=1)
    assert run.document["first"]["node"] == f"{DAMAGED}/Gemm"
    assert run.document["ran_on"] == "openvino cpu, fp32"
    assert run.document["against_ran_on"] == "ort cpu, fp32"


def test_the_network_in_pytorch_is_compared_with_a_file(
    swinir: Program, damaged: Path, checkpoint: Path
) -> None:
    run = swinir("verify", damaged, "--layers", "--backend", "torch", "-m", checkpoint, code=1)
    assert f"differ first at {DAMAGED}/Gemm" in run.stderr


@pytest.mark.parametrize("backend", ["tensorrt", "rtx"])
def test_an_engine_of_the_file_needs_library_and_gpu(
    swinir: Program, onnx_file: Path, checkpoint: Path, backend: str
) -> None:
    try:
        find_gpu()
    except BackendUnavailableError as error:
        reason = str(error)
    else:
        pytest.skip("this machine has a GPU")
    missing = BACKENDS[backend].missing()
    options = ("--layers", "--backend", backend, "-m", checkpoint)
    run = swinir("verify", onnx_file, *options, code=3)
    assert (reason if missing is None else f"swinir-deploy[{backend}]") in run.stderr
    Path("x4.engine").write_bytes(b"plan")
    run = swinir("verify", "x4.engine", "--layers", "--backend", backend, code=2)
    assert "x4.engine is an engine" in run.stderr


def test_files_that_agree_pass(swinir: Program, onnx_file: Path, picture: Path) -> None:
    run = swinir(
        *("verify", onnx_file, "--layers", "--against", onnx_file, "--optimization", "all"),
        *("--picture", picture, "--shape", "9x10", "-o", "report.json"),
    )
    assert "agree" in run.stdout
    assert Path("report.json").is_file()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--layers", "--device", "cpu", "-m", "tiny-sr-x4"], "'ort' takes no device"),
        (["--layers", "--backend", "torche"], "Unknown back end 'torche'"),
        (
            ["--layers", "--backend", "openvino", "--optimization", "all"],
            "'openvino' takes no optimization",
        ),
        (["--precision", "bf16", "-m", "tiny-sr-x4"], "'ort' has no option precision"),
        (["--layers", "--min-psnr", "50"], "--min-psnr cannot be used with --layers"),
        (["--layers", "--against", "x.onnx", "-m", "y"], "--model cannot be used with --against"),
        (["--against", "x.onnx"], "--against cannot be used without --layers"),
        (["--optimization", "all"], "--optimization cannot be used without --layers"),
        (
            ["--layers", "--against", "x.onnx", "--shape", "8x8", "--shape", "9x9"],
            "--shape was given 2 times",
        ),
        (["--layers", "--optimization", "most"], "--optimization"),
    ],
)
def test_options_that_would_be_left_unheard_are_refused(
    swinir: Program, onnx_file: Path, options: list[str], message: str
) -> None:
    assert message in swinir("verify", onnx_file, *options, code=2).stderr


def test_a_file_beside_itself_is_refused(swinir: Program, onnx_file: Path) -> None:
    run = swinir(
        *("verify", onnx_file, "--layers", "--against", onnx_file, "--optimization", "none"), code=2
    )
    assert "compared with itself" in run.stderr


def test_a_missing_package_says_which_extra(
    swinir: Program, onnx_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "swinir_deploy.system.packages.is_importable", lambda name: name != "polygraphy"
    )
    run = swinir("verify", onnx_file, "--layers", "--against", onnx_file, code=3)
    assert "swinir-deploy[layers]" in run.stderr
