"""Reports as files, and what counts as slower."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from swinir_deploy.benchmarking.reports import (
    BenchmarkReport,
    BenchmarkRow,
    compare_reports,
    read_report,
)
from swinir_deploy.errors import InputError, UsageError

ROW = BenchmarkRow(
    label="ort",
    backend="ort",
    device="cpu",
    precision="fp32",
    model_id="tiny-sr-x4",
    target="ort",
    source_sha256="",
    height=64,
    width=64,
    batch=1,
    runs=20,
    p50_ms=10.0,
    p90_ms=10.2,
    p99_ms=11.0,
    mean_ms=10.1,
    mpix_per_s=6.5,
    ratio=1.0,
    ratio_low=1.0,
    ratio_high=1.0,
    gflops=None,
    peak_share=None,
    load_ms=20.0,
    first_run_ms=30.0,
)


def report(*rows: BenchmarkRow) -> BenchmarkReport:
    return BenchmarkReport(
        rows, {"logical_cpus": 2}, {"numpy": "2"}, None, True, {"fp32": 1.0}, 9.0
    )


def test_a_report_survives_its_file(tmp_path: Path) -> None:
    wanted = report(ROW, replace(ROW, height=128))
    path = tmp_path / "old.json"
    path.write_text(json.dumps({**wanted.to_dict(), "seconds": 3.0}))
    assert read_report(path) == wanted


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it is not JSON"),
        ("[]", "it holds a list"),
        ("{}", "it has no 'rows'"),
        ('{"rows": [{}]}', r"rows\[0\] has no 'label'"),
        ("\x00", "it is not JSON"),
    ],
)
def test_something_else_is_no_report(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "old.json"
    path.write_text(text)
    with pytest.raises(InputError, match=rf"old\.json is not a report.*: {reason}\. .*-o FILE"):
        read_report(path)
    with pytest.raises(InputError, match=r"Cannot read .*none\.json: No such file"):
        read_report(tmp_path / "none.json")


def test_the_table_is_one_line_a_row() -> None:
    timed = report(ROW, replace(ROW, label="a,b"))
    rows = list(csv.DictReader(io.StringIO(timed.to_csv())))
    assert [row["label"] for row in rows] == ["ort", "a,b"]
    assert float(rows[0]["p50_ms"]) == 10.0
    assert [row["transfers"] for row in rows] == ["True", "True"]
    (row,) = csv.DictReader(io.StringIO(replace(report(ROW), transfers=False).to_csv()))
    assert row["transfers"] == "False"


@pytest.mark.parametrize(
    ("now", "before", "noise", "is_regression"),
    [
        ((10.4, 10.5), (10.0, 10.1), 0.05, False),  # within 5 %
        ((10.6, 10.7), (10.0, 10.1), 0.05, True),
        ((12.0, 12.1), (10.0, 13.0), 0.30, False),  # the older one was noisy
        ((14.0, 17.5), (10.0, 10.1), 0.25, True),
        ((8.0, 8.1), (10.0, 10.1), 0.05, False),  # faster
    ],
)
def test_slower_is_what_is_beyond_the_noise(
    now: tuple[float, float], before: tuple[float, float], noise: float, is_regression: bool
) -> None:
    new, old = (replace(ROW, p50_ms=p50, p90_ms=p90) for p50, p90 in (now, before))
    (change,) = compare_reports(report(new), report(old))
    assert change.slowdown == pytest.approx(now[0] / before[0])
    assert change.noise == pytest.approx(noise)
    assert change.is_regression == is_regression


def test_a_few_runs_leave_more_room() -> None:
    few = replace(ROW, runs=3, p90_ms=None, p99_ms=None)
    for p50, is_regression in ((12.4, False), (12.6, True)):
        (change,) = compare_reports(report(replace(few, p50_ms=p50)), report(ROW))
        assert (change.noise, change.is_regression) == (0.25, is_regression)
    (change,) = compare_reports(report(ROW), report(few))
    assert change.noise == 0.25


def test_only_equal_measurements_are_compared() -> None:
    others = [
        replace(ROW, label="torch"),
        replace(ROW, batch=2),
        replace(ROW, width=65),
        replace(ROW, precision="bf16"),
        replace(ROW, model_id="tiny-sr-x2"),
        replace(ROW, device="cuda:0"),
    ]
    assert compare_reports(report(ROW), report(*others)) == ()


def test_a_gpu_that_was_timed_with_other_transfers_is_refused() -> None:
    rows = (ROW, replace(ROW, device="cuda:0", device_p50_ms=8.0))
    counted, left_out = report(*rows), replace(report(*rows), transfers=False)
    with pytest.raises(UsageError, match=r"a GPU with transfers\. Time with --transfers, or"):
        compare_reports(left_out, counted)
    with pytest.raises(UsageError, match=r"without transfers\. Time with --no-transfers, or"):
        compare_reports(counted, left_out)
    assert [c.row.device for c in compare_reports(left_out, left_out)] == ["cpu", "cuda:0"]


def test_transfers_do_not_matter_on_the_cpu() -> None:
    left_out = replace(report(ROW), transfers=False)
    assert len(compare_reports(left_out, report(ROW))) == 1
    assert len(compare_reports(report(ROW), left_out)) == 1


def test_processes_of_their_own_are_compared_with_the_same() -> None:
    common, isolated = report(ROW), replace(report(ROW), isolated=True)
    with pytest.raises(UsageError, match=r"in one process together\. Time without --isolate"):
        compare_reports(isolated, common)
    with pytest.raises(UsageError, match=r"in processes of their own\. Time with --isolate"):
        compare_reports(common, isolated)
    assert len(compare_reports(isolated, isolated)) == 1


def test_an_older_report_is_read(tmp_path: Path) -> None:
    document = report(ROW).to_dict()
    del document["rows"][0]["device_p50_ms"]
    del document["isolated"]
    path = tmp_path / "old.json"
    path.write_text(json.dumps(document))
    assert read_report(path) == report(ROW)
