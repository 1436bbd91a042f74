"""``build --target cuda`` and what the other commands say of its engines, without a GPU."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from cli_runs import Program

from swinir_deploy.artifacts.cuda_engine import read_cuda_engine

pytest.importorskip("triton", reason="Triton is not installed")

MODEL = "tiny-denoise-gray-25"


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_from_a_model_to_an_engine_its_description_and_its_bundle(
    swinir: Program, picture: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SWINIR_DEPLOY_CACHE", str(tmp_path / "cache"))
    command = ("build", MODEL, "--target", "cuda:sm80", "--json")
    first = swinir(*command).document
    path = Path(f"{MODEL}.engine")
    assert (first["metadata"]["flavour"], first["from_cache"]) == ("cuda", False)
    assert read_cuda_engine(path).half == "fp16"
    content = path.read_bytes()
    assert "exists" in swinir(*command, code=2).stderr
    assert path.read_bytes() == content
    again = swinir(*command, "--overwrite").document
    assert again["from_cache"] and path.read_bytes() == content
    text = swinir("info", path).stdout
    assert "by the CUDA kernels" in text and "sm80: " in text
    swinir("bundle", path, "-o", "bundle")
    assert (Path("bundle") / path.name).read_bytes() == content
    # Each command that would run it says what is missing here.
    for command in (
        ("restore", picture, "out.png", "--model", path),
        ("bench", "--model", path, "--shape", "8x8"),
        ("verify", path),
    ):
        run = swinir(*command, code=3)
        assert "NVIDIA" in run.stderr or "CUDA" in run.stderr, run.stderr
    assert not Path("out.png").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--target", "cuda:sm75"), "Unknown architecture 'sm75'"),
        (("--target", "cuda:sm80", "--precision", "fp32"), "Choose fp16 or bf16"),
        (("--target", "cuda:sm80", "--opt-shape", "64x64"), "it takes no shapes"),
        (("--target", "cuda:sm80", "--strip-weights"), "no options of TensorRT"),
    ],
)
def test_what_cannot_be_is_said_before_any_work(
    swinir: Program, options: tuple[str, ...], words: str
) -> None:
    run = swinir("build", MODEL, *options, code=2)
    assert words in run.stderr
    assert "Compiling" not in run.stderr
    assert not list(Path().glob("*.engine"))


def test_an_exported_file_is_refused(swinir: Program, tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(b"\x08\x08")
    run = swinir("build", tmp_path / "x.onnx", "--target", "cuda:sm80", code=2)
    assert "builds from a checkpoint" in run.stderr
