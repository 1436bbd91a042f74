from __future__ import annotations

import time
from functools import partial

import numpy as np
import pytest

from swinir_deploy.benchmarking.timing import interleave, latency, ratio


def test_contenders_take_turns_in_an_order_that_rotates() -> None:
    calls: list[str] = []

    def job(name: str) -> float:
        calls.append(name)
        return float(ord(name))

    times = interleave([partial(job, name) for name in "abc"], runs=3)
    assert times.tolist() == [[97.0] * 3, [98.0] * 3, [99.0] * 3]
    assert "".join(calls[-9:]) == "abcbcacab"


def test_a_pause_is_no_part_of_the_times(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    jobs = [lambda: 100.0, lambda: 200.0]
    times = interleave(jobs, duration_s=2.9, settle_s=0.5)
    assert np.allclose(times[0], 100) and np.allclose(times[1], 200)
    assert times.shape[1] == 10  # of 0.3 s each; the pauses do not count
    assert pauses == [0.5] * 20
    pauses.clear()
    interleave(jobs[:1], runs=4, settle_s=0.5)
    assert not any(pauses)  # nobody else's threads could be in the way


def test_percentiles_and_ratio_by_hand() -> None:
    times = np.arange(1.0, 102.0)  # 1 .. 101 ms
    own = latency(times)
    assert (own.p50_ms, own.p90_ms, own.p99_ms, own.runs) == (51.0, 91.0, 100.0, 101)
    compared = ratio(times * 2, times)
    assert (compared.value, compared.low, compared.high) == (2.0, 2.0, 2.0)
