"""``verify --layers`` on an engine: sound files agree, and the damaged block is named."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from swinir_deploy.nvidia.gpu import Gpu

pytest.importorskip("polygraphy", reason="polygraphy is not installed")

DAMAGED = "layers.1.residual_group.blocks.1.mlp.fc1"
UNAVAILABLE = 3


def run_layers(path: Path, backend: str, *options: object) -> subprocess.CompletedProcess[str]:
    """In a process of its own: Polygraphy supports one library in a process."""
    command = [sys.executable, "-m", "swinir_deploy", "verify", path, "--layers"]
    return subprocess.run(
        [*map(str, command), "--backend", backend, *map(str, options)],
        capture_output=True,
        text=True,
        timeout=250,
    )


def check_layers(path: Path, backend: str, folder: Path) -> None:
    """Compare a file, and a copy with one weight changed, with ONNX Runtime on the CPU."""
    done = run_layers(path, backend)
    if done.returncode == UNAVAILABLE:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stdout + done.stderr
    model = onnx.load(path)
    weight = next(t for t in model.graph.initializer if t.name == f"{DAMAGED}.bias")
    values = numpy_helper.to_array(weight)
    changed = (values + 4 * np.abs(values).max() + 1).astype(values.dtype)
    weight.CopyFrom(numpy_helper.from_array(changed, weight.name))
    onnx.save(model, folder / "damaged.onnx")
    done = run_layers(folder / "damaged.onnx", backend, "--against", path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"differ first at {DAMAGED}/" in done.stderr


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("backend", ["tensorrt", "rtx"])
def test_an_engine_is_compared_tensor_by_tensor(
    gpu: Gpu, onnx_file: Callable[[str, str], Path], tmp_path: Path, backend: str, precision: str
) -> None:
    check_layers(onnx_file(precision, "tensorrt"), backend, tmp_path)
