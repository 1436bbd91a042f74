"""What the caches of engines and of exports share: locks, a limit of size, and removal.

An entry is a file and its sidecar, ``KEY.suffix`` and ``KEY.suffix.json``. Both are written under
another name and then renamed. There is one lock for each key, so that two processes that need the
same file make it once. When the folder grows past its limit, the least recently used entries are
removed.
"""

from __future__ import annotations

import abc
import contextlib
import errno
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from swinir_deploy.errors import InputError, SwinIRDeployError, UsageError
from swinir_deploy.system.cache_folder import CACHE_VARIABLE, is_no_folder
from swinir_deploy.system.files import file_lock
from swinir_deploy.system.partial_files import remove_stale_partial_files

__all__ = ["KeptFile", "KeptFiles", "limit_from_environment"]

_READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)

_log = logging.getLogger(__name__)

RecordT = TypeVar("RecordT")


@dataclass(frozen=True)
class KeptFile(Generic[RecordT]):
    """One file in a cache.

    Attributes:
        key: SHA-256 as 64 hexadecimal digits, of everything that decides the contents.
        path: path of the file.
        size_bytes: size of the file and its sidecar together, in bytes.
        used_at: time when it was last made or used, in seconds since the epoch.
        metadata: the contents of the sidecar; None if the entry is damaged.
    """

    key: str
    path: Path
    size_bytes: int
    used_at: float
    metadata: RecordT | None


class KeptFiles(abc.ABC, Generic[RecordT]):
    """A cache of files in one folder.

    Attributes:
        folder: the folder, which need not exist yet.
        limit_bytes: maximum size of all entries in bytes.
    """

    suffix: ClassVar[str]
    what: ClassVar[str]
    """One entry in words, for messages: ``engine``."""
    entry_kind: ClassVar[Any] = KeptFile
    """The class of the entries."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self.folder, self.limit_bytes = folder, limit_bytes

    @abc.abstractmethod
    def _read(self, path: Path, check_hash: bool = False) -> RecordT:
        """Read the sidecar of a file, and check the file against it.

        Raises:
            SwinIRDeployError: one of them is missing or damaged.
        """

    def get(self, key: str) -> Path | None:
        """Return the path of the file with this key and mark it as used; None if none is valid."""
        path = self._path(key)
        try:
            self._read(path, check_hash=True)
        except (SwinIRDeployError, OSError):  # OSError: another process removed it
            return None
        with contextlib.suppress(OSError):  # a read-only cache can still be used
            os.utime(path)
        return path

    @contextlib.contextmanager
    def lock(self, key: str, on_wait: Callable[[], None] | None = None) -> Iterator[None]:
        """Hold the lock of a key during the block, so that a file is made only once.

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
                if error.errno not in _READ_ONLY and not is_no_folder(self.folder):
                    raise InputError(
                        f"Cannot use the {self.what} cache {self.folder}: {error.strerror}. Set "
                        f"{CACHE_VARIABLE} to a folder that may be written to{self._way_out}."
                    ) from error
                _log.info("The %s cache %s cannot be written.", self.what, self.folder)
            yield

    _way_out: ClassVar[str] = ""
    """What else helps where the folder cannot be used: the end of a sentence."""

    def entries(self) -> list[Any]:
        """Return all entries as :class:`KeptFile`, the most recently used one first."""
        entries = []
        for path in self.folder.glob(f"*{self.suffix}"):
            if path.name.startswith("."):
                continue
            with contextlib.suppress(OSError):  # another process removed it
                try:
                    metadata: RecordT | None = self._read(path)
                except SwinIRDeployError:
                    metadata = None
                status, sidecar = path.stat(), _sidecar(path)
                size = status.st_size + (sidecar.stat().st_size if sidecar.exists() else 0)
                used_at = status.st_mtime
                entries.append(self.entry_kind(path.stem, path, size, used_at, metadata))
        return sorted(entries, key=lambda entry: -entry.used_at)

    def remove(self, beginning: str = "") -> list[Any]:
        """Remove entries and return them.

        Args:
            beginning: first characters of the keys to remove; empty removes all.

        Raises:
            UsageError: no key begins with these characters.
        """
        selected = [entry for entry in self.entries() if entry.key.startswith(beginning)]
        if beginning and not selected:
            raise UsageError(
                f"No {self.what} in {self.folder} has a key that begins with {beginning!r}. "
                "List all with 'swinir-deploy cache ls'."
            )
        for entry in selected:
            self._remove(entry.path)
        return selected

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}{self.suffix}"

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
        _sidecar(path).unlink(missing_ok=True)
        path.unlink(missing_ok=True)


def _sidecar(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def limit_from_environment(variable: str, default_gb: float) -> int:
    """Return the number of bytes that an environment variable gives in gigabytes.

    Raises:
        UsageError: its value is not a number.
    """
    text = os.environ.get(variable, "")
    try:
        gigabytes = float(text) if text.strip() else default_gb
        if not 0 <= gigabytes < 1e9:
            raise ValueError
    except ValueError as error:
        raise UsageError(
            f"{variable} is {text!r}; it must be a number of gigabytes. Set it to a number "
            "such as 10."
        ) from error
    return int(gigabytes * 1e9)
