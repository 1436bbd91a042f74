"""The folder that keeps downloads and engines."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["CACHE_VARIABLE", "cache_folder"]

CACHE_VARIABLE = "SWINIR_DEPLOY_CACHE"
"""Environment variable that names another cache folder."""


def cache_folder(cache_dir: str | os.PathLike[str] | None = None) -> Path:
    """Where downloaded checkpoints lie.

    The first of: ``cache_dir``, the variable ``SWINIR_DEPLOY_CACHE``, the platform's cache
    folder for this program. It need not exist yet.
    """
    chosen = cache_dir or os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("swinir-deploy", appauthor=False))
