"""``--report FILE.html``, which names of files are for JSON, and the identity of reports."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from swinir_deploy.cli.output import Output, plain
from swinir_deploy.errors import UsageError
from swinir_deploy.system.packages import require

if TYPE_CHECKING:
    from swinir_deploy.reporting.gallery import ShownPicture
    from swinir_deploy.reporting.identity import ModelIdentity

__all__ = [
    "HTML_SUFFIXES",
    "checked_json",
    "checked_page",
    "identified",
    "page_option",
    "save_page",
]

Function = TypeVar("Function", bound=Callable[..., Any])

HTML_SUFFIXES = (".html", ".htm")


def checked_page(_context: object, _option: object, path: str | None) -> str | None:
    """Return the name of an HTML file; it is checked here, before minutes of work.

    Raises:
        UsageError: the name has another suffix.
        BackendUnavailableError: what writes pages is not installed.
    """
    if path is None:
        return None
    if Path(path).suffix.lower() not in HTML_SUFFIXES:
        raise UsageError(
            f"{path} is no name of an HTML page. Give one that ends in .html; -o writes JSON."
        )
    require("report", "An HTML report")
    return path


def checked_json(context: click.Context, _option: object, path: str | None) -> str | None:
    """Return the name of a file for JSON; one of an HTML page is refused.

    Raises:
        UsageError: the name ends in .html.
    """
    if path is not None and Path(path).suffix.lower() in HTML_SUFFIXES:
        has_page = any(param.name == "page" for param in context.command.params)
        wanted = f"For a page to look at, give --report {path}" if has_page else "It has no page"
        raise UsageError(
            f"-o writes a JSON document, and {path} is the name of an HTML page. {wanted}; for "
            "JSON, give a name that ends in .json."
        )
    return path


def page_option(function: Function) -> Function:
    """Add ``--report``, which also writes the result as an HTML page; it is passed as ``page``."""
    option: Callable[[Function], Function] = click.option(
        "--report",
        "page",
        type=click.Path(),
        metavar="FILE.html",
        callback=checked_page,
        help="Also write the result as one HTML page to hand over (docs/reports.md).",
    )
    return option(function)


def identified(
    out: Output,
    report: str,
    document: Mapping[str, Any],
    models: Callable[[], Iterable[ModelIdentity]],
    *files: str | None,
    machine: Mapping[str, Any] | None = None,
    versions: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return a document with its identity block, if anybody will read it.

    Args:
        out: the output of this run.
        report: the kind of the report (:data:`swinir_deploy.reporting.documents.KINDS`).
        document: the result.
        models: gives the models that it is about; it is called only if it is needed.
        *files: the options that write the document to a file; None for one that was not given.
        machine: what the result already says of the machine.
        versions: what it already says of the packages.
    """
    if not out.as_json and not any(files):
        return dict(document)
    from swinir_deploy.reporting.identity import identify

    block = identify(report, models(), out.arguments, machine, versions)
    return {**document, "identity": block.to_dict()}


def save_page(out: Output, path: str | None, pictures: Sequence[ShownPicture] = ()) -> None:
    """Write the document of this run as an HTML page, unless ``path`` is None.

    Raises:
        InputError: the file cannot be written.
    """
    if path is None:
        return
    from swinir_deploy.reporting.documents import document_of
    from swinir_deploy.reporting.page import write_page

    write_page(path, [document_of(plain(out.document), "this run")], {0: pictures})
    out.say(f"Wrote {path}")
