"""Write files so that they are complete or absent; hash files; lock files."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from swinir_deploy.errors import InputError

__all__ = ["atomic_output", "check_output", "file_lock", "sha256_of"]


def check_output(path: str | os.PathLike[str], error: type[InputError] = InputError) -> Path:
    """Return the path if a file can be written there.

    Call it before a long computation, so that a wrong path is found at once.

    Args:
        path: the file to write.
        error: the class of the error to raise.

    Raises:
        InputError: the folder of ``path`` does not exist or is not writable, or ``path`` is a
            folder or a device.
    """
    target = Path(path)
    if target.is_dir():
        raise error(f"Cannot write {target}: it is a folder. Give a file name.")
    if target.exists() and not target.is_file():
        # Renaming a temporary file onto /dev/null would replace the device by a plain file.
        raise error(f"Cannot write {target}: it is a device or a pipe. Give a file name.")
    folder = target.parent
    if not folder.is_dir():
        raise error(
            f"Cannot write {target}: there is no folder {folder}. Make it first (mkdir -p "
            f"{folder}), or give another path."
        )
    if not os.access(folder, os.W_OK):
        raise error(
            f"Cannot write {target}: the folder {folder} may not be written to. Give another "
            "one, or change its permissions."
        )
    return target


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
    """Yield a temporary path beside ``path``, and rename it onto ``path`` if the block succeeds.

    The temporary name keeps the suffix, because some writers (Pillow, onnx) look at it. The data
    is flushed to disk before the rename, so a crash leaves the old file or the new one.

    Raises:
        InputError: the folder does not exist or is not writable, the disk is full, or the path is
            a folder or a device.
    """
    target = check_output(path)
    temporary = target.with_name(f".{target.stem}.{secrets.token_hex(4)}.partial{target.suffix}")
    try:
        yield temporary
        with open(temporary, "rb+") as handle:
            os.fsync(handle.fileno())
        temporary.chmod(_mode_for(target))
        temporary.replace(target)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(
            f"Cannot write {target}: {reason}. Give a path in a folder that exists, "
            "may be written to and has room."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _mode_for(target: Path) -> int:
    """Return the permissions of the file that is replaced, or those of a new file.

    They are set explicitly because some writers (safetensors) make files that only their owner may
    read.
    """
    return stat.S_IMODE(target.stat().st_mode) if target.exists() else _DEFAULT_MODE


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

    The system releases the lock when its process ends, so a crash does not block others.

    Args:
        path: the lock file. It is created if it is missing; nothing else may use it.
        on_wait: called once if another process or thread holds the lock.

    Raises:
        OSError: the lock file cannot be created.
    """
    from filelock import FileLock, Timeout  # takes 50 ms to import, and only writers need it

    lock = FileLock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        if on_wait is not None:
            on_wait()
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
