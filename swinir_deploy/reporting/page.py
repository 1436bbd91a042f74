"""Write reports as one HTML file that needs nothing else: no script, font or picture from afar."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from swinir_deploy._version import __version__
from swinir_deploy.reporting.contents import Entry, Row, contents_of, mixed_models
from swinir_deploy.reporting.documents import Document
from swinir_deploy.reporting.gallery import ShownPicture
from swinir_deploy.reporting.sections.parts import Section
from swinir_deploy.reporting.words import printable
from swinir_deploy.system.files import atomic_output
from swinir_deploy.system.packages import require

__all__ = ["render_page", "write_page"]

_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Page:
    """What the template shows.

    Attributes:
        title: of the document.
        subtitle: such as the date; may be empty.
        warning: a sentence above all; empty for none.
        entries: one for each report, with verdict, identity and sections.
        models: facts of each model, which all reports share.
        version: of this package.
    """

    title: str
    subtitle: str
    warning: str
    entries: Sequence[Entry]
    models: Sequence[Sequence[Row]]
    version: str = __version__


def write_page(
    path: str | os.PathLike[str],
    documents: Iterable[Document],
    pictures: Mapping[int, Sequence[ShownPicture]] | None = None,
) -> None:
    """Write a page, complete or not at all.

    Args:
        path: the HTML file.
        documents: at least one.
        pictures: number of a document, from 0 -> its pictures.

    Raises:
        BackendUnavailableError: jinja2 or matplotlib is not installed.
        InputError: the file cannot be written.
    """
    text = render_page(documents, pictures)
    with atomic_output(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def render_page(
    documents: Iterable[Document],
    pictures: Mapping[int, Sequence[ShownPicture]] | None = None,
) -> str:
    """Return the HTML of a page. Arguments and errors are as in :func:`write_page`."""
    require("report", "An HTML report")
    import jinja2
    from markupsafe import Markup

    page = _page(list(documents), pictures or {})
    style, script = (
        (_TEMPLATES / name).read_text(encoding="utf-8") for name in ("page.css", "page.js")
    )
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["drawn"] = Markup  # the SVG of plots.py, whose texts are escaped
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template("page.html.j2").render(
        page=page, style=Markup(style), script=Markup(script), script_hash=digest
    )


def _page(documents: list[Document], pictures: Mapping[int, Sequence[ShownPicture]]) -> Page:
    entries, models = contents_of(documents)
    shown = []
    for number, entry in enumerate(entries):
        own = [_printable(picture) for picture in pictures.get(number, ())]
        if own:
            entry = replace(entry, sections=[*entry.sections, _pictures(own)])
        shown.append(entry)
    names = dict.fromkeys(entry.about for entry in entries)
    dates = sorted({d.identity.date[:10] for d in documents if d.identity and d.identity.date})
    return Page(
        title=", ".join(names),
        subtitle=" to ".join(dict.fromkeys([*dates[:1], *dates[-1:]])),
        warning=mixed_models(documents),
        entries=shown,
        models=models,
    )


def _pictures(pictures: Sequence[ShownPicture]) -> Section:
    text = (
        "Each picture in several states, without loss. Move the line to compare two of them; the "
        "numbers enlarge, so that one pixel of the picture is that many of the screen."
    )
    return Section("Pictures", [text], pictures=pictures)


def _printable(picture: ShownPicture) -> ShownPicture:
    return replace(picture, name=printable(picture.name), caption=printable(picture.caption))
