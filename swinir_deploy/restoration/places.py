"""Decide where results are written, and check that they can be written there."""

from __future__ import annotations

from pathlib import Path

from swinir_deploy.errors import PictureError, UsageError
from swinir_deploy.pictures.write import check_target
from swinir_deploy.restoration.folder_contents import find_pictures, places_of_results

__all__ = ["check_places", "place_of_result"]


def place_of_result(source: Path, target: str, suffix: str | None) -> Path:
    """Return the file or folder to write.

    If the source is a file and the target is a folder, the result has the name of the source.

    Args:
        source: a picture or a folder of pictures.
        target: a file or a folder.
        suffix: suffix of the results, such as ``.png``; None keeps that of each picture.

    Raises:
        UsageError: the name of the target has another suffix.
    """
    goal = Path(target)
    if source.is_dir():
        return goal
    if goal.is_dir() or target.endswith("/"):
        return goal / (source.with_suffix(suffix).name if suffix else source.name)
    if suffix is not None and goal.suffix.lower() != suffix:
        raise UsageError(
            f"--format {suffix[1:]} and the name {goal} contradict each other. Give one of them, "
            f"or {goal.with_suffix(suffix)}."
        )
    return goal


def check_places(
    source: Path, goal: Path, suffix: str | None, overwrite: bool, resume: bool
) -> None:
    """Check source, results and options before a model is loaded.

    Args:
        source: a picture or a folder of pictures.
        goal: the file or folder to write, from :func:`place_of_result`.
        suffix: suffix of the results; None keeps that of each picture.
        overwrite: replace results that exist.
        resume: skip pictures whose result exists.

    Raises:
        UsageError: the options exclude each other, or results exist.
        PictureError: the source does not exist, or the goal cannot be written.
    """
    if resume and overwrite:
        raise UsageError("--resume keeps results and --overwrite replaces them. Give one of them.")
    if not source.exists():
        link = f" as {source.readlink()}, where this link leads" if source.is_symlink() else ""
        raise PictureError(
            f"Cannot read {source}: there is no such file or folder{link}. Check the path."
        )
    if resume and not source.is_dir():
        raise UsageError(f"--resume is for folders, and {source} is a file. Leave it out.")
    if not source.is_dir():
        check_target(goal)
        existing = [goal] if goal.exists() else []
    else:
        names = find_pictures(source, leave_out=goal).pictures if goal.exists() else []
        results = (goal / place for place in places_of_results(names, goal, suffix).values())
        existing = [result for result in results if result.exists()]
        if goal.exists() and goal.samefile(source):
            raise UsageError(f"{goal} is the folder of the pictures itself. Give another as OUT.")
    if existing and not overwrite and not resume:
        more = f" (and {len(existing) - 1} more)" if len(existing) > 1 else ""
        itself = " and is IN itself" if existing[0].samefile(source) else ""
        raise UsageError(
            f"{existing[0]} exists{itself}{more}. Give --overwrite to replace it"
            f"{', --resume to go on' if source.is_dir() else ''}, or another name."
        )
