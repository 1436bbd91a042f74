"""Find the pictures of a folder, and name everything that is not restored."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from swinir_deploy.pictures.formats import PICTURE_SUFFIXES, unread_kind
from swinir_deploy.system.same_file import folded, ignores_case

__all__ = ["FolderContents", "find_pictures", "places_of_results", "unusable"]


@dataclass
class FolderContents:
    """What lies below a folder. All paths are relative to it.

    Attributes:
        pictures: files with the suffix of a picture, sorted.
        others: number of other files.
        unread: files with the suffix of a picture of a kind that cannot be read here, sorted.
        linked_folders: links to folders, which are not followed, sorted.
        unusable: what cannot be read -> why, as a sentence: folders, links to nothing, and
            pipes, sockets and devices with the name of a picture.
    """

    pictures: list[Path] = field(default_factory=list)
    others: int = 0
    unread: list[Path] = field(default_factory=list)
    linked_folders: list[Path] = field(default_factory=list)
    unusable: dict[Path, str] = field(default_factory=dict)


def find_pictures(
    folder: str | os.PathLike[str], leave_out: str | os.PathLike[str] | None = None
) -> FolderContents:
    """Find the files below a folder that have the suffix of a picture.

    Hidden files and folders, whose names begin with a dot, are ignored. Links to files are
    followed. Links to folders are not, so that nothing is found twice or outside the folder.

    Args:
        folder: the folder to search, at any depth.
        leave_out: a folder below it that is not searched.
    """
    root = Path(folder)
    barred = None if leave_out is None else Path(leave_out).resolve()
    found = FolderContents()

    def missing(error: OSError) -> None:
        place = Path(error.filename)
        found.unusable[place.relative_to(root)] = (
            f"Cannot read the folder {place}: {error.strerror}. Change its permissions, or move it "
            "away."
        )

    for where, folders, names in os.walk(root, onerror=missing):
        current = Path(where)
        visible = [name for name in folders if name[0] != "."]
        links = [name for name in visible if (current / name).is_symlink()]
        found.linked_folders += [
            (current / name).relative_to(root)
            for name in links
            if barred is None or (current / name).resolve() != barred
        ]
        folders[:] = [
            name
            for name in visible
            if name not in links and (barred is None or (current / name).resolve() != barred)
        ]
        for name in names:
            if not name.startswith("."):
                _add(found, (current / name).relative_to(root), root)
    found.pictures.sort()
    found.unread.sort()
    found.linked_folders.sort()
    return found


def _add(found: FolderContents, name: Path, root: Path) -> None:
    path = root / name
    is_named_so = name.suffix.lower() in PICTURE_SUFFIXES
    is_lost = not is_named_so and path.is_symlink() and not path.exists()  # a folder, perhaps
    reason = unusable(path) if is_named_so or is_lost else None
    if unread_kind(name) is not None:
        found.unread.append(name)
    elif reason is not None:
        found.unusable[name] = reason
    elif is_named_so:
        found.pictures.append(name)
    else:
        found.others += 1


def unusable(path: Path) -> str | None:
    """Return why something cannot be read as a picture file, as a sentence, or None if it can."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        if path.is_symlink():
            return (
                f"Cannot read {path}: there is no such file as {path.readlink()}, where this "
                "link leads. Correct or remove the link."
            )
        return f"Cannot read {path}: it is gone. Start again."
    except OSError as error:
        return f"Cannot read {path}: {error.strerror}. Correct or remove it."
    kinds = {
        stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    kind = kinds.get(stat.S_IFMT(mode))
    return None if kind is None else f"Cannot read {path}: it is {kind}, not a file. Move it away."


def places_of_results(
    names: Sequence[Path], goal: Path, suffix: str | None = None
) -> dict[Path, Path]:
    """Return the result of each picture, so that no two are the same file.

    Pictures that differ by their suffix only get one name with ``suffix``. Then the suffix of the
    picture stays in the name: ``a.jpg`` becomes ``a.jpg.png``; ``a.png`` keeps its name. Where the
    goal's file system ignores case, results that differ by case only get a number: ``A-2.png``.

    Args:
        names: paths of the pictures relative to their folder, sorted.
        goal: the folder of the results. It need not exist; then case is taken to matter.
        suffix: suffix of all results; None keeps that of each picture.

    Returns:
        Path of a picture -> path of its result relative to ``goal``.
    """
    wished = {n: n if suffix is None else n.with_suffix(suffix) for n in names}
    shared = Counter(map(folded, wished.values()))
    places = {
        name: name.with_name(name.name + suffix)
        if suffix is not None
        and shared[folded(place)] > 1
        and name.suffix.lower() != suffix.lower()
        else place
        for name, place in wished.items()
    }
    if len(set(map(folded, places.values()))) < len(places):
        _number(places, folded if ignores_case(goal) else Path.as_posix)
    return places


def _number(places: dict[Path, Path], key: Callable[[Path], str]) -> None:
    """Add a number to results that have the key of an earlier one."""
    taken: dict[str, Path] = {}
    for name, place in places.items():
        candidate, number = place, 1
        while taken.setdefault(key(candidate), name) != name:
            number += 1
            candidate = place.with_name(f"{place.stem}-{number}{place.suffix}")
        places[name] = candidate
