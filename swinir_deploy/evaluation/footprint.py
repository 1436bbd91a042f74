"""The memory that one contender of a benchmark takes, as far as one process can tell."""

from __future__ import annotations

from collections.abc import Callable

from swinir_deploy.gpu import free_memory_bytes
from swinir_deploy.process_memory import forget_peak, peak_resident_bytes, resident_bytes
from swinir_deploy.runtimes import RuntimeSpec

__all__ = ["Footprint"]


class Footprint:
    """Made before a contender is opened; nothing else may be opened or run between its calls."""

    def __init__(self) -> None:
        self._counts = forget_peak()
        self._before = resident_bytes() or 0
        # Which device it will be is known once it is open: what is free now, on each there is.
        self._free = _free_on_each()
        self._device: int | None = None
        self._opening = self._kept = 0

    def opened(self, spec: RuntimeSpec) -> None:
        """The contender is open, and has not run."""
        self._opening = (peak_resident_bytes() or 0) - self._before
        self._kept = (resident_bytes() or 0) - self._before
        kind, _, index = spec.device.partition(":")
        self._device = int(index or 0) if kind == "cuda" else None

    def first_run(self, job: Callable[[], object]) -> tuple[float | None, float | None]:
        """Run it once.

        Returns:
            10^6 bytes of the process's peak and of the device that are this contender's; None
            where they cannot be told.
        """
        forget_peak()
        before = resident_bytes() or 0
        job()
        running = self._kept + (peak_resident_bytes() or 0) - before
        device_mb = None
        if self._device is not None and self._device < len(self._free):
            free = free_memory_bytes(self._device)
            if free is not None:
                device_mb = (self._free[self._device] - free) / 1e6
        return (max(self._opening, running, 0) / 1e6 if self._counts else None), device_mb


def _free_on_each() -> list[int]:
    """What is free on each CUDA device; empty where there is none."""
    found: list[int] = []
    while (free := free_memory_bytes(len(found))) is not None:
        found.append(free)
    return found
