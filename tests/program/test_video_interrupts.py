"""``restore`` of a video that is stopped from outside: nothing is left, or what --resume needs."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("av", reason="PyAV is not installed: pip install 'swinir-deploy[video]'")
pytestmark = [
    pytest.mark.skipif(
        shutil.which("ffmpeg") is None, reason="ffmpeg, the oracle for videos, is not installed"
    ),
    pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX"),
]

FRAMES = 200  # one segment of 120 frames, and others that a stop loses
PATIENCE_S = 120


def clip(folder: Path, seconds: float, *more: str) -> Path:
    path = folder / "in.mkv"
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", f"testsrc2=s=48x32:r=25:d={seconds}"]
    subprocess.run([*command, *more, "-c:v", "ffv1", str(path)], check=True)
    return path


@contextlib.contextmanager
def started(*arguments: object) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "swinir_deploy", "restore", *map(str, arguments)]
    with subprocess.Popen(
        [*command, "--model", "tiny-sr-x2", "--no-dedupe", "--codec", "ffv1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for(process: subprocess.Popen[bytes], is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        assert process.poll() is None, process.communicate()
        with contextlib.suppress(FileNotFoundError):
            if is_so():
                return
        time.sleep(0.01)
    pytest.fail("it did not come so far")


@pytest.mark.parametrize(("sent", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_nothing_is_left(tmp_path: Path, sent: str, code: int) -> None:
    source, target = clip(tmp_path, 100), tmp_path / "out.mkv"
    with started(source, target) as process:
        wait_for(process, lambda: any(p.stat().st_size for p in tmp_path.glob(".swinir-*")))
        process.send_signal(getattr(signal, sent))
        _, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == code, stderr
    # After SIGTERM, a machine that is too busy to tidy up in time says nothing.
    assert b"Interrupted" in stderr or sent == "SIGTERM"
    assert [*tmp_path.iterdir()] == [source]


@pytest.mark.slow
@pytest.mark.parametrize("sent", ["SIGINT", "SIGKILL"])
def test_the_next_run_goes_on(tmp_path: Path, sent: str) -> None:
    """Also after a kill, which leaves no time to tidy up."""
    source, target = clip(tmp_path, FRAMES / 25), tmp_path / "out.mkv"
    listed = tmp_path / "out.mkv.segments" / "segments.json"
    with started(source, target, "--resume") as process:
        wait_for(process, lambda: "00000.packets" in listed.read_text())
        process.send_signal(getattr(signal, sent))
        _, stderr = process.communicate(timeout=PATIENCE_S)
    if process.returncode == 0:
        pytest.skip("it was whole before the signal came")
    assert not target.exists()
    with started(source, target, "--resume") as process:
        _, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, stderr
    assert b"120 frames were there already" in stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mkv", "out.mkv"]
    with started(source, tmp_path / "whole.mkv") as process:
        process.communicate(timeout=PATIENCE_S)
    hashes = [
        subprocess.run(
            ["ffmpeg", "-v", "error", "-i", str(tmp_path / name), "-f", "framemd5", "-"],
            capture_output=True,
            check=True,
        ).stdout
        for name in ("out.mkv", "whole.mkv")
    ]
    assert hashes[0] == hashes[1]
    assert hashes[0].count(b"\n0,") == FRAMES
