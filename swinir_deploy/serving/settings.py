"""The limits of a service, and what it does with requests that exceed them."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Limits"]


@dataclass(frozen=True)
class Limits:
    """What the service accepts.

    Attributes:
        body_bytes: the largest body of a request; larger ones get 413.
        pixels: the largest picture in pixels; larger ones get 422.
        memory_bytes: the largest memory of one picture, without the model; None for no limit.
        waiting: how many requests may wait for a worker; further ones get 429.
        workers: how many pictures are worked on at the same time.
        seconds: how long a request may take once its body is there; later it gets 504. None is
            without limit.
        body_seconds: how long a body may take to arrive, and pause; later it gets 408.
    """

    body_bytes: int = 64 << 20
    pixels: int = 50_000_000
    memory_bytes: int | None = None
    waiting: int = 64
    workers: int = 4
    seconds: float | None = 300.0
    body_seconds: float = 60.0
