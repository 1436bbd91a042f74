"""A HOME that cannot be written, as in a container with a read-only root."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from isolation import unshared
from PIL import Image

SCRIPT = """
set -e
mount --bind "$HOME" "$HOME"
mount -o remount,ro,bind "$HOME"
if touch "$HOME/x" 2>/dev/null; then exit 9; fi
exec "$@"
"""


@pytest.mark.parametrize("backend", ["ort", "openvino"])
@pytest.mark.parametrize("cache", ["none", "kept"])
def test_restoring_goes_on_without_a_cache(
    onnx_file: Path, picture: Path, tmp_path: Path, backend: str, cache: str
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    words = [sys.executable, "-m", "swinir_deploy", "restore", picture, "-m", onnx_file]
    words += ["--backend", backend, "-o"]
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "SWINIR_"))}
    environment = {**kept, "HOME": str(home)}
    if cache == "kept":
        subprocess.run([*words, tmp_path / "first.png"], env=environment, check=True)
    done = subprocess.run(
        [*unshared("mount"), "sh", "-c", SCRIPT, "sh", *words, tmp_path / "out.png"],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert np.asarray(Image.open(tmp_path / "out.png")).shape == (22, 28, 3)
    is_new = backend == "openvino" and cache == "none"
    assert done.stderr.count("Warning: OpenVINO's cache") == is_new
    assert not is_new or "Read-only file system" in done.stderr
