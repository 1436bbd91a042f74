"""``restore`` as a user meets it: going on, limits for memory, and everything that goes wrong."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from cli_runs import Program, run_process
from PIL import Image


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def bomb(path: Path) -> None:
    """A few bytes that claim 2.5 thousand million pixels."""
    body = b"IHDR" + struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + b"\0\0\0\0IDAT\x35\xaf\x06\x1e")


# ----------------------------------------------------------------------------------------- resume


def test_resume_goes_on_where_it_stopped(swinir: Program, onnx_file: Path, folder: Path) -> None:
    first = swinir("restore", folder, "out", "-m", onnx_file, "--resume")
    assert "Restored 2 of 2 pictures" in first.stdout and "already" not in first.stdout
    Path("out/deeper/b.png").unlink()
    kept = Path("out/a.png").stat().st_mtime_ns
    again = swinir("restore", folder, "out", "-m", onnx_file, "--resume")
    assert "Restored 1 of 2 pictures" in again.stdout
    assert "1 were done already" in again.stdout
    assert files(Path("out")) == ["a.png", "deeper/b.png"]
    assert Path("out/a.png").stat().st_mtime_ns == kept
    document = swinir("restore", folder, "out", "-m", onnx_file, "--resume", "--json").document
    assert document["restored"] == document["failures"] == []
    assert document["skipped"] == [str(folder / "a.png"), str(folder / "deeper/b.png")]


def test_a_picture_that_changed_is_restored_again(
    swinir: Program, onnx_file: Path, folder: Path
) -> None:
    swinir("restore", folder, "out", "-m", onnx_file)
    later = Path("out/a.png").stat().st_mtime + 10
    os.utime(folder / "a.png", (later, later))
    document = swinir("restore", folder, "out", "-m", onnx_file, "--resume", "--json").document
    assert [entry["source"] for entry in document["restored"]] == [str(folder / "a.png")]


def test_existing_results_name_both_ways_on(swinir: Program, onnx_file: Path, folder: Path) -> None:
    swinir("restore", folder, "out", "-m", onnx_file)
    run = swinir("restore", folder, "out", "-m", onnx_file, code=2)
    assert "--overwrite" in run.stderr and "--resume" in run.stderr


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["{folder}", "out", "--resume", "--overwrite"], "--resume keeps results"),
        (["{picture}", "out.png", "--resume"], "--resume is for folders"),
        (["{picture}", "out.png", "--max-memory", "lots"], "such as 500MB, 2GB or 4GiB"),
        (["{picture}", "out.png", "--max-memory", "0"], "such as 500MB, 2GB or 4GiB"),
        (["{picture}", "out.png", "--max-memory", "-3GB"], "such as 500MB, 2GB or 4GiB"),
    ],
)
def test_options_that_make_no_sense(
    swinir: Program, onnx_file: Path, picture: Path, folder: Path, options: list[str], says: str
) -> None:
    given = [option.format(picture=picture, folder=folder) for option in options]
    run = swinir("restore", *given, "-m", onnx_file, code=2)
    assert says in run.stderr
    assert list(Path().iterdir()) == []


# ----------------------------------------------------------------------------------------- memory


def test_a_limit_for_memory_gives_the_same_pixels(
    swinir: Program, onnx_file: Path, tmp_path: Path
) -> None:
    source = tmp_path / "wide.png"
    pixels = np.random.default_rng(0).integers(0, 256, (300, 1200, 3), np.uint8)
    Image.fromarray(pixels).save(source)
    swinir("restore", source, "whole.png", "-m", onnx_file, "--tile", 64)
    run = swinir(
        *("restore", source, "strips.png", "-m", onnx_file, "--tile", 64, "--max-memory", "24MB")
    )
    assert "Tiles" not in run.stderr, "the usual ones"
    whole, strips = (np.asarray(Image.open(name)) for name in ("whole.png", "strips.png"))
    assert np.array_equal(whole, strips)


def test_tiles_are_chosen_by_trying(swinir: Program, onnx_file: Path, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (500, 400, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    run = swinir(
        *("restore", tmp_path / "a.png", "o.png", "-m", onnx_file, "--tile", "auto"),
        *("--max-memory", "1GB"),
    )
    assert "at a time, were the fastest of" in run.stderr
    with Image.open("o.png") as restored:
        assert restored.size[0] % 400 == 0
    small = tmp_path / "small.png"
    Image.fromarray(pixels[:64, :64]).save(small)
    assert (
        "fastest" not in swinir("restore", small, "s.png", "-m", onnx_file, "--tile", "auto").stderr
    )
    wrong = swinir("restore", small, "t.png", "-m", onnx_file, "--tile", "automatic", code=2)
    assert "neither a number of pixels nor 'auto'" in wrong.stderr


def test_a_limit_that_does_not_suffice_is_bad_input(
    swinir: Program, onnx_file: Path, tmp_path: Path
) -> None:
    Image.new("RGB", (900, 900)).save(tmp_path / "a.png")
    for target, limit, says in (("o.png", "1MB", "decoding it takes"), ("o.webp", "12MB", ".png")):
        run = swinir(
            *("restore", tmp_path / "a.png", target, "-m", onnx_file, "--max-memory", limit),
            code=4,
        )
        assert says in run.stderr
    assert list(Path().iterdir()) == []


# ------------------------------------------------------------------------- a folder full of trouble


def test_a_folder_with_everything_in_it(
    swinir: Program, onnx_file: Path, picture: Path, tmp_path: Path
) -> None:
    source = tmp_path / "mixed"
    source.mkdir()
    whole = picture.read_bytes()
    (source / "a good.png").write_bytes(whole)
    bomb(source / "b bomb.png")
    (source / "c cut.png").write_bytes(whole[: len(whole) // 2])
    (source / "d empty.png").write_bytes(b"")
    (source / "e text.jpg").write_text("no picture")
    Image.new("RGB", (1, 1), "red").save(source / "f one pixel.png")
    Image.new("L", (3, 900)).save(source / "g tall.png")
    (source / "h folder.png").mkdir()
    (source / "i dangling.png").symlink_to(source / "nowhere.png")
    Image.new("F", (4, 4)).save(source / "j float.tif")
    before = {
        name: (source / name).read_bytes() for name in files(source) if "dangling" not in name
    }
    run = swinir("restore", source, "out", "-m", onnx_file, code=1)
    assert "Restored 3 of 9 pictures" in run.stdout
    assert "Error: 6 could not be restored:" in run.stderr
    for says in (
        "b bomb.png: 50000x50000 is 2,500,000,000 pixels",
        "c cut.png: this PNG file",
        "d empty.png: it has 0 bytes",
        "e text.jpg: it begins with",
        "i dangling.png: there is no such file",
        "j float.tif: its samples are floating point",
    ):
        assert says in run.stderr
    assert files(Path("out")) == ["a good.png", "f one pixel.png", "g tall.png"]
    assert Image.open("out/f one pixel.png").size == (2, 2)
    assert Image.open("out/g tall.png").size == (6, 1800)
    assert {name: (source / name).read_bytes() for name in before} == before


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX limits")
def test_a_full_disk_fails_each_picture_and_leaves_no_part_of_one(
    onnx_file: Path, tmp_path: Path
) -> None:
    source, target = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (80, 80, 3), np.uint8)
    Image.fromarray(noise).save(source / "large.png")
    Image.new("RGB", (8, 8)).save(source / "small.png")
    # No file may grow beyond 4 kB: the same path through the code as a full disk.
    limit = "import resource as r; r.setrlimit(r.RLIMIT_FSIZE, (4096, r.RLIM_INFINITY))"
    run = run_process(["restore", source, target, "-m", onnx_file], limit)
    assert run.code == 1, run.stderr
    assert "Restored 1 of 2 pictures" in run.stdout
    assert f"{source / 'large.png'}: Cannot write {target / 'large.png'}" in run.stderr
    assert files(target) == ["small.png"]


# ---------------------------------------------------------------------------- one file, wrong paths


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("{tmp}/in.png", "is IN itself"),
        ("{tmp}/link.png", "is IN itself"),
        ("/dev/full", "suffix ''"),
        ("{tmp}/none/out.png", "none"),
        ("{tmp}/in.png/out.png", "in.png"),
        ("out.gif", "suffix '.gif'"),
    ],
)
def test_targets_that_cannot_be(
    swinir: Program, onnx_file: Path, tmp_path: Path, target: str, says: str
) -> None:
    source = tmp_path / "in.png"
    Image.new("RGB", (9, 9)).save(source)
    (tmp_path / "link.png").symlink_to(source)
    before = source.read_bytes()
    run = swinir("restore", source, target.format(tmp=tmp_path), "-m", onnx_file, code=None)
    assert run.code in (2, 4) and says in run.stderr
    assert source.read_bytes() == before and list(Path().iterdir()) == []


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may do everything")
def test_paths_that_may_not_be_read_or_written(
    swinir: Program, onnx_file: Path, picture: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(picture.read_bytes())
    secret.chmod(0)
    run = swinir("restore", secret, "out.png", "-m", onnx_file, code=4)
    assert "Permission denied" in run.stderr
    locked = tmp_path / "locked"
    locked.mkdir()
    locked.chmod(0o500)
    run = swinir("restore", picture, locked / "out.png", "-m", onnx_file, code=4)
    assert "may not be written" in run.stderr
