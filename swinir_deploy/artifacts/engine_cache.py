"""The cache of built engines. The key of an entry covers everything that decides its contents."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swinir_deploy.artifacts.engine import (
    ENGINE_SUFFIX,
    EngineMetadata,
    read_engine_metadata,
    write_engine,
)
from swinir_deploy.artifacts.kept_files import KeptFile, KeptFiles, limit_from_environment
from swinir_deploy.errors import ArtifactError, InputError
from swinir_deploy.system.cache_folder import cache_folder
from swinir_deploy.system.files import atomic_output

__all__ = ["LIMIT_VARIABLE", "CacheEntry", "EngineCache"]

LIMIT_VARIABLE = "SWINIR_DEPLOY_ENGINE_CACHE_GB"
"""Environment variable: the maximum size of the cache in gigabytes; 0 keeps nothing."""

_DEFAULT_LIMIT_GB = 10.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CacheEntry(KeptFile[EngineMetadata]):
    """One engine in the cache.

    Attributes:
        key: SHA-256 as 64 hexadecimal digits (:meth:`EngineMetadata.cache_key`).
        path: path of the plan.
        size_bytes: size of plan and sidecar together, in bytes.
        used_at: time of the last build or use, in seconds since the epoch.
        metadata: the description of the engine; None if the entry is damaged.
    """


class EngineCache(KeptFiles[EngineMetadata]):
    """A cache of engines in one folder.

    Example:
        >>> import tempfile
        >>> from swinir_deploy import EngineCache
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     EngineCache(folder).entries()
        []
    """

    suffix = ENGINE_SUFFIX
    what = "engine"
    entry_kind = CacheEntry
    _way_out = ", or give --no-cache"

    def __init__(
        self, folder: str | os.PathLike[str] | None = None, limit_bytes: int | None = None
    ) -> None:
        """Remember the folder and the limit. This reads and creates nothing.

        Args:
            folder: the folder of the cache; None is ``engines`` in the program's cache folder.
            limit_bytes: maximum size of all entries in bytes; None takes the environment variable
                :data:`LIMIT_VARIABLE`, or 10 GB if it is not set.

        Raises:
            UsageError: the value of the environment variable is not a number.
        """
        super().__init__(
            Path(folder) if folder is not None else cache_folder() / "engines",
            limit_from_environment(LIMIT_VARIABLE, _DEFAULT_LIMIT_GB)
            if limit_bytes is None
            else limit_bytes,
        )

    def _read(self, path: Path, check_hash: bool = False) -> EngineMetadata:
        return read_engine_metadata(path, check_hash=check_hash)

    def load(self, key: str) -> tuple[bytes, EngineMetadata] | None:
        """Return plan and metadata with this key and mark them as used; None if none is valid."""
        path = self.get(key)
        if path is None:
            return None
        try:
            return path.read_bytes(), read_engine_metadata(path)
        except (ArtifactError, OSError):  # another process removed it
            return None

    def put(self, key: str, plan: Any, metadata: EngineMetadata) -> None:
        """Keep an engine, and remove the least recently used ones if the limit is exceeded.

        An engine larger than the limit is not kept. If the cache cannot be written, a warning is
        logged and no exception is raised, because the build itself has succeeded.
        """
        if memoryview(plan).nbytes > self.limit_bytes:
            return
        try:
            write_engine(self._path(key), plan, metadata)
            self._shrink(keep=key)
        except (InputError, OSError) as error:
            _log.warning("The engine is not kept in the cache %s: %s", self.folder, error)

    def remove(self, beginning: str = "") -> list[CacheEntry]:
        """Remove engines, and with an empty ``beginning`` the timing caches, too."""
        selected = super().remove(beginning)
        if not beginning:
            for path in self._timing_caches():
                path.unlink(missing_ok=True)
        return selected

    # ------------------------------------------------------------------------- timing caches

    def timing(self, key: str) -> bytes:
        """Return the timing cache that an earlier build kept; empty if there is none."""
        try:
            return self._timing_path(key).read_bytes()
        except OSError:
            return b""

    def put_timing(self, key: str, content: bytes) -> None:
        """Keep a builder's timing cache. If the folder cannot be written, do nothing."""
        path = self._timing_path(key)
        with contextlib.suppress(InputError, OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_output(path) as temporary:
                temporary.write_bytes(content)

    def _timing_path(self, key: str) -> Path:
        return self.folder / "timing" / f"{key}.timing"

    def _timing_caches(self) -> Iterator[Path]:
        return (self.folder / "timing").glob("*.timing")
