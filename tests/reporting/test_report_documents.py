"""Which JSON files a page takes, and what is said of the others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sample_reports import ALL, SOURCE, bench, identified, saved, verify

from swinir_deploy.cli.output import plain
from swinir_deploy.errors import InputError
from swinir_deploy.reporting.contents import contents_of, mixed_models, verdict_of
from swinir_deploy.reporting.documents import document_of, read_document


@pytest.mark.parametrize("kind", ALL)
def test_every_kind_is_known_with_and_without_its_identity(kind: str, tmp_path: Path) -> None:
    with_block = read_document(saved(tmp_path, kind))
    assert with_block.kind == kind
    assert with_block.identity is not None
    assert with_block.identity.models[0].checkpoint_sha256 == SOURCE
    older = json.loads(json.dumps(plain(ALL[kind]())))
    without = document_of(older, "older.json")
    assert without.kind == kind
    assert without.identity is None
    entries, models = contents_of([without])
    assert entries[0].sections
    assert models
    assert any("older version" in row.text for row in entries[0].facts)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("not JSON", "it is not JSON"),
        ("[1, 2]", "it holds a list"),
        ("{}", "it holds nothing"),
        ('{"width": 3, "height": 4}', "it holds 'width', 'height'"),
        ('{"error": {"type": "X"}, "exit_code": 2}', "the error of a command that failed"),
        ('{"identity": 5}', "its identity is no object"),
        ('{"identity": {"report": "dance"}}', "kind 'dance', which this version does not know"),
        ('{"identity": {"report": "verify", "models": 3}}', "models is 3; it must be a list"),
        ('{"identity": {"report": "verify"}}', "it has no 'model'"),
    ],
)
def test_other_files_are_refused_in_words(content: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"wrong\.json") as caught:
        read_document(path)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("verify", {"rows": 5}),
        ("verify", {"rows": [{"shape": "large"}]}),
        ("bench", {"rows": [{"label": "ort"}]}),
        ("eval", {"mean": {"psnr_y": []}}),
        ("layers", {"curve": {"relative": "all"}}),
        ("kernels", {"architectures": {"sm90": [{}]}}),
    ],
)
def test_a_value_of_the_wrong_type_is_named(kind: str, change: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"x\.json is not a report"):
        document_of({**identified(kind), **change}, "x.json")


def test_a_failed_comparison_is_a_failed_verdict() -> None:
    passed = verdict_of(document_of(identified("verify"), "a").values)
    assert (passed.mood, passed.word) == ("good", "Passed")
    assert "66.0 dB, limit 55.0 dB" in passed.figure
    failed = verdict_of(document_of(json.loads(json.dumps(plain(verify(54.5)))), "b").values)
    assert (failed.mood, failed.word) == ("bad", "Failed")
    assert "at 1 of 3 inputs" in failed.said
    assert "54.5 dB" in failed.figure


def test_what_is_not_finite_is_never_good_news() -> None:
    values = identified("verify")
    for row in values["rows"]:
        row |= {"max_abs": "inf", "psnr_db": "-inf", "passed": False}
    values |= {"passed": False, "limit": {"max_abs": 1e-4, "min_psnr_db": 55.0}}
    verdict = verdict_of(document_of(values, "x").values)
    assert verdict.mood == "bad"
    assert verdict.figure.count("not finite") == 2


def test_slower_or_incomplete_benchmarks_say_so() -> None:
    assert verdict_of(document_of(identified("bench"), "x").values).word == "Slower"
    values = bench() | {"changes": ()}
    verdict = verdict_of(document_of(json.loads(json.dumps(plain(values))), "x").values)
    assert (verdict.mood, verdict.word) == ("warn", "Incomplete")
    assert "rtx" in verdict.said
    assert "openvino, 15.0 ms" in verdict.figure


def test_reports_of_different_checkpoints_are_told_apart() -> None:
    same = [document_of(identified(kind), kind) for kind in ("verify", "bench")]
    assert mixed_models(same) == ""
    other = document_of(identified("eval", checkpoint_sha256="c" * 64, model_id="other"), "eval")
    said = mixed_models([*same, other])
    assert "2 different checkpoints" in said
    assert "my-model (aaaaaaaaaaaa), other (cccccccccccc)" in said
    unknown = document_of(identified("eval", checkpoint_sha256=""), "eval")
    assert mixed_models([*same, unknown]) == ""


def test_the_half_precision_of_a_model_is_shown_once() -> None:
    entries, models = contents_of([document_of(identified(k), k) for k in ("verify", "export")])
    titles = [section.title for entry in entries for section in entry.sections]
    assert sum("Half precision" in title for title in titles) == 1
    assert len(models) == 1
