"""What holds for every command: help, exit codes, near matches, stdout, signals, imports."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from cli_runs import Program, run_process

from swinir_deploy import errors
from swinir_deploy._version import __version__
from swinir_deploy.cli.main import COMMANDS, program
from swinir_deploy.cli.options import ModelRequest
from swinir_deploy.cli.output import Output, plain, size_text, table
from swinir_deploy.cli.selection import select_model
from swinir_deploy.errors import SwinIRDeployError
from swinir_deploy.models import catalog

HEAVY = ("torch", "onnx", "onnxruntime", "numpy", "PIL", "yaml", "tqdm", "safetensors")

# -------------------------------------------------------------------------------------------- help


def test_help_lists_commands_and_exit_codes(swinir: Program) -> None:
    text = swinir("--help").stdout
    for name in COMMANDS:
        assert f"\n  {name} " in text
    codes = {
        error.exit_code
        for error in vars(errors).values()
        if isinstance(error, type) and issubclass(error, SwinIRDeployError)
    }
    assert codes == {1, 2, 3, 4, 5}
    for code in (0, *codes, 130):
        assert f"\n    {code}  " in text
    assert swinir("--version").stdout == f"swinir-deploy {__version__}\n"


@pytest.mark.parametrize("name", [*(c for c in COMMANDS if c != "cache"), "cache ls", "cache rm"])
def test_options_of_every_command(swinir: Program, name: str) -> None:
    text = swinir(*name.split(), "--help").stdout
    for option in ("--json", "--quiet", "--offline", "--debug"):
        assert option in text
    assert ("--output" in text) == (not name.startswith(("cache", "serve")))


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_of_a_command(swinir: Program, name: str) -> None:
    text = swinir(name, "--help").stdout
    assert f"swinir-deploy {name}" in text.split("Examples:")[1]


def examples() -> list[str]:
    ctx = click.Context(program)
    commands = [program, *(program.get_command(ctx, name) for name in COMMANDS)]
    lines = [
        line.strip()
        for command in commands
        if command is not None and command.epilog
        for line in command.epilog.splitlines()
    ]
    return [line for line in lines if line.startswith("swinir-deploy ")]


@pytest.mark.parametrize("line", examples())
def test_examples_are_valid(line: str) -> None:
    _, name, *arguments = shlex.split(line)
    command = program.get_command(click.Context(program), name)
    assert command is not None
    command.make_context(name, arguments)


def test_no_command_shows_the_help_as_a_usage_error(swinir: Program) -> None:
    run = swinir(code=2)
    assert run.stdout == ""
    assert "Commands:" in run.stderr


# ------------------------------------------------------------------------------------ near matches


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["exprot"], "Did you mean 'export'?"),
        (["benchmark"], "Did you mean 'bench'?"),
        (["upscale"], "Did you mean 'restore'?"),
        (["xyzzy"], "Choose models, info,"),
        (["export", "--modle", "x"], "--model"),
        (["models", "--task", "denose"], "Did you mean 'denoise'?"),
        (["export", "--size", "med"], "Did you mean 'medium'?"),
        (["export", "--model", "tiny-sr-x5"], "Did you mean 'tiny-sr-x4'"),
        (["export", "--task", "sr", "--scale", "5"], "Possible: sr x2 (tiny, light, medium)"),
        (["models", "--task", "sr", "--gray"], "Possible: sr x2 (tiny, light, medium)"),
        (["export", "--task", "denoise"], "15, 25, 50"),
        (["export", "--model", "a.pth", "--task", "sr", "--gray"], "--task sr --gray"),
        (["export"], "swinir-deploy export --task sr --scale 4"),
        (["restore", "a.png", "b.png"], "--task sr --scale 4"),
        (["restore", "a.png", "--model", "x"], "Give a file or folder as OUT"),
        (["restore", "a.png", "b.png", "-o", "c.png", "--model", "x"], "given twice"),
        (["restore", "a.png", "b.png", "--format", "jpg", "-m", "tiny-sr-x4"], "b.jpg"),
        (["bench", "-m", "tiny-sr-x4", "--backend", "ort,,torch"], "--backend"),
        (["bench", "-m", "tiny-sr-x4", "--runs", "3", "--duration", "3"], "Give one"),
        (["bench", "-m", "tiny-sr-x4", "--shape", "12"], "64x96"),
        (["bench", "-m", "tiny-sr-x4", "--shape", "0x12"], "64x96"),
        (["verify"], "MODEL.onnx"),
        (["--json", "models"], "behind the command"),
        (["--quite", "models"], "--quite"),
    ],
)
def test_wrong_usage(swinir: Program, arguments: list[str], wanted: str) -> None:
    run = swinir(*arguments, code=2)
    assert wanted in run.stderr
    if "--json" not in arguments:
        assert run.stdout == ""
        run = swinir(*arguments, "--json", code=2)
    assert set(run.document) == {"error", "exit_code"}
    assert run.document["exit_code"] == 2
    assert wanted in run.document["error"]["message"]
    assert list(Path().iterdir()) == []


def test_a_model_as_an_argument_is_explained(swinir: Program) -> None:
    run = swinir("restore", "a.png", "b.png", "tiny-sr-x4", code=2)
    assert "named with --model" in run.stderr
    assert "--model" not in swinir("models", "tiny-sr-x4", code=2).stderr


def test_the_default_says_that_it_is_tiny() -> None:
    out = Output()
    chosen = select_model(ModelRequest(task="sr", scale=4), out, "export")
    assert chosen.name == "tiny-sr-x4"
    out.answer({}, "")
    assert out.document is not None
    note = out.document["notes"][0]
    assert "tiny built-in model" in note
    assert "--model light-sr-x4 or medium-sr-x4" in note
    out = Output()
    assert select_model(ModelRequest(model="tiny-sr-x4"), out, "export").name == "tiny-sr-x4"
    out.answer({}, "")
    assert out.document == {}
    out = Output()
    named = ModelRequest(task="sr", scale=4, size="tiny")
    assert select_model(named, out, "export").name == "tiny-sr-x4"
    out.answer({}, "")
    assert out.document is not None
    assert not any("tiny built-in model" in note for note in out.document["notes"])


def notes_of(request: ModelRequest) -> tuple[str, list[str]]:
    """The model that a request selects, and what is said about it."""
    out = Output()
    name = select_model(request, out, "export").name
    out.answer({}, "")
    assert out.document is not None
    return name, out.document.get("notes", [])


@pytest.mark.parametrize("size", [None, "tiny", "light", "medium"])
def test_a_model_for_clean_pictures_names_those_for_photographs(size: str | None) -> None:
    _, notes = notes_of(ModelRequest(task="sr", scale=4, size=size))
    (note,) = [note for note in notes if "photographs" in note]
    assert "add --real (tiny-real-sr-x4, built in; official: --model medium-real-sr-x4-gan" in note
    assert "large-real-sr-x4-psnr" in note
    assert "params-and-ema" not in note


def test_at_scale_2_only_the_official_ones_are_for_photographs() -> None:
    _, notes = notes_of(ModelRequest(task="sr", scale=2))
    assert "add --real (official: --model medium-real-sr-x2-gan or" in notes[-1]
    assert "tiny-real" not in notes[-1]


@pytest.mark.parametrize(
    "request_",
    [
        ModelRequest(task="sr", scale=3),
        ModelRequest(task="sr", scale=8),
        ModelRequest(task="denoise", noise=25),
        ModelRequest(task="sr", scale=4, real=True),
        ModelRequest(model="tiny-sr-x4"),
    ],
)
def test_nothing_is_said_where_it_would_not_help(request_: ModelRequest) -> None:
    assert not any("photographs" in note for note in notes_of(request_)[1])


def test_real_selects_the_built_in_model_for_photographs() -> None:
    name, notes = notes_of(ModelRequest(task="sr", scale=4, real=True))
    assert name == "tiny-real-sr-x4"
    assert "--model medium-real-sr-x4-gan or medium-real-sr-x4-psnr" in notes[0]
    assert notes_of(ModelRequest(task="sr", scale=2, real=True))[0] == "medium-real-sr-x2-gan"


# ------------------------------------------------------------------------------ errors and signals


def test_an_unexpected_error_asks_for_debug(
    swinir: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load_catalog() -> None:
        raise RuntimeError("a defect\nin two lines")

    monkeypatch.setattr(catalog, "load_catalog", load_catalog)
    run = swinir("models", code=1)
    assert len(run.stderr.splitlines()) == 1
    assert "RuntimeError: a defect in two lines" in run.stderr
    assert "--debug" in run.stderr
    run = swinir("models", "--debug", "--json", code=1)
    assert "Traceback" in run.stderr
    assert run.document["error"]["type"] == "RuntimeError"


def test_ctrl_c(swinir: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    def load_catalog() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(catalog, "load_catalog", load_catalog)
    run = swinir("models", "--json", code=130)
    assert "Interrupted" in run.stderr
    assert run.document["exit_code"] == 130


@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT")
def test_ctrl_c_during_an_export_leaves_nothing(checkpoint: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "swinir_deploy", "export", "--model", str(checkpoint)],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert "Exporting small" in process.stderr.readline()
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert stdout == ""
    assert "Traceback" not in stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="pipes are different")
@pytest.mark.parametrize("arguments", [["models"], ["models", "--json"], ["--help"]])
def test_a_closed_pipe_is_no_error_message(arguments: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    process = subprocess.Popen(
        [sys.executable, "-m", "swinir_deploy", *arguments, *["-q"] * ("models" in arguments)],
        stdout=write,
        stderr=subprocess.PIPE,
    )
    os.close(write)
    assert process.communicate(timeout=60)[1] == b""


# ---------------------------------------------------------------------------------- stdout, imports


def test_json_has_stdout_for_itself() -> None:
    noise = """
import ctypes, os, warnings
from swinir_deploy.models import catalog
load = catalog.load_catalog
def noisy():
    print("noise of Python")
    warnings.warn("a warning")
    os.write(1, b"noise of a library\\n")
    ctypes.CDLL(None).puts(b"noise in a buffer of C")
    return load()
catalog.load_catalog = noisy
"""
    run = run_process(["models", "--json"], noise)
    assert run.code == 0
    assert len(run.document["models"]) == len(catalog.load_catalog().all())
    for kind in ("noise of Python", "noise of a library", "noise in a buffer of C"):
        assert kind in run.stderr
    assert "a warning" not in run.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["exprot"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    before = (
        "import atexit\n"
        f"heavy = {HEAVY!r}\n"
        "atexit.register(lambda: sys.stderr.write(f'loaded: {[n for n in heavy "
        "if n in sys.modules]}'))"
    )
    run = run_process(arguments, before)
    assert run.stderr.endswith("loaded: []")


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_imports_no_framework(name: str) -> None:
    before = "for name in ('torch', 'onnx', 'onnxruntime'): sys.modules[name] = None"
    assert run_process([name, "--help"], before).code == 0


# ------------------------------------------------------------------------------------- small parts


def test_plain_is_strict_json() -> None:
    import numpy as np

    values = {
        "path": Path("a"),
        "nested": [(1, np.float32(0.5)), np.int64(3)],
        "inf": float("inf"),
        "nan": np.float64("nan"),
        "yes": True,
        "none": None,
    }
    assert json.loads(json.dumps(plain(values), allow_nan=False)) == {
        "path": "a",
        "nested": [[1, 0.5], 3],
        "inf": None,
        "nan": None,
        "yes": True,
        "none": None,
    }
    with pytest.raises(TypeError, match="object"):
        plain(object())


def test_table_and_sizes() -> None:
    text = table(["NAME", "COUNT"], [["a", "1"], ["long", "1,000"]])
    assert text.splitlines() == ["NAME  COUNT", "a         1", "long  1,000"]
    assert [size_text(n) for n in (0, 1, 12_300, 812_345, 67_900_000, 10**10)] == [
        "0 KB",
        "1 KB",
        "13 KB",
        "0.8 MB",
        "67.9 MB",
        "10.0 GB",
    ]
