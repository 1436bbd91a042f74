"""A lock between processes and threads that is tied to a file."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import IO

__all__ = ["file_lock"]

_POLL_S = 0.1

if sys.platform == "win32":
    import msvcrt

    def _try_lock(handle: IO[bytes]) -> bool:
        try:
            msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _try_lock(handle: IO[bytes]) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


@contextlib.contextmanager
def file_lock(
    path: str | os.PathLike[str], on_wait: Callable[[], None] | None = None
) -> Iterator[None]:
    """Hold the lock ``path`` for the time of the block; wait while another one holds it.

    The system releases the lock when its process dies, so a crash blocks nobody. The (empty) file
    stays: removing it would let two waiters lock two different files.

    Args:
        path: of the lock file, made when it does not exist.
        on_wait: called once if the lock is not free at once.

    Raises:
        OSError: the file cannot be made.
    """
    with open(path, "ab") as handle:
        if not _try_lock(handle):
            if on_wait is not None:
                on_wait()
            while not _try_lock(handle):
                time.sleep(_POLL_S)
        yield
