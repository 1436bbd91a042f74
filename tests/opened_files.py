"""How often files are opened, as the interpreter itself tells it."""

from __future__ import annotations

import contextlib
import os
import sys
from collections import Counter
from collections.abc import Iterator

__all__ = ["opened_files"]

_watching: list[Counter[str]] = []


def _hear(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and _watching and isinstance(arguments[0], (str, bytes)):
        name = os.path.realpath(os.fsdecode(arguments[0]))
        for counter in _watching:
            counter[name] += 1


sys.addaudithook(_hear)  # it cannot be taken away again, so there is one for all tests


@contextlib.contextmanager
def opened_files() -> Iterator[Counter[str]]:
    """Count, by their real paths, the files that Python opens in the block."""
    counter: Counter[str] = Counter()
    _watching.append(counter)
    try:
        yield counter
    finally:
        _watching.remove(counter)
