"""The folder that keeps downloads and engines."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["CACHE_VARIABLE", "cache_folder", "is_no_folder"]

CACHE_VARIABLE = "SWINIR_DEPLOY_CACHE"
"""The environment variable that names another cache folder."""

_NO_HOME = Path(os.devnull)
"""Nothing can be made below it, so that whoever needs the cache says so."""


def cache_folder(cache_dir: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder that keeps downloaded checkpoints, which need not exist yet.

    It is the first of these that is set: ``cache_dir``, the environment variable
    ``SWINIR_DEPLOY_CACHE``, the platform's cache folder for this program. For a user without a home
    folder, it is a folder that cannot be made.
    """
    selected = cache_dir or os.environ.get(CACHE_VARIABLE)
    if selected:
        return Path(selected).expanduser()
    import platformdirs

    folder = Path(platformdirs.user_cache_dir("swinir-deploy", appauthor=False))
    # Without a home folder, "~" stays as it is and would become a folder of that name.
    return folder if folder.is_absolute() else _NO_HOME / folder.name


def is_no_folder(folder: Path) -> bool:
    """Return whether a folder lies below that of a user without a home, so that nothing is kept."""
    return _NO_HOME in folder.parents
