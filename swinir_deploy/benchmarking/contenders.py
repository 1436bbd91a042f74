"""The contenders of a benchmark: a model that is open on a back end, and its timed runs."""

from __future__ import annotations

import functools
import importlib
import inspect
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from swinir_deploy.benchmarking.worker import WorkerProcess
from swinir_deploy.comparison import sample_picture
from swinir_deploy.errors import UsageError
from swinir_deploy.nvidia.gpu import free_memory_bytes
from swinir_deploy.pictures.values import nhwc_levels
from swinir_deploy.runtimes import Runtime, RuntimeSpec, backend_for, open_runtime
from swinir_deploy.system.device import split_device
from swinir_deploy.system.memory import (
    forget_peak,
    highest_resident_bytes,
    peak_resident_bytes,
    resident_bytes,
)

__all__ = ["Contender", "FirstRun", "IsolatedContender", "MemoryUse", "OpenContender", "TimedRun"]


@dataclass(frozen=True)
class Contender:
    """A model on a back end, to be timed.

    Attributes:
        model: file or catalogue id, as :func:`swinir_deploy.open_runtime` takes it.
        backend: name of the back end; None chooses it by the file.
        device: device, such as ``cpu`` or ``cuda:0``; None is the back end's default.
        options: further options of the back end.
        label: name in the report; None makes one from back end, device and model.
    """

    model: str
    backend: str | None = None
    device: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    label: str | None = None


@dataclass(frozen=True)
class FirstRun:
    """Measurements of the first run at a shape.

    Attributes:
        load_ms: time to open the model.
        first_run_ms: time of the contender's very first run, at any shape.
        rss_growth_mb: see :class:`~swinir_deploy.benchmarking.reports.BenchmarkRow`.
        device_memory_mb: see :class:`~swinir_deploy.benchmarking.reports.BenchmarkRow`.
        peak_rss_mb: the process's maximum memory so far, in 10^6 bytes; None if unknown.
    """

    load_ms: float
    first_run_ms: float
    rss_growth_mb: float | None
    device_memory_mb: float | None
    peak_rss_mb: float | None


@dataclass(frozen=True)
class TimedRun:
    """The times of one run.

    Attributes:
        host_ms: time by the host's clock.
        device_ms: time by the GPU's events; None without a GPU or if the back end has no events.
    """

    host_ms: float
    device_ms: float | None


class OpenContender:
    """An open contender whose memory a :class:`MemoryUse` measures.

    Args:
        contender: the model and back end to open.
        threads: number of CPU threads, if the back end has such an option; None is its default.
        transfers: False keeps input and output in the GPU's memory; no effect on a CPU.

    Raises:
        SwinIRDeployError: the contender cannot be opened.
        UsageError: the transfers of its back end cannot be left out.
    """

    def __init__(self, contender: Contender, threads: int | None, transfers: bool) -> None:
        self._memory_use = MemoryUse()
        options = _options(contender, threads)
        self._runtime = open_runtime(
            contender.model, contender.backend, contender.device, **options
        )
        self._stays_on_gpu = not transfers and self.spec.device != "cpu"
        self._job: Callable[[], object] | None = None
        try:
            self._memory_use.opened(self.spec)
            self._has_events = self._runtime.time_device()
            if self._stays_on_gpu and not self._runtime.takes_gpu_memory:
                raise UsageError(
                    f"The back end {self.spec.backend!r} on {self.spec.device} takes and gives "
                    "host memory only: its transfers cannot be left out. Time it with transfers "
                    "(bench --transfers), or use torch on CUDA, tensorrt or rtx."
                )
        except BaseException:
            self._runtime.close()
            raise

    @property
    def spec(self) -> RuntimeSpec:
        """Return the specification of the open runtime."""
        return self._runtime.spec

    def describe(self) -> RuntimeSpec:
        """Return ``spec``. It is a method so that another process can call it."""
        return self.spec

    def prepare(self, batch: int, height: int, width: int) -> FirstRun:
        """Make an input of this shape and run once.

        Args:
            batch: number of pictures.
            height: height in pixels.
            width: width in pixels.
        """
        picture = _input(self.spec, batch, height, width)
        if self._stays_on_gpu:
            on_gpu = self._runtime.copy_to_gpu(picture)
            self._job = functools.partial(self._runtime.run_on_gpu, on_gpu)
        else:
            self._job = functools.partial(self._runtime.run, picture)
        rss_growth_mb, device_memory_mb = self._memory_use.first_run(self._job)
        stats, peak = self._runtime.stats, highest_resident_bytes()
        return FirstRun(
            load_ms=stats.load_ms,
            first_run_ms=stats.first_run_ms,
            rss_growth_mb=rss_growth_mb,
            device_memory_mb=device_memory_mb,
            peak_rss_mb=None if peak is None else peak / 1e6,
        )

    def run(self) -> TimedRun:
        """Run once on the input that :meth:`prepare` made."""
        assert self._job is not None, "call prepare() first"
        started = time.perf_counter()
        self._job()
        host_ms = (time.perf_counter() - started) * 1e3
        return TimedRun(host_ms, self._runtime.stats.device_ms if self._has_events else None)

    def close(self) -> None:
        """Close the runtime."""
        self._job = None
        self._runtime.close()


class IsolatedContender:
    """An :class:`OpenContender` in a process of its own, which also takes the times.

    Raises:
        SwinIRDeployError: as :class:`OpenContender` raises it.
        InferenceError: the process ended by itself.
    """

    def __init__(self, contender: Contender, threads: int | None, transfers: bool) -> None:
        self._process = WorkerProcess(OpenContender, contender, threads, transfers)
        self._spec: RuntimeSpec = self._process.call("describe")

    @property
    def spec(self) -> RuntimeSpec:
        """Return the specification of the open runtime."""
        return self._spec

    def prepare(self, batch: int, height: int, width: int) -> FirstRun:
        """Call :meth:`OpenContender.prepare` in the other process."""
        first_run: FirstRun = self._process.call("prepare", batch, height, width)
        return first_run

    def run(self) -> TimedRun:
        """Call :meth:`OpenContender.run` in the other process."""
        timed: TimedRun = self._process.call("run")
        return timed

    def close(self) -> None:
        """Close the runtime and end the process."""
        self._process.close()


def _options(contender: Contender, threads: int | None) -> dict[str, Any]:
    """Return the contender's options, with ``threads`` if its back end takes them."""
    if threads is None:
        return contender.options
    backend = backend_for(contender.model, contender.backend)
    if backend.missing():
        return contender.options  # open_runtime() says what to install
    module, _, name = backend.factory.partition(":")
    factory: type[Runtime] = getattr(importlib.import_module(module), name)
    known = "threads" in inspect.signature(factory).parameters
    return {"threads": threads, **contender.options} if known else contender.options


def _input(spec: RuntimeSpec, batch: int, height: int, width: int) -> NDArray[Any]:
    picture = sample_picture(batch, spec.in_chans, height, width)
    if spec.io == "tensor":
        return picture
    return nhwc_levels(picture)


class MemoryUse:
    """The memory that a contender uses.

    Create it before the contender is opened. Nothing else may be opened or run between its calls,
    because it measures the whole process and the whole device.
    """

    def __init__(self) -> None:
        self._counts = forget_peak()
        self._before = resident_bytes() or 0
        # The contender's device is known only after it is opened, so record every device now.
        self._free = _free_on_each()
        self._device: int | None = None
        self._opening = self._kept = 0

    def opened(self, spec: RuntimeSpec) -> None:
        """Record the memory after the contender was opened, before its first run."""
        self._opening = (peak_resident_bytes() or 0) - self._before
        self._kept = (resident_bytes() or 0) - self._before
        kind, index = split_device(spec.device)
        self._device = index if kind == "cuda" else None

    def first_run(self, job: Callable[[], object]) -> tuple[float | None, float | None]:
        """Run the contender once and measure its memory.

        Returns:
            The contender's share of the process's peak memory and of the device's memory, in 10^6
            bytes; None where it cannot be measured.
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
    """Return the free memory in bytes of each CUDA device; empty if there is none."""
    free_bytes: list[int] = []
    while (free := free_memory_bytes(len(free_bytes))) is not None:
        free_bytes.append(free)
    return free_bytes
