"""An object in a process of its own: made there, called from here, one call at a time.

Contenders of a benchmark that share a process share its allocator, too, and what one has taken
from the system the next one finds. Here each has a new process, as a user's program would be.
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

__all__ = ["Isolated"]

_END_S = 10.0
"""How long a process may take to close what it holds."""


class Isolated:
    """What a picklable function makes, in a new interpreter.

    Threads of this process, what it has imported and what it holds are not there; a script that
    makes one must do so under ``if __name__ == "__main__":``, because it is imported there. Ctrl-C
    reaches this process alone, which then ends the other one. Warnings of this package that
    ``make`` gives there are given here, others are dropped.

    Args:
        make: importable by its name, as pickle asks; what it gives may have ``close``.
        args: for it; picklable.

    Raises:
        InferenceError: the process ended by itself, as one does that the system killed because
            memory ran out.
        Exception: what ``make`` raised there, as it was.
    """

    def __init__(self, make: Callable[..., object], *args: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, make, args), daemon=True)
        self._waits = True  # for an answer
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
        """Call a method of the object there; arguments and result are pickled.

        Raises:
            InferenceError: as above.
            Exception: what the method raised there, as it was.
        """
        self._waits = True
        with contextlib.suppress(BrokenPipeError):  # _receive() finds out how it ended
            self._pipe.send((method, args))
        return self._receive()

    def close(self) -> None:
        """Close the object and end the process; a call that was interrupted is not waited for."""
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
    """Where in the other process an exception came from, for those who want a traceback."""

    def __init__(self, lines: str) -> None:
        super().__init__("in the contender's process:\n" + lines)


def _serve(pipe: Connection, make: Callable[..., object], args: tuple[Any, ...]) -> None:
    """The other process: make, then do what is asked until the pipe ends."""
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
        pass  # whoever asked is gone
    finally:
        close = getattr(made, "close", None)
        if close is not None:
            close()


def _fail(pipe: Connection, error: Exception) -> None:
    """Send an exception whole, or what it says where it cannot be pickled."""
    lines = traceback.format_exc()
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        error = InferenceError(f"{type(error).__name__}: {error}")
    pipe.send((error, lines))


@contextlib.contextmanager
def _interrupts_held() -> Iterator[None]:
    """A process that is started inside never sees Ctrl-C; this one sees it afterwards."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    # It is started with the first process otherwise, and lets the signal through again.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
