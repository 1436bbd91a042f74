"""PyTorch's streams and events on a GPU that is not there; ``test_fakes.py`` holds them to it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

__all__ = ["CAPTURING", "CLOCK", "CUDAGraph", "Event", "Stream", "graph"]

CLOCK = [0.0]
"""The milliseconds of the fake GPU; whoever computes on it sets it forward."""


CAPTURING: list[CUDAGraph] = []
"""The graph that is being recorded; whoever computes meanwhile puts the work into it instead."""


class CUDAGraph:
    """``torch.cuda.CUDAGraph``."""

    def __init__(self) -> None:
        self.work: list[Callable[[], None]] | None = None

    def replay(self) -> None:
        assert self.work, "nothing was recorded, or it was reset"
        for work in self.work:
            work()

    def reset(self) -> None:
        self.work = None


@contextlib.contextmanager
def graph(cuda_graph: CUDAGraph, *, stream: Stream, capture_error_mode: str) -> Iterator[None]:
    """``torch.cuda.graph``."""
    assert not CAPTURING and isinstance(stream, Stream)
    cuda_graph.work = []
    CAPTURING.append(cuda_graph)
    try:
        yield
    finally:
        CAPTURING.clear()


class Stream:
    """``torch.cuda.Stream``; work is done when it is enqueued."""

    def __init__(self, device: object = None) -> None: ...

    def synchronize(self) -> None: ...


class Event:
    """``torch.cuda.Event``."""

    def __init__(self, *, enable_timing: bool = False) -> None:
        self._timed, self._at_ms, self._done = enable_timing, -1.0, False

    def record(self, stream: Stream) -> None:
        assert isinstance(stream, Stream)
        self._at_ms = CLOCK[0]

    def synchronize(self) -> None:
        self._done = True

    def elapsed_time(self, end_event: Event) -> float:
        assert self._timed and end_event._timed
        assert self._at_ms >= 0 and end_event._done
        return end_event._at_ms - self._at_ms
