"""Is it fast? Verdict and sections of ``bench``."""

from __future__ import annotations

import math

from swinir_deploy.benchmarking.reports import BenchmarkRow
from swinir_deploy.reporting.documents import BenchDocument, Slowdown
from swinir_deploy.reporting.plots import Axis, Plot, Series, dot_plot
from swinir_deploy.reporting.sections.parts import Section, Table, Verdict, plural, table_of_known
from swinir_deploy.reporting.words import quantity, share

__all__ = ["bench_sections", "bench_verdict"]


def bench_verdict(found: BenchDocument) -> Verdict:
    """Return the fastest contender, and what failed or became slower."""
    slower = [change for change in found.changes if _is_slower(change)]
    labels = dict.fromkeys(row.label for row in found.rows)
    what = f"{plural(len(labels), 'contender')} took turns on the same input."
    if not found.rows:
        return Verdict("bad", "Failed", "Nothing could be timed.", _failures(found))
    best = min(found.rows, key=lambda row: row.p50_ms / (row.batch * row.height * row.width))
    figure = (
        f"fastest: {best.label}, {quantity(best.p50_ms)} ms at {_shape(best)} "
        f"({quantity(best.mpix_per_s, 2)} megapixels of output a second)"
    )
    if slower:
        names = ", ".join(dict.fromkeys(str(change.row.get("label", "?")) for change in slower))
        return Verdict("bad", "Slower", f"{what} Slower than before: {names}.", figure)
    if found.failures:
        return Verdict("warn", "Incomplete", f"{what} {_failures(found)}", figure)
    return Verdict("plain", "Timed", what, figure)


def bench_sections(found: BenchDocument) -> list[Section]:
    """Return latency, throughput, share of the peak, memory, and the changes since before."""
    rows = found.rows
    text = [_how(found)]
    kernels = dict.fromkeys(
        f"{r.label}: {r.kernels} kernels. {r.kernels_reason}" for r in rows if r.kernels
    )
    text += [*kernels, *dict.fromkeys(row.note for row in rows if row.note)]
    plots = [_latency(rows), _throughput(rows)] if rows else []
    plots += _shares(rows)
    tables = [_times(rows), _rates(found)] if rows else []
    if found.changes:
        tables.append(_changes(found.changes))
    if found.failures:
        failed = [(failure.label, failure.error) for failure in found.failures]
        tables.append(Table("Not timed", ("Contender", "Why"), failed, bad=range(len(failed))))
    return [Section("Speed", text, plots, tables)]


def _is_slower(change: Slowdown) -> bool:
    return change.slowdown > 1 + change.noise


def _failures(found: BenchDocument) -> str:
    names = ", ".join(dict.fromkeys(failure.label for failure in found.failures))
    return f"Not timed: {names}." if names else "No contender is in the report."


def _shape(row: BenchmarkRow) -> str:
    return f"{row.batch}x{row.height}x{row.width}"


def _name(row: BenchmarkRow) -> str:
    return f"{_shape(row)}  {row.label} {row.precision}"


def _how(found: BenchDocument) -> str:
    parts = ["Times are medians by the host's clock, from input array to output array."]
    if any(row.device != "cpu" for row in found.rows):
        parts.append(f"Transfers are {'' if found.transfers else 'not '}counted.")
    threads = found.threads
    parts.append(f"CPU threads: {'the default' if threads is None else threads}.")
    if found.isolated:
        parts.append("Each contender had a process of its own.")
    peaks = [f"{name} {value:,.0f}" for name, value in found.gemm_peak_gflops.items()]
    if peaks:
        parts.append(f"A large product of matrices reaches {', '.join(peaks)} GFLOP/s on this CPU.")
    return " ".join(parts)


def _latency(rows: tuple[BenchmarkRow, ...]) -> Plot:
    medians = [row.p50_ms for row in rows]
    high = [row.p99_ms or row.p90_ms or row.p50_ms for row in rows]
    wide = max(medians) > 20 * min(medians)
    fastest = min(rows, key=lambda row: row.p50_ms)
    return dot_plot(
        "Latency: median, and to the highest percentile measured",
        [_name(row) for row in rows],
        [Series("median", medians, medians, high)],
        Axis("ms", log=wide, from_zero=True),
        f"The shortest is {quantity(fastest.p50_ms)} ms: {_name(fastest)}.",
    )


def _throughput(rows: tuple[BenchmarkRow, ...]) -> Plot:
    best = max(rows, key=lambda row: row.mpix_per_s)
    return dot_plot(
        "Throughput",
        [_name(row) for row in rows],
        [Series("megapixels", [row.mpix_per_s for row in rows])],
        Axis("megapixels of output a second", from_zero=True),
        f"The highest is {quantity(best.mpix_per_s, 2)}: {_name(best)}.",
    )


def _shares(rows: tuple[BenchmarkRow, ...]) -> list[Plot]:
    """Return a plot of the share of the roofline or, on a CPU, of the peak rate of products."""
    roof = [math.nan if r.roofline_share is None else 100 * r.roofline_share for r in rows]
    peak = [math.nan if r.peak_share is None else 100 * r.peak_share for r in rows]
    series = [
        Series(name, values)
        for name, values in (("of the roofline", roof), ("of the peak of products", peak))
        if not all(map(math.isnan, values))
    ]
    if not series:
        return []
    names = " and ".join(one.name for one in series)
    return [
        dot_plot(
            f"Share {names}",
            [_name(row) for row in rows],
            series,
            Axis(f"percent {names}", limits={100.0: "100 %"}, from_zero=True),
            "The table below has the figures.",
        )
    ]


def _times(rows: tuple[BenchmarkRow, ...]) -> Table:
    head = ["Contender", "Precision", "Shape", "Runs", "P50 ms", "P90 ms", "P99 ms", "GPU ms",
            "Ratio", "95 % interval"]  # fmt: skip
    cells = [
        [row.label, row.precision, _shape(row), str(row.runs), quantity(row.p50_ms, 2),
         quantity(row.p90_ms, 2), quantity(row.p99_ms, 2), quantity(row.device_p50_ms, 2),
         f"{row.ratio:.2f}x", f"{row.ratio_low:.2f} to {row.ratio_high:.2f}"]
        for row in rows
    ]  # fmt: skip
    title = "Times; the ratio is the first one's time divided by this one's"
    return table_of_known(title, head, cells)


def _rates(found: BenchDocument) -> Table:
    head = ["Contender", "Precision", "Shape", "Mpix/s", "GFLOP/s", "Of peak", "Of roofline",
            "Load ms", "First run ms", "Memory MB", "GPU memory MB"]  # fmt: skip
    cells = [
        [row.label, row.precision, _shape(row), quantity(row.mpix_per_s, 2),
         quantity(row.gflops, 0), share(row.peak_share), share(row.roofline_share),
         quantity(row.load_ms, 0), quantity(row.first_run_ms, 1),
         quantity(row.peak_rss_mb if found.isolated else row.rss_growth_mb, 0),
         quantity(row.device_memory_mb, 0)]
        for row in found.rows
    ]  # fmt: skip
    what = "peak of its process" if found.isolated else "growth of the process's peak"
    return table_of_known(f"Rates, opening and memory ({what})", head, cells)


def _changes(changes: tuple[Slowdown, ...]) -> Table:
    head = ["Contender", "Before ms", "Change", "Noise", "Result"]
    cells = [
        [str(change.row.get("label", "?")), quantity(change.before_ms, 2),
         f"{change.slowdown - 1:+.0%}", share(change.noise),
         "SLOWER" if _is_slower(change) else "as before"]
        for change in changes
    ]  # fmt: skip
    bad = [index for index, change in enumerate(changes) if _is_slower(change)]
    return Table("Changes since the older report", head, cells, bad=bad)
