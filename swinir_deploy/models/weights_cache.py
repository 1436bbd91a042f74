"""Checkpoints on this machine: built-in files, the cache, and checked downloads into it.

A file with its final name is complete and has the right hash. During the download it is called
``NAME.partial``, with ``NAME.partial.json`` beside it, so that a later call can continue it.
Where nobody published a hash, ``NAME.seen.json`` records the hash of the first download.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from swinir_deploy.errors import CheckpointError, DownloadError
from swinir_deploy.models.catalog import ModelCard
from swinir_deploy.models.download import Transfer, read_json, write_json
from swinir_deploy.system.cache_folder import CACHE_VARIABLE, cache_folder
from swinir_deploy.system.files import file_lock, sha256_of

__all__ = ["LocalFile", "builtin_onnx", "downloaded_ids", "ensure_local", "local_file", "place_of"]

_log = logging.getLogger(__name__)


class LocalFile(NamedTuple):
    """A checkpoint on this machine, and its SHA-256 if it was just computed."""

    path: Path
    sha256: str | None = None


def ensure_local(
    card: ModelCard,
    cache_dir: str | os.PathLike[str] | None = None,
    progress: bool = True,
    offline: bool = False,
) -> Path:
    """Return the path of a model's checkpoint, after a download if the cache does not have it.

    Every call checks the file: its size and SHA-256 against the catalogue, or its hash against
    the first download where none was published. Simultaneous calls, also of other processes,
    wait for each other.

    Args:
        card: card of the model.
        cache_dir: folder for downloads; None takes the usual one (:func:`cache_folder`).
        progress: show a progress bar if stderr is a terminal.
        offline: never use the network.

    Returns:
        Path of a complete file. Treat it as read-only.

    Raises:
        DownloadError: the file cannot be downloaded; the message says what to do, and how to
            place the file by hand. A good file in the cache is never touched.
        CheckpointError: a built-in file is missing from the installation.
    """
    return local_file(card, cache_dir, progress, offline).path


def local_file(
    card: ModelCard,
    cache_dir: str | os.PathLike[str] | None = None,
    progress: bool = True,
    offline: bool = False,
) -> LocalFile:
    """Return the path as :func:`ensure_local` does, and the hash that its check computed."""
    target = place_of(card, cache_dir)
    if card.builtin:
        if not target.is_file():
            raise CheckpointError(
                f"The built-in model {card.id} is missing; it should be at {target}. "
                "Install swinir-deploy again."
            )
        return LocalFile(target)
    try:
        problem, digest = _check(card, target) if target.exists() else ("not there", "")
        if problem is None:
            return LocalFile(target, digest)
        if offline:
            raise DownloadError(
                f"{card.id} is needed offline, but {target} is {problem}. {_by_hand(card, target)}"
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        with file_lock(target.with_name(f".{target.name}.lock"), lambda: _say_waiting(card)):
            return _download(card, target, progress)
    except OSError as error:
        raise DownloadError(
            f"Cannot keep {card.file} in {target.parent}: {error.strerror or error}. Free some "
            f"room, or set {CACHE_VARIABLE} to a folder that may be written to."
        ) from error


def place_of(card: ModelCard, cache_dir: str | os.PathLike[str] | None = None) -> Path:
    """Return the path of a model's checkpoint, which need not be downloaded yet."""
    if card.builtin:
        return Path(__file__).with_name("weights") / card.file
    return cache_folder(cache_dir) / card.file


def builtin_onnx(card: ModelCard | None) -> Path | None:
    """Return the exported file of a built-in model that is part of the package; None without one.

    It is the export for ``any`` back end in FP32, with dynamic shapes (tools/export_builtin.py).
    """
    if card is None or not card.builtin:
        return None
    path = Path(__file__).with_name("weights") / f"{card.id}.onnx"
    return path if path.is_file() else None


def downloaded_ids(cards: Iterable[ModelCard]) -> frozenset[str]:
    """Return the ids of the models whose whole file is in the cache folder, without reading it.

    A built-in model is not downloaded. The hash is checked when the file is used.
    """
    folder = cache_folder()
    found = []
    for card in cards:
        with contextlib.suppress(OSError):
            path = folder / card.file
            if card.builtin or not path.is_file():
                continue
            if card.size_bytes is None or path.stat().st_size == card.size_bytes:
                found.append(card.id)
    return frozenset(found)


def _download(card: ModelCard, target: Path, progress: bool) -> LocalFile:
    """Download and check the file while the lock is held; a bad old file is kept as .mismatch."""
    if target.exists():
        problem, digest = _check(card, target)
        if problem is None:
            return LocalFile(target, digest)
        aside = target.with_name(target.name + ".mismatch")
        _log.warning("%s is %s. It is kept as %s; downloading again.", target, problem, aside.name)
        target.replace(aside)
    assert card.url is not None
    transfer = Transfer(
        card.url,
        target,
        size_bytes=card.size_bytes,
        has_checksum=card.sha256 is not None,
        by_hand=_by_hand(card, target),
        progress=progress,
    )
    transfer.run()
    problem, digest = _check(card, transfer.partial)
    if problem is not None:
        transfer.discard()
        raise DownloadError(
            f"The download of {card.id} from {card.url} is {problem}. It was deleted. Try again; "
            f"if this happens again, do not trust the source. {_by_hand(card, target)}"
        )
    with open(transfer.partial, "rb+") as handle:
        os.fsync(handle.fileno())
    transfer.partial.replace(target)
    transfer.discard()
    return LocalFile(target, digest)


def _check(card: ModelCard, path: Path) -> tuple[str | None, str]:
    """Return what is wrong with a complete file, or None, and its hash.

    Where no hash was published, record that of the first download.
    """
    size_bytes = path.stat().st_size
    if card.size_bytes is not None and size_bytes != card.size_bytes:
        return (
            f"of the wrong size ({size_bytes:,} bytes; published are {card.size_bytes:,})",
            "",
        )
    digest = sha256_of(path)
    return _wrong_hash(card, path, digest, size_bytes), digest


def _wrong_hash(card: ModelCard, path: Path, digest: str, size_bytes: int) -> str | None:
    if card.sha256 is not None:
        if digest == card.sha256:
            return None
        return f"damaged or another file (its SHA-256 is {digest}; published is {card.sha256})"
    record = path.with_name(card.file + ".seen.json")
    seen = read_json(record).get("sha256")
    if seen is None:
        _log.warning(
            "%s has no published checksum; recording the one of this file: %s", card.file, digest
        )
        with contextlib.suppress(OSError):  # A read-only cache can still be used.
            values = {"sha256": digest, "size_bytes": size_bytes, "url": card.url}
            write_json(record, values)
        return None
    if digest == seen:
        return None
    return (
        f"another file than the first time (its SHA-256 is {digest}; {record} recorded {seen}; "
        "remove that record if the change is intended)"
    )


def _by_hand(card: ModelCard, target: Path) -> str:
    digest = f" (SHA-256 {card.sha256})" if card.sha256 else ""
    return f"Or download {card.url}{digest} by other means and place it at {target}."


def _say_waiting(card: ModelCard) -> None:
    _log.warning("Another download of %s is running; waiting for it.", card.file)
