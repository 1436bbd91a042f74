"""Write files so that they are complete or absent, on every file system; hash and lock files."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from swinir_deploy.errors import InputError
from swinir_deploy.system.partial_files import partial_file, remove_stale_partial_files

__all__ = ["atomic_output", "check_output", "file_lock", "sha256_of"]

_log = logging.getLogger(__name__)

_NOT_SUPPORTED = {
    errno.EACCES,
    errno.EINVAL,
    errno.ENOSYS,
    errno.ENOTSUP,
    errno.ENOTTY,
    errno.EOPNOTSUPP,
    errno.EPERM,
}
"""How file systems (CIFS, FAT, FUSE, mounts of object stores) say that they cannot flush."""

_NO_RENAME = {errno.EBUSY, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM, errno.EXDEV}
"""How they say that they cannot rename, and EBUSY for a file that is a mount point itself."""

_NO_LOCKS = {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL}
"""What file systems answer that have no locks (some network and FUSE mounts)."""


def check_output(path: str | os.PathLike[str], error: type[InputError] = InputError) -> Path:
    """Return the path if a file can be written there.

    Call it before a long computation, so that a wrong path is found at once.

    Args:
        path: the file to write. A link is followed: the file that it names is written.
        error: the class of the error to raise.

    Raises:
        InputError: the folder of ``path`` does not exist or is not writable, or ``path`` is a
            folder or a device.
    """
    target = Path(path)
    try:
        if target.is_dir():
            raise error(f"Cannot write {target}: it is a folder. Give a file name.")
        if target.exists() and not target.is_file():
            # Renaming a partial file onto /dev/null would replace the device by a plain file.
            raise error(f"Cannot write {target}: it is a device or a pipe. Give a file name.")
        place = _followed(target)
        if place.is_symlink():
            raise error(f"Cannot write {target}: it is a link in a circle. Give another name.")
        folder = place.parent
        if not folder.is_dir():
            raise error(
                f"Cannot write {target}: there is no folder {folder}. Make it first (mkdir -p "
                f"{folder}), or give another path."
            )
    except OSError as problem:  # such as a name that is too long
        raise error(
            f"Cannot write {target}: {problem.strerror or problem}. Give another name."
        ) from problem
    if not os.access(folder, os.W_OK):
        raise error(
            f"Cannot write {target}: the folder {folder} may not be written to. Give another "
            "one, or change its permissions."
        )
    return target


def _followed(path: str | os.PathLike[str]) -> Path:
    """Return the path of the file that is written for a path: where a link leads, else itself."""
    target = Path(path)
    return Path(os.path.realpath(target)) if target.is_symlink() else target


def _default_mode() -> int:
    """Return the permissions of a new file.

    The umask can only be read by setting it, which affects all threads. So this is called once,
    at import, before there are threads.
    """
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask


_DEFAULT_MODE = _default_mode()


@contextlib.contextmanager
def atomic_output(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a partial file beside ``path``, and rename it onto ``path`` if the block succeeds.

    The data is flushed to disk before the rename, so a crash leaves the old file or the new one.
    If ``path`` is a link, it stays one, and the file that it names is written. Permissions are set
    and data flushed where the file system can do so. Where it cannot rename, the finished file is
    copied into place.

    What other processes left half written in the same folder when they were killed is removed.

    Raises:
        InputError: the folder does not exist or is not writable, the disk is full, or the path is
            a folder or a device.
    """
    target = check_output(path)
    place = _followed(target)
    remove_stale_partial_files(place.parent)
    try:
        with partial_file(place) as partial:
            yield partial
            _flush(partial)
            _set_mode(partial, place)
            _move(partial, place)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(
            f"Cannot write {target}: {reason}. Give a path in a folder that exists, "
            "may be written to and has room."
        ) from error


def _flush(path: Path) -> None:
    # Windows flushes only files that are open for writing; some mounts open no file for both.
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NOT_SUPPORTED:
            raise  # the disk is full or broken
    finally:
        os.close(handle)


def _set_mode(partial: Path, target: Path) -> None:
    """Give the new file the permissions of the one that it replaces, or those of a new file.

    They are set explicitly because some writers (safetensors) make files that only their owner may
    read.
    """
    mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else _DEFAULT_MODE
    with contextlib.suppress(OSError):
        if stat.S_IMODE(partial.stat().st_mode) != mode:
            partial.chmod(mode)


def _move(partial: Path, target: Path) -> None:
    try:
        partial.replace(target)
    except OSError as error:
        if error.errno not in _NO_RENAME:
            raise
        _copy_into_place(partial, target)


def _copy_into_place(partial: Path, target: Path) -> None:
    """Copy the finished file onto its target; remove a new target that fails."""
    is_new = not target.exists()
    try:
        shutil.copyfile(partial, target)
        _flush(target)
    except OSError:
        if is_new:
            target.unlink(missing_ok=True)
        raise


_PIECE_BYTES = 1 << 20


def sha256_of(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of the whole file as lower-case hex.

    Raises:
        OSError: the file cannot be read. The caller turns it into a message.
    """
    digest = hashlib.sha256()
    with open(path, "rb") as handle:
        while piece := handle.read(_PIECE_BYTES):
            digest.update(piece)
    return digest.hexdigest()


@contextlib.contextmanager
def file_lock(
    path: str | os.PathLike[str], on_wait: Callable[[], None] | None = None
) -> Iterator[None]:
    """Hold a lock between processes and threads during the block; wait until it is free.

    The system releases the lock when its process ends, so a crash does not block others. On a file
    system without locks, the block runs without one: what it guards is renamed into place, so
    that two processes at most do the same work twice.

    Args:
        path: the lock file. It is created if it is missing; nothing else may use it.
        on_wait: called once if another process or thread holds the lock.

    Raises:
        OSError: the lock file cannot be created.
    """
    from filelock import FileLock, Timeout  # takes 50 ms to import, and only writers need it

    lock = FileLock(path)
    try:
        try:
            lock.acquire(blocking=False)
        except Timeout:
            if on_wait is not None:
                on_wait()
            lock.acquire()
    except NotImplementedError:  # filelock's word for a system without locks
        _log.info("%s: no locks here; going on without.", path)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        _log.info("%s: no locks here (%s); going on without.", path, error.strerror)
    try:
        yield
    finally:
        lock.release()
