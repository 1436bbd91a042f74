from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from swinir_deploy.restoration import folder_contents
from swinir_deploy.restoration.folder_contents import find_pictures, places_of_results, unusable
from swinir_deploy.system.same_file import folded

posix = pytest.mark.skipif(os.name == "nt", reason="needs pipes, sockets and links")


def made(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def text(paths: object) -> list[str]:
    return [str(path) for path in paths]  # type: ignore[attr-defined]


def test_pictures_and_others_at_any_depth(tmp_path: Path) -> None:
    made(tmp_path, "b.png", "a/b/c.JPG", "a/notes.txt", ".hidden/d.png", ".e.png", "f.tif/g.bmp")
    found = find_pictures(tmp_path)
    assert text(found.pictures) == ["a/b/c.JPG", "b.png", "f.tif/g.bmp"]
    assert found.others == 1
    assert found.unusable == {} and found.linked_folders == []
    assert text(find_pictures(tmp_path, leave_out=tmp_path / "a").pictures) == [
        "b.png",
        "f.tif/g.bmp",
    ]


@posix
def test_links_to_files_are_read_and_links_to_folders_are_named(tmp_path: Path) -> None:
    made(tmp_path, "elsewhere/a.png", "in/b.png")
    source = tmp_path / "in"
    (source / "link.png").symlink_to(tmp_path / "elsewhere/a.png")
    (source / "all").symlink_to(tmp_path / "elsewhere")
    (source / "loop").symlink_to(source)
    (source / "out").symlink_to(tmp_path / "out")
    (tmp_path / "out").mkdir()
    found = find_pictures(source, leave_out=source / "out")
    assert text(found.pictures) == ["b.png", "link.png"]
    assert text(found.linked_folders) == ["all", "loop"]
    assert found.others == 0 and found.unusable == {}


@posix
def test_links_to_nothing_are_named_whatever_their_name(tmp_path: Path) -> None:
    """The one without a suffix may have been a folder full of pictures."""
    made(tmp_path, "a.png")
    (tmp_path / "gone.png").symlink_to("nowhere.png")
    (tmp_path / "year").symlink_to("/no such mount/2019")
    (tmp_path / "round.jpg").symlink_to("round.jpg")
    found = find_pictures(tmp_path)
    assert text(found.pictures) == ["a.png"]
    assert sorted(text(found.unusable)) == ["gone.png", "round.jpg", "year"]
    assert "no such file as nowhere.png, where this link leads" in found.unusable[Path("gone.png")]
    assert "/no such mount/2019" in found.unusable[Path("year")]


@posix
def test_what_is_no_file_is_named_and_never_opened(tmp_path: Path) -> None:
    """Opening a pipe would wait for ever for somebody to write into it."""
    os.mkfifo(tmp_path / "a.png")
    os.mkfifo(tmp_path / "control")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "b.png"))
    (tmp_path / "c.png").symlink_to("/dev/zero")
    found = find_pictures(tmp_path)
    assert found.pictures == [] and found.others == 1
    kinds = {str(path): reason for path, reason in found.unusable.items()}
    assert "it is a pipe, not a file" in kinds["a.png"]
    assert "it is a socket, not a file" in kinds["b.png"]
    assert "it is a device, not a file" in kinds["c.png"]


def test_a_folder_that_cannot_be_read_does_not_end_the_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(tmp_path, "a/x.png", "b/y.png", "c/z.png")
    scandir = os.scandir

    def refused(path: str | os.PathLike[str] = ".") -> object:
        if Path(path).name == "b":
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)
    found = find_pictures(tmp_path)
    assert text(found.pictures) == ["a/x.png", "c/z.png"]
    reason = found.unusable[Path("b")]
    assert reason.startswith(f"Cannot read the folder {tmp_path / 'b'}: Permission denied.")


def test_a_file_that_can_be_read_is_no_problem(tmp_path: Path) -> None:
    made(tmp_path, "a.png")
    assert unusable(tmp_path / "a.png") is None
    assert "gone" in str(unusable(tmp_path / "b.png"))


# -------------------------------------------------------------------------------- names of results


def places(names: list[str], suffix: str | None = None) -> list[str]:
    found = places_of_results([Path(name) for name in names], Path("no such folder"), suffix)
    assert list(found) == [Path(name) for name in names]
    return [str(place) for place in found.values()]


def test_results_keep_their_names() -> None:
    assert places(["a.png", "b/a.png", "B/a.jpg", "c.d.bmp"]) == [
        "a.png",
        "b/a.png",
        "B/a.jpg",
        "c.d.bmp",
    ]
    assert places(["a.jpg", "b/a.png", "c.d.bmp"], ".png") == ["a.png", "b/a.png", "c.d.png"]


def test_the_suffix_stays_in_the_name_where_it_makes_the_difference() -> None:
    assert places(["a.bmp", "a.jpg", "a.png", "b.jpg"], ".png") == [
        "a.bmp.png",
        "a.jpg.png",
        "a.png",
        "b.png",
    ]
    # Whatever was restored before (--resume), a name does not depend on the order.
    assert places(["a.jpg", "a.tif"], ".png") == ["a.jpg.png", "a.tif.png"]


def test_no_two_results_have_one_name_however_odd_the_names_are() -> None:
    names = ["a.JPG", "a.PNG", "a.jpg", "a.jpg.png", "a.png", "x/a.jpg", "x/a.jpg.png", "x/a.png"]
    for suffix in (None, ".png", ".jpg", ".webp"):
        found = places(names, suffix)
        assert len(set(found)) == len(names), (suffix, found)
        assert all(
            place.startswith("x/") == name.startswith("x/")
            for place, name in zip(found, names, strict=True)
        )


def test_case_makes_a_difference_where_the_file_system_sees_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = ["A.png", "B/x.png", "a.png", "b/x.png", "é.png", "e\N{COMBINING ACUTE ACCENT}.png"]
    assert places(names) == names
    monkeypatch.setattr(folder_contents, "ignores_case", lambda folder: True)
    found = places(names)
    assert found[:2] == ["A.png", "B/x.png"] and found[2:4] == ["a-2.png", "b/x-2.png"]
    assert len({folded(place) for place in found}) == len(names)
