"""A folder of pictures into another folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from tqdm import tqdm

from swinir_deploy.errors import PictureError, RuntimeClosedError, SwinIRDeployError, UsageError
from swinir_deploy.imaging.files import PICTURE_SUFFIXES
from swinir_deploy.imaging.reports import FailedFile, FolderReport, RestoredFile

__all__ = ["find_pictures", "restore_folder"]


def find_pictures(
    folder: str | os.PathLike[str], leave_out: str | os.PathLike[str] | None = None
) -> tuple[list[Path], int]:
    """Files below a folder whose suffix is that of a picture.

    Hidden files and folders (a leading dot) are passed over.

    Args:
        folder: looked through to any depth; links to folders are not followed.
        leave_out: a folder below it that is not looked into.

    Returns:
        Paths relative to ``folder``, sorted, and the number of other files.
    """
    root = Path(folder)
    barred = None if leave_out is None else Path(leave_out).resolve()
    found, others = [], 0
    for where, folders, names in os.walk(root):
        here = Path(where)
        folders[:] = [n for n in folders if n[0] != "." and (here / n).resolve() != barred]
        for name in names:
            if name.startswith("."):
                continue
            if Path(name).suffix.lower() in PICTURE_SUFFIXES:
                found.append((here / name).relative_to(root))
            else:
                others += 1
    return sorted(found), others


def restore_folder(
    restore_file: Callable[[Path, Path], RestoredFile],
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    suffix: str | None = None,
    on_error: Literal["continue", "raise"] = "continue",
    progress: bool | None = None,
) -> FolderReport:
    """What :meth:`Restorer.restore_folder` does.

    Args:
        restore_file: restores one file into another.
        source: the folder to read. Nothing in it is changed.
        target: the folder to write; made if it is not there. It may lie inside ``source``.
        suffix: of all results, such as ``.png``; None keeps each file's own.
        on_error: ``continue`` collects failures in the report; ``raise`` stops at the first.
        progress: a bar on stderr; None for one only where stderr is a terminal.

    Raises:
        PictureError: ``source`` is not a folder or holds no picture; ``target`` is a file.
        UsageError: ``target`` is ``source``, or ``suffix`` is not that of a picture format.
    """
    root, goal = Path(source), Path(target)
    if not root.is_dir():
        raise PictureError(f"Cannot read {root}: it is not a folder. Check the path.")
    if goal.exists() and not goal.is_dir():
        raise PictureError(f"Cannot write to {goal}: it is a file. Give a folder.")
    if goal.resolve() == root.resolve():
        raise UsageError(f"{goal} is the input folder itself. Give another folder.")
    if suffix is not None and suffix.lower() not in PICTURE_SUFFIXES:
        raise UsageError(
            f"suffix is {suffix!r}; it must be one of {', '.join(PICTURE_SUFFIXES)}, with the dot."
        )
    names, ignored = find_pictures(root, leave_out=goal)
    if not names:
        raise PictureError(
            f"{root} holds no picture ({', '.join(PICTURE_SUFFIXES)}). Check the path."
        )
    inputs = {(root / name).resolve() for name in names}
    taken: dict[Path, Path] = {}
    restored: list[RestoredFile] = []
    failures: list[FailedFile] = []
    disable = None if progress is None else not progress
    for name in tqdm(names, unit="file", disable=disable):
        result = goal / (name if suffix is None else name.with_suffix(suffix))
        try:
            _check_free(root / name, result, inputs, taken)
            _make_folder(result.parent)
            restored.append(restore_file(root / name, result))
        except RuntimeClosedError:
            raise
        except SwinIRDeployError as error:
            if on_error == "raise":
                raise
            failures.append(FailedFile(root / name, result, str(error)))
    return FolderReport(tuple(restored), tuple(failures), ignored)


def _check_free(source: Path, target: Path, inputs: set[Path], taken: dict[Path, Path]) -> None:
    """Refuse a result that would replace an input or another result."""
    place = target.resolve()
    if place in inputs:
        raise UsageError(
            f"The result for {source} would replace the input {target}. Give another folder."
        )
    other = taken.setdefault(place, source)
    if other != source:
        raise UsageError(
            f"The result for {source} would replace that for {other}. Rename one of them, or keep "
            "the suffixes."
        )


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PictureError(
            f"Cannot make the folder {folder}: {error.strerror or error}. Give a path that may be "
            "written to."
        ) from error
