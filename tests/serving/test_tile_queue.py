"""Tiles of several requests in one queue: batches, turns, failures, ends."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest

from swinir_deploy.errors import DeviceMemoryError, InferenceError, RuntimeClosedError
from swinir_deploy.restoration.restorer import Restorer
from swinir_deploy.runtimes.base import Runtime
from swinir_deploy.runtimes.spec import RuntimeSpec
from swinir_deploy.serving.ticket import DeadlineError, GoneError, Ticket
from swinir_deploy.serving.tile_queue import RequestRuntime, TileQueue


class Doubling(Runtime):
    """Enlarges by doubling pixels; notes each run, and can be held or made to fail."""

    def __init__(self, batch: int | None = None) -> None:
        self.fixed = batch
        self.runs: list[list[float]] = []
        self.go = threading.Event()
        self.go.set()
        self.most = 1000
        self.fails = self.is_busy = False
        super().__init__()

    def _load(self) -> RuntimeSpec:
        return RuntimeSpec("fake", "cpu", "tensor", 2, 3, 8, min_side_px=5, batch=self.fixed)

    def _infer(self, batch: Any) -> Any:
        self.is_busy = True
        assert self.go.wait(10)
        self.runs.append([float(tile[0, 0, 0]) for tile in batch])
        if self.fails:
            raise InferenceError("the back end failed")
        if len(batch) > self.most:
            raise DeviceMemoryError("too much")
        return batch.repeat(2, axis=2).repeat(2, axis=3)

    def _unload(self) -> None: ...


def tile(value: float, side: int = 8) -> Any:
    return np.full((1, 3, side, side), value, np.float32)


class Requests:
    """Threads that wait for tiles, one after the other."""

    def __init__(self, queue: TileQueue) -> None:
        self.queue = queue
        self.threads: list[threading.Thread] = []
        self.results: dict[float, Any] = {}

    def add(
        self,
        values: list[float],
        side: int = 8,
        ticket: Ticket | None = None,
        waits: bool = True,
    ) -> None:
        """Begin a request of several tiles, and wait until they are in the queue."""
        before = len(self.queue)
        ticket = ticket or Ticket()

        def work() -> None:
            try:
                tiles = np.concatenate([tile(value, side) for value in values])
                result = self.queue.run(tiles, ticket)
                self.results |= dict(zip(values, result, strict=True))
            except Exception as error:
                self.results |= dict.fromkeys(values, error)

        self.threads.append(threading.Thread(target=work))
        self.threads[-1].start()
        while waits and len(self.queue) < before + len(values):
            time.sleep(0.001)

    def join(self) -> None:
        for thread in self.threads:
            thread.join(10)
            assert not thread.is_alive()


@pytest.fixture
def held() -> Any:
    """A runtime that computes nothing until ``go`` is set, with one tile taken already."""

    def make(**options: Any) -> tuple[Doubling, TileQueue, Requests]:
        runtime = Doubling(options.pop("fixed", None))
        runtime.go.clear()
        queue = TileQueue(runtime, **options)
        requests = Requests(queue)
        requests.add([0.0], side=16, waits=False)
        while not runtime.is_busy:
            time.sleep(0.001)
        return runtime, queue, requests

    return make


def test_each_request_gets_its_own_tiles(held: Any) -> None:
    runtime, queue, requests = held(batch=4)
    for n in range(5):
        requests.add([10 * n + 1, 10 * n + 2])
    runtime.go.set()
    requests.join()
    queue.close()
    assert len(requests.results) == 11
    for value, result in requests.results.items():
        assert result.shape == ((3, 16, 16) if value else (3, 32, 32)) and (result == value).all()
    assert [len(run) for run in runtime.runs] == [1, 4, 4, 2]


def test_a_small_picture_is_not_held_up_by_a_large_one(held: Any) -> None:
    runtime, queue, requests = held()
    requests.add([float(n) for n in range(1, 41)])
    requests.add([100.0])
    requests.add([200.0, 201.0])
    runtime.go.set()
    requests.join()
    queue.close()
    order = [value for run in runtime.runs for value in run]
    assert order.index(100.0) <= 3 and order.index(201.0) <= 7
    assert sorted(order[1:41]) != order[1:41] and len(order) == 44


def test_only_tiles_of_one_size_share_a_run(held: Any) -> None:
    runtime, queue, requests = held(batch=8)
    requests.add([1.0, 2.0])
    requests.add([3.0, 4.0], side=12)
    requests.add([5.0])
    runtime.go.set()
    requests.join()
    queue.close()
    assert sorted(map(sorted, runtime.runs[1:])) == [[1.0, 2.0, 5.0], [3.0, 4.0]]


def test_a_batch_waits_a_little_for_more() -> None:
    runtime = Doubling()
    queue = TileQueue(runtime, batch=2, delay_s=5.0)
    requests = Requests(queue)
    threads = [threading.Thread(target=lambda n=n: queue.run(tile(n), Ticket())) for n in (1, 2)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
        time.sleep(0.05)
    for thread in threads:
        thread.join(10)
    assert time.monotonic() - began < 4, "a full batch does not wait"
    assert runtime.runs == [[1.0, 2.0]]
    requests.join()
    queue.close()


def test_a_fixed_batch_is_filled_up(held: Any) -> None:
    runtime, queue, requests = held(fixed=3)
    requests.add([1.0, 2.0])
    runtime.go.set()
    requests.join()
    queue.close()
    assert runtime.runs[1] == [1.0, 2.0, 2.0]
    assert (requests.results[2.0] == 2.0).all()


def test_a_failure_goes_to_those_in_the_batch_only(held: Any) -> None:
    runtime, queue, requests = held(batch=2)
    runtime.fails = True
    requests.add([1.0])
    requests.add([2.0])
    runtime.go.set()
    requests.join()
    assert all(isinstance(error, InferenceError) for error in requests.results.values())
    runtime.fails = False
    assert (queue.run(tile(3.0), Ticket()) == 3.0).all()
    queue.close()


def test_where_memory_runs_out_the_tiles_are_computed_one_by_one(held: Any) -> None:
    runtime, queue, requests = held(batch=4)
    runtime.most = 1
    for n in range(4):
        requests.add([float(n + 1)])
    runtime.go.set()
    requests.join()
    queue.close()
    assert [len(run) for run in runtime.runs] == [1, 4, 1, 1, 1, 1]
    assert all((result == value).all() for value, result in requests.results.items())


def test_a_request_that_is_gone_costs_nothing_more(held: Any) -> None:
    runtime, queue, requests = held()
    ticket = Ticket()
    requests.add([float(n) for n in range(1, 30)], ticket=ticket)
    requests.add([100.0])
    ticket.cancel()
    while len(queue) > 1:
        time.sleep(0.01)
    runtime.go.set()
    requests.join()
    queue.close()
    assert isinstance(requests.results[1.0], GoneError)
    assert (requests.results[100.0] == 100.0).all()
    assert len(runtime.runs) == 2


def test_a_deadline_ends_the_waiting(held: Any) -> None:
    runtime, queue, requests = held()
    requests.add([1.0], ticket=Ticket(0.1))
    requests.threads[-1].join(5)
    assert isinstance(requests.results[1.0], DeadlineError)
    runtime.go.set()
    requests.join()
    queue.close()


def test_closing_ends_all(held: Any) -> None:
    runtime, queue, requests = held()
    requests.add([1.0])
    closing = threading.Thread(target=queue.close)
    closing.start()
    time.sleep(0.05)
    runtime.go.set()
    closing.join(5)
    assert not closing.is_alive()
    requests.join()
    assert isinstance(requests.results[1.0], RuntimeClosedError)
    with pytest.raises(RuntimeClosedError):
        queue.run(tile(1.0), Ticket())


def test_pictures_of_several_threads_are_those_of_a_restorer_alone() -> None:
    """Tiles of different pictures in the same runs."""
    pictures = [
        np.random.default_rng(n).integers(0, 256, (40 + 3 * n, 50, 3), np.uint8) for n in range(6)
    ]
    plain = Doubling()
    wanted = [Restorer(plain, tile=16, overlap_px=4).restore_array(one) for one in pictures]
    runtime = Doubling()
    queue = TileQueue(runtime, batch=4, delay_s=0.002)
    found: dict[int, Any] = {}

    def work(number: int) -> None:
        with RequestRuntime(queue, Ticket()) as mine:
            found[number] = Restorer(mine, tile=16, overlap_px=4, progress=False).restore_array(
                pictures[number]
            )

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    queue.close()
    for n in range(6):
        np.testing.assert_array_equal(found[n], wanted[n])
    assert max(map(len, runtime.runs)) > 1
    assert not runtime.closed
