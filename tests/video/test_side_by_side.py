"""Threads before and behind the caller: order, bounds, errors."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from swinir_deploy.video.side_by_side import Behind, ahead


def large(item: int) -> bool:
    return item % 3 == 0


def test_ahead_keeps_the_order_and_its_bound() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for number in range(30):
            made.append(number)
            yield number

    taken = []
    for item in ahead(items(), 2, large):
        taken.append(item)
        time.sleep(0.002)
        # Two large ones wait, and one more is made.
        assert sum(map(large, made)) - sum(map(large, taken)) <= 3
    assert taken == list(range(30))


def test_small_items_take_no_place_of_large_ones() -> None:
    reached = threading.Event()

    def items() -> Iterator[int]:
        yield from [0, 1, 2, 1, 2, 1, 2, 3]
        reached.set()
        yield 6

    coming = ahead(items(), 2, large)
    assert next(coming) == 0
    assert reached.wait(5)  # all small ones and the next large one were made while 0 is in use
    assert list(coming) == [1, 2, 1, 2, 1, 2, 3, 6]


def test_an_error_comes_in_its_place_and_the_thread_ends() -> None:
    def items() -> Iterator[int]:
        yield 0
        raise ValueError("broken")

    coming = ahead(items(), 2, large)
    assert next(coming) == 0
    with pytest.raises(ValueError, match="broken"):
        next(coming)
    assert "swinir-video-read" not in [thread.name for thread in threading.enumerate()]


def test_a_caller_that_stops_early_ends_the_thread() -> None:
    coming = ahead(iter(range(0, 3000, 3)), 2, large)
    next(coming)
    coming.close()
    assert "swinir-video-read" not in [thread.name for thread in threading.enumerate()]


def test_behind_writes_in_order_within_its_bound() -> None:
    written: list[int] = []
    started: list[int] = []

    def write(item: int) -> None:
        time.sleep(0.002)
        written.append(item)

    with Behind(write, 2, large) as behind:
        for item in range(30):
            behind.put(item)
            started.append(item)
            assert sum(map(large, started)) - sum(map(large, written)) <= 3
    assert written == list(range(30))


def test_behind_raises_what_the_writer_raised() -> None:
    def write(item: int) -> None:
        if item == 3:
            raise OSError("full")

    with pytest.raises(OSError, match="full"), Behind(write, 2, large) as behind:
        for item in range(100):
            behind.put(item)
            time.sleep(0.001)
    assert item < 99


def test_behind_drops_the_rest_after_an_error_of_the_caller() -> None:
    written: list[int] = []

    def write(item: int) -> None:
        time.sleep(0.02)
        written.append(item)

    with pytest.raises(RuntimeError), Behind(write, 50, large) as behind:
        for item in range(20):
            behind.put(item)
        raise RuntimeError
    assert len(written) < 20
