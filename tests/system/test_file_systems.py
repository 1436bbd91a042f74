"""Files on real file systems that are not like this machine's own: FAT, FUSE, one without case."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from isolation import unshared

SCRIPT = r"""
import atexit, json, os, subprocess, sys
import numpy as np
from pathlib import Path
from fake_runtimes import FakeRuntime
from PIL import Image
from swinir_deploy.errors import InputError, UsageError
from swinir_deploy.restoration.restorer import Restorer
from swinir_deploy.system.files import atomic_output, file_lock
from swinir_deploy.system.same_file import check_not_inputs, ignores_case

mount, ways, local = sys.argv[1:]
tried = subprocess.run(["sh", "-c", ways], capture_output=True, text=True)
if tried.returncode:
    print(json.dumps({"skip": tried.stderr.strip() or tried.stdout.strip()}))
    sys.exit()
# Else the program behind it lives on alone in this namespace. If it is killed then, it waits for
# itself for ever, and so does every sync of the machine.
atexit.register(lambda: subprocess.run(["umount", mount], check=False))
top, local = Path(mount), Path(local)
found = {"ignores_case": ignores_case(top)}

target = top / "a.json"
for content in (b"first", b"second"):
    with atomic_output(target) as partial:
        partial.write_bytes(content)
    assert target.read_bytes() == content
with file_lock(top / "lock"):
    pass
found["other name"] = (top / "A.JSON").exists()
if found["other name"]:
    try:
        check_not_inputs(top / "A.JSON", [target])
    except UsageError as error:
        found["refused"] = str(error)

pixels = {}
for number, name in enumerate(("A.png", "a.png", "b.png")):
    pixels[name] = np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8)
    (local / "in").mkdir(exist_ok=True)
    Image.fromarray(pixels[name]).save(local / "in" / name)
with FakeRuntime() as runtime:
    restorer = Restorer(runtime)
    first = restorer.restore_folder(local / "in", top / "out")
    again = restorer.restore_folder(local / "in", top / "out", resume=True)
assert first.ok and again.ok, (first.failures, again.failures)
found["skipped"] = len(again.skipped)
found["results"] = sorted(path.name for path in (top / "out").iterdir())
for done in first.restored:
    expected = pixels[done.source.name].repeat(2, 0).repeat(2, 1)
    assert np.array_equal(np.asarray(Image.open(done.target)), expected), done.target

found["left"] = sorted(path.name for path in top.iterdir() if path.name.startswith("."))
print(json.dumps(found))
"""


def on(mount: Path, ways: str, local: Path) -> dict[str, object]:
    """Mount something in a namespace of its own by shell commands, and use it there."""
    for folder in (mount, local):
        folder.mkdir()
    tests = Path(__file__).parents[1]
    paths = f"import sys; sys.path[:0] = [{str(tests)!r}, {str(tests / 'fakes')!r}]\n"
    done = subprocess.run(
        [*unshared("mount"), sys.executable, "-c", paths + SCRIPT, mount, ways, local],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    if "skip" in found:
        pytest.skip(f"this machine cannot mount it: {found['skip']}")
    return found


def without_case(found: dict[str, object]) -> None:
    assert found["ignores_case"] is True and found["other name"] is True
    assert "would replace" in str(found["refused"])
    assert found["results"] == ["A.png", "a-2.png", "b.png"]
    assert found["skipped"] == 3, "what is done is done, at two seconds' precision"
    assert found["left"] == []


def fat_image(path: Path) -> None:
    """An empty FAT16 file system of 8 MiB, as its definition says, without any program."""
    sectors, per_fat = 16384, 64
    boot = struct.pack(
        "<3s8sHBHBHHBHHHIIBBBI11s8s",
        b"\xeb\x3c\x90", b"SWINIR  ", 512, 1, 1, 2, 512, sectors, 0xF8, per_fat, 32, 2, 0, 0,
        0x80, 0, 0x29, 1, b"SWINIR     ", b"FAT16   ",
    )  # fmt: skip
    content = bytearray(sectors * 512)
    content[: len(boot)] = boot
    content[510:512] = b"\x55\xaa"
    for number in range(2):
        start = 512 * (1 + number * per_fat)
        content[start : start + 4] = b"\xf8\xff\xff\xff"
    path.write_bytes(content)


def test_fat(tmp_path: Path) -> None:
    fat_image(tmp_path / "fat.img")
    mount = tmp_path / "fat"
    ways = (
        f"mount -o loop {tmp_path}/fat.img {mount} 2>/dev/null || "
        f"fusefat -o rw+ {tmp_path}/fat.img {mount} >/dev/null"
    )
    without_case(on(mount, ways, tmp_path / "local"))


def test_exfat(tmp_path: Path) -> None:
    mount, image = tmp_path / "exfat", tmp_path / "exfat.img"
    with open(image, "wb") as handle:
        handle.truncate(16 << 20)
    ways = (
        f"mkfs.exfat {image} >/dev/null && (mount -o loop {image} {mount} 2>/dev/null || "
        f"(device=$(losetup --find --show {image}) && mount.exfat-fuse $device {mount} >/dev/null"
        "; state=$?; losetup --detach $device; exit $state))"
    )
    without_case(on(mount, ways, tmp_path / "local"))


@pytest.mark.parametrize("refused", ["chmod,fsync,lock,link", "chmod,fsync,lock,link,rename"])
def test_a_fuse_mount_that_refuses_much(tmp_path: Path, refused: str) -> None:
    """As mounts of object stores do, and shares without an owner's rights."""
    pytest.importorskip("mfusepy", exc_type=Exception, reason="needs mfusepy and libfuse")
    mount, folder = tmp_path / "mount", tmp_path / "folder"
    folder.mkdir()
    program = Path(__file__).parents[1] / "fakes" / "fuse_mount.py"
    ways = (
        f"{sys.executable} {program} {folder} {mount} {refused} >{tmp_path}/log 2>&1 & "
        f"for i in $(seq 100); do mountpoint -q {mount} && exit 0; sleep 0.1; done; "
        f"cat {tmp_path}/log >&2; exit 1"
    )
    found = on(mount, ways, tmp_path / "local")
    assert found["ignores_case"] is False and found["other name"] is False
    assert found["results"] == ["A.png", "a.png", "b.png"]
    assert found["skipped"] == 3
    assert found["left"] == []
    assert (folder / "a.json").read_bytes() == b"second"


def test_a_file_that_is_mounted_by_itself(tmp_path: Path) -> None:
    """As ``docker run -v ./result.json:/result.json`` does: nothing can be renamed onto it."""
    (tmp_path / "file").write_text("old")
    (tmp_path / "real").write_text("old")
    code = (
        "import subprocess; from swinir_deploy.system.files import atomic_output\n"
        f"subprocess.run(['mount', '--bind', {str(tmp_path / 'real')!r}, "
        f"{str(tmp_path / 'file')!r}], check=True)\n"
        f"with atomic_output({str(tmp_path / 'file')!r}) as partial: partial.write_text('new')"
    )
    done = subprocess.run(
        [*unshared("mount"), sys.executable, "-c", code], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "real").read_text() == "new"
    assert (tmp_path / "file").read_text() == "old", "outside, nothing is mounted"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "real"]
