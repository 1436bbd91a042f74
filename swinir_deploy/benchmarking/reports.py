"""What a benchmark found: rows, where they were measured, and whether it got slower."""

from __future__ import annotations

import csv
import io
import os
from dataclasses import asdict, dataclass, fields
from typing import Any

from swinir_deploy.errors import UsageError
from swinir_deploy.system.records import read_object, record_of

__all__ = [
    "BenchmarkReport",
    "BenchmarkRow",
    "Change",
    "compare_reports",
    "read_report",
    "require_same_way",
]


@dataclass(frozen=True)
class BenchmarkRow:
    """One contender at one shape.

    Attributes:
        label: of the contender.
        backend: of the opened runtime.
        device: of the opened runtime.
        precision: of the opened runtime.
        model_id: of the opened runtime.
        target: recipe that its graph was exported for; ``any`` for a checkpoint.
        source_sha256: of the checkpoint that it came from; empty if unknown.
        height: of the input, in pixels.
        width: of the input, in pixels.
        batch: pictures in a run.
        runs: that were counted.
        p50_ms: median time of a run by the host's clock, from array to array.
        p90_ms: 90th percentile; None for fewer than 10 runs.
        p99_ms: 99th percentile; None for fewer than 100 runs.
        mean_ms: mean.
        mpix_per_s: output megapixels in a second, at the median.
        ratio: median, over rounds, of the first contender's time divided by this one's.
        ratio_low: lower end of its 95 % bootstrap interval.
        ratio_high: upper end.
        gflops: 10^9 operations a second at the median, counted from the network's configuration
            (:func:`swinir_deploy.network.flops.count_flops`); None if that is unknown.
        peak_share: ``gflops`` divided by the machine's measured product of matrices in the same
            precision; None where there is none, as on a GPU.
        load_ms: to open the model.
        first_run_ms: the first run of this process at any shape.
        device_p50_ms: median time of the same runs by the GPU's own events, from its first piece of
            work to its last: copies and gaps included, what the host does before and after is
            not. None where there is no GPU, or the back end has no events.
        rss_growth_mb: 10^6 bytes by which opening this contender and its first run at this shape
            raised the peak of the process, beyond what it held before. Each is opened and first
            run alone, but in one process: what an earlier one loaded or keeps, such as a shared
            library, is not counted again. None where the peak cannot be set back (Linux can).
        peak_rss_mb: 10^6 bytes that the contender's own process held at most until its first run at
            this shape was done, the interpreter and all libraries among them; None where it had no
            process of its own.
        device_memory_mb: 10^6 bytes that became less on its CUDA device from before it was opened
            until it had run at this shape; allocators keep what they once took. None elsewhere.
        model_sha256: of the file that was opened; empty for a model of the catalogue.
        note: what a reader should know, such as that the file was made for another target.
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

    @property
    def key(self) -> tuple[Any, ...]:
        """What makes two rows of two reports the same measurement."""
        what = (self.label, self.device, self.precision, self.model_id)
        return (*what, self.batch, self.height, self.width)


@dataclass(frozen=True)
class BenchmarkReport:
    """All rows and where they were measured.

    Attributes:
        rows: contenders within shapes, in the order given.
        machine: processor, flags, clock, memory, system, GPUs.
        versions: of the packages that computed.
        threads: asked for; None is each back end's default.
        transfers: device memory is copied to and from within the time of a run; False: input and
            output stay in the GPU's memory. On a CPU it makes no difference.
        gemm_peak_gflops: precision -> measured product of matrices on this CPU.
        peak_rss_mb: the most memory that the process held, all contenders together; None where each
            had a process of its own.
        isolated: each had.
    """

    rows: tuple[BenchmarkRow, ...]
    machine: dict[str, Any]
    versions: dict[str, str]
    threads: int | None
    transfers: bool
    gemm_peak_gflops: dict[str, float]
    peak_rss_mb: float | None
    isolated: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    def to_csv(self) -> str:
        """The rows, a line each under the names of :class:`BenchmarkRow`, and ``transfers``."""
        text = io.StringIO()
        names = [*(f.name for f in fields(BenchmarkRow)), "transfers"]
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows({**asdict(row), "transfers": self.transfers} for row in self.rows)
        return text.getvalue()


@dataclass(frozen=True)
class Change:
    """One measurement that two reports share.

    Attributes:
        row: of the newer report.
        before_ms: median of the older one.
        slowdown: this median divided by that one; above 1 is slower.
        noise: how far apart two equal measurements may lie: the wider of both spreads between
            median and 90th percentile, relative to the median, and 5 % at least; 25 % at least
            where one had fewer than 10 runs.
    """

    row: BenchmarkRow
    before_ms: float
    slowdown: float
    noise: float

    @property
    def is_regression(self) -> bool:
        """Slower by more than the noise."""
        return self.slowdown > 1 + self.noise


_LEAST_NOISE = 0.05
_NOISE_OF_FEW_RUNS = 0.25
"""Where there are too few runs to see a spread. A choice, not a measurement."""

_REPORT = "a report of this version of 'swinir-deploy bench'"
_ADVICE = "Write one with 'swinir-deploy bench -o FILE'."


def require_same_way(before: BenchmarkReport, *, transfers: bool, isolated: bool) -> None:
    """Refuse an older report whose times were taken in another way than those of a new one.

    Transfers matter only where the older one timed a GPU.

    Raises:
        UsageError: the two cannot be compared; what to give instead.
    """
    on_gpu = any(row.device != "cpu" for row in before.rows)
    if on_gpu and transfers != before.transfers:
        was, flag = ("with", "--transfers") if before.transfers else ("without", "--no-transfers")
        raise UsageError(
            f"The report to compare with timed a GPU {was} transfers. Time with {flag}, too, or "
            "compare with another report."
        )
    if isolated != before.isolated:
        was = "processes of their own" if before.isolated else "one process together"
        raise UsageError(
            f"The contenders of the report to compare with ran in {was}. Time "
            f"{'with' if before.isolated else 'without'} --isolate, or compare with another report."
        )


def compare_reports(report: BenchmarkReport, before: BenchmarkReport) -> tuple[Change, ...]:
    """What became faster or slower; measurements that only one report has are left out.

    Raises:
        UsageError: as :func:`require_same_way` does.
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
            changes.append(Change(row, old.p50_ms, slowdown, max(_LEAST_NOISE, *spreads)))
    return tuple(changes)


def read_report(path: str | os.PathLike[str]) -> BenchmarkReport:
    """Read what ``bench -o`` wrote.

    Raises:
        InputError: no such file, or something else is in it.
    """
    document = read_object(path, _REPORT, _ADVICE)
    return record_of(document, BenchmarkReport, f"{os.fspath(path)} is not {_REPORT}: ", _ADVICE)
