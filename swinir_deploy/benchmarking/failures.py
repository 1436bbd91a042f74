"""Collect the failures of contenders, so that a benchmark can go on without them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from swinir_deploy.benchmarking.reports import FailedContender
from swinir_deploy.errors import SwinIRDeployError

__all__ = ["Failures"]


class Failures:
    """The failures of contenders, where the benchmark goes on without them."""

    def __init__(self, go_on: bool) -> None:
        self.found: list[FailedContender] = []
        self._go_on = go_on
        self._first: SwinIRDeployError | None = None

    @contextmanager
    def caught(self, label: str, size: tuple[int, int, int] | None = None) -> Iterator[None]:
        """Record an error of this package, or raise it if the benchmark must not go on."""
        try:
            yield
        except SwinIRDeployError as error:
            if not self._go_on:
                raise
            self._first = self._first or error
            self.found.append(FailedContender(label, str(error), size))

    def require(self, left: Sequence[object]) -> None:
        """Raise the first error if nothing is left."""
        if not left and self._first is not None:
            raise self._first
