"""The parts that every section is made of; the template knows these and nothing else."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from swinir_deploy.reporting.gallery import ShownPicture
from swinir_deploy.reporting.plots import Plot

__all__ = ["Mood", "Section", "Table", "Verdict", "plural", "table_of_known"]

Mood = Literal["good", "bad", "warn", "plain"]

_NUMBER = re.compile(r"-|equal|not finite|[+-]?[\d.,]+(e[+-]?\d+)?\s?(x|%|dB|ms|[KMG]?B|bytes)?")


@dataclass(frozen=True)
class Verdict:
    """What a report proves, for the top of the page.

    Attributes:
        mood: ``good``, ``bad``, ``warn``, or ``plain`` where nothing was to be passed.
        word: such as ``Passed`` or ``Measured``.
        said: what was proved, as a sentence.
        figure: the worst or the main figure, with its limit.
        anchor: id of the section that shows more.
    """

    mood: Mood
    word: str
    said: str
    figure: str
    anchor: str = ""


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        title: what it shows, in a line.
        head: titles of the columns.
        rows: cells, as many in a row as there are titles.
        folded: True to show it only when it is asked for, and in print.
        bad: numbers of the rows that failed.
    """

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    folded: bool = False
    bad: Sequence[int] = ()

    @property
    def right(self) -> list[bool]:
        """Return for each column whether it holds only numbers."""
        columns = [[row[i] for row in self.rows] for i in range(len(self.head))]
        return [bool(c) and all(_NUMBER.fullmatch(cell) for cell in c) for c in columns]


@dataclass(frozen=True)
class Section:
    """A section of a page.

    Attributes:
        title: its heading.
        text: paragraphs.
        plots: drawn ones.
        tables: below the plots.
        pictures: with a slider each.
    """

    title: str
    text: Sequence[str] = ()
    plots: Sequence[Plot] = ()
    tables: Sequence[Table] = ()
    pictures: Sequence[ShownPicture] = ()


def table_of_known(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """Return a table without the columns whose cells are all ``-``: nothing is known of them."""
    known = [i for i in range(len(head)) if any(row[i] != "-" for row in rows)]
    return Table(title, [head[i] for i in known], [[row[i] for i in known] for row in rows])


def plural(count: int, one: str, many: str = "") -> str:
    """Return such as ``1 input`` or ``3 inputs``."""
    return f"{count} {one if count == 1 else many or one + 's'}"
