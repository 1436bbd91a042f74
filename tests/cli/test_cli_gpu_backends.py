"""GPU back ends on the command line of a machine that has none: messages and exit codes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cli_runs import Program

from swinir_deploy.artifact import ArtifactMetadata
from swinir_deploy.engine_files import EngineMetadata, ShapeProfile, write_engine
from swinir_deploy.errors import BackendUnavailableError
from swinir_deploy.gpu import find_gpu
from swinir_deploy.runtimes import BACKENDS

LIBRARIES = {"tensorrt": "10.13.0.35", "rtx": "1.7.1.116"}


def engine_file(folder: Path, flavour: Any) -> Path:
    """An engine that no library would load; none gets that far without a GPU."""
    model = ArtifactMetadata(io="tensor", scale=2, in_chans=3, window_size=8, model_id="small")
    metadata = EngineMetadata(
        model=model,
        onnx_name="small.onnx",
        onnx_sha256="1" * 64,
        flavour=flavour,
        library_version=LIBRARIES[flavour],
        profiles=(ShapeProfile((1, 3, 64, 64), (4, 3, 64, 64), (8, 3, 64, 64)),),
    )
    path = folder / f"{flavour}.engine"
    write_engine(path, b"a plan", metadata)
    return path


@pytest.mark.parametrize("flavour", LIBRARIES)
def test_an_engine_without_a_library_or_gpu_is_exit_code_3(
    swinir: Program, picture: Path, tmp_path: Path, flavour: str
) -> None:
    try:
        find_gpu()
    except BackendUnavailableError as error:
        reason = str(error)
    else:
        pytest.skip("this machine has a GPU")
    backend = next(b for b in BACKENDS.values() if b.flavour == flavour)
    engine = engine_file(tmp_path, flavour)
    run = swinir("restore", picture, "out.png", "--model", engine, code=3)
    missing = backend.missing()
    assert (reason if missing is None else f"swinir-deploy[{backend.extra}]") in run.stderr
    assert not Path("out.png").exists()


def test_a_provider_that_is_not_there_is_exit_code_3(
    swinir: Program, picture: Path, onnx_file: Path
) -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime was built for GPUs")
    run = swinir(
        *("restore", picture, "out.png", "--model", onnx_file),
        *("--provider", "cuda", "--provider-option", "cudnn_conv_use_max_workspace=1"),
        code=3,
    )
    assert "swinir-deploy[ort-gpu]" in run.stderr


def test_options_of_the_provider_reach_the_session(
    swinir: Program, picture: Path, onnx_file: Path
) -> None:
    option = ("--provider-option", "session.intra_op.allow_spinning=0")
    swinir("restore", picture, "out.png", "--model", onnx_file, "--provider", "cpu", *option)
    assert Path("out.png").is_file()
    run = swinir(
        "restore", picture, "x.png", "--model", onnx_file, "--provider-option", "x", code=2
    )
    assert "not KEY=VALUE" in run.stderr
