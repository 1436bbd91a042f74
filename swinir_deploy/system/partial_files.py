"""Name the files that are being written, and remove those whose process has ended.

A partial file lies beside its target, because only there can it be renamed onto it. Its name is
short, so that a target may use all 255 bytes that file systems allow, and says who writes it:
``.swinir-HOST-PID-RANDOM.partial.png``. HOST stands for the machine since it was started, and for
the container, so that PID means one process.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import platform
import re
import secrets
import threading
import time
from collections.abc import Iterator
from pathlib import Path

__all__ = ["partial_file", "remove_own_partial_files", "remove_stale_partial_files"]

_NAME = re.compile(r"\.swinir-(?P<host>[0-9a-f]{8})-(?P<pid>\d+)-[0-9a-f]{8}\.partial(\.\w+)?")

_LONGEST_SUFFIX = 16
"""A longer suffix is none that a writer would look at, and may be as long as the whole name."""

_ABANDONED_S = 7 * 24 * 3600.0
"""Seconds since the last change after which a file of another machine counts as abandoned. Whether
its process still runs cannot be asked there."""

_lock = threading.Lock()
_own: set[Path] = set()
_swept: set[Path] = set()


@contextlib.contextmanager
def partial_file(target: Path) -> Iterator[Path]:
    """Yield the path of a new partial file for ``target``, and remove it at the end if it exists.

    The path keeps the suffix, because some writers (Pillow, onnx) look at it.
    """
    suffix = target.suffix if len(os.fsencode(target.suffix)) <= _LONGEST_SUFFIX else ""
    name = f".swinir-{_host()}-{os.getpid()}-{secrets.token_hex(4)}.partial{suffix}"
    partial = target.with_name(name)
    with _lock:
        _own.add(partial)
    try:
        yield partial
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()
        with _lock:
            _own.discard(partial)


def remove_own_partial_files() -> None:
    """Remove everything that this process is writing; call it when the process ends at once."""
    # The lock may be held by a thread that goes on no more.
    for partial in _own.copy():
        with contextlib.suppress(OSError):
            partial.unlink()


def remove_stale_partial_files(folder: Path, *, again: bool = False) -> None:
    """Remove partial files of processes that have ended without doing so, such as by SIGKILL.

    A file of a process that still runs is never removed, nor is one of another machine or
    container that was changed within the last week.

    Args:
        folder: the folder to look through. Errors are passed over.
        again: look also if this process did so before.
    """
    with _lock:
        if folder in _swept and not again:
            return
        _swept.add(folder)
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            match = _NAME.fullmatch(entry.name)
            if match is None:
                continue
            with contextlib.suppress(OSError):
                if match["host"] == _host():
                    is_stale = not _is_running(int(match["pid"]))
                else:
                    is_stale = time.time() - entry.stat().st_mtime > _ABANDONED_S
                if is_stale:
                    os.unlink(entry.path)  # noqa: PTH108 - an entry of scandir


@functools.cache
def _host() -> str:
    """Return 8 hexadecimal digits for this machine, its last start and this container."""
    words = [platform.node()]
    with contextlib.suppress(OSError):  # Linux only
        words.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii"))
        words.append(os.readlink("/proc/self/ns/pid"))  # noqa: PTH115 - no path but a name
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:8]


def _is_running(pid: int) -> bool:
    if os.name == "nt":  # os.kill would end the process there; the file stays
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # it belongs to somebody else
        return True
    return True
