"""The text of a report that ``swinir-deploy bench`` prints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from swinir_deploy.cli.output import Stopwatch, table

if TYPE_CHECKING:
    from swinir_deploy.benchmarking.reports import BenchmarkReport, BenchmarkRow, Change

__all__ = ["changes_text", "footer", "report_text"]


def report_text(report: BenchmarkReport) -> str:
    """Return the table of a report under a line that explains its times."""
    return f"{_heading(report)}\n{_table(report)}"


def _heading(report: BenchmarkReport) -> str:
    elsewhere = [row for row in report.rows if row.device != "cpu"]
    if not elsewhere:
        return "All on the CPU, where there are no transfers: --no-transfers changes nothing."
    parts = [f"Transfers to and from the device are {'' if report.transfers else 'not '}counted."]
    if any(row.device_p50_ms is not None for row in elsewhere):
        parts.append("GPU ms is by the GPU's events, all else by the host's clock.")
    without = dict.fromkeys(row.label for row in elsewhere if row.device_p50_ms is None)
    if without:
        parts.append(f"By the host's clock alone: {', '.join(without)}.")
    said = [f"{row.label}: {row.kernels} kernels. {row.kernels_reason}" for row in elsewhere]
    kinds = dict.fromkeys(text for text, row in zip(said, elsewhere, strict=True) if row.kernels)
    return " ".join([*parts, *kinds])


def _table(report: BenchmarkReport) -> str:
    """Return the times, and below them what belongs to each: rates, and the cost of opening it."""
    return f"{_times(report)}\n\n{_rates(report)}"


def _times(report: BenchmarkReport) -> str:
    has_events = any(row.device_p50_ms is not None for row in report.rows)
    head = ["CONTENDER", "PRECISION", "SHAPE", "RUNS", "P50 ms", "P90 ms", "P99 ms"]
    head += [*(["GPU ms"] if has_events else []), "RATIO", "95 %"]
    rows = [
        [
            *_what(row),
            str(row.runs),
            f"{row.p50_ms:.1f}",
            *map(_milliseconds, (row.p90_ms, row.p99_ms)),
            *([_milliseconds(row.device_p50_ms)] if has_events else []),
            f"{row.ratio:.2f}x",
            f"{row.ratio_low:.2f}-{row.ratio_high:.2f}",
        ]
        for row in report.rows
    ]
    return table(head, rows, keys=3)


def _rates(report: BenchmarkReport) -> str:
    has_gpu = any(row.device_memory_mb is not None for row in report.rows)
    has_roof = any(row.bound_ms is not None for row in report.rows)
    head = ["CONTENDER", "PRECISION", "SHAPE", "MPIX/s", "GFLOP/s", "OF PEAK"]
    head += [*(["BOUND ms", "OF ROOF"] if has_roof else []), "LOAD ms", "FIRST ms", "MEM MB"]
    head += ["GPU MB"] if has_gpu else []
    rows = [
        [
            *_what(row),
            f"{row.mpix_per_s:.2f}",
            "" if row.gflops is None else f"{row.gflops:.0f}",
            _share(row.peak_share),
            *([_milliseconds(row.bound_ms), _share(row.roofline_share)] if has_roof else []),
            f"{row.load_ms:.0f}",
            f"{row.first_run_ms:.0f}",
            _megabytes(row.peak_rss_mb if report.isolated else row.rss_growth_mb),
            *([_megabytes(row.device_memory_mb)] if has_gpu else []),
        ]
        for row in report.rows
    ]
    return table(head, rows, keys=3)


def _what(row: BenchmarkRow) -> list[str]:
    return [row.label, row.precision, f"{row.batch}x{row.height}x{row.width}"]


def _milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.0%}"


def _megabytes(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}"


def changes_text(changes: Sequence[Change]) -> str:
    """Return a table of the changes since an older report."""
    rows = [
        [
            c.row.label,
            f"{c.row.batch}x{c.row.height}x{c.row.width}",
            f"{c.before_ms:.1f}",
            f"{c.row.p50_ms:.1f}",
            f"{c.slowdown - 1:+.0%}",
            f"{c.noise:.0%}",
            "SLOWER" if c.is_regression else "",
        ]
        for c in changes
    ]
    return table(["CONTENDER", "SHAPE", "BEFORE ms", "NOW ms", "CHANGE", "NOISE", ""], rows)


def footer(report: BenchmarkReport, watch: Stopwatch) -> str:
    """Return a line with the machine and the values that apply to all rows."""
    peaks = [f"{name} {value:.0f}" for name, value in report.gemm_peak_gflops.items()]
    parts = [
        f"{report.machine.get('processor', 'unknown processor')}",
        f"{report.machine.get('usable_cpus', '?')} CPUs",
        *([f"GEMM peak {', '.join(peaks)} GFLOP/s"] if peaks else []),
        *([f"peak memory {report.peak_rss_mb:.0f} MB, all together"] if report.peak_rss_mb else []),
        *(["each contender in a process of its own"] if report.isolated else []),
    ]
    return f"{'; '.join(parts)}; in {watch}"
