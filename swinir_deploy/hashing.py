"""The SHA-256 of files: of one, read in pieces, and of an ONNX model with its external data."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

__all__ = ["sha256_of", "sha256_of_onnx"]

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


def sha256_of_onnx(content: bytes, model: onnx.ModelProto, folder: Path) -> str:
    """SHA-256 over an ONNX file and the external data that it names, as lower-case hex.

    Without external data it is that of the file.

    Args:
        content: of the file.
        model: the same, parsed without its external data.
        folder: of the file; the external data is named from there.

    Raises:
        OSError: external data cannot be read; ``filename`` says which.
    """
    own = hashlib.sha256(content).hexdigest()
    locations = sorted(
        {
            entry.value
            for tensor in model.graph.initializer
            for entry in tensor.external_data
            if entry.key == "location"
        }
    )
    if not locations:
        return own
    digest = hashlib.sha256(own.encode())
    for location in locations:
        digest.update(sha256_of(folder / location).encode())
    return digest.hexdigest()
