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
    from swinir_deploy.artifacts.export_cache import KeptExport
    from swinir_deploy.artifacts.kept_files import KeptFile, KeptFiles

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
  SWINIR_DEPLOY_EXPORT_CACHE_GB  the maximum size of all exports  [default: 5]
"""

_KEY_LETTERS = 12


@click.group("cache", epilog=EPILOG)
def command() -> None:
    """List or remove the engines that 'build' keeps, and the exports of named models."""


@command.command("ls")
@common_options
def list_engines(out: Output) -> None:
    """List the engines and the exports, the most recently used ones first."""
    from swinir_deploy.artifacts.engine_cache import EngineCache
    from swinir_deploy.artifacts.export_cache import ExportCache

    cache, exports = EngineCache(), ExportCache()
    entries, exported = cache.entries(), exports.entries()
    total, exported_total = (
        sum(entry.size_bytes for entry in every) for every in (entries, exported)
    )
    document = {
        "folder": cache.folder,
        "limit_bytes": cache.limit_bytes,
        "total_bytes": total,
        "engines": [_entry(entry) for entry in entries],
        "exports": {
            "folder": exports.folder,
            "limit_bytes": exports.limit_bytes,
            "total_bytes": exported_total,
            "entries": [_entry(entry) for entry in exported],
        },
    }
    head = ["KEY", "MODEL", "TARGET", "LIBRARY", "SHAPES", "SIZE", "USED"]
    text = table(head, [_row(entry) for entry in entries])
    parts = [text if entries else f"No engines in {cache.folder}."]
    if exported:
        head = ["KEY", "MODEL", "FOR", "PRECISION", "VERSION", "SIZE", "USED"]
        parts.append(table(head, [_export_row(entry) for entry in exported]))
    else:
        parts.append(f"No exports in {exports.folder}.")
    out.answer(document, "\n\n".join(parts))
    out.say(f"{size_text(total)} of at most {size_text(cache.limit_bytes)} in {cache.folder}")
    out.say(
        f"{size_text(exported_total)} of at most {size_text(exports.limit_bytes)} in "
        f"{exports.folder}"
    )


@command.command("rm")
@click.argument("key", required=False)
@click.option(
    "--all", "everything", is_flag=True, help="Remove all engines, timing caches and exports."
)
@common_options
def remove_engines(out: Output, key: str | None, everything: bool) -> None:
    """Remove the engines and exports whose key begins with KEY, or --all."""
    from swinir_deploy.artifacts.engine_cache import EngineCache
    from swinir_deploy.artifacts.export_cache import ExportCache

    if bool(key) == everything:
        wrong = f"{key} and --all exclude each other" if key else "Missing KEY"
        raise UsageError(
            f"{wrong}. Give the beginning of a KEY from 'swinir-deploy cache ls', or --all."
        )
    caches: list[KeptFiles[Any]] = [EngineCache(), ExportCache()]
    fitting = [
        cache
        for cache in caches
        if everything or any(entry.key.startswith(key or "") for entry in cache.entries())
    ]
    # Where nothing fits, the cache of engines says so.
    removed = {cache.what: cache.remove(key or "") for cache in fitting or caches[:1]}
    counts = [
        f"{len(entries)} {what}{'' if len(entries) == 1 else 's'}"
        for what, entries in removed.items()
        if entries or len(removed) == 1
    ]
    total = sum(entry.size_bytes for entries in removed.values() for entry in entries)
    out.done(
        {
            "removed": [_entry(entry) for entry in removed.get("engine", [])],
            "removed_exports": [_entry(entry) for entry in removed.get("export", [])],
        },
        f"Removed {' and '.join(counts) or 'nothing'}, {size_text(total)}",
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


def _export_row(entry: KeptFile[KeptExport]) -> list[str]:
    metadata = entry.metadata
    key, size = entry.key[:_KEY_LETTERS], size_text(entry.size_bytes)
    used = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.used_at))
    if metadata is None:
        return [key, "damaged", "-", "-", "-", size, used]
    return [
        key,
        metadata.model_id,
        metadata.target,
        metadata.precision,
        metadata.version,
        size,
        used,
    ]


def _entry(entry: KeptFile[Any]) -> dict[str, Any]:
    return {
        "key": entry.key,
        "path": entry.path,
        "size_bytes": entry.size_bytes,
        "used_at": entry.used_at,
        "metadata": _plain(entry.metadata),
    }


def _plain(metadata: Any) -> Any:
    return metadata.to_dict() if hasattr(metadata, "to_dict") else metadata
