"""Time models and back ends in turns, so that their times can be compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from swinir_deploy.benchmarking.contenders import (
    Contender,
    FirstRun,
    IsolatedContender,
    OpenContender,
)
from swinir_deploy.benchmarking.failures import Failures
from swinir_deploy.benchmarking.machine import (
    DevicePeaks,
    describe_machine,
    device_peaks,
    gemm_peak_gflops,
    package_versions,
    peak_rss_mb,
)
from swinir_deploy.benchmarking.reports import BenchmarkReport, BenchmarkRow
from swinir_deploy.benchmarking.timing import interleave, latency, ratio
from swinir_deploy.errors import SwinIRDeployError, UsageError
from swinir_deploy.kernels.roofline import network_roofline
from swinir_deploy.network.config import SwinIRConfig
from swinir_deploy.network.flops import count_flops
from swinir_deploy.runtimes import RuntimeSpec
from swinir_deploy.system.files import sha256_of
from swinir_deploy.verification.parity import target_note

__all__ = ["BenchmarkReport", "BenchmarkRow", "Contender", "benchmark"]

_SETTLE_S = 0.05
"""Pause in seconds, longer than the worker threads of OpenMP and ONNX Runtime spin. Without it,
eager PyTorch took up to 1.7 times as long after ONNX Runtime (docs/performance.md)."""


def benchmark(
    contenders: Sequence[Contender],
    *,
    shapes: Sequence[tuple[int, int]] = ((64, 64),),
    batch: int = 1,
    runs: int | None = None,
    duration_s: float = 3.0,
    threads: int | None = None,
    transfers: bool = True,
    isolate: bool = False,
    go_on: bool = False,
    progress: Callable[[str], None] | None = None,
) -> BenchmarkReport:
    """Time contenders in turns and compare them.

    Every round runs each contender once, in a rotating order, so that a machine that slows down
    affects all of them. Ratios are computed within each round.

    Args:
        contenders: at least one; ratios refer to the first.
        shapes: heights and widths of the input in pixels.
        batch: number of pictures in a run.
        runs: number of rounds for each shape; None runs for ``duration_s``, but at least three
            rounds.
        duration_s: time in seconds for each shape, for all contenders together.
        threads: number of CPU threads, passed to every back end with such an option (those on GPUs
            have none); None is each back end's default.
        transfers: False keeps input and output of a back end on a GPU in the GPU's memory, so
            that no copy is timed. It has no effect on back ends on the CPU.
        isolate: True opens each contender in a new process; only one computes at a time. In a
            shared process, a contender reuses memory that others took from the system. A script
            must call this under ``if __name__ == "__main__":``.
        go_on: True times the other contenders when one cannot be opened or fails at a shape, and
            reports the failure. Ratios then refer to the first one that was timed at the shape.
        progress: called with a line of text for each shape.

    Returns:
        A report with a row for each contender at each shape.

    Raises:
        UsageError: there is no contender or shape, a count is too small, or the transfers of a
            back end on a GPU cannot be left out.
        SwinIRDeployError: a contender cannot be opened or run; with ``go_on``, none can.

    Example:
        >>> from swinir_deploy import Contender, benchmark
        >>> report = benchmark([Contender("tiny-sr-x4", "torch")], shapes=[(16, 16)], runs=3)
        >>> report.rows[0].runs
        3
    """
    if not contenders or not shapes:
        raise UsageError("Missing contender or shape: give benchmark() at least one of each.")
    if batch < 1 or (runs is not None and runs < 1) or duration_s <= 0:
        raise UsageError(
            f"batch is {batch}, runs is {runs} and the duration is {duration_s:g} s; give a batch "
            "and runs of at least 1, and a duration above 0."
        )
    rows: list[BenchmarkRow] = []
    failures = Failures(go_on)
    with ExitStack() as stack:
        entrants: list[_Entrant] = []
        for contender in contenders:
            with failures.caught(_name(contender)):
                opened = (IsolatedContender if isolate else OpenContender)(
                    contender, threads, transfers
                )
                runner = _Runner(stack.enter_context(closing(opened)))
                entrants.append(_Entrant(contender, runner, _file_hash(contender.model)))
        failures.require(entrants)
        specs = [entrant.runner.spec for entrant in entrants]
        labels = _labels([entrant.contender for entrant in entrants], specs)
        for entrant, label in zip(entrants, labels, strict=True):
            entrant.label = label
        peaks = _peaks(specs, threads)
        devices = _device_peaks(specs)
        settle_s = _SETTLE_S if any(spec.device == "cpu" for spec in specs) else 0.0
        for shape in shapes:
            size = (batch, *shape)
            if progress is not None:
                progress(f"{shape[0]}x{shape[1]}, batch {batch}: {', '.join(labels)}")
            timed, first_runs, times_ms = _time(
                entrants, size, runs, duration_s, settle_s, failures
            )
            rows += [
                _row(
                    entrant.label,
                    entrant.runner,
                    size,
                    first_runs[index],
                    peaks,
                    devices,
                    times_ms[index],
                    times_ms[0],
                    entrant.sha256,
                    isolate,
                )
                for index, entrant in enumerate(timed)
            ]
        failures.require(rows)
    return BenchmarkReport(
        rows=tuple(rows),
        machine=describe_machine(),
        versions=package_versions(),
        threads=threads,
        transfers=transfers,
        gemm_peak_gflops=peaks,
        peak_rss_mb=None if isolate else peak_rss_mb(),
        isolated=isolate,
        failures=tuple(failures.found),
    )


@dataclass
class _Entrant:
    """An open contender with its label and the hash of its file."""

    contender: Contender
    runner: _Runner
    sha256: str
    label: str = ""


class _RunFailedError(Exception):
    """A contender failed in a timed run; ``__cause__`` is the error."""

    def __init__(self, entrant: _Entrant) -> None:
        super().__init__(entrant.label)
        self.entrant = entrant


def _time(
    entrants: Sequence[_Entrant],
    size: tuple[int, int, int],
    runs: int | None,
    duration_s: float,
    settle_s: float,
    failures: Failures,
) -> tuple[list[_Entrant], list[FirstRun], NDArray[np.float64]]:
    """Time at one shape, and again without a contender that fails.

    Returns:
        The contenders that were timed, their first runs, and their times, [contender, round].
    """
    first_runs: list[tuple[_Entrant, FirstRun]] = []
    for entrant in entrants:
        with failures.caught(entrant.label, size):
            first_runs.append((entrant, entrant.runner.prepare(size)))

    def run_of(entrant: _Entrant) -> Callable[[], float]:
        def run() -> float:
            try:
                return entrant.runner()
            except SwinIRDeployError as error:
                raise _RunFailedError(entrant) from error

        return run

    while first_runs:
        timed = [entrant for entrant, _ in first_runs]
        try:
            times_ms = interleave(list(map(run_of, timed)), runs, duration_s, settle_s)
            return timed, [first for _, first in first_runs], times_ms
        except _RunFailedError as failed:
            with failures.caught(failed.entrant.label, size):
                assert failed.__cause__ is not None
                raise failed.__cause__ from None
            first_runs = [pair for pair in first_runs if pair[0] is not failed.entrant]
    return [], [], np.zeros((0, 0))


def _name(contender: Contender) -> str:
    """Return what a contender is called before it is open."""
    return (
        contender.label or f"{Path(contender.model).name} on {contender.backend or 'its back end'}"
    )


class _Runner:
    """An open contender that :func:`interleave` can call, and the times by its GPU's events."""

    def __init__(self, contender: OpenContender | IsolatedContender) -> None:
        self._contender = contender
        self._device_ms: list[float | None] = []
        self.spec: RuntimeSpec = contender.spec

    def prepare(self, size: tuple[int, int, int]) -> FirstRun:
        self._device_ms.clear()
        return self._contender.prepare(*size)

    def __call__(self) -> float:
        done = self._contender.run()
        self._device_ms.append(done.device_ms)
        return done.host_ms

    def device_p50_ms(self, runs: int) -> float | None:
        """Return the median in ms of the last ``runs`` runs. Warm-up runs came before them."""
        known = [ms for ms in self._device_ms[-runs:] if ms is not None]
        return float(np.median(known)) if known else None


def _file_hash(model: str) -> str:
    return sha256_of(Path(model)) if Path(model).is_file() else ""


def _row(
    label: str,
    runner: _Runner,
    size: tuple[int, int, int],
    first_run: FirstRun,
    peaks: dict[str, float],
    devices: dict[tuple[str, str], DevicePeaks],
    times_ms: NDArray[np.float64],
    first_ms: NDArray[np.float64],
    model_sha256: str,
    isolated: bool,
) -> BenchmarkRow:
    spec, (batch, height, width) = runner.spec, size
    own, compared = latency(times_ms), ratio(first_ms, times_ms)
    gflops = bound = None
    device = devices.get((spec.device, spec.precision))
    if spec.config:
        config = SwinIRConfig.from_dict(spec.config)
        gflops = count_flops(config, height, width, batch) / own.p50_ms / 1e6
        if device is not None:
            bound = network_roofline(
                config,
                batch=batch,
                height=height,
                width=width,
                tera_flops=device.tera_flops,
                tera_bytes=device.tera_bytes,
            )
    on_device_ms = runner.device_p50_ms(own.runs)
    peak = peaks.get(spec.precision) if spec.device == "cpu" else None
    return BenchmarkRow(
        label=label,
        backend=spec.backend,
        device=spec.device,
        precision=spec.precision,
        model_id=spec.model_id,
        target=spec.target,
        source_sha256=spec.source_sha256,
        height=height,
        width=width,
        batch=batch,
        runs=own.runs,
        p50_ms=own.p50_ms,
        p90_ms=own.p90_ms,
        p99_ms=own.p99_ms,
        mean_ms=own.mean_ms,
        mpix_per_s=batch * height * width * spec.scale**2 / own.p50_ms / 1e3,
        ratio=compared.value,
        ratio_low=compared.low,
        ratio_high=compared.high,
        gflops=gflops,
        peak_share=None if gflops is None or peak is None else gflops / peak,
        load_ms=first_run.load_ms,
        first_run_ms=first_run.first_run_ms,
        device_p50_ms=on_device_ms,
        rss_growth_mb=first_run.rss_growth_mb,
        device_memory_mb=first_run.device_memory_mb,
        peak_rss_mb=first_run.peak_rss_mb if isolated else None,
        model_sha256=model_sha256,
        note=target_note(spec) or "",
        kernels=spec.kernels,
        kernels_reason=spec.kernels_reason,
        bound_ms=None if bound is None else bound.bound_ms,
        roofline_share=None if bound is None else bound.share(on_device_ms or own.p50_ms),
    )


def _peaks(specs: Sequence[RuntimeSpec], threads: int | None) -> dict[str, float]:
    """Return precision -> the CPU's measured GEMM rate in GFLOP/s, for the precisions in use."""
    precisions = {spec.precision for spec in specs if spec.device == "cpu"}
    peaks = {name: gemm_peak_gflops(name, threads) for name in sorted(precisions)}
    return {name: value for name, value in peaks.items() if value is not None}


def _device_peaks(specs: Sequence[RuntimeSpec]) -> dict[tuple[str, str], DevicePeaks]:
    """(device, precision) -> the GPU's measured peaks, for those in use."""
    used = {(spec.device, spec.precision) for spec in specs if spec.device != "cpu" and spec.config}
    found = {key: device_peaks(*key) for key in sorted(used)}
    return {key: peaks for key, peaks in found.items() if peaks is not None}


def _labels(contenders: Sequence[Contender], specs: Sequence[RuntimeSpec]) -> list[str]:
    """Return a label for each contender: its back end, with device or model where those differ."""
    several_models = len({c.model for c in contenders if not c.label}) > 1
    backends = [spec.backend for spec in specs]
    several_devices = len({(s.backend, s.device) for s in specs}) > len(set(backends))
    labels = []
    for contender, spec in zip(contenders, specs, strict=True):
        parts = [spec.backend]
        if several_devices:
            parts.append(spec.device)
        if several_models and backends.count(spec.backend) > 1:
            parts.append(Path(contender.model).name)
        labels.append(contender.label or " ".join(parts))
    return labels
