"""Broken and missing things: the right exit code, a next step, and nothing half written."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from cli_runs import Program
from PIL import Image


@pytest.fixture
def things(
    swinir: Program, tmp_path: Path, onnx_file: Path, checkpoint: Path, foreign_onnx: Path
) -> Path:
    """One folder with everything that can go wrong."""
    root = tmp_path / "things"
    (root / "empty").mkdir(parents=True)
    good = onnx_file.read_bytes()
    weights = checkpoint.read_bytes()
    pixels = np.random.default_rng(0).integers(0, 256, (9, 9, 3), np.uint8)
    Image.fromarray(pixels).save(root / "good.png")
    files = {
        "good.onnx": good,
        "foreign.onnx": foreign_onnx.read_bytes(),
        "cut.onnx": good[: len(good) // 2],
        "empty.onnx": b"",
        "text.onnx": b"<!DOCTYPE html><html>not found</html>",
        "good.safetensors": weights,
        "cut.safetensors": weights[: len(weights) // 2],
        "empty.pth": b"",
        "text.pth": b"hello",
        "cut.png": (root / "good.png").read_bytes()[:150],
        "text.png": b"hello",
    }
    for name, content in files.items():
        (root / name).write_bytes(content)
    torch.save({"params": {"conv.weight": torch.zeros(3)}}, root / "foreign.pth")
    (root / "code.pth").write_bytes(pickle.dumps(Path))
    return root


Arguments = Callable[[Path], list[object]]

TABLE: dict[str, tuple[int, str, Arguments]] = {
    "info: no such file": (4, "no file", lambda d: ["info", d / "none.onnx"]),
    "info: near file": (4, "good.onnx", lambda d: ["info", d / "god.onnx"]),
    "info: no such id": (2, "swinir-deploy models", lambda d: ["info", "mediocre"]),
    "info: folder": (4, "folder", lambda d: ["info", d / "empty"]),
    "info: cut ONNX": (4, "damaged", lambda d: ["info", d / "cut.onnx"]),
    "info: empty ONNX": (4, "is empty", lambda d: ["info", d / "empty.onnx"]),
    "info: text as ONNX": (4, "web page", lambda d: ["info", d / "text.onnx"]),
    "info: cut checkpoint": (4, "cut short", lambda d: ["info", d / "cut.safetensors"]),
    "info: picture": (4, "good.png", lambda d: ["info", d / "good.png"]),
    "info: key of safetensors": (
        4,
        "key",
        lambda d: ["info", d / "good.safetensors", "--key", "params"],
    ),
    "info: output in no folder": (
        4,
        "folder",
        lambda d: ["info", "tiny-sr-x4", "-o", "none/info.json"],
    ),
    "export: no such file": (4, "no file", lambda d: ["export", "--model", d / "none.pth"]),
    "export: empty": (4, "empty", lambda d: ["export", "--model", d / "empty.pth"]),
    "export: text": (4, "text.pth", lambda d: ["export", "--model", d / "text.pth"]),
    "export: no SwinIR": (4, "foreign.pth", lambda d: ["export", "--model", d / "foreign.pth"]),
    "export: pickled code": (4, "code.pth", lambda d: ["export", "--model", d / "code.pth"]),
    "export: an ONNX file": (
        4,
        "is an ONNX file",
        lambda d: ["export", "--model", d / "good.onnx"],
    ),
    "export: folder": (4, "folder", lambda d: ["export", "--model", d]),
    "export: output in no folder": (
        4,
        "mkdir -p",
        lambda d: ["export", "--model", d / "good.safetensors", "-o", "none/x.onnx"],
    ),
    "export: output is a folder": (
        4,
        "folder",
        lambda d: ["export", "--model", d / "good.safetensors", "-o", d / "empty"],
    ),
    "export: output of another kind": (
        2,
        ".onnx",
        lambda d: ["export", "--model", d / "good.safetensors", "-o", "x.engine"],
    ),
    "export: shape": (
        2,
        "1x3xHxW",
        lambda d: ["export", "--model", d / "good.safetensors", "--shape", "3xHxW"],
    ),
    "export: opset": (
        2,
        "17",
        lambda d: ["export", "--model", d / "good.safetensors", "--opset", "9"],
    ),
    "export: img_range": (
        2,
        "--img-range",
        lambda d: ["export", "--model", d / "good.safetensors", "--img-range", "-1"],
    ),
    "export: needs a download": (
        5,
        "offline",
        lambda d: ["export", "--model", "light-sr-x2", "--offline"],
    ),
    "restore: no such picture": (
        4,
        "no such file",
        lambda d: ["restore", d / "none.png", "out.png", "-m", d / "good.onnx"],
    ),
    "restore: broken picture": (
        4,
        "cut.png",
        lambda d: ["restore", d / "cut.png", "out.png", "-m", d / "good.onnx"],
    ),
    "restore: text as a picture": (
        4,
        "text.png",
        lambda d: ["restore", d / "text.png", "out.png", "-m", d / "good.onnx"],
    ),
    "restore: too large a picture": (
        4,
        "limit",
        lambda d: ["restore", d / "good.png", "o.png", "-m", d / "good.onnx", "--max-pixels", 9],
    ),
    "restore: OUT in no folder": (
        4,
        "Make it first",
        lambda d: ["restore", d / "good.png", "none/out.png", "-m", d / "good.onnx"],
    ),
    "restore: OUT is no picture": (
        4,
        "out.xyz",
        lambda d: ["restore", d / "good.png", "out.xyz", "-m", d / "good.onnx"],
    ),
    "restore: OUT is IN": (
        2,
        "--overwrite",
        lambda d: ["restore", d / "good.png", d / "good.png", "-m", d / "good.onnx"],
    ),
    "restore: folder into itself": (
        2,
        "another",
        lambda d: ["restore", d, d, "-m", d / "good.onnx", "--overwrite"],
    ),
    "restore: folder into a file": (
        4,
        "folder",
        lambda d: ["restore", d, d / "text.pth", "-m", d / "good.onnx"],
    ),
    "restore: folder without pictures": (
        4,
        "no picture",
        lambda d: ["restore", d / "empty", "out", "-m", d / "good.onnx"],
    ),
    "restore: no such model": (
        4,
        "no file",
        lambda d: ["restore", d / "good.png", "out.png", "-m", d / "none.onnx"],
    ),
    "restore: cut model": (
        4,
        "damaged",
        lambda d: ["restore", d / "good.png", "out.png", "-m", d / "cut.onnx"],
    ),
    "restore: foreign model": (
        4,
        "swinir-deploy export",
        lambda d: ["restore", d / "good.png", "out.png", "-m", d / "foreign.onnx"],
    ),
    "restore: no such back end": (
        2,
        "ort",
        lambda d: ["restore", d / "good.png", "o.png", "-m", d / "good.onnx", "--backend", "orr"],
    ),
    "restore: back end of another kind": (
        2,
        "--backend ort",
        lambda d: ["restore", d / "good.png", "o.png", "-m", d / "good.onnx", "--backend", "torch"],
    ),
    "restore: no such device": (
        2,
        "cpu",
        lambda d: ["restore", d / "good.png", "o.png", "-m", d / "good.onnx", "--device", "gpu"],
    ),
    "restore: no such provider": (
        3,
        "CPUExecutionProvider",
        lambda d: ["restore", d / "good.png", "o.png", "-m", d / "good.onnx", "--provider", "npu"],
    ),
    "verify: no such file": (4, "no file", lambda d: ["verify", d / "none.onnx"]),
    "verify: foreign": (
        4,
        "swinir-deploy export",
        lambda d: ["verify", d / "foreign.onnx", "-m", d / "good.safetensors"],
    ),
    "verify: foreign without a source": (2, "--model", lambda d: ["verify", d / "foreign.onnx"]),
    "verify: broken source": (
        4,
        "cut.safetensors",
        lambda d: ["verify", d / "good.onnx", "-m", d / "cut.safetensors"],
    ),
    "verify: against itself": (
        4,
        "is an ONNX file",
        lambda d: ["verify", d / "good.onnx", "-m", d / "good.onnx"],
    ),
    "verify: broken picture": (
        4,
        "text.png",
        lambda d: [
            *("verify", d / "good.onnx", "-m", d / "good.safetensors"),
            *("--picture", d / "text.png"),
        ],
    ),
    "bench: no such file": (4, "no file", lambda d: ["bench", "--model", d / "none.onnx"]),
    "bench: output in no folder": (
        4,
        "mkdir -p",
        lambda d: ["bench", "--model", d / "good.onnx", "-o", "none/bench.json"],
    ),
    "bench: no such back end": (
        2,
        "ort",
        lambda d: ["bench", "--model", d / "good.onnx", "--backend", "ort,trrt"],
    ),
    "bench: shape below a window": (
        4,
        "at least",
        lambda d: ["bench", "--model", d / "good.onnx", "--shape", "2x2"],
    ),
    "demo: output is a file": (4, "-o", lambda d: ["demo", "-o", d / "text.pth"]),
}


@pytest.mark.parametrize("name", TABLE)
def test_bad_input(swinir: Program, things: Path, name: str) -> None:
    code, wanted, arguments = TABLE[name]
    before = {path: path.read_bytes() for path in things.rglob("*") if path.is_file()}
    document = swinir(*arguments(things), "--json", code=code).document
    assert set(document) == {"error", "exit_code"}
    message = document["error"]["message"]
    assert wanted in message
    assert "\n" not in message.strip()
    assert document["exit_code"] == code
    assert list(Path().iterdir()) == []
    assert {path: path.read_bytes() for path in things.rglob("*") if path.is_file()} == before
