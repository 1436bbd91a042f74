"""Tables and lists of facts as text, in at most 80 columns."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

__all__ = ["WIDTH", "facts", "table"]

WIDTH = 80
"""Columns of a terminal that nobody has made wider."""

_GAP = "  "
_NARROWEST_TEXT = 12
"""Columns below which text is not wrapped, because it would be a pile of syllables."""

_NUMBER = re.compile(r"[+-]?[\d.,]+(e[+-]?\d+)?[x%]?(-[\d.,]+)?")


def table(
    head: Sequence[str], rows: Sequence[Sequence[str]], *, keys: int = 1, width: int = WIDTH
) -> str:
    """Return a table as text. Columns that contain only numbers are right-aligned.

    A table that is too wide gets titles of several lines, then wrapped cells, and where that does
    not suffice it becomes several tables, one below the other.

    Args:
        head: the title of each column.
        rows: the cells of each row, as many as there are titles.
        keys: number of first columns that say what a row is; they are repeated in each table.
        width: the largest number of columns of the terminal.
    """
    columns = list(zip(head, *rows, strict=True))
    parts = _parts(columns, keys, width)
    return "\n\n".join(_one_table([columns[i] for i in part], keys, width) for part in parts)


def facts(rows: Sequence[tuple[str, str]], *, indent: int = 2, width: int = WIDTH) -> list[str]:
    """Return a line for each name and text, and more where a text is too long for one.

    Words are never cut: a hash or an address can be copied.
    """
    names = max((len(name) for name, _ in rows), default=0)
    lines = []
    for name, text in rows:
        first = f"{' ' * indent}{name.ljust(names)}{_GAP}"
        wrapped = textwrap.wrap(
            text,
            max(width, len(first) + _NARROWEST_TEXT),
            initial_indent=first,
            subsequent_indent=" " * len(first),
            break_long_words=False,
            break_on_hyphens=False,
        )
        lines += wrapped or [first.rstrip()]
    return lines


def _parts(columns: list[tuple[str, ...]], keys: int, width: int) -> list[list[int]]:
    """Return the numbers of the columns of each table that is needed."""
    smallest = [_smallest_width(column) for column in columns]
    first, rest = list(range(min(keys, len(columns)))), range(keys, len(columns))
    parts = [list(first)]
    for index in rest:
        part = [*parts[-1], index]
        if _total([smallest[i] for i in part]) > width and len(parts[-1]) > len(first):
            parts.append([*first, index])
        else:
            parts[-1] = part
    return parts


def _one_table(columns: Sequence[Sequence[str]], keys: int, width: int) -> str:
    widths = [max(map(len, column)) for column in columns]
    if _total(widths) > width:
        widths = [
            max(_longest_word(column[0]), *(len(cell) for cell in column[1:]), 0)
            for column in columns
        ]
    smallest = [_smallest_width(column) for column in columns]
    while _total(widths) > width:
        spare = [own - least for own, least in zip(widths, smallest, strict=True)]
        if max(spare) <= 0:
            break
        # The widest of the columns that can be narrower gives way, and what names a row, which
        # somebody may copy, only after all others.
        able = [i for i, more in enumerate(spare) if more > 0]
        others = [i for i in able if i >= keys]
        widths[max(others or able, key=lambda i: widths[i])] -= 1
    right = [len(column) > 1 and all(map(_is_number, column[1:])) for column in columns]
    lines: list[str] = []
    for number, row in enumerate(zip(*columns, strict=True)):
        cells = [_wrapped(cell, w, number == 0) for cell, w in zip(row, widths, strict=True)]
        height = max(map(len, cells))
        # Titles stand on their columns, all other cells begin in the first line.
        blank = [[""] * (height - len(cell)) for cell in cells]
        filled = [b + c if number == 0 else c + b for b, c in zip(blank, cells, strict=True)]
        for line in zip(*filled, strict=True):
            placed = [
                cell.rjust(w) if is_right else cell.ljust(w)
                for cell, w, is_right in zip(line, widths, right, strict=True)
            ]
            lines.append(_GAP.join(placed).rstrip())
    return "\n".join(lines)


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + len(_GAP) * (len(widths) - 1)


def _smallest_width(column: Sequence[str]) -> int:
    """Return the columns that a column of the table needs at least."""
    head, *cells = column
    needed = [len(cell) if _is_number(cell) else min(len(cell), _NARROWEST_TEXT) for cell in cells]
    return max(_longest_word(head), *needed, 0)


def _longest_word(text: str) -> int:
    return max(map(len, text.split()), default=0)


def _wrapped(cell: str, width: int, is_title: bool) -> list[str]:
    if len(cell) <= width:
        return [cell]
    return textwrap.wrap(cell, width, break_long_words=not is_title) or [""]


def _is_number(cell: str) -> bool:
    return cell in ("", "-") or _NUMBER.fullmatch(cell) is not None
