"""Timing that can be compared: back ends take turns, round by round."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swinir_deploy import __version__
from swinir_deploy.comparison import sample_picture
from swinir_deploy.errors import UsageError
from swinir_deploy.runtimes import Runtime, open_runtime

__all__ = ["BenchmarkReport", "BenchmarkRow", "Contender", "benchmark"]

_MIN_ROUNDS = 3
_MAX_WARMUP_ROUNDS = 10
_STEADY = 0.1
"""Warm-up ends when a run is within this part of the one before."""

_BOOTSTRAP_SAMPLES = 2000


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


@dataclass(frozen=True)
class BenchmarkRow:
    """One contender at one shape.

    Attributes:
        label: of the contender.
        backend: of the opened runtime.
        device: of the opened runtime.
        precision: of the opened runtime.
        model_id: of the opened runtime.
        height: of the input, in pixels.
        width: of the input, in pixels.
        batch: pictures in a run.
        runs: that were counted.
        p50_ms: median time of a run, from array to array.
        p90_ms: 90th percentile.
        p99_ms: 99th percentile; near the maximum when there are fewer than 100 runs.
        mean_ms: mean.
        mpix_per_s: output megapixels in a second, at the median.
        ratio: median, over rounds, of the first contender's time divided by this one's.
        ratio_low: lower end of its 95 % bootstrap interval.
        ratio_high: upper end.
        load_ms: to open the model.
        first_run_ms: the first run of this process at any shape.
    """

    label: str
    backend: str
    device: str
    precision: str
    model_id: str
    height: int
    width: int
    batch: int
    runs: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    mean_ms: float
    mpix_per_s: float
    ratio: float
    ratio_low: float
    ratio_high: float
    load_ms: float
    first_run_ms: float


@dataclass(frozen=True)
class BenchmarkReport:
    """All rows and where they were measured.

    Attributes:
        rows: contenders within shapes, in the order given.
        machine: processor, cores, system.
        versions: of the packages that computed.
        threads: asked for; None is each back end's default.
    """

    rows: tuple[BenchmarkRow, ...]
    machine: dict[str, Any]
    versions: dict[str, str]
    threads: int | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


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
        threads: given to every back end; None leaves it to them.
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
    extra = {} if threads is None else {"threads": threads}
    with ExitStack() as stack:
        runtimes = [
            stack.enter_context(
                open_runtime(c.model, c.backend, c.device, **{**extra, **c.options})
            )
            for c in contenders
        ]
        labels = _labels(contenders, runtimes)
        for height, width in shapes:
            if progress is not None:
                progress(f"{height}x{width}, batch {batch}: {', '.join(labels)}")
            times_ms = _interleaved(runtimes, batch, height, width, runs, duration_s)
            rows += [
                _row(label, runtime, own, times_ms[0], batch, height, width)
                for label, runtime, own in zip(labels, runtimes, times_ms, strict=True)
            ]
    return BenchmarkReport(tuple(rows), _machine(), _versions(), threads)


def _interleaved(
    runtimes: Sequence[Runtime],
    batch: int,
    height: int,
    width: int,
    runs: int | None,
    duration_s: float,
) -> NDArray[np.float64]:
    """[contender, round] in milliseconds."""
    inputs = [_input(runtime, batch, height, width) for runtime in runtimes]

    def timed(index: int) -> float:
        started = time.perf_counter()
        runtimes[index].run(inputs[index])
        return (time.perf_counter() - started) * 1e3

    for index in range(len(runtimes)):
        previous = timed(index)
        for _ in range(_MAX_WARMUP_ROUNDS):
            latest = timed(index)
            if abs(latest - previous) <= _STEADY * previous:
                break
            previous = latest

    rounds: list[list[float]] = []
    deadline = time.perf_counter() + duration_s

    def more() -> bool:
        if runs is not None:
            return len(rounds) < runs
        return len(rounds) < _MIN_ROUNDS or time.perf_counter() < deadline

    while more():
        times = [0.0] * len(runtimes)
        for offset in range(len(runtimes)):
            index = (len(rounds) + offset) % len(runtimes)
            times[index] = timed(index)
        rounds.append(times)
    by_contender = list(zip(*rounds, strict=True))
    return np.asarray(by_contender, np.float64)


def _input(runtime: Runtime, batch: int, height: int, width: int) -> NDArray[Any]:
    picture = sample_picture(batch, runtime.spec.in_chans, height, width)
    if runtime.spec.io == "tensor":
        return picture
    return np.ascontiguousarray(np.round(picture * 255).astype(np.uint8).transpose(0, 2, 3, 1))


def _row(
    label: str,
    runtime: Runtime,
    times_ms: NDArray[np.float64],
    first_times_ms: NDArray[np.float64],
    batch: int,
    height: int,
    width: int,
) -> BenchmarkRow:
    spec = runtime.spec
    p50, p90, p99 = (float(np.percentile(times_ms, q)) for q in (50, 90, 99))
    ratios = first_times_ms / times_ms
    generator = np.random.default_rng(0)
    picks = generator.integers(0, ratios.size, (_BOOTSTRAP_SAMPLES, ratios.size))
    medians = np.median(ratios[picks], axis=1)
    output_pixels = batch * height * width * spec.scale**2
    return BenchmarkRow(
        label=label,
        backend=spec.backend,
        device=spec.device,
        precision=spec.precision,
        model_id=spec.model_id,
        height=height,
        width=width,
        batch=batch,
        runs=times_ms.size,
        p50_ms=p50,
        p90_ms=p90,
        p99_ms=p99,
        mean_ms=float(times_ms.mean()),
        mpix_per_s=output_pixels / p50 / 1e3,
        ratio=float(np.median(ratios)),
        ratio_low=float(np.percentile(medians, 2.5)),
        ratio_high=float(np.percentile(medians, 97.5)),
        load_ms=runtime.stats.load_ms,
        first_run_ms=runtime.stats.first_run_ms,
    )


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


def _machine() -> dict[str, Any]:
    return {
        "processor": _processor(),
        "logical_cpus": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "architecture": platform.machine(),
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def _versions() -> dict[str, str]:
    found = {"swinir-deploy": __version__, "python": platform.python_version()}
    for package in ("numpy", "torch", "onnxruntime", "onnxruntime-gpu", "openvino", "tensorrt"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
