"""How many threads small pictures are worth."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

__all__ = ["one_thread"]


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Run PyTorch on one thread: for pictures so small that threads do not pay.

    On a busy machine, two threads waited for each other ten times as long as one computed.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
