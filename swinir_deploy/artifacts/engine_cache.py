"""The cache of built engines. The key of an entry covers everything that decides its contents.

An entry is a plan and its sidecar, ``KEY.engine`` and ``KEY.engine.json``. Both are written under
another name and then renamed. There is one lock for each key, so that two processes that need the
same engine build it once. When the folder grows past its limit, the least recently used entries
are removed.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swinir_deploy.artifacts.engine import (
    ENGINE_SUFFIX,
    EngineMetadata,
    read_engine_metadata,
    sidecar_path,
    write_engine,
)
from swinir_deploy.errors import ArtifactError, InputError, SwinIRDeployError, UsageError
from swinir_deploy.system.cache_folder import CACHE_VARIABLE, cache_folder
from swinir_deploy.system.files import atomic_output, file_lock
from swinir_deploy.system.partial_files import remove_stale_partial_files

__all__ = ["LIMIT_VARIABLE", "CacheEntry", "EngineCache"]

LIMIT_VARIABLE = "SWINIR_DEPLOY_ENGINE_CACHE_GB"
"""Environment variable: the maximum size of the cache in gigabytes; 0 keeps nothing."""

_DEFAULT_LIMIT_GB = 10.0

_READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CacheEntry:
    """One engine in the cache.

    Attributes:
        key: SHA-256 as 64 hexadecimal digits (:meth:`EngineMetadata.cache_key`).
        path: path of the plan.
        size_bytes: size of plan and sidecar together, in bytes.
        used_at: time of the last build or use, in seconds since the epoch.
        metadata: the description of the engine; None if the entry is damaged.
    """

    key: str
    path: Path
    size_bytes: int
    used_at: float
    metadata: EngineMetadata | None


class EngineCache:
    """A cache of engines in one folder.

    Example:
        >>> import tempfile
        >>> from swinir_deploy import EngineCache
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     EngineCache(folder).entries()
        []
    """

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
        self.folder = Path(folder) if folder is not None else cache_folder() / "engines"
        self.limit_bytes = _limit_from_environment() if limit_bytes is None else limit_bytes

    def get(self, key: str) -> Path | None:
        """Return the path of the plan with this key and mark it as used; None if none is valid."""
        path = self._path(key)
        try:
            read_engine_metadata(path, check_hash=True)
        except (SwinIRDeployError, OSError):  # OSError: another process removed it
            return None
        with contextlib.suppress(OSError):  # a read-only cache can still be used
            os.utime(path)
        return path

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

    @contextlib.contextmanager
    def lock(self, key: str, on_wait: Callable[[], None] | None = None) -> Iterator[None]:
        """Hold the lock of a key during the block, so that an engine is built only once.

        A read-only cache, or one that may not be made, needs no lock, because nothing can be kept
        in it.

        Args:
            key: the key to lock.
            on_wait: called once if another process holds the lock.

        Raises:
            InputError: the folder cannot be created or used.
        """
        locks = self.folder / "locks"
        with contextlib.ExitStack() as held:
            try:
                locks.mkdir(parents=True, exist_ok=True)
                held.enter_context(file_lock(locks / f"{key}.lock", on_wait))
            except OSError as error:
                if error.errno not in _READ_ONLY:
                    raise InputError(
                        f"Cannot use the engine cache {self.folder}: {error.strerror}. Set "
                        f"{CACHE_VARIABLE} to a folder that may be written to, or give --no-cache."
                    ) from error
                _log.info("The engine cache %s is read-only.", self.folder)
            yield

    def entries(self) -> list[CacheEntry]:
        """Return all engines, the most recently used one first."""
        entries = []
        for path in self.folder.glob(f"*{ENGINE_SUFFIX}"):
            if path.name.startswith("."):
                continue
            with contextlib.suppress(OSError):  # another process removed it
                try:
                    metadata = read_engine_metadata(path)
                except SwinIRDeployError:
                    metadata = None
                status, sidecar = path.stat(), sidecar_path(path)
                size = status.st_size + (sidecar.stat().st_size if sidecar.exists() else 0)
                entries.append(CacheEntry(path.stem, path, size, status.st_mtime, metadata))
        return sorted(entries, key=lambda entry: -entry.used_at)

    def remove(self, beginning: str = "") -> list[CacheEntry]:
        """Remove engines and return the removed entries.

        Args:
            beginning: first characters of the keys to remove; empty removes all engines and the
                timing caches.

        Raises:
            UsageError: no key begins with these characters.
        """
        selected = [entry for entry in self.entries() if entry.key.startswith(beginning)]
        if beginning and not selected:
            raise UsageError(
                f"No engine in {self.folder} has a key that begins with {beginning!r}. "
                "List all with 'swinir-deploy cache ls'."
            )
        for entry in selected:
            self._remove(entry.path)
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

    # ------------------------------------------------------------------------------- private

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}{ENGINE_SUFFIX}"

    def _timing_path(self, key: str) -> Path:
        return self.folder / "timing" / f"{key}.timing"

    def _timing_caches(self) -> Iterator[Path]:
        return (self.folder / "timing").glob("*.timing")

    def _shrink(self, keep: str) -> None:
        """Remove the least recently used entries until the rest fits, and old partial files."""
        total = 0
        for entry in self.entries():
            total += entry.size_bytes
            if total > self.limit_bytes and entry.key != keep:
                total -= entry.size_bytes
                self._remove(entry.path)
        remove_stale_partial_files(self.folder, again=True)

    @staticmethod
    def _remove(path: Path) -> None:
        sidecar_path(path).unlink(missing_ok=True)
        path.unlink(missing_ok=True)


def _limit_from_environment() -> int:
    text = os.environ.get(LIMIT_VARIABLE, "")
    try:
        gigabytes = float(text) if text.strip() else _DEFAULT_LIMIT_GB
        if not 0 <= gigabytes < 1e9:
            raise ValueError
    except ValueError as error:
        raise UsageError(
            f"{LIMIT_VARIABLE} is {text!r}; it must be a number of gigabytes. Set it to a number "
            "such as 10."
        ) from error
    return int(gigabytes * 1e9)
