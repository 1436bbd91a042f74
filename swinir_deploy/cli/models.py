"""``swinir-deploy models``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from swinir_deploy.cli.options import ModelRequest, common_options, filter_options, report_option
from swinir_deploy.cli.output import Output, size_text, table
from swinir_deploy.cli.outputs import check_outputs

if TYPE_CHECKING:
    from swinir_deploy.models.catalog import ModelCard

__all__ = ["command"]

EPILOG = """\b
Examples:
  swinir-deploy models
  swinir-deploy models --task denoise --gray
  swinir-deploy models --local --json
"""


@click.command("models", epilog=EPILOG)
@filter_options
@click.option("--local", is_flag=True, help="List only models that need no download.")
@report_option
@common_options
def command(
    out: Output, request: ModelRequest, local: bool, output: str | None, overwrite: bool
) -> None:
    """List the models of the catalogue: the built-in ones and the 37 official checkpoints."""
    from swinir_deploy.models.catalog import load_catalog
    from swinir_deploy.system.cache_folder import cache_folder

    check_outputs([output], [], overwrite)
    catalog = load_catalog()
    filters = request.filters.items()
    cards = [c for c in catalog.all() if all(getattr(c, name) == value for name, value in filters)]
    if not cards:
        catalog.select(**request.filters)  # raises an error that lists the possible values
    entries = [_entry(card) for card in cards]
    if local:
        entries = [entry for entry in entries if entry["state"] != "remote"]
    out.answer({"models": entries, "cache_folder": cache_folder()}, _grouped(entries))
    out.say(f"{len(entries)} models. 'swinir-deploy info MODEL' has licence and figures.")
    out.save(output)


def _grouped(entries: list[dict[str, Any]]) -> str:
    """Return a table for each use of models, under a line that says what for and how to choose."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for entry in entries:
        flags = f"--task {entry['task']}{' --real' if entry['real'] else ''}"
        groups.setdefault((entry["use"], flags), []).append(entry)
    parts = []
    for (use, flags), members in groups.items():
        rows = [
            [
                entry["id"],
                entry["purpose"].partition(", real-world")[0],
                entry["size"],
                f"{entry['parameters']:,}" if entry["parameters"] else "-",
                _state(entry),
            ]
            for entry in members
        ]
        heading = f"For {use}\n({flags})"
        parts.append(
            f"{heading}\n{table(['MODEL', 'TASK', 'SIZE', 'PARAMETERS', 'DOWNLOAD'], rows)}"
        )
    return "\n\n".join(parts) or "No model."


def _entry(card: ModelCard) -> dict[str, Any]:
    from swinir_deploy.models.weights_cache import ensure_local
    from swinir_deploy.system.cache_folder import cache_folder

    if card.builtin:
        return {**card.to_dict(), "purpose": card.purpose, "state": "built in"} | {
            "path": ensure_local(card)
        }
    path = cache_folder() / card.file
    is_here = path.is_file()
    return {**card.to_dict(), "purpose": card.purpose} | {
        "state": "downloaded" if is_here else "remote",
        "path": path if is_here else None,
    }


def _state(entry: dict[str, Any]) -> str:
    if entry["state"] != "remote":
        return {"downloaded": "done"}.get(str(entry["state"]), str(entry["state"]))
    size = entry["size_bytes"]
    return size_text(size) if size else "needed"
