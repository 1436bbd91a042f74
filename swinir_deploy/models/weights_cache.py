"""Checkpoints on this machine: the built-in ones, the cache, and checked downloads into it.

A file under its final name is whole and has the right hash. While it is on its way it is called
``NAME.partial``, with ``NAME.partial.json`` beside it, so that a later call can go on from there.
Where nobody published a hash, ``NAME.seen.json`` records the first one that was seen.
"""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path
from typing import NamedTuple

from swinir_deploy.errors import CheckpointError, DownloadError
from swinir_deploy.models.catalog import ModelCard
from swinir_deploy.models.download import Transfer, read_json, write_json
from swinir_deploy.system.cache_folder import CACHE_VARIABLE, cache_folder
from swinir_deploy.system.files import file_lock, sha256_of

__all__ = ["LocalFile", "ensure_local", "local_file"]

_log = logging.getLogger(__name__)


class LocalFile(NamedTuple):
    """A checkpoint on this machine, and its SHA-256 where it was computed just now."""

    path: Path
    sha256: str | None = None


def ensure_local(
    card: ModelCard,
    cache_dir: str | os.PathLike[str] | None = None,
    progress: bool = True,
    offline: bool = False,
) -> Path:
    """The model's checkpoint as a local file, downloaded when it is not there yet.

    The file is checked on every call: size and SHA-256 of the catalogue, or the hash seen the
    first time where none was published. Calls at the same time, also of other processes, wait
    for each other.

    Args:
        card: from the catalogue.
        cache_dir: see :func:`cache_folder`.
        progress: show a bar on stderr, if that is a terminal.
        offline: never use the network.

    Returns:
        Path of a complete file. Treat it as read-only.

    Raises:
        DownloadError: it cannot be had; the message says what to do, and how to place the file
            by hand. A good file in the cache is never touched.
        CheckpointError: a built-in file is missing from the installation.
    """
    return local_file(card, cache_dir, progress, offline).path


def local_file(
    card: ModelCard,
    cache_dir: str | os.PathLike[str] | None = None,
    progress: bool = True,
    offline: bool = False,
) -> LocalFile:
    """Return what :func:`ensure_local` does, with the hash that it computed for its check."""
    if card.builtin:
        path = Path(__file__).with_name("weights") / card.file
        if not path.is_file():
            raise CheckpointError(
                f"The built-in model {card.id} should be at {path} and is not. "
                "Install swinir-deploy again."
            )
        return LocalFile(path)
    target = cache_folder(cache_dir) / card.file
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


def _download(card: ModelCard, target: Path, progress: bool) -> LocalFile:
    """Under the lock: look again, set a bad file aside, fetch, check, rename."""
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
            f"What {card.url} sent for {card.id} is {problem}. It was thrown away. Try again; "
            f"if it stays like this, do not trust the source. {_by_hand(card, target)}"
        )
    with open(transfer.partial, "rb+") as handle:
        os.fsync(handle.fileno())
    transfer.partial.replace(target)
    transfer.discard()
    return LocalFile(target, digest)


def _check(card: ModelCard, path: Path) -> tuple[str | None, str]:
    """What is wrong with a finished file, or None; and its hash, computed once.

    Notes the hash where none was published.
    """
    found_bytes = path.stat().st_size
    if card.size_bytes is not None and found_bytes != card.size_bytes:
        return (
            f"of the wrong size ({found_bytes:,} bytes; published are {card.size_bytes:,})",
            "",
        )
    digest = sha256_of(path)
    return _wrong_hash(card, path, digest, found_bytes), digest


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
        with contextlib.suppress(OSError):  # A cache that is read-only can still be used.
            values = {"sha256": digest, "size_bytes": size_bytes, "url": card.url}
            write_json(record, values)
        return None
    if digest == seen:
        return None
    return (
        f"another file than the first time (its SHA-256 is {digest}; {record} recorded {seen}; "
        "remove that record if the change is right)"
    )


def _by_hand(card: ModelCard, target: Path) -> str:
    digest = f" (SHA-256 {card.sha256})" if card.sha256 else ""
    return f"Or get {card.url}{digest} by other means and place it at {target}."


def _say_waiting(card: ModelCard) -> None:
    _log.warning("Another download of %s is running; waiting for it.", card.file)
