"""What docs/embedding.md says in its first section is done, command by command."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from c_library import back_end_library, folder_of
from PIL import Image

from swinir_deploy import Restorer, open_runtime

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = REPOSITORY / "docs/embedding.md"


def blocks(language: str) -> list[str]:
    """The page's blocks in this language."""
    pattern = rf"^ *```{language}\n(.*?)^ *```$"
    found = re.findall(pattern, PAGE.read_text(), re.DOTALL | re.MULTILINE)
    return [textwrap.dedent(block) for block in found]


def run(*command: object, cwd: Path, code: int = 0) -> str:
    words = [str(word) for word in command]
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "CXXFLAGS": "-Wall -Wextra -Werror",
    }
    result = subprocess.run(
        words, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == code, result.stdout + result.stderr
    return result.stderr


@pytest.mark.skipif(shutil.which("cmake") is None, reason="no cmake")
def test_fifteen_minutes(tmp_path: Path) -> None:
    library, cpp_build = back_end_library("ort"), folder_of("SWINIR_CPP_BUILD")
    for name in ("cpp", "swinir_deploy"):
        (tmp_path / name).symlink_to(REPOSITORY / name)
    # What is there is not fetched again.
    (tmp_path / "headers").symlink_to(cpp_build.parent / "headers")
    (tmp_path / "app").mkdir()
    [project], [program] = blocks("cmake"), blocks("cpp")
    (tmp_path / "app/CMakeLists.txt").write_text(project)
    (tmp_path / "app/app.cpp").write_text(program)
    run("bash", "-euc", "".join(blocks("sh")), cwd=tmp_path)

    pixels = np.array(Image.open(tmp_path / "in.ppm"))
    with open_runtime(tmp_path / "x4.onnx", "ort") as runtime:
        wanted = Restorer(runtime, progress=False).restore_array(pixels)
    found = np.array(Image.open(tmp_path / "out.ppm"))
    assert found.shape == wanted.shape
    assert np.abs(found.astype(int) - wanted).max() <= 1

    app = tmp_path / "app/build/app"
    wrong = run(app, "none.onnx", library, "in.ppm", "out.ppm", cwd=tmp_path, code=1)
    assert "none.onnx: No such file" in wrong
