from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from swinir_deploy.errors import InputError
from swinir_deploy.system.files import atomic_output, check_output, file_lock


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


def test_names_at_the_file_systems_limit(tmp_path: Path) -> None:
    for name in ("n" * 251 + ".png", "n" + "." * 254, "." + 254 * "x"):
        with atomic_output(tmp_path / name) as temporary:
            temporary.write_bytes(b"whole")
        assert (tmp_path / name).read_bytes() == b"whole"
    for check in (check_output, lambda path: atomic_output(path).__enter__()):
        with pytest.raises(InputError, match=r"Cannot write .*too long"):
            check(tmp_path / ("n" * 252 + ".png"))
    assert len(list(tmp_path.iterdir())) == 3


# --------------------------------------------------------------------------------------- links


def test_a_link_stays_and_the_file_that_it_names_is_written(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "near.json").symlink_to("far/real.json")
    for content in ("new", "replaced"):  # first there is no such file
        with atomic_output(tmp_path / "near.json") as temporary:
            assert temporary.parent == tmp_path / "far", "only there it can be renamed"
            temporary.write_text(content)
        assert (tmp_path / "near.json").is_symlink()
        assert (tmp_path / "far/real.json").read_text() == content
    assert [path.name for path in (tmp_path / "far").iterdir()] == ["real.json"]


def test_a_hard_link_is_taken_apart(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("old")
    os.link(tmp_path / "one", tmp_path / "other")
    with atomic_output(tmp_path / "one") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "one").read_text() == "new"
    assert (tmp_path / "other").read_text() == "old"


@pytest.mark.parametrize(
    ("leads_to", "says"),
    [("link", "a link in a circle"), ("none/file", "there is no folder"), (".", "it is a folder")],
)
def test_links_that_lead_nowhere(tmp_path: Path, leads_to: str, says: str) -> None:
    (tmp_path / "link").symlink_to(leads_to)
    with pytest.raises(InputError, match=says), atomic_output(tmp_path / "link"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["link"]


# ------------------------------------------------- file systems that cannot do everything


def refusing(monkeypatch: pytest.MonkeyPatch, name: str, number: int, module: object = os) -> None:
    def refused(*_arguments: object, **_options: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(module, name, refused)


UNSUPPORTED = [errno.ENOSYS, errno.EPERM, errno.EINVAL, errno.EOPNOTSUPP, errno.EACCES]


@pytest.mark.parametrize("number", UNSUPPORTED)
def test_neither_flushing_nor_permissions_are_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """CIFS refuses to change permissions, some FUSE mounts to flush."""
    target = tmp_path / "a.png"
    target.write_bytes(b"old")
    target.chmod(0o640)
    refusing(monkeypatch, "fsync", number)
    refusing(monkeypatch, "chmod", number)
    with atomic_output(target) as temporary:
        temporary.write_bytes(b"new")
    assert target.read_bytes() == b"new"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EDQUOT])
def test_data_that_did_not_reach_the_disk_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    target = tmp_path / "a.png"
    target.write_bytes(b"old")
    refusing(monkeypatch, "fsync", number)
    with pytest.raises(InputError, match="Cannot write"), atomic_output(target) as temporary:
        temporary.write_bytes(b"new")
    assert target.read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EPERM, errno.EXDEV, errno.EBUSY])
@pytest.mark.parametrize("exists", [True, False])
def test_without_a_rename_the_finished_file_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, exists: bool
) -> None:
    """Mounts of object stores, and a file that is mounted into a container by itself."""
    target = tmp_path / "a.png"
    if exists:
        target.write_bytes(b"old and longer")
    refusing(monkeypatch, "replace", number)
    refusing(monkeypatch, "rename", number)
    with atomic_output(target) as temporary:
        temporary.write_bytes(b"new")
    assert target.read_bytes() == b"new"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_copy_that_fails_leaves_no_half_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def runs_full(_source: object, target: str) -> None:
        Path(target).write_bytes(b"ha")
        raise OSError(errno.ENOSPC, "No space left on device")

    refusing(monkeypatch, "replace", errno.ENOSYS)
    monkeypatch.setattr(shutil, "copyfile", runs_full)
    failing = pytest.raises(InputError, match="No space left")
    with failing, atomic_output(tmp_path / "a.png") as temporary:
        temporary.write_bytes(b"half")
    assert list(tmp_path.iterdir()) == []


def test_a_rename_that_is_forbidden_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing(monkeypatch, "replace", errno.EROFS)
    failing = pytest.raises(InputError, match="Read-only")
    with failing, atomic_output(tmp_path / "a.png") as temporary:
        temporary.write_bytes(b"new")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL])
def test_without_locks_the_work_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    fcntl = pytest.importorskip("fcntl")
    refusing(monkeypatch, "flock", number, fcntl)
    for _ in range(2):
        with file_lock(tmp_path / "lock"):
            done = True
    assert done


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
