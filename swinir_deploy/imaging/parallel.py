"""What computes beside the caller: how many may, and results that are made one ahead."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar, cast

__all__ = ["one_ahead", "usable_cpus"]

ItemT = TypeVar("ItemT")


def usable_cpus() -> int:
    """Processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def one_ahead(items: Iterator[ItemT]) -> Generator[ItemT, None, None]:
    """The same items, of which the next is made in a thread while the caller uses the last.

    Only one thread ever runs ``items``, and only one item waits. Whoever stops early waits for the
    one that is being made, and no more are.

    Raises:
        Whatever ``items`` raises, at the place where the item would have come.
    """
    end = object()
    with ThreadPoolExecutor(1, "swinir-ahead") as pool:
        coming = pool.submit(next, items, end)
        while (item := coming.result()) is not end:
            coming = pool.submit(next, items, end)
            yield cast("ItemT", item)
