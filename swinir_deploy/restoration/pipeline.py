"""Read, compute and write several pictures at the same time, within a limit for memory.

The caller's thread computes. One thread reads the next picture, and one thread writes the last
picture. So at any time at most one picture is read or waits, one is computed and one is written.
If two pictures together would take more memory than allowed, they are processed one after the
other.
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
    """A job with four stages, which are called once each, in order."""

    def prepare(self) -> int:
        """Return the peak memory of the job in bytes; this runs early, in the caller's thread."""

    def read(self) -> None:
        """Read the input; this runs in the reader's thread."""

    def compute(self) -> None:
        """Compute the result; this runs in the caller's thread."""

    def write(self) -> ResultT_co:
        """Write the result and return a report; this runs in the writer's thread."""


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

    If ``on_error`` raises an exception, or Ctrl-C is pressed, the exception is passed on: the
    result that is being written is finished, and all other work is dropped.

    Args:
        jobs: the jobs; each one is taken when it can be read.
        on_result: called in the caller's thread with the number of a job and what its ``write``
            returned.
        on_error: called in the caller's thread with the number of a job and what one of its stages
            raised. A job that fails early may be reported before an earlier job ends.
        max_memory_bytes: jobs that need more together do not run at the same time; a job that
            needs more alone runs alone. None for no limit.
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
    """The state of :func:`run_stages`; only the caller's thread uses it."""

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
        self._finish(0)  # only one picture at a time is written
        running.written = self.writers.submit(running.job.write)
        self._behind.append(running)

    def _read_next(self, jobs: Iterator[tuple[int, StagedJob[ResultT]]], must: bool) -> bool:
        """Start to read the next job that can be prepared.

        Args:
            jobs: the remaining jobs.
            must: whether to wait until there is enough memory; otherwise the job is read later.

        Returns:
            Whether a job is being read.
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
        """Wait until at most ``leave`` jobs are being written."""
        while len(self._behind) > leave:
            running = self._behind.popleft()
            assert running.written is not None
            try:
                result = running.written.result()
            except Exception as error:
                self._on_error(running.index, error)
            else:
                self._on_result(running.index, result)
