"""The report of a benchmark, and its comparison with an older one."""

from __future__ import annotations

import csv
import io
import os
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from swinir_deploy.errors import UsageError
from swinir_deploy.system.library_names import library_name
from swinir_deploy.system.records import read_object, record_of

__all__ = [
    "BenchmarkReport",
    "BenchmarkRow",
    "Change",
    "FailedContender",
    "compare_reports",
    "read_report",
    "require_same_way",
]


@dataclass(frozen=True)
class BenchmarkRow:
    """The measurements of one contender at one shape.

    Attributes:
        label: label of the contender.
        backend: back end of the open runtime.
        device: device of the open runtime.
        precision: precision of the open runtime.
        model_id: catalogue id or file name of the model.
        target: recipe that the graph was exported for; ``any`` for a checkpoint.
        source_sha256: SHA-256 of the checkpoint of the model; empty if unknown.
        height: height of the input in pixels.
        width: width of the input in pixels.
        batch: number of pictures in a run.
        runs: number of timed runs, without warm-up.
        p50_ms: median time of a run by the host's clock, from input array to output array.
        p90_ms: 90th percentile of the times; None for fewer than 10 runs.
        p99_ms: 99th percentile of the times; None for fewer than 100 runs.
        mean_ms: mean of the times.
        mpix_per_s: output megapixels per second, at the median.
        ratio: median, over rounds, of the first contender's time divided by this one's.
        ratio_low: lower end of the 95 % bootstrap interval of ``ratio``.
        ratio_high: upper end of this interval.
        gflops: 10^9 operations per second at the median, counted from the network's configuration
            (:func:`swinir_deploy.network.flops.count_flops`); None if that is unknown.
        peak_share: ``gflops`` divided by the machine's measured GEMM rate in the same precision;
            None if that was not measured, as on a GPU.
        load_ms: time to open the model.
        first_run_ms: time of the contender's very first run, at any shape.
        device_p50_ms: median time of the same runs by the GPU's events, from the first GPU
            operation to the last. It includes copies and gaps, but no work of the host before and
            after. None without a GPU, or if the back end has no events.
        rss_growth_mb: growth of the process's peak memory by opening this contender and its first
            run at this shape, in 10^6 bytes. All contenders share one process, so what an earlier
            one loaded or keeps, such as a shared library, is not counted again. None where the
            peak cannot be reset (Linux can reset it).
        peak_rss_mb: peak memory of the contender's own process until its first run at this shape
            was done, in 10^6 bytes, including the interpreter and all libraries; None if it had
            no process of its own.
        device_memory_mb: decrease of the free memory of its CUDA device, from before the contender
            was opened until it had run at this shape, in 10^6 bytes; allocators keep what they
            took. None on other devices.
        model_sha256: SHA-256 of the opened file; empty for a model of the catalogue.
        note: a remark, such as that the file was exported for another back end; may be empty.
        kernels: kernels of the back end torch: ``fused`` or ``plain``; empty for other back ends.
        kernels_reason: why these kernels run, in a sentence.
        bound_ms: the least time for this shape on this GPU: the larger of what its measured rates
            of products and of copies allow (:mod:`swinir_deploy.kernels.roofline`); None
            elsewhere.
        roofline_share: ``bound_ms`` divided by the time by the GPU's events, or by the median
            where there are none; 1.0 is the roof.
    """

    label: str
    backend: str
    device: str
    precision: str
    model_id: str
    target: str
    source_sha256: str
    height: int
    width: int
    batch: int
    runs: int
    p50_ms: float
    p90_ms: float | None
    p99_ms: float | None
    mean_ms: float
    mpix_per_s: float
    ratio: float
    ratio_low: float
    ratio_high: float
    gflops: float | None
    peak_share: float | None
    load_ms: float
    first_run_ms: float
    device_p50_ms: float | None = None
    rss_growth_mb: float | None = None
    peak_rss_mb: float | None = None
    device_memory_mb: float | None = None
    model_sha256: str = ""
    note: str = ""
    kernels: str = ""
    kernels_reason: str = ""
    bound_ms: float | None = None
    roofline_share: float | None = None

    @property
    def key(self) -> tuple[Any, ...]:
        """Return the values that are equal for the same measurement in two reports."""
        what = (self.label, self.device, self.precision, self.model_id)
        return (*what, self.batch, self.height, self.width)


@dataclass(frozen=True)
class FailedContender:
    """A contender that could not be timed, at all or at one shape.

    Attributes:
        label: label of the contender.
        error: why, and what to do.
        shape: batch, height and width of the input at which it failed; None if it could not be
            opened.
    """

    label: str
    error: str
    shape: tuple[int, int, int] | None = None


@dataclass(frozen=True)
class BenchmarkReport:
    """All rows of a benchmark, and the machine that measured them.

    Attributes:
        rows: one row for each contender within each shape, in the given order.
        machine: processor, flags, clock, memory, system, GPUs.
        versions: package name -> version of the packages that computed.
        threads: requested number of CPU threads; None is each back end's default.
        transfers: True if the times on a GPU include the copies to and from its memory; False if
            input and output stay there. No effect on a CPU.
        gemm_peak_gflops: precision -> measured GEMM rate of this CPU in GFLOP/s.
        peak_rss_mb: peak memory of the process with all contenders, in 10^6 bytes; None if each had
            a process of its own.
        isolated: True if each contender had a process of its own.
        failures: the contenders that could not be timed.
    """

    rows: tuple[BenchmarkRow, ...]
    machine: dict[str, Any]
    versions: dict[str, str]
    threads: int | None
    transfers: bool
    gemm_peak_gflops: dict[str, float]
    peak_rss_mb: float | None
    isolated: bool = False
    failures: tuple[FailedContender, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)

    def to_csv(self) -> str:
        """Return the rows as CSV: the attributes of :class:`BenchmarkRow`, and ``transfers``."""
        text = io.StringIO()
        names = [*(f.name for f in fields(BenchmarkRow)), "transfers"]
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows({**asdict(row), "transfers": self.transfers} for row in self.rows)
        return text.getvalue()


@dataclass(frozen=True)
class Change:
    """The change of one measurement between two reports.

    Attributes:
        row: row of the newer report.
        before_ms: median time in the older report.
        slowdown: newer median divided by the older one; above 1 is slower.
        noise: how much two measurements of equal speed may differ, as a share of the median: the
            larger of both spreads between median and 90th percentile, but at least 0.05, and at
            least 0.25 if one had fewer than 10 runs.
    """

    row: BenchmarkRow
    before_ms: float
    slowdown: float
    noise: float

    @property
    def is_regression(self) -> bool:
        """Return whether the newer report is slower by more than the noise."""
        return self.slowdown > 1 + self.noise


_MIN_NOISE = 0.05
_NOISE_OF_FEW_RUNS = 0.25
"""The noise where there are too few runs to see a spread. This is a choice, not a measurement."""

_REPORT = "a report of this version of 'swinir-deploy bench'"
_ADVICE = "Write one with 'swinir-deploy bench -o FILE'."


def require_same_way(before: BenchmarkReport, *, transfers: bool, isolated: bool) -> None:
    """Check that an older report was measured in the same way as a new one.

    Transfers are compared only if the older report timed a GPU.

    Raises:
        UsageError: the two reports cannot be compared.
    """
    on_gpu = any(row.device != "cpu" for row in before.rows)
    if on_gpu and transfers != before.transfers:
        was, flag = ("with", "--transfers") if before.transfers else ("without", "--no-transfers")
        raise UsageError(
            f"The older report timed a GPU {was} transfers. Time with {flag}, or compare with "
            "another report."
        )
    if isolated != before.isolated:
        was = "processes of their own" if before.isolated else "one process together"
        raise UsageError(
            f"The contenders of the older report ran in {was}. Time "
            f"{'with' if before.isolated else 'without'} --isolate, or compare with another report."
        )


def compare_reports(report: BenchmarkReport, before: BenchmarkReport) -> tuple[Change, ...]:
    """Return the changes of all measurements that both reports have.

    Raises:
        UsageError: the two reports were measured in different ways (:func:`require_same_way`).
    """
    require_same_way(before, transfers=report.transfers, isolated=report.isolated)
    old_rows = {row.key: row for row in before.rows}
    changes = []
    for row in report.rows:
        old = old_rows.get(row.key)
        if old is not None:
            spreads = [
                _NOISE_OF_FEW_RUNS if r.p90_ms is None else (r.p90_ms - r.p50_ms) / r.p50_ms
                for r in (row, old)
            ]
            slowdown = row.p50_ms / old.p50_ms
            changes.append(Change(row, old.p50_ms, slowdown, max(_MIN_NOISE, *spreads)))
    return tuple(changes)


def read_report(path: str | os.PathLike[str]) -> BenchmarkReport:
    """Read a report that ``bench -o`` wrote.

    Raises:
        InputError: the file is missing, or it is no such report.
    """
    document = read_object(path, _REPORT, _ADVICE)
    report = record_of(document, BenchmarkReport, f"{os.fspath(path)} is not {_REPORT}: ", _ADVICE)
    return replace(report, rows=tuple(map(_with_names_of_today, report.rows)))


def _with_names_of_today(row: BenchmarkRow) -> BenchmarkRow:
    """Return a row whose back end, alone and in the label, has the name that it has now."""
    first, space, rest = row.label.partition(" ")
    label = f"{library_name(first)}{space}{rest}"
    return replace(row, backend=library_name(row.backend), label=label)
