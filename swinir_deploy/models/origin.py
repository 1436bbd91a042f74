"""Find the checkpoint that an exported file was made from, so that messages can name its path.

An exported file holds the SHA-256 of its checkpoint, and not the path, which is nobody's business
where the file is sent. So the path is kept on this machine: ``exported-from.json`` in the cache
folder maps the hash to the path of each checkpoint that was exported here.
"""

from __future__ import annotations

import contextlib
import os
import shlex
from pathlib import Path

from swinir_deploy.errors import CatalogError
from swinir_deploy.models.catalog import load_catalog
from swinir_deploy.models.download import read_json, write_json
from swinir_deploy.system.cache_folder import cache_folder
from swinir_deploy.system.files import file_lock, sha256_of

__all__ = ["find_checkpoint", "model_argument", "remember_checkpoint"]

_REMEMBERED = 200
"""Number of checkpoints that are remembered; the oldest are forgotten."""


def remember_checkpoint(path: str | os.PathLike[str], sha256: str) -> None:
    """Keep the path of a checkpoint that was exported. It is no error if that is impossible.

    Args:
        path: path of the checkpoint.
        sha256: SHA-256 of the file in lower-case hex.
    """
    record = _record()
    with contextlib.suppress(OSError):
        record.parent.mkdir(parents=True, exist_ok=True)
        with file_lock(record.with_name(f".{record.name}.lock"), lambda: None):
            known = {key: value for key, value in read_json(record).items() if key != sha256}
            known[sha256] = os.fspath(Path(path).absolute())
            write_json(record, dict(list(known.items())[-_REMEMBERED:]))


def find_checkpoint(sha256: str) -> Path | None:
    """Return the path of the checkpoint with this hash, if it was exported here and is the same.

    Args:
        sha256: SHA-256 of the checkpoint in lower-case hex; empty if it is unknown.
    """
    kept = read_json(_record()).get(sha256) if sha256 else None
    if not isinstance(kept, str):
        return None
    path = Path(kept)
    with contextlib.suppress(OSError):
        if path.is_file() and sha256_of(path) == sha256:
            return path
    return None


def model_argument(model_id: str, sha256: str) -> str:
    """Return what names a file's model on a command line: an id, a path, or ``CHECKPOINT.pth``.

    The last one is for the user to replace. A path has the quotes that a shell needs.

    Args:
        model_id: the id in the file's metadata; empty if they name none.
        sha256: SHA-256 of the checkpoint that the file was exported from; empty if unknown.
    """
    known = load_catalog().by_sha256(sha256) if sha256 else None
    if known is not None:
        return known.id
    path = find_checkpoint(sha256)
    if path is not None:
        return shlex.quote(os.fspath(path))
    with contextlib.suppress(CatalogError):
        card = load_catalog().get(model_id)
        if not sha256 or card.sha256 is None:  # nothing says that it is another file
            return card.id
    return "CHECKPOINT.pth"


def _record() -> Path:
    return cache_folder() / "exported-from.json"
