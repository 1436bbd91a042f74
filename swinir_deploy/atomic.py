"""Files that are either whole or not there."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from swinir_deploy.errors import InputError

__all__ = ["atomic_output"]


@contextlib.contextmanager
def atomic_output(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside ``path``; rename it onto ``path`` when the block succeeds.

    The temporary name keeps the suffix, so that writers which look at it (Pillow, onnx) work.
    The data is flushed to disk before the rename, so a crash leaves the old file or the new one.

    Raises:
        InputError: the folder does not exist or cannot be written, or the disk is full.
    """
    target = Path(path)
    if target.is_dir():
        raise InputError(f"Cannot write {target}: it is a folder. Give a file name.")
    temporary = target.with_name(f".{target.stem}.{secrets.token_hex(4)}.partial{target.suffix}")
    try:
        yield temporary
        with open(temporary, "rb+") as handle:
            os.fsync(handle.fileno())
        os.replace(temporary, target)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(
            f"Cannot write {target}: {reason}. Give a path in a folder that exists, "
            "may be written to and has room."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
