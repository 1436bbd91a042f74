"""Files that are whole or not there, and the SHA-256 of a file."""

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
    """Return the path, if a file can have that name; asked early, it saves computing for nothing.

    Args:
        path: the file to write.
        error: the class of the error to raise.

    Raises:
        InputError: its folder does not exist or may not be written to, or it is a folder or a
            device.
    """
    target = Path(path)
    if target.is_dir():
        raise error(f"Cannot write {target}: it is a folder. Give a file name.")
    if target.exists() and not target.is_file():
        # A rename would put a plain file in the place of /dev/null.
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
    """Of a new file. Reading the umask means setting it: done once, before there are threads."""
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask


_DEFAULT_MODE = _default_mode()


@contextlib.contextmanager
def atomic_output(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside ``path``; rename it onto ``path`` when the block succeeds.

    The temporary name keeps the suffix, so that writers which look at it (Pillow, onnx) work.
    The data is flushed to disk before the rename, so a crash leaves the old file or the new one.

    Raises:
        InputError: the folder does not exist or cannot be written, the disk is full, or the path
            is a folder or a device.
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
    """Permissions of the file that is replaced, else what a plain open() would give.

    Some writers (safetensors) make files that nobody else may read.
    """
    return stat.S_IMODE(target.stat().st_mode) if target.exists() else _DEFAULT_MODE


_PIECE_BYTES = 1 << 20


def sha256_of(path: str | os.PathLike[str]) -> str:
    """SHA-256 of the whole file as lower-case hex.

    Raises:
        OSError: the file cannot be read; the caller knows what to say about it.
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
    """Hold a lock between processes and threads for the time of the block; wait until it is free.

    The system releases the lock when its process dies, so a crash blocks nobody.

    Args:
        path: of the lock file, made where it does not exist; nothing else may use it.
        on_wait: called once if the lock is not free at once.

    Raises:
        OSError: the file cannot be made.
    """
    from filelock import FileLock, Timeout  # 50 ms, and only those need it who write

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
