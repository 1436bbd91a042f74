"""Folders of test pictures: their files, the reduced pictures, and the name of the data set."""

from __future__ import annotations

import os
from pathlib import Path

from swinir_deploy.errors import PictureError
from swinir_deploy.models.catalog import load_catalog
from swinir_deploy.pictures.formats import PICTURE_SUFFIXES

__all__ = ["dataset_name", "find_reduced", "list_pictures"]

_OTHER_NAMES = {"b100": "bsd100", "div2kvalidhr": "div2kvalidation", "kodak": "kodak24"}
_LOOKED_UPWARDS = 3
"""How many last parts of a path may be the name of the data set: ``Set5``, ``Set5/HR``."""


def list_pictures(folder: str | os.PathLike[str]) -> tuple[list[Path], int]:
    """List the pictures of a folder, without its subfolders, in the order of their names.

    Returns:
        The paths of everything with the suffix of a picture, also of links to nothing, and the
        number of other files.

    Raises:
        PictureError: the folder is missing, a file or unreadable, or it contains no picture.
    """
    root = Path(folder)
    if not root.is_dir():
        state = "a file" if root.exists() else "missing"
        raise PictureError(f"Cannot measure on {root}: it is {state}. Give a folder of pictures.")
    try:
        entries = sorted(root.iterdir())
    except OSError as error:
        raise PictureError(
            f"Cannot read the folder {root}: {error.strerror}. Change its permissions."
        ) from error
    files = [path for path in entries if not path.is_dir() and not path.name.startswith(".")]
    pictures = [path for path in files if path.suffix.lower() in PICTURE_SUFFIXES]
    if not pictures:
        nested = [path.name for path in entries if path.is_dir()]
        hint = (
            f"Did you mean one of its folders ({', '.join(nested[:4])})?"
            if nested
            else "Give a folder of pictures."
        )
        raise PictureError(
            f"Cannot measure on {root}: it holds no picture ({', '.join(PICTURE_SUFFIXES)}). {hint}"
        )
    return pictures, len(files) - len(pictures)


def find_reduced(folder: str | os.PathLike[str], picture: Path, scale: int) -> Path:
    """Return the reduced picture for an original one: ``NAMExSCALE``, with any picture suffix.

    Raises:
        PictureError: there is no such file.
    """
    root = Path(folder)
    stem = f"{picture.stem}x{scale}"
    for suffix in (picture.suffix, *PICTURE_SUFFIXES):
        candidate = root / f"{stem}{suffix}"
        if candidate.is_file():
            return candidate
    raise PictureError(
        f"{root} has no {stem}{picture.suffix}, the reduced picture for {picture}. Give the folder "
        f"of the pictures reduced by {scale}, or leave out --lr to make them."
    )


def dataset_name(folder: str | os.PathLike[str]) -> str | None:
    """Return the name of the catalogue's data set that a folder is named after, or None.

    For example, ``testsets/Set5/HR`` is Set5, and ``classic5`` is Classic5.
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
