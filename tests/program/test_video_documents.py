"""The commands of the README and of docs/video.md run as they stand there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("av", reason="PyAV is not installed: pip install 'swinir-deploy[video]'")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("ffmpeg") is None, reason="ffmpeg, the oracle for videos, is not installed"
    ),
]

ROOT = Path(__file__).parents[2]
SECTION = re.compile(r"^## Videos\n(.*?)^## ", re.DOTALL | re.MULTILINE)


def commands(text: str) -> list[str]:
    """The lines of all shell blocks, but for installing and for VapourSynth's program."""
    lines = "\n".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL)).splitlines()
    found = [line for line in lines if not line.startswith(("pip ", "vspipe "))]
    return [line for line in found if "film" in line or "--frame-size" in line]


def video_section() -> str:
    found = SECTION.search((ROOT / "README.md").read_text())
    assert found is not None
    return found[1]


@pytest.mark.parametrize("document", ["README.md", "docs/video.md"])
def test_the_commands_run(tmp_path: Path, document: str) -> None:
    text = video_section() if document == "README.md" else (ROOT / document).read_text()
    lines = commands(text)
    assert len(lines) >= 3
    clip = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=0.2"]
    clip += ["-f", "lavfi", "-i", "sine=d=0.2", "-pix_fmt", "yuv420p", str(tmp_path / "film.mp4")]
    subprocess.run(clip, check=True)
    program = tmp_path / "bin" / "swinir-deploy"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m swinir_deploy "$@"\n')
    program.chmod(0o755)
    path = os.pathsep.join([str(program.parent), os.environ["PATH"]])
    frames = bytes(640 * 360 * 3)
    for line in lines:
        for name in ("out.mkv", "film-x2.mkv", "film-x2.mp4"):
            (tmp_path / name).unlink(missing_ok=True)
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", line],
            cwd=tmp_path,
            env={**os.environ, "PATH": path},
            input=frames if "--frame-size" in line else None,
            capture_output=True,
        )
        assert done.returncode == 0, f"{line}: {done.stderr.decode()}"
