"""Restore a folder of pictures into another folder."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from tqdm import tqdm

from swinir_deploy.errors import PictureError, RuntimeClosedError, SwinIRDeployError, UsageError
from swinir_deploy.pictures.formats import PICTURE_SUFFIXES, unread_in_words
from swinir_deploy.restoration.folder_contents import (
    FolderContents,
    find_pictures,
    places_of_results,
)
from swinir_deploy.restoration.pipeline import StagedJob, run_stages
from swinir_deploy.restoration.reports import FailedFile, FolderReport, RestoredFile
from swinir_deploy.system.same_file import Files

__all__ = ["is_done", "restore_folder"]

_GRAINS_NS = (2_000_000_000, 1_000_000_000)
"""File systems that round times of files down: FAT to two seconds, exFAT, HFS+ and mounts of object
stores to one. There a result may look older than its picture."""


def restore_folder(
    make_job: Callable[[Path, Path], StagedJob[RestoredFile]],
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    suffix: str | None = None,
    on_error: Literal["continue", "raise"] = "continue",
    progress: bool | None = None,
    resume: bool = False,
    max_memory_bytes: int | None = None,
) -> FolderReport:
    """Restore every picture below a folder; see :meth:`Restorer.restore_folder`.

    Args:
        make_job: makes the job that restores one file into another.
        source: the folder to read. Nothing in it is changed.
        target: the folder to write. It is created if it is missing, and may lie inside ``source``.
        suffix: suffix of all results, such as ``.png``; None keeps the suffix of each file.
        on_error: ``continue`` collects failures in the report; ``raise`` stops at the first one.
        progress: whether to show a progress bar on stderr; None shows it if stderr is a terminal.
        resume: skip pictures whose result :func:`is_done`.
        max_memory_bytes: limit for the memory of all pictures that are processed at the same time;
            None for no limit.

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
    found = find_pictures(root, leave_out=goal)
    _check_not_empty(root, found)
    run = _FolderRun(root, goal, found, suffix, on_error, resume)
    disable = None if progress is None else not progress
    with tqdm(total=len(found.pictures), unit="file", disable=disable) as bar:

        def restored(index: int, result: RestoredFile) -> None:
            run.restored[index] = result
            bar.update()

        def failed(index: int, error: Exception) -> None:
            run.fail(run.taken_names[index], error)
            bar.update()

        run_stages(run.jobs(make_job, bar.update), restored, failed, max_memory_bytes)
    return FolderReport(
        tuple(run.restored[index] for index in sorted(run.restored)),
        tuple(run.failures[name] for name in sorted(run.failures)),
        found.others,
        tuple(run.skipped),
        tuple(root / link for link in found.linked_folders),
        unread=tuple(root / name for name in found.unread),
    )


def _check_not_empty(root: Path, found: FolderContents) -> None:
    """Refuse a folder that cannot be read, or holds nothing that should be a picture."""
    if Path() in found.unusable:
        raise PictureError(found.unusable[Path()])
    if found.pictures or found.unusable:
        return
    others = f" {unread_in_words(found.unread)}" if found.unread else ""
    if found.linked_folders:
        names = ", ".join(os.fspath(root / link) for link in found.linked_folders[:4])
        others += f" Links to folders are not followed ({names}); give one of them instead."
    raise PictureError(
        f"{root} holds no picture ({', '.join(PICTURE_SUFFIXES)}). Check the path.{others}"
    )


def is_done(source: Path, target: Path) -> bool:
    """Return whether a result exists and is not older than its picture.

    A result gets its name when it is complete, so a result that exists is complete.
    """
    try:
        written_ns = target.stat().st_mtime_ns
        age_ns = source.stat().st_mtime_ns - written_ns
    except OSError:
        return False
    grain_ns = next((grain for grain in _GRAINS_NS if written_ns % grain == 0), 0)
    return age_ns <= 0 or age_ns < grain_ns


class _FolderRun:
    """The state of :func:`restore_folder`: which pictures were restored, failed or skipped."""

    def __init__(
        self,
        root: Path,
        goal: Path,
        found: FolderContents,
        suffix: str | None,
        on_error: Literal["continue", "raise"],
        resume: bool,
    ) -> None:
        self._root, self._goal, self._found = root, goal, found
        self._on_error = on_error
        self._resume = resume
        self.taken_names: list[Path] = []
        self.restored: dict[int, RestoredFile] = {}
        self.failures: dict[Path, FailedFile] = {}
        self.skipped: list[Path] = []
        with contextlib.suppress(PictureError):  # each picture's failure says so
            _make_folder(goal)  # what its file system does decides names
        self._places = places_of_results(found.pictures, goal, suffix)

    def jobs(
        self,
        make_job: Callable[[Path, Path], StagedJob[RestoredFile]],
        on_passed: Callable[[], object],
    ) -> Iterator[StagedJob[RestoredFile]]:
        """Yield the job of each picture, in the order of the names.

        Args:
            make_job: as in :func:`restore_folder`.
            on_passed: called for each picture that needs no job.
        """
        for name, reason in self._found.unusable.items():
            self.fail(name, PictureError(reason))
        inputs = Files(self._root / name for name in self._places)
        taken: dict[Path, Path] = {}
        for name in self._places:
            source, target = self._root / name, self._target(name)
            try:
                _check_free(source, target, inputs, taken)
                if self._resume and is_done(source, target):
                    self.skipped.append(source)
                    on_passed()
                    continue
                _make_folder(target.parent)
            except SwinIRDeployError as error:
                self.fail(name, error)
                on_passed()
                continue
            self.taken_names.append(name)
            yield make_job(source, target)

    def fail(self, name: Path, error: Exception) -> None:
        """Add a picture to the failures, or raise the error again if it must stop everything."""
        is_ours = isinstance(error, SwinIRDeployError)
        if not is_ours or isinstance(error, RuntimeClosedError) or self._on_error == "raise":
            raise error
        self.failures[name] = FailedFile(self._root / name, self._target(name), str(error))

    def _target(self, name: Path) -> Path:
        return self._goal / self._places.get(name, name)


def _check_free(source: Path, target: Path, inputs: Files, taken: dict[Path, Path]) -> None:
    """Refuse a result that would replace an input or another result, through links, too."""
    place = target.resolve()
    if inputs.find(target) is not None:
        raise UsageError(
            f"The result for {source} would replace the input {target}. Give another folder."
        )
    other = taken.setdefault(place, source)
    if other != source:
        raise UsageError(
            f"The result for {source} would replace that for {other}: {target} is a link. Remove "
            "the link."
        )


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PictureError(
            f"Cannot make the folder {folder}: {error.strerror or error}. Give a path that may be "
            "written to."
        ) from error
