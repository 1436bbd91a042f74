"""``--key --prefix --img-range --mean`` in every command, and what is said about guesses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from cli_runs import SMALL, Program
from PIL import Image

from swinir_deploy.cli.main import COMMANDS, program
from swinir_deploy.cli.main import Program as Group
from swinir_deploy.network.swinir import SwinIR

OPTIONS = {"--key", "--prefix", "--img-range", "--mean"}
TAKES_A_CHECKPOINT = ["info", "export", "inspect", "restore", "verify", "eval", "bench"]


@pytest.fixture(scope="session")
def several(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights beside their average, of a network that was trained with 255 and another mean."""
    torch.manual_seed(4)
    state = SwinIR(SMALL).state_dict()
    average = {name: tensor * 0.5 for name, tensor in state.items()}
    path = tmp_path_factory.mktemp("several") / "mine.pth"
    torch.save({"params": {f"net.{k}": v for k, v in state.items()}, "params_ema": average}, path)
    return path


@pytest.mark.parametrize("name", TAKES_A_CHECKPOINT)
def test_every_command_that_takes_a_checkpoint_has_the_options(name: str) -> None:
    assert isinstance(program, Group)
    command = program.get_command(None, name)  # type: ignore[arg-type]
    assert command is not None
    assert {option for param in command.params for option in param.opts} >= OPTIONS
    assert name in COMMANDS


def test_info_says_what_was_taken_and_guessed(swinir: Program, several: Path) -> None:
    run = swinir("info", several, "--json")
    assert run.document["key"] == "params_ema"
    notes = "\n".join(run.document["notes"])
    assert "moving average ('params_ema')" in notes
    assert "--key params --prefix net." in notes
    assert "does not state its img_range; 1 is taken" in notes
    run = swinir("info", several, "--key", "params", "--img-range", 255, "--mean", "0.5", "--json")
    assert run.document["prefix"] == "net."
    assert run.document["config"]["mean"] == [0.5, 0.5, 0.5]
    assert run.document["config"]["img_range"] == 255
    assert "notes" not in run.document


@pytest.mark.slow
def test_restore_takes_the_options(swinir: Program, several: Path, tmp_path: Path) -> None:
    Image.fromarray(np.full((9, 12, 3), 90, np.uint8)).save(tmp_path / "in.png")
    results = {}
    for name, options in {
        "ema": [],
        "own": ["--prefix", "net."],
        "mean": ["--mean", "0.9"],
    }.items():
        out = tmp_path / f"{name}.png"
        swinir("restore", tmp_path / "in.png", out, "--model", several, *options)
        results[name] = np.asarray(Image.open(out)).tobytes()
    assert len(set(results.values())) == 3


@pytest.mark.slow
def test_what_an_export_recorded_verifies(swinir: Program, several: Path) -> None:
    options = ["--key", "params", "--img-range", "255", "--mean", "0.4,0.5,0.6"]
    swinir("export", "--model", several, *options, "-o", "mine.onnx")
    run = swinir("verify", "mine.onnx", "--model", several, "--shape", "16x24", "--json")
    assert run.document["passed"] is True
    run = swinir("verify", "mine.onnx", "--model", several, "--img-range", 1, "--json", code=1)
    assert run.document["passed"] is False
    run = swinir("verify", "mine.onnx", "--model", several, "--key", "params_ema", code=1)


@pytest.mark.parametrize("options", [["--key", "params"], ["--img-range", "255"], ["--mean", "0"]])
def test_exported_files_have_no_such_choice(
    swinir: Program, onnx_file: Path, picture: Path, tmp_path: Path, options: list[str]
) -> None:
    for command in (
        ["info", onnx_file],
        ["restore", picture, "b.png", "--model", onnx_file],
        ["bench", "--model", onnx_file],
        ["eval", "--model", onnx_file, "--data", tmp_path],
    ):
        run = swinir(*command, *options, code=2)
        assert f"{options[0]} cannot be used with" in run.stderr


@pytest.mark.parametrize("mean", ["", "a", "0.1,2", "0.1;0.2"])
def test_a_mean_that_is_none(swinir: Program, several: Path, mean: str) -> None:
    assert "is no mean" in swinir("info", several, "--mean", mean, code=2).stderr


def test_a_mean_of_the_wrong_length(swinir: Program, several: Path) -> None:
    run = swinir("info", several, "--mean", "0.1,0.2", code=2)
    assert "3 numbers from 0 to 1" in run.stderr


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "Git LFS pointer"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"PK\x03\x04" + bytes(60), "checkpoint of PyTorch"),
        (b"Entry not found", "answer of a server"),
    ],
)
def test_a_wrong_file_under_the_name_of_an_onnx_file(
    swinir: Program, picture: Path, content: bytes, words: str
) -> None:
    Path("x.onnx").write_bytes(content)
    for command in (
        ["info", "x.onnx"],
        ["restore", picture, "out.png", "--model", "x.onnx"],
        ["restore", picture, "out.png", "--model", "x.onnx", "--backend", "openvino"],
        ["build", "x.onnx", "--target", "rtx:sm89"],
        ["bundle", "x.onnx", "-o", "folder"],
    ):
        run = swinir(*command, code=4)
        assert f"x.onnx is {'a' if words[0] != 'a' else ''}" in run.stderr
        assert words in run.stderr
