"""End cleanly on SIGTERM and SIGHUP: a service is stopped, or a terminal is closed."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

from swinir_deploy.system.partial_files import remove_own_partial_files

__all__ = ["Terminated", "clean_up_when_terminated", "left_to_others"]

_GRACE_S = 5.0
"""Seconds to unwind before the process ends at once. Docker kills after 10."""

_LOOK_S = 0.1


class Terminated(KeyboardInterrupt):
    """A signal asked the process to end. The work stops as it does after Ctrl-C.

    Attributes:
        signum: number of the signal.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(f"Ended by {signal.Signals(signum).name}")
        self.signum = signum

    @property
    def exit_code(self) -> int:
        """Return the exit code that shells show for the signal: 143 for SIGTERM."""
        return 128 + self.signum


def clean_up_when_terminated() -> None:
    """Have SIGTERM and SIGHUP raise :class:`Terminated` in the main thread, once.

    A computation that does not return to Python in time is not waited for: after some seconds, a
    thread removes the partial files and ends the process. Signals that are ignored (``nohup``)
    or handled already are left alone. Call it from the main thread of a program, not of a library.
    """
    wanted = [getattr(signal, name, None) for name in ("SIGTERM", "SIGHUP")]
    chosen = [s for s in wanted if s is not None and signal.getsignal(s) is signal.SIG_DFL]
    if not chosen or os.name == "nt":  # which ends processes without asking them
        return
    # Python runs handlers between instructions of the main thread only, so not while that computes
    # in a library. The number of the signal is written to this pipe at once.
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    once = threading.Lock()

    def handle(signum: int, _frame: FrameType | None) -> None:
        if once.acquire(blocking=False):  # a second signal must not interrupt the cleaning
            raise Terminated(signum)

    for signum in chosen:
        signal.signal(signum, handle)
    arguments = reader, frozenset(map(int, chosen)), once
    threading.Thread(target=_watch, args=arguments, name="swinir-end", daemon=True).start()


@contextlib.contextmanager
def left_to_others() -> Iterator[None]:
    """Leave the signals to handlers that are installed within the block, such as a server's.

    Without it, the process would end some seconds after a signal, whatever they do.
    """
    writer = signal.set_wakeup_fd(-1)
    try:
        yield
    finally:
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)


def _watch(reader: int, chosen: frozenset[int], once: threading.Lock) -> None:
    """Wait for one of the signals; if the process still runs some seconds later, end it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, chosen)
    caught: frozenset[int] = frozenset()
    while not caught:
        caught = chosen.intersection(os.read(reader, 64))
    ends_at = time.monotonic() + _GRACE_S
    while time.monotonic() < ends_at:
        if not once.locked():
            # The system gave the signal to another thread, and the main one waits for something.
            signal.pthread_kill(threading.main_thread().ident or 0, min(caught))
        time.sleep(_LOOK_S)
    remove_own_partial_files()
    os._exit(128 + min(caught))
