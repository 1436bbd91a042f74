"""``swinir-deploy cache``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from swinir_deploy.artifacts.shapes import shape_text
from swinir_deploy.cli.options import common_options
from swinir_deploy.cli.output import Output, size_text, table
from swinir_deploy.errors import UsageError

if TYPE_CHECKING:
    from swinir_deploy.artifacts.engine_cache import CacheEntry

__all__ = ["command"]

EPILOG = """\b
Examples:
  swinir-deploy cache ls
  swinir-deploy cache rm 3f9a
  swinir-deploy cache rm --all

\b
Environment:
  SWINIR_DEPLOY_CACHE            another cache folder
  SWINIR_DEPLOY_ENGINE_CACHE_GB  the maximum size of all engines  [default: 10]
"""

_KEY_LETTERS = 12


@click.group("cache", epilog=EPILOG)
def command() -> None:
    """List or remove the engines that 'build' keeps."""


@command.command("ls")
@common_options
def list_engines(out: Output) -> None:
    """List the engines, the most recently used one first."""
    from swinir_deploy.artifacts.engine_cache import EngineCache

    cache = EngineCache()
    entries = cache.entries()
    total = sum(entry.size_bytes for entry in entries)
    rows = [_row(entry) for entry in entries]
    text = table(["KEY", "MODEL", "TARGET", "LIBRARY", "SHAPES", "SIZE", "USED"], rows)
    document = {
        "folder": cache.folder,
        "limit_bytes": cache.limit_bytes,
        "total_bytes": total,
        "engines": [_entry(entry) for entry in entries],
    }
    out.answer(document, text if entries else f"No engines in {cache.folder}.")
    out.say(f"{size_text(total)} of at most {size_text(cache.limit_bytes)} in {cache.folder}")


@command.command("rm")
@click.argument("key", required=False)
@click.option("--all", "everything", is_flag=True, help="Remove all engines and the timing caches.")
@common_options
def remove_engines(out: Output, key: str | None, everything: bool) -> None:
    """Remove the engines whose key begins with KEY, or --all."""
    from swinir_deploy.artifacts.engine_cache import EngineCache

    if bool(key) == everything:
        wrong = f"{key} and --all exclude each other" if key else "Missing KEY"
        raise UsageError(
            f"{wrong}. Give the beginning of a KEY from 'swinir-deploy cache ls', or --all."
        )
    removed = EngineCache().remove(key or "")
    total = sum(entry.size_bytes for entry in removed)
    count = f"{len(removed)} engine{'' if len(removed) == 1 else 's'}"
    out.done(
        {"removed": [_entry(entry) for entry in removed]}, f"Removed {count}, {size_text(total)}"
    )


def _row(entry: CacheEntry) -> list[str]:
    metadata = entry.metadata
    key, size = entry.key[:_KEY_LETTERS], size_text(entry.size_bytes)
    used = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.used_at))
    if metadata is None:
        return [key, "damaged", "-", "-", "-", size, used]
    shapes = ", ".join(
        f"{shape_text(profile.min)} to {shape_text(profile.max)}" for profile in metadata.profiles
    )
    where = metadata.gpu_name or metadata.target
    return [key, metadata.onnx_name, where, metadata.library_version, shapes, size, used]


def _entry(entry: CacheEntry) -> dict[str, Any]:
    return {
        "key": entry.key,
        "path": entry.path,
        "size_bytes": entry.size_bytes,
        "used_at": entry.used_at,
        "metadata": None if entry.metadata is None else entry.metadata.to_dict(),
    }
