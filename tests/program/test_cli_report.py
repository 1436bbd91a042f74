"""``--report`` of the commands, ``report``, and the identity block of JSON reports."""

from __future__ import annotations

import hashlib
import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from cli_runs import Program
from PIL import Image
from sample_reports import identified, saved

from swinir_deploy.system import packages


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(2):
        pixels = np.random.default_rng(number).integers(0, 256, (24, 32, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"<b>{number}.png")
    return folder


def test_verify_writes_a_page_and_the_same_identity_in_json(
    swinir: Program, onnx_file: Path, checkpoint: Path, photos: Path
) -> None:
    picture = photos / "<b>0.png"
    line = ["verify", onnx_file, "-m", checkpoint, "--shape", "9x15", "--picture", picture]
    run = swinir(*line, "-o", "v.json", "--report", "v.html")
    assert "Wrote v.html" in run.stderr
    page = Path("v.html").read_text(encoding="utf-8")
    values = json.loads(Path("v.json").read_text())
    identity = values["identity"]
    (model,) = identity["models"]
    assert model["sha256"] == hashlib.sha256(onnx_file.read_bytes()).hexdigest()
    assert model["checkpoint_sha256"] == hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert (model["kind"], model["model_id"], model["scale"]) == ("onnx", "small", 2)
    wanted = ["swinir-deploy", *map(str, line), "-o", "v.json", "--report", "v.html"]
    assert shlex.split(identity["command"]) == wanted
    assert identity["report"] == "verify"
    for fact in (model["sha256"], model["checkpoint_sha256"], "Passed", "data:image/webp;base64,"):
        assert fact in page
    assert "&lt;b&gt;0.png" in page
    assert "<b>" not in page
    assert page.count("<li><img ") == 4


def test_a_failed_comparison_is_a_page_too(
    swinir: Program, onnx_file: Path, checkpoint: Path
) -> None:
    line = ["verify", onnx_file, "-m", checkpoint, "--shape", "9x15", "--limit", "1e-30"]
    swinir(*line, "--report", "v.html", code=1)
    page = Path("v.html").read_text(encoding="utf-8")
    assert 'class="verdict bad"' in page
    assert 'class="verdict good"' not in page


def test_eval_shows_the_pictures(swinir: Program, onnx_file: Path, photos: Path) -> None:
    line = ["eval", onnx_file, "--data", photos, "--no-reference", "--json"]
    document = swinir(*line, "--report", "e.html").document
    assert document["identity"]["report"] == "eval"
    page = Path("e.html").read_text(encoding="utf-8")
    assert page.count("<li><img ") == 8
    assert "original" in page
    assert "<b>" not in page


def test_bench_layers_and_reports_that_are_joined(
    swinir: Program, onnx_file: Path, checkpoint: Path
) -> None:
    pytest.importorskip("polygraphy", reason="polygraphy is not installed")
    swinir("bench", onnx_file, "--shape", "8x8", "--runs", 1, "-o", "b.json", "--report", "b.html")
    line = ["verify", onnx_file, "--layers", "--against", onnx_file, "--optimization", "all"]
    swinir(*line, "-o", "l.json", "--report", "l.html")
    curve = json.loads(Path("l.json").read_text())["curve"]
    assert len({len(column) for column in curve.values()}) == 1
    assert len(curve["node"]) > 10
    run = swinir("report", "b.json", "l.json", "-o", "both.html", "--json")
    assert [report["kind"] for report in run.document["reports"]] == ["bench", "layers"]
    assert [report["result"] for report in run.document["reports"]] == ["timed", "passed"]
    assert run.document["size_bytes"] == Path("both.html").stat().st_size
    page = Path("both.html").read_text(encoding="utf-8")
    assert "Layer by layer" in page
    assert "Latency" in page
    assert page.count(hashlib.sha256(onnx_file.read_bytes()).hexdigest()) == 1


def test_an_export_says_what_it_is(swinir: Program, checkpoint: Path) -> None:
    run = swinir("export", "-m", checkpoint, "--json", "--report", "x.html")
    (model,) = run.document["identity"]["models"]
    assert model["sha256"] == hashlib.sha256(Path("small.onnx").read_bytes()).hexdigest()
    assert "The export&#39;s check, shape by shape" in Path("x.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("command", ["verify x", "eval x --data .", "bench x", "inspect x"])
def test_json_under_the_name_of_a_page_is_refused(swinir: Program, command: str) -> None:
    run = swinir(*command.split(), "-o", "r.html", code=2)
    assert "-o writes a JSON document, and r.html is the name of an HTML page." in run.stderr
    assert "give --report r.html" in run.stderr
    assert not Path("r.html").exists()


def test_commands_without_a_page_say_so(swinir: Program) -> None:
    for command in ("models", "info tiny-sr-x4"):
        run = swinir(*command.split(), "-o", "r.HTML", code=2)
        assert "It has no page; for JSON, give a name that ends in .json." in run.stderr
    run = swinir("verify", "x", "--report", "r.json", code=2)
    assert "r.json is no name of an HTML page" in run.stderr


def test_the_extra_is_named_before_the_work(
    swinir: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "is_importable", lambda name: name != "matplotlib")
    run = swinir("verify", "x.onnx", "--report", "r.html", code=3)
    assert "An HTML report needs matplotlib, which is not installed: " in run.stderr
    assert "pip install 'swinir-deploy[report]'" in run.stderr


def test_a_page_asks_before_it_replaces_and_replaces_no_input(
    swinir: Program, tmp_path: Path
) -> None:
    source = saved(tmp_path, "verify")
    Path("r.html").write_text("precious")
    run = swinir("report", source, "-o", "r.html", code=2)
    assert "r.html exists. Give --overwrite" in run.stderr
    assert Path("r.html").read_text() == "precious"
    swinir("report", source, "-o", "r.html", "--overwrite")
    assert Path("r.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    link = tmp_path / "link.html"
    link.symlink_to(source)
    before = source.read_bytes()
    assert "would replace" in swinir("report", source, "-o", link, "--overwrite", code=2).stderr
    assert source.read_bytes() == before


def test_wrong_files_leave_no_page(swinir: Program, tmp_path: Path, picture: Path) -> None:
    good = saved(tmp_path, "verify")
    other = tmp_path / "other.json"
    other.write_text('{"hello": "world"}')
    for wrong, said in (
        (picture, "it is not JSON"),
        (other, "it holds 'hello'"),
        (tmp_path / "gone.json", "Cannot read"),
    ):
        run = swinir("report", good, wrong, "-o", "r.html", code=4)
        assert said in run.stderr
        assert str(wrong) in run.stderr
    swinir("report", "-o", "r.html", code=2)
    assert not Path("r.html").exists()


def test_reports_of_different_models_are_marked(swinir: Program, tmp_path: Path) -> None:
    first = saved(tmp_path, "verify")
    second = saved(tmp_path, "bench", identified("bench", checkpoint_sha256="c" * 64))
    run = swinir("report", first, second, "-o", "r.html")
    assert "2 different checkpoints" in run.stderr
    page = Path("r.html").read_text(encoding="utf-8")
    assert "<strong>Different models.</strong>" in page
    assert page.index("Different models.") < page.index("What was proved")
