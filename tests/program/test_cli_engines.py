"""build, inspect and cache as a user calls them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_runs import Program, run_process

pytest.importorskip("tensorrt_rtx")

TILE = ("--tile", "16", "--batch", "1,2")


@pytest.fixture(scope="module")
def engine_onnx(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path) -> Path:
    from click.testing import CliRunner

    from swinir_deploy.cli.main import program

    path = tmp_path_factory.mktemp("engines") / "small.onnx"
    arguments = ["export", "--model", str(checkpoint), "--for", "tensorrt", "-o", str(path)]
    result = CliRunner().invoke(program, arguments)
    assert result.exit_code == 0, result.stderr
    return path


@pytest.mark.slow
def test_build_then_cache(swinir: Program, engine_onnx: Path, tmp_path: Path) -> None:
    run = swinir("build", engine_onnx, "--target", "rtx:sm89", *TILE, "--json")
    document = run.document
    assert document["path"] == "small.engine"
    assert document["metadata"]["architectures"] == ["sm89"]
    assert not document["from_cache"]
    assert any("--precision fp16" in note for note in document["notes"])
    work = tmp_path / "work"
    assert (work / "small.engine").stat().st_size == document["metadata"]["plan_bytes"]
    assert json.loads((work / "small.engine.json").read_text()) == document["metadata"]

    again = swinir("build", engine_onnx, "--target", "rtx:sm89", *TILE, "-o", "b.engine")
    assert again.stdout.startswith("Took from the cache small.onnx -> b.engine (rtx:sm89")

    listed = swinir("cache", "ls", "--json").document
    (entry,) = listed["engines"]
    assert entry["key"] == document["key"]
    assert listed["total_bytes"] == entry["size_bytes"]
    text = swinir("cache", "ls").stdout
    assert entry["key"][:12] in text
    assert "rtx:sm89" in text
    swinir("cache", "rm", code=2)
    swinir("cache", "rm", "ffff" if not entry["key"].startswith("ffff") else "0000", code=2)
    removed = swinir("cache", "rm", entry["key"][:6], "--json").document["removed"]
    assert [e["key"] for e in removed] == [entry["key"]]
    assert swinir("cache", "ls").stdout.startswith("No engines in ")


def test_inspect_and_compare(swinir: Program, engine_onnx: Path) -> None:
    run = swinir("inspect", engine_onnx, "--tile", "16", "--json", "-o", "a.json")
    assert run.document["blocks"] == 2
    assert json.loads(Path("a.json").read_text()) == run.document
    text = swinir("inspect", engine_onnx, "--tile", "16").stdout
    assert "fused attentions" in text
    assert "Largest activations:" in text
    both = swinir("inspect", "--compare", "a.json", "a.json")
    rows = {line.split("  ")[0].strip(): line.split()[-2:] for line in both.stdout.splitlines()}
    assert rows["kernels"] == [str(run.document["kernels"])] * 2
    swinir("inspect", code=2)
    swinir("inspect", engine_onnx, "--compare", "a.json", "a.json", code=2)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--target", "rtx:sm90"], 2, "sm89"),
        (["--target", "rtx:sm89", "--tile", "2"], 2, "at least 5"),
        (["--target", "rtx:sm89", "--workspace", "lots"], 2, "4GiB"),
        (["--target", "rtx:sm89", "--compat", "ampre+"], 2, "ampere+"),
        (["--target", "rtx:sm89", "--strip-weights"], 2, "strip"),
        (["--target", "rtx:sm89", "-o", "none/x.engine"], 4, "none"),
    ],
)
def test_what_is_wrong_is_said(
    swinir: Program, engine_onnx: Path, arguments: list[str], code: int, said: str
) -> None:
    run = swinir("build", engine_onnx, *arguments, code=code)
    assert said in run.stderr
    assert not list(Path().glob("*.engine"))


def test_a_graph_for_others_is_refused(swinir: Program, onnx_file: Path) -> None:
    run = swinir("build", onnx_file, "--target", "rtx:sm89", code=4)
    assert "--for tensorrt" in run.stderr
    assert "--any-graph" in run.stderr


@pytest.mark.parametrize(
    ("target", "module", "extra"),
    [("rtx:sm89", "tensorrt_rtx", "rtx"), ("rtx:sm89", "onnx", "export")],
)
def test_missing_packages_are_named(
    engine_onnx: Path, target: str, module: str, extra: str
) -> None:
    blocked = f"import importlib.util as u; f = u.find_spec; n = {module!r}\n"
    blocked += "u.find_spec = lambda name, *a: None if name == n else f(name, *a)\n"
    run = run_process(
        ["build", engine_onnx, "--target", target], f"{blocked}sys.modules[{module!r}] = None"
    )
    assert run.code == 3, run.stderr
    assert f"swinir-deploy[{extra}]" in run.stderr
