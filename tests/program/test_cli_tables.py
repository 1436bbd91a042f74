"""Tables and facts fit 80 columns, whatever is in them."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from cli_runs import Program
from hypothesis import given
from hypothesis import strategies as st

from swinir_deploy.benchmarking.reports import BenchmarkReport, BenchmarkRow
from swinir_deploy.cli.bench_table import changes_text, report_text
from swinir_deploy.cli.tables import facts, table

_WORDS = st.text("abcxyz0129.-/ ", max_size=60).map(str.strip)
_NUMBERS = st.floats(0, 1e6).map(lambda value: f"{value:.1f}")


def widest(text: str) -> int:
    return max(map(len, text.splitlines()), default=0)


def test_a_narrow_table_is_as_it_was() -> None:
    text = table(["NAME", "COUNT"], [["a", "1"], ["long", "1,000"]])
    assert text.splitlines() == ["NAME  COUNT", "a         1", "long  1,000"]


@given(
    st.integers(1, 12).flatmap(
        lambda columns: st.lists(
            st.tuples(_WORDS, *([st.one_of(_NUMBERS, _WORDS)] * (columns - 1))), max_size=4
        )
    )
)
def test_any_table_fits_and_loses_nothing(rows: list[tuple[str, ...]]) -> None:
    head = [f"COLUMN {number}" for number in range(len(rows[0]) if rows else 3)]
    text = table(head, rows)
    assert widest(text) <= 80
    shown = re.sub(r"\s+", "", text)
    for row in rows:
        for cell in row:
            for word in cell.split():
                # A word that was cut stands in pieces on lines of its own, between other cells.
                assert all(letter in shown for letter in word)
                assert word in shown or len(word) > 12 or len(row) > 1


def test_long_cells_are_wrapped_in_their_column() -> None:
    rows = [["a.png", "one two three " * 8], ["b.png", "short"]]
    lines = table(["PICTURE", "WHY"], rows).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[1].startswith("a.png    one two")
    assert all(line.startswith(" " * 9) for line in lines[2:-1])
    assert lines[-1] == "b.png    short"
    assert " ".join(" ".join(lines[1:-1]).split()) == "a.png " + ("one two three " * 8).strip()


def test_too_many_columns_become_several_tables_with_the_same_keys() -> None:
    head = ["NAME", *(f"FIGURE{number}" for number in range(20))]
    text = table(head, [["x", *("123456.78" for _ in range(20))]])
    parts = text.split("\n\n")
    assert len(parts) > 1
    assert all(part.splitlines()[0].split()[0] == "NAME" for part in parts)
    assert all(part.splitlines()[1].split()[0] == "x" for part in parts)
    assert sum(part.count("123456.78") for part in parts) == 20


def test_facts_are_wrapped_and_words_stay_whole() -> None:
    digest = "0123456789abcdef" * 4
    lines = facts([("sha256", digest), ("trained on", "pictures of many kinds, " * 9)])
    assert digest in "\n".join(lines)
    assert max(map(len, lines)) <= 80
    assert lines[1].startswith("  trained on  pictures")
    assert lines[2].startswith(" " * 14 + "pictures") or lines[2].startswith(" " * 14)


_ROW = BenchmarkRow(
    label="torch-compile cuda:0 a-long-name-of-a-file-fine-tuned.onnx",
    backend="torch",
    device="cuda:0",
    precision="bf16",
    model_id="x",
    target="any",
    source_sha256="",
    height=1080,
    width=1920,
    batch=16,
    runs=12345,
    p50_ms=123456.7,
    p90_ms=123456.7,
    p99_ms=123456.7,
    mean_ms=1.0,
    mpix_per_s=1234.56,
    ratio=123.45,
    ratio_low=122.45,
    ratio_high=124.45,
    gflops=123456.0,
    peak_share=0.77,
    load_ms=12345.0,
    first_run_ms=12345.0,
    device_p50_ms=123456.7,
    rss_growth_mb=12345.0,
    device_memory_mb=12345.0,
    bound_ms=12345.6,
    roofline_share=0.5,
)


@pytest.mark.parametrize("label", [_ROW.label, "ort"])
def test_the_widest_report_of_a_benchmark_fits(label: str) -> None:
    row = replace(_ROW, label=label)
    report = BenchmarkReport((row, row), {}, {}, None, True, {}, None)
    _, *lines = report_text(report).splitlines()
    assert max(map(len, lines)) <= 80
    text = " ".join(lines)
    for cell in ("123.45x", "122.45-124.45", "1234.56", "77%", "50%", "12345.6"):
        assert text.count(cell) == 2, cell


def test_the_tables_of_the_commands_fit(
    swinir: Program, checkpoint: Path, onnx_file: Path, picture: Path
) -> None:
    long = Path("a-rather-long-name-of-a-file-that-somebody-has-fine-tuned-twice.onnx")
    long.write_bytes(onnx_file.read_bytes())
    data = Path("pictures")
    data.mkdir()
    (data / "a-rather-long-name-of-a-picture-with-a-number-0001.png").write_bytes(
        picture.read_bytes()
    )
    texts = [
        swinir("models").stdout,
        *(swinir("info", name).stdout for name in ("tiny-sr-x4", "medium-denoise-color-50")),
        swinir("verify", long, "-m", checkpoint, "--shape", "8x8").stderr,
        swinir("eval", long, "--data", data, "--no-reference").stdout,
        swinir(*("bench", long, onnx_file, "--runs", 1, "--shape", "8x8", "-o", "r.json")).stdout,
        swinir(
            "bench",
            long,
            onnx_file,
            "--runs",
            1,
            "--shape",
            "8x8",
            "--compare",
            "r.json",
            code=None,
        ).stdout,
    ]
    for text in texts:
        for line in text.splitlines():
            in_table = "  " in line.strip()
            is_address = "https://" in line
            assert len(line) <= 80 or not in_table or is_address, line


@pytest.mark.slow
def test_the_tables_of_engines_and_layers_fit(swinir: Program, checkpoint: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    tile = ("--target", "rtx:sm89", "--tile", "16", "--batch", "1,2")
    swinir("export", checkpoint, "--for", "tensorrt", "--precision", "fp16", "-o", "x.onnx")
    built = swinir("build", "x.onnx", *tile, "-o", "a-rather-long-name-of-an-engine.engine")
    assert built.stdout.startswith("Built")
    inspected = swinir("inspect", "x.onnx", "--tile", "16", "-o", "a.json").stdout
    rows = inspected.partition("Kernels of a block")[2].partition("Largest")[0].strip().splitlines()
    assert rows[1].split()[:3] == ["BLOCKS", "FIRST", "KERNELS"]
    # Two blocks, plain and shifted, are the same kinds of kernels: one row, however wrapped.
    kinds = json.loads(Path("a.json").read_text())["kinds_per_block"]
    groups = {tuple(names) for names in kinds.values()}
    assert len([row for row in rows[2:] if row[:6].strip().isdigit()]) == len(groups)
    texts = [
        inspected,
        swinir("inspect", "--compare", "a.json", "a.json").stdout,
        swinir("cache", "ls").stdout,
        swinir("verify", "x.onnx", "--layers", "-m", checkpoint, code=None).stderr,
    ]
    for text in texts:
        tables = [line for line in text.splitlines() if "  " in line.strip()]
        assert max(map(len, tables)) <= 80


def test_changes_fit() -> None:
    from swinir_deploy.benchmarking.reports import Change

    assert widest(changes_text([Change(_ROW, 1234.5, 1.5, 0.25)])) <= 80
