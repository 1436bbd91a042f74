"""What ``swinir-deploy bundle`` writes is built, against the installed library, and run."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from c_library import back_end_library, folder_of
from PIL import Image

from swinir_deploy import Restorer, open_runtime


def run(*command: object, cwd: Path | None = None) -> None:
    words = [str(word) for word in command]
    result = subprocess.run(words, cwd=cwd, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.skipif(shutil.which("cmake") is None, reason="no cmake")
@pytest.mark.parametrize("backend", ["ort", "openvino"])
@pytest.mark.parametrize("name", ["image", "gray"])
def test_the_bundle_builds_and_restores(
    models: Path, tmp_path: Path, backend: str, name: str
) -> None:
    prefix = folder_of("SWINIR_CPP_PREFIX")
    library = back_end_library(backend)
    model = models / f"{name}.onnx"
    bundle, build = tmp_path / "bundle", tmp_path / "build"
    swinir = [sys.executable, "-m", "swinir_deploy"]
    run(*swinir, "bundle", model, "--target", backend, "-o", bundle)
    run("sha256sum", "--check", "--strict", "SHA256SUMS", cwd=bundle)

    strict = "-DCMAKE_C_FLAGS=-Wall -Wextra -Werror"
    run("cmake", "-S", bundle, "-B", build, f"-DCMAKE_PREFIX_PATH={prefix}", strict)
    run("cmake", "--build", build)
    pixels = np.random.default_rng(0).integers(0, 256, (23, 41, 3), dtype=np.uint8)
    before, after = tmp_path / "before.ppm", tmp_path / "after.ppm"
    Image.fromarray(pixels).save(before)
    run(build / "restore_ppm", bundle / model.name, before, after, library)

    with open_runtime(model, backend) as runtime:
        wanted = Restorer(runtime, progress=False).restore_array(pixels)
    found = np.array(Image.open(after))
    assert found.shape == wanted.shape
    assert np.abs(found.astype(int) - wanted).max() <= 1


def test_the_headers_are_those_of_the_library(models: Path, tmp_path: Path) -> None:
    prefix = folder_of("SWINIR_CPP_PREFIX")
    swinir = [sys.executable, "-m", "swinir_deploy"]
    run(*swinir, "bundle", models / "image.onnx", "-o", tmp_path / "bundle")
    for header in (tmp_path / "bundle/include").iterdir():
        assert header.read_bytes() == (prefix / "include" / header.name).read_bytes()
