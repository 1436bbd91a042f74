"""Choose the size and number of tiles for ``tile="auto"`` by trying them on the model.

Tiles of growing size are run. Each trial shows the memory and the time for a pixel that is kept
(pixels in an overlap are computed twice). A line through the measured memory tells whether the
next larger tile would still fit. Only a size that was run can be selected.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from swinir_deploy.errors import DeviceMemoryError
from swinir_deploy.nvidia.gpu import free_memory_bytes
from swinir_deploy.restoration.padding import padded_side
from swinir_deploy.runtimes.base import Runtime
from swinir_deploy.runtimes.spec import RuntimeSpec
from swinir_deploy.system.device import split_device
from swinir_deploy.system.memory import (
    available_bytes,
    forget_peak,
    peak_resident_bytes,
    resident_bytes,
)

__all__ = ["MemoryMeter", "TileChoice", "TileTrial", "choose_tile", "meter_for", "overlap_of"]

_SIDES_PX = (64, 96, 128, 192, 256, 384, 512, 768, 1024)
_BATCHES = (1, 2, 4, 8, 16)
_GAIN = 0.03
"""A larger tile or batch must be faster by this share to be worth its memory."""

_MAX_IDLE_TRIALS = 2
"""Larger tiles are not tried any more after so many in a row that were not worth it."""

_MIN_BUDGET_S = 1.0
_SHARE_OF_WORK = 0.05
"""Trials may take ``_MIN_BUDGET_S``, or this share of the picture's own time if that is more."""

_SHARE_OF_AVAILABLE = 0.7
"""The share of free memory that tiles may take; the rest is for pictures and other programs."""


class MemoryMeter(Protocol):
    """Measures the memory that runs of a model take on their device."""

    def available(self) -> int | None:
        """Return the bytes that are still free, or None if that cannot be measured."""

    def start(self) -> None:
        """Begin to measure."""

    def taken(self) -> int | None:
        """Return the peak since :meth:`start` in bytes, beyond what was held then, or None."""


@dataclass(frozen=True)
class TileTrial:
    """One size of tiles that was run.

    Attributes:
        height: height of the tiles in pixels.
        width: width of the tiles in pixels.
        batch: number of tiles in a run.
        ms_per_mpix: time in milliseconds for a million pixels of a picture; pixels in an overlap
            count once.
        taken_bytes: memory beyond that of the open model. It is estimated by the line through the
            other trials if a larger size was run before. None if it cannot be measured.
    """

    height: int
    width: int
    batch: int
    ms_per_mpix: float
    taken_bytes: int | None


@dataclass(frozen=True)
class TileChoice:
    """The selected size of tiles, and the trials that led to it.

    Attributes:
        tile: side of a tile in pixels; sides that the runtime fixes stay as they are.
        batch: number of tiles in a run.
        limit_bytes: the limit for the memory of tiles; None if memory could not be measured.
        chosen: the trial of the selected size.
        trials: all trials, in the order in which they were run.
    """

    tile: int
    batch: int
    limit_bytes: int | None
    chosen: TileTrial
    trials: tuple[TileTrial, ...]


def choose_tile(
    runtime: Runtime,
    overlap_px: int,
    *,
    pixels: int,
    longest_px: int,
    limit_bytes: int | None = None,
    batch: int | None = None,
    meter: MemoryMeter | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> TileChoice:
    """Try sizes of tiles, and return the fastest that fits into memory.

    Args:
        runtime: an open runtime. Only sizes that it takes are tried.
        overlap_px: overlap of neighbouring tiles in input pixels, as in
            :class:`~swinir_deploy.restoration.restorer.Restorer`.
        pixels: number of pixels of the picture; a larger picture allows more trials.
        longest_px: longer side of the picture in pixels; larger tiles are not tried.
        limit_bytes: limit for the memory of the runs. None means a share of the free memory.
        batch: number of tiles in a run; None tries several.
        meter: measures memory. None measures this process, or the CUDA device of the runtime.
        clock: returns the time in seconds.

    Raises:
        DeviceMemoryError: the memory does not suffice for the smallest tile.
    """
    run = _Trials(runtime, overlap_px, meter or meter_for(runtime.spec), limit_bytes, clock)
    minimum, maximum = runtime.spec.ranges[0]
    first_batch = max(minimum, min(batch or 1, maximum or batch or 1))
    run.sides(first_batch, pixels, longest_px)
    best = run.best()
    if batch is None:
        larger = (n for n in _BATCHES if n > minimum)
        run.batches(best, [n for n in larger if maximum is None or n <= maximum])
        best = run.best()
    side = max(best.height, best.width)
    return TileChoice(side, best.batch, run.limit_bytes, best, tuple(run.done))


class _Trials:
    """Runs sizes of tiles one after the other, and keeps the results in ``done``."""

    def __init__(
        self,
        runtime: Runtime,
        overlap_px: int,
        meter: MemoryMeter,
        limit_bytes: int | None,
        clock: Callable[[], float],
    ) -> None:
        self._runtime, self._overlap_px, self._meter = runtime, overlap_px, meter
        self._clock = clock
        free = meter.available()
        limits = [limit_bytes, None if free is None else int(free * _SHARE_OF_AVAILABLE)]
        known = [limit for limit in limits if limit is not None]
        self.limit_bytes = min(known) if known else None
        self.done: list[TileTrial] = []
        self._began = clock()
        self._budget_s = _MIN_BUDGET_S
        meter.start()

    def sides(self, batch: int, pixels: int, longest_px: int) -> None:
        """Run tiles of growing size until memory or time is used up or nothing is gained."""
        idle = 0
        for height, width in self._shapes(longest_px):
            if self.done and not self._may_run(height * width * batch):
                return
            before = self.best() if self.done else None
            if not self._run(height, width, batch):
                return
            latest = self.done[-1]
            if before is None:
                work_s = latest.ms_per_mpix * pixels / 1e9
                self._budget_s = max(_MIN_BUDGET_S, _SHARE_OF_WORK * work_s)
                continue
            idle = 0 if _is_worth_it(latest, before) else idle + 1
            if idle == _MAX_IDLE_TRIALS:
                return

    def batches(self, tile: TileTrial, batches: list[int]) -> None:
        """Run larger batches of one size of tiles, as long as they are faster."""
        for batch in batches:
            if batch <= tile.batch:
                continue
            if not self._may_run(tile.height * tile.width * batch):
                return
            before = self.best()
            if not self._run(tile.height, tile.width, batch):
                return
            if not _is_worth_it(self.done[-1], before):
                return

    def best(self) -> TileTrial:
        """Return the smallest trial that is about as fast as the fastest one within the limit."""
        fitting = [t for t in self.done if self._fits(t.taken_bytes)] or self.done[:1]
        fastest = min(t.ms_per_mpix for t in fitting)
        return next(t for t in fitting if t.ms_per_mpix * (1 - _GAIN) <= fastest)

    def _fits(self, taken: int | None) -> bool:
        return taken is None or self.limit_bytes is None or taken <= self.limit_bytes

    def _shapes(self, longest_px: int) -> list[tuple[int, int]]:
        """Return the different heights and widths to try, from small to large."""
        spec, window = self._runtime.spec, self._runtime.spec.window_size
        every = (spec.ranges, *spec.other_ranges)  # an engine may have several profiles
        sides = [ranges[1:] for ranges in every if ranges[0] == spec.ranges[0]]
        shapes: set[tuple[int, int]] = set()
        for side in _SIDES_PX:
            used = max(window, min(side, padded_side(longest_px, window)) // window * window)
            shapes |= {
                (_within(used, heights, window), _within(used, widths, window))
                for heights, widths in sides
            }
        return sorted(shapes, key=lambda shape: (shape[0] * shape[1], shape))

    def _may_run(self, pixels: int) -> bool:
        """Return whether a run with so many pixels is expected to fit into time and memory."""
        seconds = 2 * self.done[-1].ms_per_mpix * pixels / 1e9
        if self._clock() - self._began + seconds > self._budget_s:
            return False
        expected = self._expected_bytes(pixels)
        return expected is None or self._fits(expected)

    def _expected_bytes(self, pixels: int) -> int | None:
        """Return the memory in bytes that a run with so many pixels is expected to take, or None.

        It lies on a line with the slope of all measured points, through the last of them.
        """
        points = [
            (t.height * t.width * t.batch, t.taken_bytes)
            for t in self.done
            if t.taken_bytes is not None
        ]
        if not points:
            return None
        x, y = (np.array(values, float) for values in zip(*points, strict=True))
        is_line = len(set(x)) > 1
        slope = max(0.0, float(np.polyfit(x, y, 1)[0])) if is_line else y[-1] / x[-1]
        return max(0, int(y[-1] + slope * (pixels - x[-1])))

    def _run(self, height: int, width: int, batch: int) -> bool:
        """Run one size twice, and return whether the memory sufficed."""
        spec = self._runtime.spec
        tiles = _noise(spec, batch, height, width)
        times = []
        try:
            for _ in range(2):  # the first run of a shape may allocate memory and compile
                started = self._clock()
                self._runtime.run(tiles)
                times.append(self._clock() - started)
        except (DeviceMemoryError, MemoryError):
            if not self.done:
                raise
            return False
        kept = batch
        for side in (height, width):
            kept *= side - overlap_of(side, self._overlap_px, spec.window_size)
        taken = self._meter.taken()
        pixels = height * width * batch
        if taken is not None and any(t.height * t.width * t.batch > pixels for t in self.done):
            # The measured peak is that of a larger size. The line tells the need of this one.
            taken = min(taken, self._expected_bytes(pixels) or taken)
        self.done.append(TileTrial(height, width, batch, min(times) * 1e9 / kept, taken))
        return True


def overlap_of(side: int, requested_px: int, window: int) -> int:
    """Return the smallest overlap of neighbouring tiles, in pixels.

    It is the requested overlap, but at most half a tile, and at most a tile less one window.

    Args:
        side: side of a tile in pixels.
        requested_px: the requested overlap.
        window: side of an attention window in pixels.
    """
    return max(0, min(requested_px, side // 2, side - window))


def _is_worth_it(trial: TileTrial, before: TileTrial) -> bool:
    return trial.ms_per_mpix < before.ms_per_mpix * (1 - _GAIN)


def _within(side: int, limits: tuple[int, int | None], window: int) -> int:
    """Return the side that a plan would use for tiles of ``side`` pixels, within the limits."""
    minimum, maximum = padded_side(1, window, limits[0]), limits[1]
    if maximum is not None and maximum < minimum:
        return maximum
    return max(minimum, side if maximum is None else min(side, maximum // window * window))


def _noise(spec: RuntimeSpec, batch: int, height: int, width: int) -> NDArray[Any]:
    random = np.random.default_rng(0)
    shape = spec.input_shape(batch, height, width)
    if spec.io == "image":
        return random.integers(0, 256, shape, np.uint8)
    return random.random(shape, np.float32)


# ----------------------------------------------------------------------------------------- meters


def meter_for(spec: RuntimeSpec) -> MemoryMeter:
    """Return a meter for the device on which a runtime computes."""
    kind, index = split_device(spec.device)
    if kind == "cuda":
        return _GpuMeter(index)
    return _HostMeter() if kind == "cpu" else _NoMeter()


class _HostMeter:
    """Measures the peak of this process, where the system allows to reset it."""

    def available(self) -> int | None:
        return available_bytes()

    def start(self) -> None:
        self._counts = forget_peak()
        self._before = resident_bytes()

    def taken(self) -> int | None:
        peak = peak_resident_bytes()
        if not self._counts or self._before is None or peak is None:
            return None
        return max(0, peak - self._before)


class _GpuMeter:
    """Measures by how much the free memory of a GPU has fallen.

    That is the peak, because the allocators of the libraries keep the memory that they once took.
    """

    def __init__(self, index: int) -> None:
        self._index = index

    def available(self) -> int | None:
        return free_memory_bytes(self._index)

    def start(self) -> None:
        self._before = self.available()

    def taken(self) -> int | None:
        free = self.available()
        return None if free is None or self._before is None else max(0, self._before - free)


class _NoMeter:
    """Measures nothing, for devices that cannot tell their memory."""

    def available(self) -> int | None:
        return None

    def start(self) -> None:
        pass

    def taken(self) -> int | None:
        return None
