"""Reading, computing and writing of many pictures at the same time, within bounds.

The caller's thread computes; one thread reads ahead and one writes behind. At any time at most one
picture waits or is being read, one is computed and one is being written, and together they take no
more memory than allowed. Where two would not fit side by side, they come one after the other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

__all__ = ["StagedJob", "run_stages"]

ResultT_co = TypeVar("ResultT_co", covariant=True)
ResultT = TypeVar("ResultT")


class StagedJob(Protocol[ResultT_co]):
    """A piece of work in stages, which are called once each, in order."""

    def prepare(self) -> int:
        """Bytes that the job will take. Called early, in the caller's thread."""

    def read(self) -> None:
        """Called in the reader's thread."""

    def compute(self) -> None:
        """Called in the caller's thread."""

    def write(self) -> ResultT_co:
        """Called in the writer's thread."""


@dataclass
class _Running(Generic[ResultT]):
    index: int
    job: StagedJob[ResultT]
    size_bytes: int
    read: Future[None]
    written: Future[ResultT] | None = None


def run_stages(
    jobs: Iterable[StagedJob[ResultT]],
    on_result: Callable[[int, ResultT], None],
    on_error: Callable[[int, Exception], None],
    max_memory_bytes: int | None = None,
) -> None:
    """Run all jobs; the results come in the order of the jobs.

    Args:
        jobs: taken one by one, not further ahead than they are read.
        on_result: gets a job's number and what ``write`` gave, in the caller's thread.
        on_error: gets a job's number and what any of its stages raised; what this function raises
            stops everything. A job that failed early may be reported before an earlier one ends.
        max_memory_bytes: jobs are not side by side when they need more together; a job that needs
            more alone runs alone.

    Raises:
        Whatever ``on_error`` raises, and KeyboardInterrupt: what is being written is finished,
        the rest is dropped.
    """
    line = _Line(on_result, on_error, max_memory_bytes)
    with line.readers, line.writers:
        try:
            line.run(enumerate(jobs))
        except BaseException:
            for pool in (line.readers, line.writers):
                pool.shutdown(wait=False, cancel_futures=True)
            raise


class _Line(Generic[ResultT]):
    """The state of :func:`run_stages`; all of it belongs to the caller's thread."""

    def __init__(
        self,
        on_result: Callable[[int, ResultT], None],
        on_error: Callable[[int, Exception], None],
        max_memory_bytes: int | None,
    ) -> None:
        self.readers = ThreadPoolExecutor(1, "swinir-read")
        self.writers = ThreadPoolExecutor(1, "swinir-write")
        self._on_result = on_result
        self._on_error = on_error
        self._max_memory_bytes = max_memory_bytes
        self._ahead: _Running[ResultT] | None = None
        self._computed: _Running[ResultT] | None = None
        self._behind: deque[_Running[ResultT]] = deque()
        self._next: tuple[int, StagedJob[ResultT], int] | None = None

    def run(self, jobs: Iterator[tuple[int, StagedJob[ResultT]]]) -> None:
        while True:
            if self._ahead is None and not self._read_next(jobs, must=True):
                break
            running, self._ahead = self._ahead, None
            assert running is not None
            self._computed = running
            self._read_next(jobs, must=False)
            self._compute(running)
            self._computed = None
        self._finish(0)

    def _compute(self, running: _Running[ResultT]) -> None:
        try:
            running.read.result()
            running.job.compute()
        except Exception as error:
            self._on_error(running.index, error)
            return
        self._finish(0)  # one picture at a time waits for the disk
        running.written = self.writers.submit(running.job.write)
        self._behind.append(running)

    def _read_next(self, jobs: Iterator[tuple[int, StagedJob[ResultT]]], must: bool) -> bool:
        """Start reading the next job that can be prepared.

        Args:
            jobs: what is left.
            must: wait for memory; otherwise the job waits when there is too little.

        Returns:
            Whether one is being read.
        """
        if self._next is None:
            self._next = self._prepared(jobs)
        if self._next is None:
            return False
        index, job, size_bytes = self._next
        while not self._fits(size_bytes):
            if not must or not self._behind:
                break
            self._finish(len(self._behind) - 1)
        if not must and not self._fits(size_bytes):
            return False
        self._next = None
        self._ahead = _Running(index, job, size_bytes, self.readers.submit(job.read))
        return True

    def _prepared(
        self, jobs: Iterator[tuple[int, StagedJob[ResultT]]]
    ) -> tuple[int, StagedJob[ResultT], int] | None:
        for index, job in jobs:
            try:
                return index, job, job.prepare()
            except Exception as error:
                self._on_error(index, error)
        return None

    def _fits(self, size_bytes: int) -> bool:
        if self._max_memory_bytes is None:
            return True
        others = [*self._behind, *([self._computed] if self._computed else [])]
        return size_bytes + sum(other.size_bytes for other in others) <= self._max_memory_bytes

    def _finish(self, leave: int) -> None:
        """Wait until only so many are being written."""
        while len(self._behind) > leave:
            running = self._behind.popleft()
            assert running.written is not None
            try:
                result = running.written.result()
            except Exception as error:
                self._on_error(running.index, error)
            else:
                self._on_result(running.index, result)
