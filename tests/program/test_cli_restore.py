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
    (source / "k raw.cr2").write_bytes(b"II*\0" + bytes(60))
    (source / "l drawing.psd").write_bytes(b"8BPS" + bytes(60))
    (source / "m drawing.psd").write_bytes(b"8BPS" + bytes(60))
    (source / "n notes.txt").write_text("no picture at all")
    before = {
        name: (source / name).read_bytes() for name in files(source) if "dangling" not in name
    }
    run = swinir("restore", source, "out", "-m", onnx_file, code=1)
    assert "Restored 4 of 9 pictures" in run.stdout
    assert "Error: 5 could not be restored:" in run.stderr
    for says in (
        "b bomb.png: 50000x50000 is 2,500,000,000 pixels",
        "c cut.png: this PNG file",
        "d empty.png: it has 0 bytes",
        "e text.jpg: it begins with",
        "i dangling.png: there is no such file",
    ):
        assert says in run.stderr
    assert "3 pictures are of kinds that cannot be read: 1 .cr2 (" in run.stderr
    assert "k raw.cr2), 2 .psd (" in run.stderr
    assert "1 files in" in run.stderr
    assert files(Path("out")) == ["a good.png", "f one pixel.png", "g tall.png", "j float.tif"]
    document = swinir("restore", source, "out", "-m", onnx_file, "--overwrite", "--json", code=1)
    assert {kind: len(names) for kind, names in document.document["unread"].items()} == {
        ".cr2": 1,
        ".psd": 2,
    }
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
        ("out.psd", "suffix '.psd'"),
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


# ------------------------------------------------------------------- metadata, pages, limits, notes


def with_metadata(path: Path) -> None:
    exif = Image.Exif()
    exif[271], exif[274] = "Maker", 6
    pixels = np.random.default_rng(0).integers(0, 256, (12, 20, 3), np.uint8)
    Image.fromarray(pixels).save(path, exif=exif, dpi=(300, 300), comment=b"a comment")
    os.utime(path, (1_000_000_000, 1_000_000_000))


def test_metadata_is_carried_or_stripped(swinir: Program, onnx_file: Path, tmp_path: Path) -> None:
    with_metadata(tmp_path / "a.jpg")
    swinir("restore", tmp_path / "a.jpg", "kept.jpg", "-m", onnx_file)
    with Image.open("kept.jpg") as image:
        assert image.size == (24, 40)
        exif = image.getexif()
        assert (exif[271], exif[274]) == ("Maker", 1)
        assert image.info["comment"] == b"a comment" and image.info["dpi"] == (300, 300)
    assert Path("kept.jpg").stat().st_mtime == 1_000_000_000
    swinir("restore", tmp_path / "a.jpg", "bare.jpg", "-m", onnx_file, "--strip")
    with Image.open("bare.jpg") as image:
        assert image.size == (24, 40)
        assert not image.getexif() and "comment" not in image.info and "dpi" not in image.info
    assert Path("bare.jpg").stat().st_mtime > 1_700_000_000


def test_all_pages(swinir: Program, onnx_file: Path, tmp_path: Path) -> None:
    pages = [Image.new("RGB", (8 + i, 9), (40 * i, 10, 10)) for i in range(3)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    run = swinir("restore", tmp_path / "a.tif", "a.png", "-m", onnx_file)
    assert "3 pages; the first is used. --pages" in run.stderr
    run = swinir("restore", tmp_path / "a.tif", "b.png", "-m", onnx_file, "--pages", "--json")
    assert [Path(entry["target"]).name for entry in run.document["restored"]] == [
        "b.png",
        "b-page2.png",
        "b-page3.png",
    ]
    sizes = [Image.open(name).size for name in ("b.png", "b-page2.png", "b-page3.png")]
    assert sizes == [(16, 18), (18, 18), (20, 18)]
    Path("b.png").unlink()
    run = swinir("restore", tmp_path / "a.tif", "b.png", "-m", onnx_file, "--pages", code=2)
    assert "b-page2.png, the result of page 2, exists" in run.stderr
    (tmp_path / "in").mkdir()
    (tmp_path / "a.tif").rename(tmp_path / "in/a.tif")
    swinir("restore", tmp_path / "in", "out", "-m", onnx_file, "--pages", "--format", "png")
    assert files(Path("out")) == ["a-page2.png", "a-page3.png", "a.png"]


def test_notes_of_many_pictures_are_told_once(
    swinir: Program, onnx_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    for index in range(5):
        Image.new("L", (8, 9), 50 * index).save(tmp_path / f"in/{index}.png")
    run = swinir("restore", tmp_path / "in", "out", "-m", onnx_file)
    lines = [line for line in run.stderr.splitlines() if "gray went in as RGB" in line]
    assert len(lines) == 1 and lines[0].startswith("5 pictures: ")


def test_a_result_too_large_for_its_format_is_refused_before_the_work(
    swinir: Program, onnx_file: Path, tmp_path: Path
) -> None:
    Image.new("RGB", (8200, 4)).save(tmp_path / "a.png")
    run = swinir("restore", tmp_path / "a.png", "a.webp", "-m", onnx_file, code=4)
    assert "16400x8 pixels; WEBP holds sides of at most 16383" in run.stderr
    Image.new("RGBA", (8, 4), (1, 2, 3, 100)).save(tmp_path / "b.png")
    run = swinir("restore", tmp_path / "b.png", "b.jpg", "-m", onnx_file, code=4)
    assert "transparent pixels and JPEG cannot hold them" in run.stderr
