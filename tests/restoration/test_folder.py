import os

import numpy as np
import pytest
from fake_runtimes import FakeRuntime, LittleMemoryRuntime
from PIL import Image

from swinir_deploy.errors import PictureError, RuntimeClosedError, UsageError
from swinir_deploy.pictures.picture import Picture
from swinir_deploy.pictures.read import read_picture
from swinir_deploy.pictures.write import write_picture
from swinir_deploy.restoration.folder import is_done
from swinir_deploy.restoration.restorer import Restorer


def picture(path, seed=0, size=(10, 12), channels=3):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, channels), np.uint8)
    write_picture(path, Picture(pixels))
    return pixels


@pytest.fixture
def restorer():
    with FakeRuntime() as runtime:
        yield Restorer(runtime)


# ---------------------------------------------------------------------------------- one file


def test_a_file_and_its_report(tmp_path, restorer):
    pixels = picture(tmp_path / "a.png")
    done = restorer.restore_file(tmp_path / "a.png", tmp_path / "b.tif")
    assert np.array_equal(read_picture(tmp_path / "b.tif").pixels, pixels.repeat(2, 0).repeat(2, 1))
    assert (done.source, done.target) == (tmp_path / "a.png", tmp_path / "b.tif")
    assert (done.width, done.height, done.target_width, done.target_height) == (12, 10, 24, 20)
    assert done.elapsed_ms > 0 and done.notes == ()


def test_notes_of_reading_restoring_and_writing_come_together(tmp_path, restorer):
    frames = [Image.fromarray(np.full((8, 8), 4 * i, np.uint8)) for i in range(2)]
    frames[0].save(tmp_path / "a.tif", save_all=True, append_images=frames[1:])
    write_picture(tmp_path / "b.png", Picture(np.zeros((8, 8, 3), np.uint16)))
    done = restorer.restore_file(tmp_path / "a.tif", tmp_path / "a.png")
    assert ["pages" in done.notes[0], "luma" in done.notes[1]] == [True, True]
    done = restorer.restore_file(tmp_path / "b.png", tmp_path / "b.jpg")
    assert "16 bits" in done.notes[0]


def test_a_gray_file_stays_gray_and_16_bits_stay_16(tmp_path, restorer):
    write_picture(tmp_path / "a.png", Picture(np.full((9, 9, 1), 12345, np.uint16)))
    restorer.restore_file(tmp_path / "a.png", tmp_path / "b.png")
    with Image.open(tmp_path / "b.png") as image:
        assert image.mode == "I;16"
        assert np.asarray(image).tolist() == [[12345] * 18] * 18


def test_the_input_is_not_overwritten_unless_asked_for(tmp_path, restorer):
    picture(tmp_path / "a.png")
    before = (tmp_path / "a.png").read_bytes()
    (tmp_path / "link.png").symlink_to("a.png")
    for target in (tmp_path / "a.png", tmp_path / "." / "a.png", tmp_path / "link.png"):
        with pytest.raises(UsageError, match="is the input itself"):
            restorer.restore_file(tmp_path / "a.png", target)
    assert (tmp_path / "a.png").read_bytes() == before
    restorer.restore_file(tmp_path / "a.png", tmp_path / "a.png", overwrite_input=True)
    assert read_picture(tmp_path / "a.png").width == 24


def test_a_target_that_cannot_be_is_noticed_before_the_work(tmp_path):
    picture(tmp_path / "a.png")
    with FakeRuntime() as runtime:
        for target in ("b.psd", "none/b.png", "a.png/b.png"):
            with pytest.raises(PictureError, match="Cannot write"):
                Restorer(runtime).restore_file(tmp_path / "a.png", tmp_path / target)
        assert runtime.shapes == []


# -------------------------------------------------------------------------------- whole folders


def names(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_a_tree_is_kept_in_order_and_other_files_are_left(tmp_path, restorer):
    source = tmp_path / "in"
    for i, name in enumerate(["b.png", "a.JPG", "deep/er/c.tif", "deep/d.webp", "Z.bmp"]):
        picture(source / name, i)
    picture(source / ".hidden/x.png")
    picture(source / ".x.1234.partial.png")
    (source / "notes.txt").write_text("no picture")
    (source / "nothing here").mkdir()
    report = restorer.restore_folder(source, tmp_path / "new" / "out")
    assert names(tmp_path / "new" / "out") == [
        "Z.bmp",
        "a.JPG",
        "b.png",
        "deep/d.webp",
        "deep/er/c.tif",
    ]
    assert [r.source for r in report.restored] == sorted(r.source for r in report.restored)
    assert report.ok and report.failures == () and report.ignored == 1
    with Image.open(tmp_path / "new/out/a.JPG") as image:
        assert image.format == "JPEG" and image.size == (24, 20)


def test_bad_files_are_listed_and_the_rest_is_done(tmp_path, restorer):
    source = tmp_path / "in"
    for name in ("a.png", "b.png", "c.png", "d.png"):
        picture(source / name)
    (source / "b.png").write_bytes(b"")
    (source / "c.png").write_bytes((source / "d.png").read_bytes()[:100])
    report = restorer.restore_folder(source, tmp_path / "out")
    assert [r.source.name for r in report.restored] == ["a.png", "d.png"]
    assert [f.source.name for f in report.failures] == ["b.png", "c.png"]
    assert "0 bytes" in report.failures[0].error and "damaged" in report.failures[1].error
    assert not report.ok
    assert names(tmp_path / "out") == ["a.png", "d.png"]
    with pytest.raises(PictureError, match="0 bytes"):
        restorer.restore_folder(source, tmp_path / "out2", on_error="raise")


def test_pictures_that_memory_does_not_suffice_for_are_listed(tmp_path):
    picture(tmp_path / "in/large.png", size=(64, 64))
    picture(tmp_path / "in/small.png", size=(8, 8))
    with LittleMemoryRuntime(100, MemoryError("no")) as runtime:
        report = Restorer(runtime).restore_folder(tmp_path / "in", tmp_path / "out")
    assert [f.source.name for f in report.failures] == ["large.png"]
    assert [r.source.name for r in report.restored] == ["small.png"]


def test_one_suffix_for_all(tmp_path, restorer):
    picture(tmp_path / "in/a.jpg")
    picture(tmp_path / "in/b.c.bmp")
    restorer.restore_folder(tmp_path / "in", tmp_path / "out", suffix=".png")
    assert names(tmp_path / "out") == ["a.png", "b.c.png"]


def test_pictures_that_differ_by_suffix_only_are_all_kept(tmp_path, restorer):
    pixels = {}
    for i, name in enumerate(("a.bmp", "a.tif", "a.png")):
        pixels[name] = picture(tmp_path / "in" / name, i)
    for resume in (False, True):
        report = restorer.restore_folder(
            tmp_path / "in", tmp_path / "out", suffix=".png", resume=resume
        )
        assert report.ok and len(report.restored) + len(report.skipped) == 3
    assert len(report.skipped) == 3, "the names do not depend on what is there"
    for name, result in (("a.bmp", "a.bmp.png"), ("a.tif", "a.tif.png"), ("a.png", "a.png")):
        restored = read_picture(tmp_path / "out" / result).pixels
        assert np.array_equal(restored, pixels[name].repeat(2, 0).repeat(2, 1))


def test_two_results_through_a_link_do_not_replace_each_other(tmp_path, restorer):
    for i, name in enumerate(("a.png", "b.png")):
        picture(tmp_path / "in" / name, i)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/b.png").symlink_to("a.png")
    report = restorer.restore_folder(tmp_path / "in", tmp_path / "out")
    assert [r.source.name for r in report.restored] == ["a.png"]
    assert "would replace that for" in report.failures[0].error


def test_a_result_that_is_an_input_by_another_name_is_refused(tmp_path, restorer):
    picture(tmp_path / "in/a.png")
    picture(tmp_path / "in/b.png", 1)
    (tmp_path / "out").mkdir()
    os.link(tmp_path / "in/b.png", tmp_path / "out/a.png")
    before = (tmp_path / "in/b.png").read_bytes()
    report = restorer.restore_folder(tmp_path / "in", tmp_path / "out")
    assert [f.source.name for f in report.failures] == ["a.png"]
    assert "would replace the input" in report.failures[0].error
    assert (tmp_path / "in/b.png").read_bytes() == before


def test_what_cannot_be_read_is_a_failure_and_not_the_end(tmp_path, restorer):
    picture(tmp_path / "in/a.png")
    (tmp_path / "in/gone").symlink_to("nowhere")
    os.mkfifo(tmp_path / "in/pipe.png")
    (tmp_path / "in/all").symlink_to(tmp_path)
    report = restorer.restore_folder(tmp_path / "in", tmp_path / "out")
    assert [r.source.name for r in report.restored] == ["a.png"]
    assert [f.source.name for f in report.failures] == ["gone", "pipe.png"]
    assert report.linked_folders == (tmp_path / "in/all",)
    with pytest.raises(PictureError, match="nowhere"):
        restorer.restore_folder(tmp_path / "in", tmp_path / "out2", on_error="raise")
    (tmp_path / "in/a.png").unlink()
    assert len(restorer.restore_folder(tmp_path / "in", tmp_path / "out").failures) == 2


def test_a_folder_of_links_to_folders_says_so(tmp_path, restorer):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/all").symlink_to(tmp_path)
    with pytest.raises(PictureError, match=r"holds no picture.*not followed \(.*in/all\)"):
        restorer.restore_folder(tmp_path / "in", tmp_path / "out")


def test_a_folder_that_cannot_be_read_at_all(tmp_path, restorer, monkeypatch):
    picture(tmp_path / "in/a.png")

    def refused(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(PictureError, match=r"Cannot read the folder .*in: Permission denied"):
        restorer.restore_folder(tmp_path / "in", tmp_path / "out")


@pytest.mark.parametrize(
    ("source_ns", "target_ns", "done"),
    [
        (5_000_000_000, 5_000_000_000, True),
        (5_000_000_002, 5_000_000_001, False),
        (5_900_000_000, 4_000_000_000, True),  # FAT keeps even seconds
        (6_000_000_000, 4_000_000_000, False),
        (5_900_000_000, 4_000_000_001, False),
        (5_900_000_000, 5_000_000_000, True),  # exFAT keeps seconds
        (6_000_000_000, 5_000_000_000, False),
    ],
)
def test_when_a_result_is_done(tmp_path, source_ns, target_ns, done):
    for name, time_ns in (("source", source_ns), ("target", target_ns)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, ns=(time_ns, time_ns))
    assert is_done(tmp_path / "source", tmp_path / "target") is done
    assert not is_done(tmp_path / "source", tmp_path / "none")


def test_results_below_the_input_are_not_restored_again(tmp_path, restorer):
    picture(tmp_path / "in/a.png")
    for _ in range(2):
        report = restorer.restore_folder(tmp_path / "in", tmp_path / "in/out")
        assert len(report.restored) == 1
    assert names(tmp_path / "in") == ["a.png", "out/a.png"]


def test_inputs_below_the_target_are_not_replaced(tmp_path, restorer):
    picture(tmp_path / "all/in/in/a.png")
    picture(tmp_path / "all/in/a.png")
    before = (tmp_path / "all/in/a.png").read_bytes()
    report = restorer.restore_folder(tmp_path / "all/in", tmp_path / "all")
    assert (tmp_path / "all/in/a.png").read_bytes() == before
    assert "would replace the input" in report.failures[0].error
    assert names(tmp_path / "all") == ["a.png", "in/a.png", "in/in/a.png"]


def test_folders_that_cannot_be(tmp_path, restorer):
    source = tmp_path / "in"
    picture(source / "a.png")
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    for arguments, error, says in (
        ((source, source), UsageError, "input folder itself"),
        ((source, source / ".." / "in"), UsageError, "input folder itself"),
        ((tmp_path / "none", tmp_path / "out"), PictureError, "not a folder"),
        ((tmp_path / "file", tmp_path / "out"), PictureError, "not a folder"),
        ((source, tmp_path / "file"), PictureError, "is a file"),
        ((tmp_path / "empty", tmp_path / "out"), PictureError, "holds no picture"),
        ((source, tmp_path / "out", ".psd"), UsageError, "suffix is '.psd'"),
        ((source, tmp_path / "out", "png"), UsageError, "with the dot"),
    ):
        with pytest.raises(error, match=says):
            restorer.restore_folder(*arguments)
    assert not (tmp_path / "out").exists()


def test_a_target_below_a_file_is_a_failure_of_each_picture(tmp_path, restorer):
    picture(tmp_path / "in/a.png")
    (tmp_path / "file").touch()
    report = restorer.restore_folder(tmp_path / "in", tmp_path / "file" / "out")
    assert "Cannot make the folder" in report.failures[0].error


def test_a_closed_runtime_stops_everything(tmp_path, restorer):
    picture(tmp_path / "in/a.png")
    restorer.runtime.close()
    with pytest.raises(RuntimeClosedError):
        restorer.restore_folder(tmp_path / "in", tmp_path / "out")


def test_a_bar_of_files_is_drawn_when_asked_for_only(tmp_path, capfd):
    picture(tmp_path / "in/a.png")
    for progress, wanted in ((None, False), (False, False), (True, True)):
        with FakeRuntime() as runtime:
            Restorer(runtime, progress=progress).restore_folder(tmp_path / "in", tmp_path / "out")
        out, err = capfd.readouterr()
        assert out == "" and ("file" in err) == wanted


# ------------------------------------------------------------------------------------- going on


def test_resume_leaves_out_what_is_done_and_does_the_rest(tmp_path, restorer):
    source, target = tmp_path / "in", tmp_path / "out"
    for i, name in enumerate(("a.png", "b.png", "deep/c.png", "d.png", "e.png")):
        picture(source / name, i)
    first = restorer.restore_folder(source, target)
    assert first.skipped == () and len(first.restored) == 5
    now = (source / "a.png").stat().st_mtime
    (target / "b.png").unlink()
    os.utime(source / "d.png", (now + 100, now + 100))  # changed after it was restored
    os.utime(target / "e.png", (now - 100, now - 100))
    os.utime(target / "deep/c.png", ns=(0, (source / "deep/c.png").stat().st_mtime_ns))
    kept = {name: (target / name).stat().st_mtime_ns for name in ("a.png", "deep/c.png")}
    runs = restorer.runtime.stats.runs
    again = restorer.restore_folder(source, target, resume=True)
    assert [done.source.name for done in again.restored] == ["b.png", "d.png", "e.png"]
    assert again.skipped == (source / "a.png", source / "deep/c.png") and again.ok
    assert restorer.runtime.stats.runs == runs + 3
    assert {name: (target / name).stat().st_mtime_ns for name in kept} == kept


def test_resume_knows_results_by_their_own_suffix(tmp_path, restorer):
    picture(tmp_path / "in/a.jpg")
    picture(tmp_path / "out/a.jpg")  # not the result of a run with suffix .png
    for skipped in (0, 1):
        report = restorer.restore_folder(
            tmp_path / "in", tmp_path / "out", suffix=".png", resume=True
        )
        assert len(report.skipped) == skipped and len(report.restored) == 1 - skipped


def test_resume_takes_up_what_failed_and_what_was_cut_off(tmp_path, restorer):
    source, target = tmp_path / "in", tmp_path / "out"
    whole = picture(source / "a.png")
    (source / "b.png").write_bytes(b"")
    # What a killed process leaves behind is no result.
    target.mkdir()
    (target / ".a.1a2b3c4d.partial.png").write_bytes(b"half")
    report = restorer.restore_folder(source, target, resume=True)
    assert [f.source.name for f in report.failures] == ["b.png"] and len(report.restored) == 1
    picture(source / "b.png")
    report = restorer.restore_folder(source, target, resume=True)
    assert [done.source.name for done in report.restored] == ["b.png"]
    assert report.skipped == (source / "a.png",)
    assert read_picture(target / "a.png").width == 2 * whole.shape[1]
