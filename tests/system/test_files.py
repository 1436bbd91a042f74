from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from swinir_deploy.errors import InputError
from swinir_deploy.system.files import atomic_output, check_output


def test_the_name_appears_with_the_whole_file(tmp_path: Path) -> None:
    target = tmp_path / "model.onnx"
    with atomic_output(target) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".onnx"
        temporary.write_bytes(b"half")
        assert not target.exists()
        temporary.write_bytes(b"whole")
    assert target.read_bytes() == b"whole"
    assert list(tmp_path.iterdir()) == [target]


def test_an_older_file_is_replaced_at_the_end_only(tmp_path: Path) -> None:
    target = tmp_path / "model.onnx"
    target.write_bytes(b"old")
    with atomic_output(str(target)) as temporary:
        temporary.write_bytes(b"new")
        assert target.read_bytes() == b"old"
    assert target.read_bytes() == b"new"


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
def test_a_failure_leaves_what_was_there(tmp_path: Path, error: BaseException) -> None:
    target = tmp_path / "model.onnx"
    target.write_bytes(b"old")
    with pytest.raises(type(error)), atomic_output(target) as temporary:
        temporary.write_bytes(b"new")
        raise error
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_full_disk_is_an_input_error(tmp_path: Path) -> None:
    wanted = pytest.raises(InputError, match=r"model\.onnx: No space left.*has room")
    with wanted, atomic_output(tmp_path / "model.onnx") as temporary:
        temporary.write_bytes(b"half")
        raise OSError(28, "No space left on device")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("check", [check_output, lambda path: atomic_output(path).__enter__()])
@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("missing/model.onnx", "there is no folder"),
        ("file/model.onnx", "there is no folder"),
        ("folder", "it is a folder"),
        (".", "it is a folder"),
        ("", "it is a folder"),
    ],
)
def test_a_name_that_no_file_can_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, check: object, path: str, reason: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_bytes(b"")
    Path("folder").mkdir()
    assert callable(check)
    with pytest.raises(InputError, match=f"Cannot write .*{reason}"):
        check(path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_device_or_pipe_is_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(InputError, match="a device or a pipe"), atomic_output(pipe):
        pass
    assert pipe.is_fifo()


def test_a_name_at_the_file_systems_limit(tmp_path: Path) -> None:
    name = "n" * 251 + ".png"
    with pytest.raises(InputError, match="too long"), atomic_output(tmp_path / name) as temporary:
        temporary.write_bytes(b"")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_a_killed_process_leaves_no_file_under_the_final_name(tmp_path: Path) -> None:
    target, started = tmp_path / "model.onnx", tmp_path / "started"
    code = f"""
import time
from pathlib import Path
from swinir_deploy.system.files import atomic_output
with atomic_output({str(target)!r}) as temporary:
    with open(temporary, "wb") as handle:
        handle.write(b"half")
        handle.flush()
        Path({str(started)!r}).touch()
        time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", code])
    try:
        deadline = time.monotonic() + 60
        while not started.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert started.exists()
    assert not target.exists()
    with atomic_output(target) as temporary:  # what the killed one left is not in the way
        temporary.write_bytes(b"whole")
    assert target.read_bytes() == b"whole"
