"""Engines that were built once, kept under the key of everything that decides what they hold.

An entry is a plan and its sidecar, ``KEY.engine`` and ``KEY.engine.json``; both appear by renames.
One lock a key lets two processes that want the same engine build it once. When the folder grows
past its limit, the entries that were not used for the longest time go.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import time
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

__all__ = ["LIMIT_VARIABLE", "CacheEntry", "EngineCache"]

LIMIT_VARIABLE = "SWINIR_DEPLOY_ENGINE_CACHE_GB"
"""Environment variable with the largest size of the cache in gigabytes; 0 keeps nothing."""

_DEFAULT_LIMIT_GB = 10.0

_STALE_S = 24 * 3600.0
"""Age of a half-written file that no living process can still be writing."""

_READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CacheEntry:
    """One engine in the cache.

    Attributes:
        key: SHA-256 as hex.
        path: of the plan.
        size_bytes: of plan and sidecar.
        used_at: when it was last built or given out, in seconds since the epoch.
        metadata: None if the entry is damaged.
    """

    key: str
    path: Path
    size_bytes: int
    used_at: float
    metadata: EngineMetadata | None


class EngineCache:
    """The engines in one folder."""

    def __init__(
        self, folder: str | os.PathLike[str] | None = None, limit_bytes: int | None = None
    ) -> None:
        """Nothing is made or read yet.

        Args:
            folder: by default ``engines`` in the program's cache folder.
            limit_bytes: by default :data:`_DEFAULT_LIMIT_GB`, or what :data:`LIMIT_VARIABLE` says.

        Raises:
            UsageError: the variable is not a number.
        """
        self.folder = Path(folder) if folder is not None else cache_folder() / "engines"
        self.limit_bytes = _limit_from_environment() if limit_bytes is None else limit_bytes

    def get(self, key: str) -> Path | None:
        """The plan with this key, marked as used now; None if there is none that is whole."""
        path = self._path(key)
        try:
            read_engine_metadata(path, check_hash=True)
        except (SwinIRDeployError, OSError):  # OSError: another process removes it meanwhile
            return None
        with contextlib.suppress(OSError):  # a cache that is read-only can still be used
            os.utime(path)
        return path

    def load(self, key: str) -> tuple[bytes, EngineMetadata] | None:
        """Plan and metadata with this key, marked as used now; None without a whole engine."""
        path = self.get(key)
        if path is None:
            return None
        try:
            return path.read_bytes(), read_engine_metadata(path)
        except (ArtifactError, OSError):  # removed by another process meanwhile
            return None

    def put(self, key: str, plan: Any, metadata: EngineMetadata) -> None:
        """Keep an engine, and let others go where the limit asks for it.

        An engine larger than the limit is not kept, and a cache that cannot be written is left
        alone: the build itself has succeeded.
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
        """Hold the key for the time of the block, so that an engine is built once.

        A cache that may only be read is used without a lock: nothing can be kept in it.

        Raises:
            InputError: the folder cannot be made or used.
        """
        locks = self.folder / "locks"
        with contextlib.ExitStack() as held:
            try:
                locks.mkdir(parents=True, exist_ok=True)
                held.enter_context(file_lock(locks / f"{key}.lock", on_wait))
            except OSError as error:
                if error.errno not in _READ_ONLY or not self.folder.is_dir():
                    raise InputError(
                        f"Cannot use the engine cache {self.folder}: {error.strerror}. Set "
                        f"{CACHE_VARIABLE} to a folder that may be written to, or give --no-cache."
                    ) from error
                _log.info("The engine cache %s may only be read.", self.folder)
            yield

    def entries(self) -> list[CacheEntry]:
        """All engines, the one used last first."""
        found = []
        for path in self.folder.glob(f"*{ENGINE_SUFFIX}"):
            if path.name.startswith("."):
                continue
            with contextlib.suppress(OSError):  # removed by another process meanwhile
                try:
                    metadata = read_engine_metadata(path)
                except SwinIRDeployError:
                    metadata = None
                status, sidecar = path.stat(), sidecar_path(path)
                size = status.st_size + (sidecar.stat().st_size if sidecar.exists() else 0)
                found.append(CacheEntry(path.stem, path, size, status.st_mtime, metadata))
        return sorted(found, key=lambda entry: -entry.used_at)

    def remove(self, beginning: str = "") -> list[CacheEntry]:
        """Remove the engines whose key begins so (all, if empty); gives what was removed.

        Raises:
            UsageError: no key begins so.
        """
        chosen = [entry for entry in self.entries() if entry.key.startswith(beginning)]
        if beginning and not chosen:
            raise UsageError(
                f"No engine in {self.folder} has a key that begins with {beginning!r}. "
                "'swinir-deploy cache ls' lists all."
            )
        for entry in chosen:
            self._remove(entry.path)
        if not beginning:
            for path in self._timing_caches():
                path.unlink(missing_ok=True)
        return chosen

    # ------------------------------------------------------------------------- timing caches

    def timing(self, key: str) -> bytes:
        """What earlier builds measured under this key; empty if there is nothing."""
        try:
            return self._timing_path(key).read_bytes()
        except OSError:
            return b""

    def put_timing(self, key: str, content: bytes) -> None:
        """Keep what a build measured; a cache that cannot be written is left alone."""
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
        """Remove the longest unused until the rest fits; and what a crash left half written."""
        total = 0
        for entry in self.entries():
            total += entry.size_bytes
            if total > self.limit_bytes and entry.key != keep:
                total -= entry.size_bytes
                self._remove(entry.path)
        for path in self.folder.glob(".*.partial*"):
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > _STALE_S:
                    path.unlink()

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
            f"{LIMIT_VARIABLE} is {text!r}; it must be a number of gigabytes, such as 10."
        ) from error
    return int(gigabytes * 1e9)
