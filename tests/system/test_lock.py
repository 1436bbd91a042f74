"""The lock between processes and threads."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from swinir_deploy.system.files import file_lock

HOLD = """
import sys, time
from swinir_deploy.system.files import file_lock
with file_lock(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_thread_waits_and_is_told_once(tmp_path: Path) -> None:
    path, order = tmp_path / "a.lock", []
    waiting = threading.Event()

    def second() -> None:
        with file_lock(path, waiting.set):
            order.append("second")

    with file_lock(path, lambda: order.append("told for nothing")):
        thread = threading.Thread(target=second)
        thread.start()
        assert waiting.wait(30)
        order.append("first")
    thread.join(30)
    assert order == ["first", "second"]


@pytest.mark.skipif(sys.platform == "win32", reason="a killed process differs there")
def test_a_process_that_dies_gives_the_lock_free(tmp_path: Path) -> None:
    path, told = tmp_path / "a.lock", []
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        threading.Timer(0.5, process.kill).start()
        with file_lock(path, lambda: told.append("waits")):
            assert process.wait(30) != 0
    assert told == ["waits"]


def test_an_error_inside_gives_the_lock_free(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="inside"), file_lock(tmp_path / "a.lock"):
        raise ValueError("inside")
    with file_lock(tmp_path / "a.lock", pytest.fail):
        pass


def test_a_place_that_is_not_there_is_an_error_of_the_system(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError), file_lock(tmp_path / "file" / "a.lock"):
        pass
