"""Fused kernels on the command line of a machine without a GPU."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from cli_runs import Program, run_process

from swinir_deploy.kernels import inspect as kernels_inspect
from swinir_deploy.kernels.compile import CompiledKernel

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")

REASON = "The device is cpu; the kernels run on NVIDIA GPUs (--device cuda)."


def test_fused_by_name_is_exit_code_3_with_the_reason(
    swinir: Program, checkpoint: Path, picture: Path
) -> None:
    asked = ("--kernels", "fused", "--precision", "fp16")
    commands = (
        ("restore", picture, "out.png", "--model", checkpoint, *asked),
        ("bench", "--model", checkpoint, "--shape", "8x8", "--runs", 1, *asked),
        ("verify", checkpoint, "--model", checkpoint, "--backend", "torch", *asked),
        ("eval", "--model", checkpoint, "--data", picture.parent, *asked),
    )
    for command in commands:
        run = swinir(*command, code=3)
        assert f"kernels='fused' cannot be had for small: {REASON}" in run.stderr, command[0]
    assert not Path("out.png").exists()


def test_restore_and_verify_take_a_precision_of_torch(
    swinir: Program, checkpoint: Path, picture: Path
) -> None:
    options = ("--model", checkpoint, "--precision", "bf16", "--kernels", "plain")
    document = swinir("restore", picture, "out.png", *options, "--json").document
    assert document["model"]["precision"] == "bf16"
    assert (document["model"]["kernels"], document["model"]["kernels_reason"]) == (
        "plain",
        "Plain kernels were asked for.",
    )


@pytest.mark.slow
def test_bench_and_verify_say_which_kernels_ran(swinir: Program, checkpoint: Path) -> None:
    options = ("--model", checkpoint, "--shape", "8x8")
    document = swinir(
        "bench", *options, "--backend", "torch,ort", "--runs", 1, "--csv", "a.csv", "--json"
    ).document
    found = [(row["backend"], row["kernels"], row["kernels_reason"]) for row in document["rows"]]
    assert found == [("torch", "plain", REASON), ("ort", "", "")]
    rows = list(csv.DictReader(Path("a.csv").read_text().splitlines()))
    assert [row["kernels"] for row in rows] == ["plain", ""]
    document = swinir("verify", checkpoint, *options, "--backend", "torch", "--json").document
    assert (document["spec"]["kernels"], document["spec"]["kernels_reason"]) == ("plain", REASON)


def test_bench_gives_the_option_to_torch_alone(swinir: Program, checkpoint: Path) -> None:
    options = ("--model", checkpoint, "--shape", "8x8", "--runs", 1, "--kernels", "plain")
    document = swinir("bench", *options, "--backend", "ort,torch", "--json").document
    assert [row["kernels"] for row in document["rows"]] == ["", "plain"]


def test_other_back_ends_have_no_such_option(
    swinir: Program, onnx_file: Path, picture: Path
) -> None:
    run = swinir("restore", picture, "o.png", "-m", onnx_file, "--kernels", "plain", code=2)
    assert "The back end 'ort' has no option kernels" in run.stderr
    run = swinir("verify", onnx_file, "--layers", "--kernels", "plain", code=2)
    assert "--kernels cannot be used with --layers" in run.stderr
    run = swinir("restore", picture, "o.png", "-m", onnx_file, "--kernels", "fussed", code=2)
    assert "Did you mean 'fused'?" in run.stderr


def test_info_says_whether_a_model_is_served(swinir: Program, checkpoint: Path) -> None:
    for model in ("medium-sr-x4", checkpoint):
        document = swinir("info", model, "--json").document
        assert document["kernels"] == "fused"
        assert "NVIDIA GPU" in document["kernels_reason"]
        assert "\n  kernels " in swinir("info", model).stdout


def test_info_of_an_exported_file_says_nothing_of_them(swinir: Program, onnx_file: Path) -> None:
    assert "kernels" not in swinir("info", onnx_file, "--json").document


# -------------------------------------------------------------------------------------- inspect


@pytest.fixture
def compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiling takes seconds; what is compiled is tested in tests/kernels."""

    def compiled(config: Any, architectures: Any, *, half: str) -> list[CompiledKernel]:
        (number,) = architectures
        return [
            CompiledKernel(name, f"sm{number}", part, {}, 100 + number, 8, 4096, 4, launches)
            for name, part, launches in [("first", "edge", 1), ("swin_block", "block", 2)]
        ]

    monkeypatch.setattr(kernels_inspect, "compile_kernels", compiled)


@pytest.mark.usefixtures("compiler")
def test_inspect_for_cuda(swinir: Program, checkpoint: Path) -> None:
    options = ("inspect", checkpoint, "--target", "cuda:sm80,sm90", "--precision", "bf16")
    document = swinir(*options, "--json", "-o", "report.json").document
    assert document["kernels_per_block"] == 1
    assert document["precision"] == "bf16"
    assert list(document["architectures"]) == ["sm80", "sm90"]
    entry = document["architectures"]["sm90"][1]
    assert (entry["kernel"], entry["registers"], entry["spill_bytes"], entry["shared_bytes"]) == (
        "swin_block",
        190,
        8,
        4096,
    )
    assert Path("report.json").is_file()
    title, columns, *rows = swinir(*options).stdout.splitlines()
    assert title.startswith(f"{checkpoint} in bf16, by Triton ")
    assert "kernels of a block: 1" in title
    assert columns.split()[:2] == ["GPU", "KERNEL"]
    assert [row.split()[:2] for row in rows] == [
        ["sm80", "first"],
        ["sm80", "swin_block"],
        ["sm90", "first"],
        ["sm90", "swin_block"],
    ]


@pytest.mark.usefixtures("compiler")
def test_inspect_for_cuda_takes_ids(swinir: Program) -> None:
    options = ("--target", "cuda:sm90", "--offline", "--json")
    assert swinir("inspect", "medium-sr-x4", *options).document["model"] == "medium-sr-x4"


@pytest.mark.usefixtures("compiler")
def test_inspect_refuses_what_does_not_belong_together(
    swinir: Program, checkpoint: Path, onnx_file: Path
) -> None:
    run = swinir("inspect", onnx_file, "--target", "cuda:sm80", code=2)
    assert f"{onnx_file} is an ONNX file; the target 'cuda:sm80' compiles fused" in run.stderr
    assert "Give the checkpoint or id that it came from" in run.stderr
    assert "or --target rtx:sm89" in run.stderr
    for others in (
        ("--tile", 64),
        ("--min-shape", "8x8"),
        ("--batch", "1,1,1"),
        ("--opt-level", 3),
        ("--workspace", "1GiB"),
    ):
        run = swinir("inspect", checkpoint, "--target", "cuda:sm80", *others, code=2)
        assert "takes one checkpoint or id, --precision and --json" in run.stderr, others
    run = swinir("inspect", "--target", "cuda:sm80", code=2)
    assert "takes one checkpoint or id" in run.stderr
    run = swinir("inspect", checkpoint, "--target", "cuda:sm75", code=2)
    assert "Unknown architecture 'sm75'" in run.stderr
    run = swinir("inspect", onnx_file, "--precision", "bf16", code=2)
    assert "was exported already and has its own" in run.stderr


def test_inspect_without_triton_names_the_extra(checkpoint: Path) -> None:
    run = run_process(
        ["inspect", checkpoint, "--target", "cuda:sm80"], 'sys.modules["triton"] = None'
    )
    assert run.code == 3
    assert "pip install 'swinir-deploy[cuda]'" in run.stderr
