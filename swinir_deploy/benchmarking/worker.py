"""An object in a process of its own, created there and called from here.

Contenders of a benchmark that share a process also share its allocator, so one contender reuses
memory that another one took from the system. Here each has a new process, as a user's program has.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import pickle
import signal
import traceback
import warnings
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from typing import Any

from swinir_deploy.errors import InferenceError, SwinIRDeployWarning

__all__ = ["WorkerProcess"]

_END_S = 10.0
"""Time in seconds that a process may take to close its object."""


class WorkerProcess:
    """An object that a picklable function creates in a new Python process.

    The new process shares no threads, imports or memory with this one. It imports the main
    script, so a script must create such an object under ``if __name__ == "__main__":``. Ctrl-C
    reaches only this process, which then ends the other one. This package's warnings from
    ``make`` are shown here; other warnings are dropped.

    Args:
        make: function that creates the object; pickle must be able to import it by its name. If
            the object has a method ``close``, that is called at the end.
        args: arguments of ``make``, which can be pickled.

    Raises:
        InferenceError: the process ended by itself, for example because the system killed it when
            memory ran out.
        Exception: the exception that ``make`` raised in the other process.
    """

    def __init__(self, make: Callable[..., object], *args: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, make, args), daemon=True)
        self._waits = True  # for the other process's answer
        try:
            with _interrupts_held():
                self._process.start()
            theirs.close()
            for warning in self._receive():
                warnings.warn(warning, stacklevel=2)
        except BaseException:
            self._end()
            raise

    def call(self, method: str, *args: Any) -> Any:
        """Call a method of the object and return its result; arguments and result are pickled.

        Raises:
            InferenceError: the process ended by itself.
            Exception: the exception that the method raised in the other process.
        """
        self._waits = True
        with contextlib.suppress(BrokenPipeError):  # _receive() raises the reason
            self._pipe.send((method, args))
        return self._receive()

    def close(self) -> None:
        """Close the object and end the process, without waiting for an interrupted call."""
        if not self._pipe.closed and not self._waits:
            with contextlib.suppress(OSError):
                self._pipe.send(None)
                self._process.join(_END_S)
        self._end()

    def _receive(self) -> Any:
        try:
            value, failure = self._pipe.recv()
            self._waits = False
        except (EOFError, ConnectionResetError):
            self._process.join(_END_S)
            raise InferenceError(
                f"A contender's process ended by itself (exit code {self._process.exitcode}; "
                "-9 often means that the system ran out of memory). Use smaller shapes, or time "
                "it alone to see why."
            ) from None
        if failure is not None:
            raise value from _RemoteError(failure)
        return value

    def _end(self) -> None:
        self._pipe.close()
        if self._process.pid is not None:
            if self._process.is_alive():
                self._process.kill()
            self._process.join()


class _RemoteError(Exception):
    """The traceback of an exception in the other process, as the cause of the same one here."""

    def __init__(self, lines: str) -> None:
        super().__init__("in the contender's process:\n" + lines)


def _serve(pipe: Connection, make: Callable[..., object], args: tuple[Any, ...]) -> None:
    """Run in the other process: create the object, then call its methods until the pipe ends."""
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", SwinIRDeployWarning)
            made = make(*args)
    except Exception as error:
        _fail(pipe, error)
        return
    try:
        own = [w.message for w in caught if isinstance(w.message, SwinIRDeployWarning)]
        pipe.send((own, None))
        while (order := pipe.recv()) is not None:
            method, arguments = order
            try:
                result = getattr(made, method)(*arguments)
            except Exception as error:
                _fail(pipe, error)
            else:
                pipe.send((result, None))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass  # the calling process has ended
    finally:
        close = getattr(made, "close", None)
        if close is not None:
            close()


def _fail(pipe: Connection, error: Exception) -> None:
    """Send an exception, or an InferenceError with its text if it cannot be pickled."""
    lines = traceback.format_exc()
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        error = InferenceError(f"{type(error).__name__}: {error}")
    pipe.send((error, lines))


@contextlib.contextmanager
def _interrupts_held() -> Iterator[None]:
    """Block Ctrl-C for a process that is started inside; this process gets it afterwards."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    # Otherwise it would start with the first process and unblock the signal.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
