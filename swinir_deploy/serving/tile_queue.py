"""One queue for the tiles of all requests, so that tiles of several pictures share a run.

A picture is cut by :class:`~swinir_deploy.restoration.restorer.Restorer` as everywhere else; each
request has a :class:`RequestRuntime`, which hands its tiles to the queue instead of computing them.
The requests take turns, so a small picture is not held up by a large one. Tiles of one size that
wait at the same time are computed together, up to the largest batch.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swinir_deploy.errors import DeviceMemoryError, RuntimeClosedError
from swinir_deploy.runtimes.base import Runtime
from swinir_deploy.runtimes.spec import RuntimeSpec
from swinir_deploy.serving.ticket import Ticket

__all__ = ["RequestRuntime", "TileQueue"]

_LOOK_S = 0.05
"""How often a waiting request looks whether it should stop."""


@dataclass(eq=False)
class _Waiting:
    """One tile, [1, ...], and later its result."""

    tile: NDArray[Any]
    ticket: Ticket
    done: threading.Event = field(default_factory=threading.Event)
    result: NDArray[Any] | None = None
    error: BaseException | None = None


class TileQueue:
    """Computes tiles of several requests with one open runtime, in threads of its own.

    Args:
        runtime: an open runtime; it is not closed.
        batch: the largest number of tiles in a run; a runtime with a fixed batch gets that one.
        delay_s: how long a batch that is not full waits for more tiles, in seconds.
        threads: how many batches are computed at the same time.
        on_batch: called after each run with the number of tiles.
    """

    def __init__(
        self,
        runtime: Runtime,
        batch: int = 1,
        delay_s: float = 0.0,
        threads: int = 1,
        on_batch: Any = None,
    ) -> None:
        self.runtime = runtime
        self._batch = runtime.spec.batch_within(batch)
        self._fixed = runtime.spec.ranges[0][0]
        self._delay_s = delay_s
        self._on_batch = on_batch or (lambda tiles: None)
        self._changed = threading.Condition()
        self._by_request: OrderedDict[Ticket, deque[_Waiting]] = OrderedDict()
        self._is_closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"swinir-tiles-{n}", daemon=True)
            for n in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def __len__(self) -> int:
        """Return how many tiles wait."""
        with self._changed:
            return sum(map(len, self._by_request.values()))

    def run(self, tiles: NDArray[Any], ticket: Ticket) -> NDArray[Any]:
        """Compute tiles of one request, and wait for them.

        Args:
            tiles: [count, ...] as the runtime takes them.
            ticket: of the request.

        Raises:
            StoppedError: the request was stopped.
            RuntimeClosedError: the queue was closed.
            InferenceError: the back end failed.
            DeviceMemoryError: memory ran out for a single tile.
        """
        waiting = [_Waiting(tiles[n : n + 1], ticket) for n in range(len(tiles))]
        with self._changed:
            if self._is_closed:
                raise RuntimeClosedError("The service has been stopped.")
            self._by_request.setdefault(ticket, deque()).extend(waiting)
            self._changed.notify_all()
        try:
            for entry in waiting:
                while not entry.done.wait(_LOOK_S):
                    ticket.check()
                if entry.error is not None:
                    raise entry.error
        except BaseException:
            self._forget(ticket)
            raise
        results = [entry.result for entry in waiting if entry.result is not None]
        return results[0] if len(results) == 1 else np.concatenate(results)

    def close(self) -> None:
        """Compute nothing more; who waits gets an error. A second call does nothing."""
        with self._changed:
            self._is_closed = True
            left = [entry for queue in self._by_request.values() for entry in queue]
            self._by_request.clear()
            self._changed.notify_all()
        for entry in left:
            entry.error = RuntimeClosedError("The service has been stopped.")
            entry.done.set()
        for thread in self._threads:
            thread.join()

    def _forget(self, ticket: Ticket) -> None:
        with self._changed:
            self._by_request.pop(ticket, None)

    # ---------------------------------------------------------------------------- the own threads

    def _work(self) -> None:
        while True:
            entries = self._next_batch()
            if not entries:
                return
            self._compute(entries)

    def _next_batch(self) -> list[_Waiting]:
        """Wait for tiles; return those of the next run, and nothing after the queue was closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._by_request or self._is_closed)
            if self._is_closed:
                return []
            entries = [self._take(None)]
            shape = entries[0].tile.shape
            until = time.monotonic() + self._delay_s
            while len(entries) < self._batch:
                if any(queue[0].tile.shape == shape for queue in self._by_request.values()):
                    entries.append(self._take(shape))
                    continue
                left = until - time.monotonic()
                if left <= 0 or self._is_closed:
                    break
                self._changed.wait(left)
            return entries

    def _take(self, shape: tuple[int, ...] | None) -> _Waiting:
        """Take the first tile of the first request, which then stands at the end of the queue."""
        ticket, queue = next(
            (ticket, queue)
            for ticket, queue in self._by_request.items()
            if shape is None or queue[0].tile.shape == shape
        )
        entry = queue.popleft()
        if queue:
            self._by_request.move_to_end(ticket)
        else:
            del self._by_request[ticket]
        return entry

    def _compute(self, entries: list[_Waiting]) -> None:
        """Compute one batch; where memory runs out, tile by tile."""
        try:
            results = self._results([entry.tile for entry in entries])
        except DeviceMemoryError as error:
            if len(entries) > 1:
                self._batch = max(self._fixed, len(entries) // 2)
                for entry in entries:
                    self._compute([entry])
                return
            entries[0].error = error
        except BaseException as error:  # each request raises it in its own thread
            for entry in entries:
                entry.error = error
        else:
            for entry, result in zip(entries, results, strict=True):
                entry.result = result
        for entry in entries:
            entry.done.set()
        self._on_batch(len(entries))

    def _results(self, tiles: list[NDArray[Any]]) -> list[NDArray[Any]]:
        """Return the result of each tile; a fixed batch is filled up with the last tile."""
        missing = max(0, self._fixed - len(tiles))
        batch = (
            tiles[0] if len(tiles) + missing == 1 else np.concatenate(tiles + tiles[-1:] * missing)
        )
        result = self.runtime.run(batch)
        return [result[n : n + 1] for n in range(len(tiles))]


class RequestRuntime(Runtime):
    """The model as one request sees it: its runs go through the queue, and end with the request.

    Closing it does not close the model.
    """

    def __init__(self, queue: TileQueue, ticket: Ticket) -> None:
        self._queue, self._ticket = queue, ticket
        super().__init__()

    def _load(self) -> RuntimeSpec:
        return self._queue.runtime.spec

    def _infer(self, batch: NDArray[Any]) -> NDArray[Any]:
        self._ticket.check()
        return self._queue.run(batch, self._ticket)

    def _unload(self) -> None: ...
