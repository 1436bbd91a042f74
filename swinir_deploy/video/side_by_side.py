"""Read ahead and write behind in threads, with a bounded number of things in between."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, TypeVar

__all__ = ["Behind", "ahead"]

ItemT = TypeVar("ItemT")

_WAIT_S = 0.1


class _End:
    """The end of the items, with the error that ended them."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def ahead(items: Iterator[ItemT], most: int) -> Generator[ItemT, None, None]:
    """Yield the same items; a thread makes up to ``most`` of them ahead.

    A caller that stops early waits for the item that is being made. An exception of ``items`` is
    raised in the place of the item that failed.
    """
    ready: queue.Queue[ItemT | _End] = queue.Queue(most)
    stopped = threading.Event()

    def put(item: ItemT | _End) -> None:
        while not stopped.is_set():
            try:
                ready.put(item, timeout=_WAIT_S)
                return
            except queue.Full:
                pass

    def make() -> None:
        try:
            for item in items:
                put(item)
                if stopped.is_set():
                    return
        except BaseException as error:
            put(_End(error))
        else:
            put(_End())

    thread = threading.Thread(target=make, name="swinir-video-read", daemon=True)
    thread.start()
    try:
        while True:
            item = ready.get()
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item
    finally:
        stopped.set()
        thread.join()


class Behind(Generic[ItemT]):
    """Calls a function for one item after the other in a thread, at most ``most`` behind.

    Use it as a context manager: its end waits for the last call, unless there was an error.

    Args:
        function: called for every item; what it raises is raised by a later :meth:`put`, or at the
            end.
        most: number of items that may wait.
    """

    def __init__(self, function: Callable[[ItemT], object], most: int) -> None:
        self._function, self._most = function, most
        self._pool = ThreadPoolExecutor(1, "swinir-video-write")
        self._running: deque[Future[object]] = deque()

    def put(self, item: ItemT) -> None:
        """Add an item; wait while too many of them wait."""
        while self._running and (len(self._running) >= self._most or self._running[0].done()):
            self._running.popleft().result()
        self._running.append(self._pool.submit(self._function, item))

    def __enter__(self) -> Behind[ItemT]:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            while kind is None and self._running:
                self._running.popleft().result()
        finally:
            self._pool.shutdown(wait=True, cancel_futures=True)
