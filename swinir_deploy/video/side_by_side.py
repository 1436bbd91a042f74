"""Read ahead and write behind in threads, with a bounded number of large things in between.

Frames are large; packets of sound between them are small, and must not take the places of frames.
"""

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
_MOST_SMALL = 1000


class _End:
    """The end of the items, with the error that ended them."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def ahead(
    items: Iterator[ItemT], most: int, is_large: Callable[[ItemT], bool]
) -> Generator[ItemT, None, None]:
    """Yield the same items; a thread makes some of them ahead.

    A caller that stops early waits for the item that is being made. An exception of ``items`` is
    raised in the place of the item that failed.

    Args:
        items: the items; only the thread uses them.
        most: number of large items that may wait.
        is_large: tells large items from small ones.
    """
    ready: queue.Queue[ItemT | _End] = queue.Queue(most + _MOST_SMALL)
    places = threading.Semaphore(most)
    stopped = threading.Event()

    def make() -> None:
        end = _End()
        try:
            for item in items:
                while is_large(item) and not places.acquire(timeout=_WAIT_S):
                    if stopped.is_set():
                        return
                if not put(item):
                    return
        except BaseException as error:
            end = _End(error)
        put(end)

    def put(item: ItemT | _End) -> bool:
        while not stopped.is_set():
            try:
                ready.put(item, timeout=_WAIT_S)
                return True
            except queue.Full:
                pass
        return False

    thread = threading.Thread(target=make, name="swinir-video-read", daemon=True)
    thread.start()
    try:
        while True:
            item = ready.get()
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            if is_large(item):
                places.release()
            yield item
    finally:
        stopped.set()
        thread.join()


class Behind(Generic[ItemT]):
    """Calls a function for one item after the other in a thread.

    Use it as a context manager: its end waits for the last call, unless there was an error.

    Args:
        function: called for every item; what it raises is raised by a later :meth:`put`, or at the
            end.
        most: number of large items that may wait.
        is_large: tells large items from small ones.
    """

    def __init__(
        self, function: Callable[[ItemT], object], most: int, is_large: Callable[[ItemT], bool]
    ) -> None:
        self._function, self._most, self._is_large = function, most, is_large
        self._pool = ThreadPoolExecutor(1, "swinir-video-write")
        self._running: deque[tuple[Future[object], bool]] = deque()
        self._large = 0

    def put(self, item: ItemT) -> None:
        """Add an item; wait while too many of them wait."""
        large = self._is_large(item)
        while self._running and self._must_wait(large):
            self._take()
        self._running.append((self._pool.submit(self._function, item), large))
        self._large += large

    def _must_wait(self, large: bool) -> bool:
        is_full = large and self._large >= self._most
        too_many = len(self._running) >= self._most + _MOST_SMALL
        return is_full or too_many or self._running[0][0].done()

    def _take(self) -> None:
        done, large = self._running.popleft()
        self._large -= large
        done.result()

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
                self._take()
        finally:
            self._pool.shutdown(wait=True, cancel_futures=True)
