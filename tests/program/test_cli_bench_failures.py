"""bench goes on when one contender fails, and takes all back ends."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_runs import Program

from swinir_deploy.benchmarking import choice
from swinir_deploy.benchmarking.benchmark import benchmark
from swinir_deploy.benchmarking.contenders import Contender, OpenContender
from swinir_deploy.errors import DeviceMemoryError, InputError, SwinIRDeployError, UsageError
from swinir_deploy.models.find import find_model
from swinir_deploy.runtimes import registry

QUICK = ("--runs", 1, "--shape", "8x8")


def test_the_others_are_timed_and_the_failure_is_said(
    swinir: Program, onnx_file: Path, checkpoint: Path
) -> None:
    broken = Path("broken.onnx")
    broken.write_bytes(b"no model")
    run = swinir("bench", onnx_file, broken, checkpoint, *QUICK, "--json", code=1)
    assert [row["backend"] for row in run.document["rows"]] == ["ort", "torch"]
    (failure,) = run.document["failures"]
    assert failure["label"] == "broken.onnx on ort"
    assert "Error: 1 of 3 could not be timed:\n  broken.onnx on ort: " in run.stderr


def test_when_all_fail_the_first_error_ends_it(swinir: Program) -> None:
    Path("broken.onnx").write_bytes(b"no model")
    swinir("bench", "broken.onnx", *QUICK, code=4)


def test_a_shape_that_one_does_not_take(swinir: Program, checkpoint: Path, onnx_file: Path) -> None:
    swinir("export", checkpoint, "--shape", "1x3x16x16", "-o", "fixed.onnx")
    run = swinir(
        *("bench", "fixed.onnx", onnx_file, "--runs", 1, "--json"),
        *("--shape", "16x16", "--shape", "24x24"),
        code=1,
    )
    rows = [(row["label"], row["height"], row["ratio"]) for row in run.document["rows"]]
    assert [row[:2] for row in rows] == [
        ("ort fixed.onnx", 16),
        (f"ort {onnx_file.name}", 16),
        (f"ort {onnx_file.name}", 24),
    ]
    assert rows[2][2] == 1.0  # the first that was timed at this shape
    (failure,) = run.document["failures"]
    assert (failure["label"], failure["shape"]) == ("ort fixed.onnx", [1, 24, 24])


def test_one_that_fails_between_runs_is_left_out(
    monkeypatch: pytest.MonkeyPatch, onnx_file: Path
) -> None:
    runs = OpenContender.run
    count = 0

    def run(self: OpenContender) -> object:
        nonlocal count
        if self.spec.backend == "torch":
            count += 1
            if count > 3:
                raise DeviceMemoryError("no memory for this")
        return runs(self)

    monkeypatch.setattr(OpenContender, "run", run)
    both = [Contender("tiny-sr-x2", "torch"), Contender(str(onnx_file), "ort")]
    report = benchmark(both, shapes=[(8, 8)], runs=5, go_on=True)
    assert [row.backend for row in report.rows] == ["ort"]
    assert report.rows[0].runs == 5
    assert [f.error for f in report.failures] == ["no memory for this"]
    count = 0
    with pytest.raises(SwinIRDeployError):
        benchmark(both, shapes=[(8, 8)], runs=5)


def test_all_are_those_that_are_installed_and_open_the_model(
    swinir: Program, onnx_file: Path, checkpoint: Path
) -> None:
    run = swinir("bench", onnx_file, "--backend", "all", *QUICK, "--json")
    assert [row["backend"] for row in run.document["rows"]] == ["ort", "openvino"]
    notes = "\n".join(run.document["notes"])
    assert "torch is left out: it opens checkpoints" in notes
    assert "rtx is left out: it opens .engine" in notes
    fitting, left_out = choice.backends_that_open([find_model(checkpoint)])
    assert fitting == ("ort", "openvino", "torch")
    assert all("'swinir-deploy build'" in line for line in left_out)


def test_what_is_not_installed_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        registry.Backend, "missing", lambda self: "no" if self.name == "openvino" else None
    )
    fitting, left_out = choice.backends_that_open([find_model("tiny-sr-x2")])
    assert fitting == ("ort", "torch")
    assert "openvino is left out: no" in left_out


@pytest.mark.parametrize("text", ["ort,,torch", "ort,ort", "trt,tensorrt", "quantum", "all,ort"])
def test_names_are_checked_before_anything(text: str) -> None:
    with pytest.raises(UsageError):
        choice.parse_backends(text)


def test_names_have_aliases() -> None:
    assert choice.parse_backends("trt,onnxruntime") == ("tensorrt", "ort")
    assert choice.parse_backends("all") == ("all",)
    assert choice.parse_backends(None) == (None,)


def test_plans_that_fail_are_reported_and_only_all_of_them_end_it() -> None:
    model = find_model("tiny-sr-x2")

    def plan(found: object, backend: str | None) -> list[Contender]:
        if backend == "ort":
            raise InputError("cannot be exported")
        return [Contender("tiny-sr-x2", backend)]

    contenders, failures = choice.plan_each([model], ["ort", "torch"], plan)
    assert [c.backend for c in contenders] == ["torch"]
    assert [f.error for f in failures] == ["cannot be exported"]
    with pytest.raises(InputError):
        choice.plan_each([model], ["ort"], plan)
