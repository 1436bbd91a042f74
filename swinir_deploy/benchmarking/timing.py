"""Timing for noisy machines: contenders take turns, and ratios are computed in each round."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Latency", "Ratio", "interleave", "latency", "ratio"]

_MIN_ROUNDS = 3
_MAX_WARMUP_ROUNDS = 10
_STEADY = 0.1
"""Warm-up ends when a run differs from the one before by at most this share."""

_BOOTSTRAP_SAMPLES = 2000


@dataclass(frozen=True)
class Latency:
    """The times of one contender, in milliseconds.

    Attributes:
        runs: number of timed runs.
        p50_ms: median.
        p90_ms: 90th percentile; None for fewer than 10 runs, because none would lie beyond it.
        p99_ms: 99th percentile; None for fewer than 100 runs, for the same reason.
        mean_ms: mean.
    """

    runs: int
    p50_ms: float
    p90_ms: float | None
    p99_ms: float | None
    mean_ms: float


@dataclass(frozen=True)
class Ratio:
    """The first contender's time divided by another one's.

    Attributes:
        value: median over the rounds; above 1 if the other contender is faster.
        low: lower end of the 95 % bootstrap interval.
        high: upper end of this interval.
    """

    value: float
    low: float
    high: float


def interleave(
    contenders: Sequence[Callable[[], float]],
    runs: int | None = None,
    duration_s: float = 3.0,
    settle_s: float = 0.0,
) -> NDArray[np.float64]:
    """Call every contender once in each round, in a rotating order.

    A machine that slows down thus affects all of them. Each is warmed up first, until a call takes
    about as long as the one before.

    Args:
        contenders: functions that run once and return the time of the run in milliseconds.
        runs: number of rounds; None continues for ``duration_s``, but for at least three rounds.
        duration_s: time in seconds of all rounds together, without pauses.
        settle_s: pause in seconds before each call of another contender. Worker threads of one back
            end spin for some time after its run, and would take CPU cores from the next one.

    Returns:
        The times in milliseconds, [contender, round] float64.
    """
    for contender in contenders:
        previous = contender()
        for _ in range(_MAX_WARMUP_ROUNDS):
            latest = contender()
            if abs(latest - previous) <= _STEADY * previous:
                break
            previous = latest

    rounds: list[list[float]] = []
    spent_ms = 0.0

    def more() -> bool:
        if runs is not None:
            return len(rounds) < runs
        return len(rounds) < _MIN_ROUNDS or spent_ms < duration_s * 1e3

    while more():
        times = [0.0] * len(contenders)
        for offset in range(len(contenders)):
            index = (len(rounds) + offset) % len(contenders)
            if len(contenders) > 1:
                time.sleep(settle_s)
            times[index] = contenders[index]()
        rounds.append(times)
        spent_ms += sum(times)
    by_contender = list(zip(*rounds, strict=True))
    return np.asarray(by_contender, np.float64)


def latency(times_ms: NDArray[np.float64]) -> Latency:
    """Return the percentiles of one contender's times, [round] float64 in milliseconds."""

    def percentile(q: int, min_runs: int) -> float | None:
        return float(np.percentile(times_ms, q)) if times_ms.size >= min_runs else None

    return Latency(
        runs=times_ms.size,
        p50_ms=float(np.median(times_ms)),
        p90_ms=percentile(90, 10),
        p99_ms=percentile(99, 100),
        mean_ms=float(times_ms.mean()),
    )


def ratio(first_ms: NDArray[np.float64], times_ms: NDArray[np.float64]) -> Ratio:
    """Return the ratio of the first contender's times to another one's.

    Args:
        first_ms: times of the first contender, [round] in milliseconds.
        times_ms: times of the other contender in the same rounds, [round] in milliseconds.
    """
    ratios = first_ms / times_ms
    picks = np.random.default_rng(0).integers(0, ratios.size, (_BOOTSTRAP_SAMPLES, ratios.size))
    low, high = np.percentile(np.median(ratios[picks], axis=1), [2.5, 97.5])
    return Ratio(float(np.median(ratios)), float(low), float(high))
