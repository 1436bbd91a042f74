"""PyTorch's streams and events on a GPU that is not there; ``test_fakes.py`` holds them to it."""

from __future__ import annotations

__all__ = ["CLOCK", "Event", "Stream"]

CLOCK = [0.0]
"""The milliseconds of the fake GPU; whoever computes on it sets it forward."""


class Stream:
    """``torch.cuda.Stream``; work is done when it is enqueued."""

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
