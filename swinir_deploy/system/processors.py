"""Count the processors that this process may use, and limit PyTorch to one thread."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

__all__ = ["one_thread", "usable_cpus"]


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Run PyTorch on one thread during the block.

    This is faster for small pictures: on a busy machine, two threads waited for each other ten
    times as long as one thread computed.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def usable_cpus() -> int:
    """Return the number of processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
