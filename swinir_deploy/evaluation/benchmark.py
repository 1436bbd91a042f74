"""Timing that can be compared: back ends take turns, round by round."""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swinir_deploy.comparison import sample_picture
from swinir_deploy.errors import UsageError
from swinir_deploy.evaluation.benchmark_reports import BenchmarkReport, BenchmarkRow
from swinir_deploy.evaluation.footprint import Footprint
from swinir_deploy.evaluation.machine import (
    describe_machine,
    gemm_peak_gflops,
    package_versions,
    peak_rss_mb,
)
from swinir_deploy.evaluation.targets import target_note
from swinir_deploy.evaluation.timing import interleave, latency, ratio
from swinir_deploy.hashing import sha256_of
from swinir_deploy.network.config import SwinIRConfig
from swinir_deploy.network.flops import count_flops
from swinir_deploy.runtimes import Runtime, backend_for, open_runtime

__all__ = ["BenchmarkReport", "BenchmarkRow", "Contender", "benchmark"]

_SETTLE_S = 0.05
"""Longer than OpenMP's and ONNX Runtime's threads spin. Without it, eager PyTorch took up to 1.7
times as long after ONNX Runtime (docs/performance.md)."""


@dataclass(frozen=True)
class Contender:
    """What is timed: a model on a back end.

    Attributes:
        model: file or catalogue id, as :func:`swinir_deploy.open_runtime` takes it.
        backend: name, or None to choose by the file.
        device: or None for the back end's default.
        options: of the back end.
        label: in the report; None makes one of back end, device and model.
    """

    model: str
    backend: str | None = None
    device: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    label: str | None = None


def benchmark(
    contenders: Sequence[Contender],
    *,
    shapes: Sequence[tuple[int, int]] = ((64, 64),),
    batch: int = 1,
    runs: int | None = None,
    duration_s: float = 3.0,
    threads: int | None = None,
    progress: Callable[[str], None] | None = None,
) -> BenchmarkReport:
    """Time contenders in one process, interleaved.

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
        progress: called with a line for each shape.

    Raises:
        UsageError: nothing to time, or a count that makes no sense.
        SwinIRDeployError: a contender cannot be opened or run.
    """
    if not contenders or not shapes:
        raise UsageError("benchmark() needs at least one contender and one shape.")
    if batch < 1 or (runs is not None and runs < 1) or duration_s <= 0:
        raise UsageError("batch and runs must be at least 1, and the duration above 0.")
    rows: list[BenchmarkRow] = []
    with ExitStack() as stack:
        runtimes, footprints = [], []
        for c in contenders:
            footprint = Footprint()
            runtime = open_runtime(c.model, c.backend, c.device, **_options(c, threads))
            runtimes.append(stack.enter_context(runtime))
            footprint.opened(runtime.spec)
            footprints.append(footprint)
        hashes = [_file_hash(c.model) for c in contenders]
        labels = _labels(contenders, runtimes)
        peaks = _peaks(runtimes, threads)
        settle_s = _SETTLE_S if any(r.spec.device == "cpu" for r in runtimes) else 0.0
        for height, width in shapes:
            if progress is not None:
                progress(f"{height}x{width}, batch {batch}: {', '.join(labels)}")
            jobs = [
                functools.partial(runtime.run, _input(runtime, batch, height, width))
                for runtime in runtimes
            ]
            memory = [
                footprint.first_run(job) for footprint, job in zip(footprints, jobs, strict=True)
            ]
            times_ms = interleave(jobs, runs, duration_s, settle_s)
            for index, runtime in enumerate(runtimes):
                row = _row(
                    *(labels[index], runtime, times_ms[index], times_ms[0]),
                    *((batch, height, width), peaks),
                )
                rss_growth_mb, device_memory_mb = memory[index]
                rows.append(
                    replace(
                        row,
                        rss_growth_mb=rss_growth_mb,
                        device_memory_mb=device_memory_mb,
                        model_sha256=hashes[index],
                        note=target_note(runtime.spec) or "",
                    )
                )
    return BenchmarkReport(
        rows=tuple(rows),
        machine=describe_machine(),
        versions=package_versions(),
        threads=threads,
        transfers=True,
        gemm_peak_gflops=peaks,
        peak_rss_mb=peak_rss_mb(),
    )


def _options(contender: Contender, threads: int | None) -> dict[str, Any]:
    """The contender's own, and ``threads`` where its back end takes them."""
    if threads is None:
        return contender.options
    backend = backend_for(contender.model, contender.backend)
    if backend.missing():
        return contender.options  # open_runtime() says what to install
    module, _, name = backend.factory.partition(":")
    factory = getattr(importlib.import_module(module), name)
    known = "threads" in inspect.signature(factory).parameters
    return {"threads": threads, **contender.options} if known else contender.options


def _file_hash(model: str) -> str:
    return sha256_of(Path(model)) if Path(model).is_file() else ""


def _input(runtime: Runtime, batch: int, height: int, width: int) -> NDArray[Any]:
    picture = sample_picture(batch, runtime.spec.in_chans, height, width)
    if runtime.spec.io == "tensor":
        return picture
    return np.ascontiguousarray(np.round(picture * 255).astype(np.uint8).transpose(0, 2, 3, 1))


def _row(
    label: str,
    runtime: Runtime,
    times_ms: NDArray[np.float64],
    first_ms: NDArray[np.float64],
    input_shape: tuple[int, int, int],
    peaks: dict[str, float],
) -> BenchmarkRow:
    spec, (batch, height, width) = runtime.spec, input_shape
    own, compared = latency(times_ms), ratio(first_ms, times_ms)
    gflops = None
    if spec.config:
        config = SwinIRConfig.from_dict(spec.config)
        gflops = count_flops(config, height, width, batch) / own.p50_ms / 1e6
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
        load_ms=runtime.stats.load_ms,
        first_run_ms=runtime.stats.first_run_ms,
    )


def _peaks(runtimes: Sequence[Runtime], threads: int | None) -> dict[str, float]:
    """Precision -> the CPU's measured product of matrices, for the precisions in use there."""
    precisions = {r.spec.precision for r in runtimes if r.spec.device == "cpu"}
    found = {name: gemm_peak_gflops(name, threads) for name in sorted(precisions)}
    return {name: value for name, value in found.items() if value is not None}


def _labels(contenders: Sequence[Contender], runtimes: Sequence[Runtime]) -> list[str]:
    """Back ends' names; with device or model where those differ."""
    several_models = len({c.model for c in contenders if not c.label}) > 1
    devices = {(r.spec.backend, r.spec.device) for r in runtimes}
    several_devices = len(devices) > len({r.spec.backend for r in runtimes})
    labels = []
    for contender, runtime in zip(contenders, runtimes, strict=True):
        parts = [runtime.spec.backend]
        if several_devices:
            parts.append(runtime.spec.device)
        if several_models and runtime.spec.backend in [
            r.spec.backend for r in runtimes if r is not runtime
        ]:
            parts.append(Path(contender.model).name)
        labels.append(contender.label or " ".join(parts))
    return labels
