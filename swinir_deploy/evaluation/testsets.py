"""Folders of test pictures: what is in them, which belong together, what the set is called."""

from __future__ import annotations

import os
from pathlib import Path

from swinir_deploy.errors import PictureError
from swinir_deploy.models.catalog import load_catalog
from swinir_deploy.pictures.read import PICTURE_SUFFIXES

__all__ = ["dataset_name", "find_reduced", "list_pictures"]

_OTHER_NAMES = {"b100": "bsd100", "div2kvalidhr": "div2kvalidation", "kodak": "kodak24"}
_LOOKED_UPWARDS = 3
"""Folders of a path that may be called like the data set: ``Set5``, ``Set5/HR``."""


def list_pictures(folder: str | os.PathLike[str]) -> tuple[list[Path], int]:
    """Pictures of a folder itself, by name, as the official script goes through them.

    Returns:
        Their paths, and how many other files there are.

    Raises:
        PictureError: it is not a folder, or holds no picture.
    """
    root = Path(folder)
    if not root.is_dir():
        state = "a file" if root.exists() else "not there"
        raise PictureError(f"Cannot measure on {root}: it is {state}. Give a folder of pictures.")
    files = sorted(p for p in root.iterdir() if p.is_file() and not p.name.startswith("."))
    pictures = [path for path in files if path.suffix.lower() in PICTURE_SUFFIXES]
    if not pictures:
        nested = sorted(path.name for path in root.iterdir() if path.is_dir())
        hint = f" Did you mean one of its folders ({', '.join(nested[:4])})?" if nested else ""
        raise PictureError(
            f"Cannot measure on {root}: it holds no picture ({', '.join(PICTURE_SUFFIXES)}).{hint}"
        )
    return pictures, len(files) - len(pictures)


def find_reduced(folder: str | os.PathLike[str], picture: Path, scale: int) -> Path:
    """The small picture for a large one: ``NAMExSCALE``, with its suffix or another.

    Raises:
        PictureError: there is none.
    """
    root = Path(folder)
    stem = f"{picture.stem}x{scale}"
    for suffix in (picture.suffix, *PICTURE_SUFFIXES):
        candidate = root / f"{stem}{suffix}"
        if candidate.is_file():
            return candidate
    raise PictureError(
        f"There is no {stem}{picture.suffix} in {root} to go with {picture}. Give the folder of "
        f"the pictures reduced by {scale}, or leave --lr out: they are then made here."
    )


def dataset_name(folder: str | os.PathLike[str]) -> str | None:
    """The data set of the catalogue's figures that a folder is named after, or None.

    ``testsets/Set5/HR`` is Set5, ``classic5`` is Classic5.
    """
    known = {
        _plain(figure.dataset): figure.dataset
        for card in load_catalog().all()
        for figure in (*card.published, *card.measured)
    }
    parts = Path(folder).resolve().parts
    for part in reversed(parts[-_LOOKED_UPWARDS:]):
        name = _plain(part)
        name = _OTHER_NAMES.get(name, name)
        if name in known:
            return known[name]
    return None


def _plain(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())
