"""No command replaces a file unasked, and none replaces what it reads."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import pytest
from cli_runs import Program
from PIL import Image

from swinir_deploy.cli.main import COMMANDS, program

TINY = "tiny-sr-x2"


@pytest.fixture
def model(onnx_file: Path, tmp_path: Path) -> Path:
    return Path(shutil.copyfile(onnx_file, tmp_path / "k.onnx"))


@pytest.fixture
def weights(checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copyfile(checkpoint, tmp_path / "k.safetensors"))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(2):
        pixels = np.random.default_rng(number).integers(0, 256, (48, 48, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def lines(model: Path, weights: Path, photos: Path) -> dict[str, list[object]]:
    """For each command that writes a named file, a quick call without the name."""
    return {
        "models": ["models"],
        "info": ["info", model],
        "verify": ["verify", model, "--model", weights, "--shape", "8x8"],
        "verify --layers": ["verify", model, "--layers", "--against", model, "--shape", "8x8"],
        "eval": ["eval", "-m", model, "--data", photos, "--no-reference"],
        "bench": ["bench", "-m", model, "--shape", "8x8", "--runs", 1],
        "export": ["export", "-m", weights],
    }


NAMES = ("models", "info", "verify", "verify --layers", "eval", "bench", "export")


@pytest.mark.parametrize(
    "name", [name for name in COMMANDS if name not in ("bundle", "cache", "serve")]
)
def test_every_command_that_writes_asks(name: str) -> None:
    """``bundle`` writes a new folder only, ``cache`` and ``serve`` nothing."""
    command = program.get_command(click.Context(program), name)
    assert command is not None
    options = {option for parameter in command.params for option in parameter.opts}
    assert "--output" in options and "--overwrite" in options


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_replaced_only_on_request(
    swinir: Program, lines: dict[str, list[object]], name: str
) -> None:
    output = Path("result.onnx" if name == "export" else "result.json")
    output.write_text("precious")
    run = swinir(*lines[name], "-o", output, code=2)
    assert f"{output} exists. Give --overwrite to replace it, or another name." in run.stderr
    assert output.read_text() == "precious"
    swinir(*lines[name], "-o", output, "--overwrite")
    assert output.read_bytes() != b"precious"
    assert [path.name for path in Path().iterdir()] == [output.name]


def test_csv_and_the_default_name_of_an_export_are_outputs_too(
    swinir: Program, lines: dict[str, list[object]]
) -> None:
    for options, name in ((["bench", "--csv", "rows.csv"], "rows.csv"), (["export"], "small.onnx")):
        Path(name).write_text("precious")
        command, *rest = options
        run = swinir(*lines[command], *rest, code=2)
        assert f"{name} exists" in run.stderr
        assert Path(name).read_text() == "precious"
        swinir(*lines[command], *rest, "--overwrite")
        assert Path(name).read_bytes() != b"precious"
    swinir(*lines["bench"], "-o", "new", "--csv", "./new", code=2)


def test_the_demo_asks_too(swinir: Program) -> None:
    Path("here").mkdir()
    Path("here/chelsea-x4.png").write_text("precious")
    run = swinir("demo", "-o", "here", code=2)
    assert "chelsea-x4.png exists" in run.stderr
    assert [path.name for path in Path("here").iterdir()] == ["chelsea-x4.png"]


def same_file(kind: str) -> Callable[[Path], Path]:
    def name(path: Path) -> Path:
        other = path.with_name(f"other{path.suffix}")
        if kind == "soft":
            other.symlink_to(path)
        elif kind == "hard":
            os.link(path, other)
        return path if kind == "itself" else other

    return name


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]], ids=["", "overwrite"])
@pytest.mark.parametrize("kind", ["itself", "soft", "hard"])
@pytest.mark.parametrize("name", [name for name in NAMES if name != "models"])
def test_no_output_replaces_the_model(
    swinir: Program,
    lines: dict[str, list[object]],
    model: Path,
    weights: Path,
    name: str,
    kind: str,
    overwrite: list[str],
) -> None:
    read = model
    if name == "export":  # its output ends in .onnx, which a checkpoint does not
        read = weights
        output = weights.with_name("other.onnx")
        os.link(weights, output) if kind == "hard" else output.symlink_to(weights)
    else:
        output = same_file(kind)(read)
    before = read.read_bytes()
    run = swinir(*lines[name], "-o", output, *overwrite, code=2)
    assert f"would replace {read}" in run.stderr, run.stderr
    assert read.read_bytes() == before


def test_other_things_that_are_read(
    swinir: Program, lines: dict[str, list[object]], model: Path, weights: Path, photos: Path
) -> None:
    before = {path: path.read_bytes() for path in (model, weights, *photos.iterdir())}
    swinir(*lines["bench"], "-o", "old.json")
    old = Path("old.json").read_bytes()
    verify, evaluate, bench = lines["verify"], lines["eval"], lines["bench"]
    for line in (
        [*verify, "-o", weights],
        [*verify, "--picture", photos / "0.png", "-o", photos / "0.png"],
        [*evaluate, "-o", photos / "1.png"],
        [*bench, "--against", model, "--csv", model],
        [*bench, "--compare", "old.json", "-o", "old.json"],
    ):
        assert "would replace" in swinir(*line, "--overwrite", code=2).stderr
    assert {path: path.read_bytes() for path in before} == before
    assert Path("old.json").read_bytes() == old
    swinir(*evaluate, "-o", photos / "result.json")  # beside the pictures it is no input
    swinir(*evaluate, "-o", photos / "result.json", "--overwrite")
    assert json.loads((photos / "result.json").read_text())["failures"] == []


def test_a_sidecar_and_a_built_in_model_are_read_as_well(swinir: Program, tmp_path: Path) -> None:
    from swinir_deploy.models.find import find_model

    built_in = find_model(TINY).place
    assert built_in.is_file()
    (tmp_path / "w.onnx").symlink_to(built_in)
    before = built_in.read_bytes()
    run = swinir("export", "-m", TINY, "-o", tmp_path / "w.onnx", "--overwrite", code=2)
    assert "would replace" in run.stderr
    engine = tmp_path / "x.engine"
    engine.write_bytes(b"plan")
    sidecar = tmp_path / "x.engine.json"
    sidecar.write_text("{}")
    run = swinir("info", engine, "-o", sidecar, "--overwrite", code=2)
    assert "would replace" in run.stderr
    assert built_in.read_bytes() == before and sidecar.read_text() == "{}"


def test_functions_refuse_it_as_well(weights: Path, tmp_path: Path) -> None:
    from swinir_deploy import export_onnx
    from swinir_deploy.errors import UsageError

    (tmp_path / "link.onnx").symlink_to(weights)
    before = weights.read_bytes()
    with pytest.raises(UsageError, match="would replace"):
        export_onnx(weights, tmp_path / "link.onnx")
    assert weights.read_bytes() == before


def test_a_link_is_written_through(swinir: Program, lines: dict[str, list[object]]) -> None:
    Path("far").mkdir()
    Path("near.json").symlink_to("far/result.json")
    swinir(*lines["info"], "-o", "near.json")
    assert Path("near.json").is_symlink()
    assert Path("far/result.json").is_file()
    run = swinir(*lines["info"], "-o", "near.json", code=2)
    assert "near.json exists" in run.stderr
