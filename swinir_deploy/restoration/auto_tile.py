"""``tile="auto"``: the size of tiles, and how many at once, by trying them on the model itself.

Tiles of growing size are run. Each shows what it costs (time for a pixel that is kept: what
overlaps is computed twice) and what memory it takes; a line through what was measured says whether
the next larger one would still fit. Nothing is chosen that was not run.
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
"""A larger tile or batch must be faster by this part to be worth its memory."""

_MOST_IDLE_TRIALS = 2
"""Larger tiles are given up after so many that were not worth it."""

_LEAST_SECONDS = 1.0
_SHARE_OF_WORK = 0.05
"""Trials last at most so long, or this part of the picture's own time if that is more."""

_SHARE_OF_AVAILABLE = 0.7
"""Of the memory that is free; the rest is for pictures, and for others."""


class MemoryMeter(Protocol):
    """What the model's runs take, on the device that it computes on."""

    def available(self) -> int | None:
        """Bytes that runs could take beyond what is held now; None where nobody can say."""

    def start(self) -> None:
        """Count from here."""

    def taken(self) -> int | None:
        """The most that was held since :meth:`start`, beyond what was held then."""


@dataclass(frozen=True)
class TileTrial:
    """One size that was run.

    Attributes:
        height: of the tiles in pixels.
        width: of the tiles in pixels.
        batch: tiles in a run.
        ms_per_mpix: time for a million pixels of a picture, without those that overlap.
        taken_bytes: memory beyond that of the open model, by the line through the others where a
            larger one was run before; None where it cannot be measured.
    """

    height: int
    width: int
    batch: int
    ms_per_mpix: float
    taken_bytes: int | None


@dataclass(frozen=True)
class TileChoice:
    """What was chosen, and from what.

    Attributes:
        tile: side of a tile in pixels; sides that the runtime fixes stay as they are.
        batch: tiles in a run.
        limit_bytes: that tiles had to stay within; None where memory could not be measured.
        chosen: the trial behind it.
        trials: all of them, in the order in which they were run.
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
    """Try tiles, and take the fastest that fits.

    Args:
        runtime: open. Sizes stay within what it takes.
        overlap_px: of neighbouring tiles, as in
            :class:`~swinir_deploy.restoration.restorer.Restorer`.
        pixels: of the picture; more of them allow more trials.
        longest_px: longer side of the picture; larger tiles are not tried.
        limit_bytes: for the runs; None takes a part of what is free.
        batch: tiles in a run; None tries several.
        meter: None measures this process, or the CUDA device that the runtime computes on.
        clock: gives seconds.

    Raises:
        DeviceMemoryError: not even the smallest tile can be run.
    """
    run = _Trials(runtime, overlap_px, meter or meter_for(runtime.spec), limit_bytes, clock)
    least, most = runtime.spec.ranges[0]
    first_batch = max(least, min(batch or 1, most or batch or 1))
    run.sides(first_batch, pixels, longest_px)
    best = run.best()
    if batch is None:
        run.batches(best, [n for n in _BATCHES if n > least and (most is None or n <= most)])
        best = run.best()
    side = max(best.height, best.width)
    return TileChoice(side, best.batch, run.limit_bytes, best, tuple(run.done))


class _Trials:
    """Runs sizes one after the other and keeps what they showed."""

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
        self._budget_s = _LEAST_SECONDS
        meter.start()

    def sides(self, batch: int, pixels: int, longest_px: int) -> None:
        """Tiles of growing size, until memory, time or gain is at its end."""
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
                self._budget_s = max(_LEAST_SECONDS, _SHARE_OF_WORK * work_s)
                continue
            idle = 0 if _is_worth_it(latest, before) else idle + 1
            if idle == _MOST_IDLE_TRIALS:
                return

    def batches(self, tile: TileTrial, batches: list[int]) -> None:
        """More tiles of one size at once, as long as that pays."""
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
        """The smallest of those that are about as fast as the fastest within the limit."""
        fitting = [t for t in self.done if self._fits(t.taken_bytes)] or self.done[:1]
        fastest = min(t.ms_per_mpix for t in fitting)
        return next(t for t in fitting if t.ms_per_mpix * (1 - _GAIN) <= fastest)

    def _fits(self, taken: int | None) -> bool:
        return taken is None or self.limit_bytes is None or taken <= self.limit_bytes

    def _shapes(self, longest_px: int) -> list[tuple[int, int]]:
        """Heights and widths that the runtime takes, no two alike, growing."""
        spec, window = self._runtime.spec, self._runtime.spec.window_size
        every = (spec.ranges, *spec.other_ranges)  # an engine with several profiles has others
        sides = [ranges[1:] for ranges in every if ranges[0] == spec.ranges[0]]
        found: set[tuple[int, int]] = set()
        for side in _SIDES_PX:
            used = max(window, min(side, padded_side(longest_px, window)) // window * window)
            found |= {
                (_within(used, heights, window), _within(used, widths, window))
                for heights, widths in sides
            }
        return sorted(found, key=lambda shape: (shape[0] * shape[1], shape))

    def _may_run(self, pixels: int) -> bool:
        """Whether time and, by the line through what was measured, memory allow it."""
        seconds = 2 * self.done[-1].ms_per_mpix * pixels / 1e9
        if self._clock() - self._began + seconds > self._budget_s:
            return False
        expected = self._expected_bytes(pixels)
        return expected is None or self._fits(expected)

    def _expected_bytes(self, pixels: int) -> int | None:
        """On the line through what was measured, from the last point on."""
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
        """Run one size twice; whether there was memory for it."""
        spec = self._runtime.spec
        tiles = _noise(spec, batch, height, width)
        times = []
        try:
            for _ in range(2):  # the first of a shape may allocate and compile
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
            # The peak is that of a larger one; this one's own lies on the line.
            taken = min(taken, self._expected_bytes(pixels) or taken)
        self.done.append(TileTrial(height, width, batch, min(times) * 1e9 / kept, taken))
        return True


def overlap_of(side: int, wanted_px: int, window: int) -> int:
    """The least overlap of tiles of ``side``: at most half a tile, and a window less than one."""
    return max(0, min(wanted_px, side // 2, side - window))


def _is_worth_it(trial: TileTrial, before: TileTrial) -> bool:
    return trial.ms_per_mpix < before.ms_per_mpix * (1 - _GAIN)


def _within(side: int, limits: tuple[int, int | None], window: int) -> int:
    """The side that a plan would use for tiles of ``side`` pixels."""
    least, most = padded_side(1, window, limits[0]), limits[1]
    if most is not None and most < least:
        return most
    return max(least, side if most is None else min(side, most // window * window))


def _noise(spec: RuntimeSpec, batch: int, height: int, width: int) -> NDArray[Any]:
    random = np.random.default_rng(0)
    shape = spec.input_shape(batch, height, width)
    if spec.io == "image":
        return random.integers(0, 256, shape, np.uint8)
    return random.random(shape, np.float32)


# ----------------------------------------------------------------------------------------- meters


def meter_for(spec: RuntimeSpec) -> MemoryMeter:
    """Measures where a runtime computes."""
    kind, index = split_device(spec.device)
    if kind == "cuda":
        return _GpuMeter(index)
    return _HostMeter() if kind == "cpu" else _NoMeter()


class _HostMeter:
    """The peak of this process, which begins anew where the system allows it."""

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
    """What became less on the device: allocators keep what they once took."""

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
    """For devices that nobody can ask."""

    def available(self) -> int | None:
        return None

    def start(self) -> None:
        pass

    def taken(self) -> int | None:
        return None
