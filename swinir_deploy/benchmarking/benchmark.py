"""Timing that can be compared: back ends take turns, round by round."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from swinir_deploy.benchmarking.contenders import (
    Contender,
    FirstRun,
    IsolatedContender,
    OpenContender,
)
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
from swinir_deploy.errors import UsageError
from swinir_deploy.kernels.roofline import network_roofline
from swinir_deploy.network.config import SwinIRConfig
from swinir_deploy.network.flops import count_flops
from swinir_deploy.runtimes import RuntimeSpec
from swinir_deploy.system.files import sha256_of
from swinir_deploy.verification.parity import target_note

__all__ = ["BenchmarkReport", "BenchmarkRow", "Contender", "benchmark"]

_SETTLE_S = 0.05
"""Longer than OpenMP's and ONNX Runtime's threads spin. Without it, eager PyTorch took up to 1.7
times as long after ONNX Runtime (docs/performance.md)."""


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
    progress: Callable[[str], None] | None = None,
) -> BenchmarkReport:
    """Time contenders, interleaved.

    Every round runs each contender once, in an order that rotates, so that a machine that slows
    down slows all of them; ratios are taken round by round.

    Args:
        contenders: at least one; the first is what ratios refer to.
        shapes: heights and widths of the input.
        batch: pictures in a run.
        runs: rounds for each shape; None runs for ``duration_s``, and three rounds at least.
        duration_s: for each shape, all contenders together.
        threads: given to every back end that has this option, as those on GPUs have not; None
            leaves it to them.
        transfers: False leaves input and output of a back end on a GPU in the GPU's memory, so
            that no copy is timed. Back ends on the CPU are timed as ever.
        isolate: each contender in a new process, of which only one computes at a time. In a common
            one they find memory that others have taken from the system already. A script that asks
            for it must do so under ``if __name__ == "__main__":``.
        progress: called with a line for each shape.

    Raises:
        UsageError: nothing to time, a count that makes no sense, or a back end on a GPU whose
            transfers cannot be left out.
        SwinIRDeployError: a contender cannot be opened or run.
    """
    if not contenders or not shapes:
        raise UsageError("benchmark() needs at least one contender and one shape.")
    if batch < 1 or (runs is not None and runs < 1) or duration_s <= 0:
        raise UsageError("batch and runs must be at least 1, and the duration above 0.")
    rows: list[BenchmarkRow] = []
    opened: type[OpenContender] | type[IsolatedContender]
    opened = IsolatedContender if isolate else OpenContender
    with ExitStack() as stack:
        runners = [
            _Runner(stack.enter_context(closing(opened(c, threads, transfers)))) for c in contenders
        ]
        specs = [runner.spec for runner in runners]
        hashes = [_file_hash(c.model) for c in contenders]
        labels = _labels(contenders, specs)
        peaks = _peaks(specs, threads)
        devices = _device_peaks(specs)
        settle_s = _SETTLE_S if any(spec.device == "cpu" for spec in specs) else 0.0
        for shape in shapes:
            size = (batch, *shape)
            if progress is not None:
                progress(f"{shape[0]}x{shape[1]}, batch {batch}: {', '.join(labels)}")
            first_runs = [runner.prepare(size) for runner in runners]
            times_ms = interleave(runners, runs, duration_s, settle_s)
            rows += [
                _row(
                    labels[index],
                    runner,
                    size,
                    first_runs[index],
                    peaks,
                    devices,
                    times_ms[index],
                    times_ms[0],
                    hashes[index],
                    isolate,
                )
                for index, runner in enumerate(runners)
            ]
    return BenchmarkReport(
        rows=tuple(rows),
        machine=describe_machine(),
        versions=package_versions(),
        threads=threads,
        transfers=transfers,
        gemm_peak_gflops=peaks,
        peak_rss_mb=None if isolate else peak_rss_mb(),
        isolated=isolate,
    )


class _Runner:
    """An open contender as :func:`interleave` calls it, and what its GPU said meanwhile."""

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
        """Median of the last ``runs``: those that counted; warming up came before."""
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
    """Precision -> the CPU's measured product of matrices, for the precisions in use there."""
    precisions = {spec.precision for spec in specs if spec.device == "cpu"}
    found = {name: gemm_peak_gflops(name, threads) for name in sorted(precisions)}
    return {name: value for name, value in found.items() if value is not None}


def _device_peaks(specs: Sequence[RuntimeSpec]) -> dict[tuple[str, str], DevicePeaks]:
    """(device, precision) -> the GPU's measured peaks, for those in use."""
    used = {(spec.device, spec.precision) for spec in specs if spec.device != "cpu" and spec.config}
    found = {key: device_peaks(*key) for key in sorted(used)}
    return {key: peaks for key, peaks in found.items() if peaks is not None}


def _labels(contenders: Sequence[Contender], specs: Sequence[RuntimeSpec]) -> list[str]:
    """Back ends' names; with device or model where those differ."""
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
