"""What one request may still do: whether anybody waits for it, and until when."""

from __future__ import annotations

import threading
import time

from swinir_deploy.errors import SwinIRDeployError

__all__ = ["DeadlineError", "GoneError", "StoppedError", "Ticket"]


class StoppedError(SwinIRDeployError):
    """The work of a request was stopped before its end."""


class GoneError(StoppedError):
    """Nobody waits for the result any more."""


class DeadlineError(StoppedError):
    """The result would come too late."""


class Ticket:
    """A request that is being worked on. Any thread may use it.

    Args:
        seconds: how long the request may take from now on; None is without limit.
    """

    def __init__(self, seconds: float | None = None) -> None:
        self._ends_at = None if seconds is None else time.monotonic() + seconds
        self._is_gone = threading.Event()

    def cancel(self) -> None:
        """Say that nobody waits for the result any more."""
        self._is_gone.set()

    @property
    def seconds_left(self) -> float | None:
        """Return the seconds until the deadline, at least 0; None where there is none."""
        return None if self._ends_at is None else max(0.0, self._ends_at - time.monotonic())

    def check(self) -> None:
        """Stop the work where nobody waits for it, or where it is too late.

        Raises:
            GoneError: the request was cancelled.
            DeadlineError: its time is over.
        """
        if self._is_gone.is_set():
            raise GoneError("The client has gone away.")
        if self.seconds_left == 0.0:
            raise DeadlineError(
                "The picture was not finished in time. Send a smaller one, or try again later."
            )
