from __future__ import annotations

import os
from pathlib import Path

import pytest

from swinir_deploy.errors import UsageError
from swinir_deploy.system import same_file
from swinir_deploy.system.same_file import Files, check_not_inputs, ignores_case


@pytest.fixture
def read(tmp_path: Path) -> Path:
    path = tmp_path / "k.onnx"
    path.write_bytes(b"model")
    return path


def other_names(read: Path) -> dict[str, Path]:
    folder = read.parent
    (folder / "soft").symlink_to(read)
    os.link(read, folder / "hard")
    (folder / "folder").mkdir()
    (folder / "link to folder").symlink_to(folder)
    return {
        "itself": read,
        "soft": folder / "soft",
        "hard": folder / "hard",
        "round about": folder / "folder" / ".." / "k.onnx",
        "by a folder's link": folder / "link to folder" / "k.onnx",
    }


def test_an_output_is_no_input_by_whatever_name(read: Path) -> None:
    for name, path in other_names(read).items():
        assert Files([read]).find(path) == read, name
        with pytest.raises(UsageError, match=r"would replace .*k\.onnx"):
            check_not_inputs(path, [None, "no-such-model", read.parent, read])


def test_other_files_are_free(read: Path) -> None:
    (read.parent / "other").write_bytes(b"model")
    check_not_inputs(read.parent / "other", [read])
    check_not_inputs(read.parent / "new", [read, read.parent])
    assert Files([read, read.parent / "new", read.parent]).find(read.parent) is None


def test_without_numbers_the_names_count(read: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (read.parent / "soft").symlink_to(read)
    (read.parent / "other").write_bytes(b"model")
    monkeypatch.setattr(same_file, "_number_of", lambda path: (1, 0))
    assert Files([read]).find(read.parent / "soft") == read
    assert Files([read]).find(read.parent / "other") is None


@pytest.mark.parametrize("ignored", [True, False])
def test_another_spelling_with_a_number_of_its_own(
    read: Path, monkeypatch: pytest.MonkeyPatch, ignored: bool
) -> None:
    """So FUSE numbers files. tests/system/test_file_systems.py has real ones."""
    spelt = read.with_name("K.onnx")
    spelt.write_bytes(b"model")
    monkeypatch.setattr(same_file, "ignores_case", lambda folder: ignored and folder == read.parent)
    assert Files([read]).find(spelt) == (read if ignored else None)


def test_case_matters_here_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    expected = (tmp_path / "X").exists()
    assert ignores_case(tmp_path) is expected
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert not ignores_case(tmp_path / "none")
