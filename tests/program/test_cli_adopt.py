"""``adopt``, and the commands that take its copies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from cli_runs import Program
from PIL import Image


@pytest.mark.slow
def test_an_adopted_file_is_used_as_any_other(
    swinir: Program, onnx_file: Path, picture: Path
) -> None:
    """The stand-in is our own file as another program would have written it."""
    model = onnx.load(onnx_file)
    del model.metadata_props[:]
    onnx.save(model, "theirs.onnx")
    run = swinir("restore", picture, "out.png", "-m", "theirs.onnx", code=4)
    assert "swinir-deploy adopt theirs.onnx" in run.stderr
    run = swinir("adopt", "theirs.onnx", "--json")
    assert run.document["path"] == "theirs-adopted.onnx"
    assert run.document["metadata"]["scale"] == 2
    assert run.document["metadata"]["adopted"]["multiple"] == 1
    swinir("restore", picture, "out.png", "-m", "theirs-adopted.onnx")
    swinir("restore", picture, "ours.png", "-m", onnx_file)
    pixels = [np.asarray(Image.open(name), int) for name in ("out.png", "ours.png")]
    assert np.abs(pixels[0] - pixels[1]).max() <= 1
    assert swinir("info", "theirs-adopted.onnx").stdout
    swinir("bundle", "theirs-adopted.onnx", "-o", "bundle")
    bench = ("bench", "-m", "theirs-adopted.onnx", "--shape", "8x8", "--runs", "1", "--json")
    assert swinir(*bench).document["rows"]


def test_verify_of_an_adopted_file(swinir: Program, onnx_file: Path, checkpoint: Path) -> None:
    model = onnx.load(onnx_file)
    del model.metadata_props[:]
    onnx.save(model, "theirs.onnx")
    swinir("adopt", "theirs.onnx", "-o", "x2.onnx", "--model", checkpoint)
    assert swinir("verify", "x2.onnx", "--model", checkpoint, "--json").document["passed"]


def test_bench_against_a_foreign_file(swinir: Program, onnx_file: Path, foreign_onnx: Path) -> None:
    run = swinir(
        *("bench", "-m", onnx_file, "--against", foreign_onnx, "--shape", "16x16"),
        *("--runs", "1", "--json"),
    )
    assert len(run.document["rows"]) == 2


def test_an_output_that_exists_and_a_range(swinir: Program, foreign_onnx: Path) -> None:
    swinir("adopt", foreign_onnx, "-o", "copy.onnx", "--range", "0..255")
    assert Path("copy.onnx").exists()
    run = swinir("adopt", foreign_onnx, "--range", "0..100", code=2)
    assert "0..255" in run.stderr
    assert "no such file" in swinir("adopt", "missing.onnx", code=4).stderr.lower()
