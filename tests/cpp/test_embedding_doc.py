"""The program of docs/embedding.md, as it stands there, is built and run."""

from __future__ import annotations

import re
import shutil
import subprocess
import textwrap
from pathlib import Path

import numpy as np
import pytest
from c_library import back_end_library, folder_of
from PIL import Image

from swinir_deploy import Restorer, open_runtime

PAGE = Path(__file__).resolve().parents[2] / "docs/embedding.md"


def block(language: str) -> str:
    """The only block of the page in this language."""
    found = re.findall(
        rf"^ *```{language}\n(.*?)^ *```$", PAGE.read_text(), re.DOTALL | re.MULTILINE
    )
    assert len(found) == 1
    return textwrap.dedent(found[0])


def run(*command: object, code: int = 0) -> str:
    words = [str(word) for word in command]
    result = subprocess.run(words, capture_output=True, text=True, check=False)
    assert result.returncode == code, result.stdout + result.stderr
    return result.stderr


@pytest.mark.skipif(shutil.which("cmake") is None, reason="no cmake")
def test_the_program_of_the_page(models: Path, tmp_path: Path) -> None:
    prefix, library = folder_of("SWINIR_CPP_PREFIX"), back_end_library("ort")
    model, build = models / "image.onnx", tmp_path / "build"
    (tmp_path / "CMakeLists.txt").write_text(block("cmake"))
    (tmp_path / "app.cpp").write_text(block("cpp"))
    flags = "-DCMAKE_CXX_FLAGS=-Wall -Wextra -Werror"
    run("cmake", "-S", tmp_path, "-B", build, f"-DCMAKE_PREFIX_PATH={prefix}", flags)
    run("cmake", "--build", build)

    pixels = np.random.default_rng(0).integers(0, 256, (23, 41, 3), dtype=np.uint8)
    before, after = tmp_path / "before.ppm", tmp_path / "after.ppm"
    Image.fromarray(pixels).save(before)
    run(build / "app", model, library, before, after)
    with open_runtime(model, "ort") as runtime:
        wanted = Restorer(runtime, progress=False).restore_array(pixels)
    found = np.array(Image.open(after))
    assert found.shape == wanted.shape
    assert np.abs(found.astype(int) - wanted).max() <= 1

    wrong = run(build / "app", tmp_path / "none.onnx", library, before, after, code=1)
    assert "none.onnx: No such file" in wrong
