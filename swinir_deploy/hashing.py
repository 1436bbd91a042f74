"""The SHA-256 of a file, read in pieces."""

from __future__ import annotations

import hashlib
import os

__all__ = ["sha256_of"]

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
