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

from swinir_deploy.errors import CheckpointError, DownloadError
from swinir_deploy.models.catalog import ModelCard
from swinir_deploy.models.download import Transfer, read_json, write_json
from swinir_deploy.system.cache_folder import CACHE_VARIABLE, cache_folder
from swinir_deploy.system.files import sha256_of
from swinir_deploy.system.locking import file_lock

__all__ = ["ensure_local"]

_log = logging.getLogger(__name__)


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
    if card.builtin:
        path = Path(__file__).with_name("weights") / card.file
        if not path.is_file():
            raise CheckpointError(
                f"The built-in model {card.id} should be at {path} and is not. "
                "Install swinir-deploy again."
            )
        return path
    target = cache_folder(cache_dir) / card.file
    try:
        problem = _problem(card, target) if target.exists() else "not there"
        if problem is None:
            return target
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


def _download(card: ModelCard, target: Path, progress: bool) -> Path:
    """Under the lock: look again, set a bad file aside, fetch, check, rename."""
    if target.exists():
        problem = _problem(card, target)
        if problem is None:
            return target
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
    problem = _problem(card, transfer.partial)
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
    return target


def _problem(card: ModelCard, path: Path) -> str | None:
    """What is wrong with a finished file, or None. Notes the hash where none was published."""
    found_bytes = path.stat().st_size
    if card.size_bytes is not None and found_bytes != card.size_bytes:
        return f"of the wrong size ({found_bytes:,} bytes; published are {card.size_bytes:,})"
    found = sha256_of(path)
    if card.sha256 is not None:
        if found == card.sha256:
            return None
        return f"damaged or another file (its SHA-256 is {found}; published is {card.sha256})"
    record = path.with_name(card.file + ".seen.json")
    seen = read_json(record).get("sha256")
    if seen is None:
        _log.warning(
            "%s has no published checksum; recording the one of this file: %s", card.file, found
        )
        with contextlib.suppress(OSError):  # A cache that is read-only can still be used.
            values = {"sha256": found, "size_bytes": found_bytes, "url": card.url}
            write_json(record, values)
        return None
    if found == seen:
        return None
    return (
        f"another file than the first time (its SHA-256 is {found}; {record} recorded {seen}; "
        "remove that record if the change is right)"
    )


def _by_hand(card: ModelCard, target: Path) -> str:
    digest = f" (SHA-256 {card.sha256})" if card.sha256 else ""
    return f"Or get {card.url}{digest} by other means and place it at {target}."


def _say_waiting(card: ModelCard) -> None:
    _log.warning("Another download of %s is running; waiting for it.", card.file)
