from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from swinir_deploy.system import partial_files
from swinir_deploy.system.files import atomic_output
from swinir_deploy.system.partial_files import (
    partial_file,
    remove_own_partial_files,
    remove_stale_partial_files,
)

WRITER = """
import sys, time
from pathlib import Path
from swinir_deploy.system.files import atomic_output
with atomic_output(sys.argv[1]) as partial:
    partial.write_bytes(b"half")
    print(partial, flush=True)
    sys.stdin.readline()
"""

posix = pytest.mark.skipif(os.name == "nt", reason="Windows does not say whether a process runs")


def writer(target: Path) -> tuple[subprocess.Popen[str], Path]:
    """A process that is in the middle of writing, and its partial file."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, target],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


@posix
def test_what_a_killed_process_left_is_removed_and_a_living_ones_is_not(tmp_path: Path) -> None:
    killed, left = writer(tmp_path / "a.onnx")
    killed.kill()
    killed.wait()
    living, kept = writer(tmp_path / "b.onnx")  # it removes what it finds, too
    assert not left.exists() and kept.read_bytes() == b"half"
    remove_stale_partial_files(tmp_path, again=True)
    assert kept.exists()
    living.communicate("go on\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.onnx"]


@posix
def test_a_folder_is_looked_through_once(tmp_path: Path) -> None:
    remove_stale_partial_files(tmp_path)
    killed, left = writer(tmp_path / "a.onnx")
    killed.kill()
    killed.wait()
    remove_stale_partial_files(tmp_path)
    assert left.exists(), "3,200 results must not mean 3,200 times as many names"
    remove_stale_partial_files(tmp_path, again=True)
    assert not left.exists()


def test_files_of_other_machines_wait_for_a_week(tmp_path: Path) -> None:
    names = (
        ".swinir-00000000-1-0123abcd.partial.png",
        ".swinir-00000000-2-0123abcd.partial",
        ".a.1a2b3c4d.partial.png",
        "swinir-00000000-1-0123abcd.partial.png",
    )
    for name in names:
        (tmp_path / name).write_bytes(b"half")
    remove_stale_partial_files(tmp_path, again=True)
    assert len(list(tmp_path.iterdir())) == 4
    long_ago = time.time() - 8 * 24 * 3600
    for name in names:
        os.utime(tmp_path / name, (long_ago, long_ago))
    remove_stale_partial_files(tmp_path, again=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(names[2:]), "not ours, not touched"


def test_an_old_file_of_a_living_process_of_this_machine_stays(tmp_path: Path) -> None:
    with partial_file(tmp_path / "a.png") as partial:
        partial.write_bytes(b"half")
        os.utime(partial, (0, 0))
        remove_stale_partial_files(tmp_path, again=True)
        assert partial.exists()
    assert not partial.exists()


def test_a_folder_that_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    remove_stale_partial_files(tmp_path / "none", again=True)


def test_everything_that_is_being_written_can_be_removed_at_once(tmp_path: Path) -> None:
    with partial_file(tmp_path / "a.png") as a, partial_file(tmp_path / "b.png") as b:
        a.write_bytes(b"half")
        remove_own_partial_files()
        assert not a.exists() and not b.exists()


@pytest.mark.parametrize(
    ("name", "suffix"), [("a.png", ".png"), ("a", ""), ("a." + 253 * "b", ""), ("ä.tif", ".tif")]
)
def test_the_name_is_short_and_keeps_a_suffix_that_means_something(
    tmp_path: Path, name: str, suffix: str
) -> None:
    with partial_file(tmp_path / name) as partial:
        assert partial.parent == tmp_path
        assert partial.name.startswith(".") and partial.suffix in (suffix, ".partial")
        assert len(os.fsencode(partial.name)) < 64


def test_another_start_of_the_machine_is_another_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process number means nothing after it."""
    before = partial_files._host()
    monkeypatch.setattr("platform.node", lambda: "another")
    partial_files._host.cache_clear()
    try:
        assert partial_files._host() != before
    finally:
        monkeypatch.undo()
        partial_files._host.cache_clear()
    assert partial_files._host() == before


def test_writers_of_one_name_do_not_disturb_each_other(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    with atomic_output(target) as one, atomic_output(target) as other:
        one.write_text("one")
        other.write_text("other")
    assert target.read_text() == "one", "the one that ended last"
