"""GPU back ends on the command line of a machine that has none: messages and exit codes."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fake_gpu
import fake_machine
import pytest
from cli_runs import Program, Run

from swinir_deploy.artifacts.engine import EngineMetadata, write_engine
from swinir_deploy.artifacts.metadata import ArtifactMetadata
from swinir_deploy.artifacts.shapes import ShapeProfile
from swinir_deploy.errors import BackendUnavailableError
from swinir_deploy.nvidia.gpu import find_gpu
from swinir_deploy.runtimes import BACKENDS

LIBRARIES = {"tensorrt": "10.13.0.35", "rtx": "1.7.1.116"}


def engine_file(folder: Path, flavour: Any) -> Path:
    """An engine that no library would load; none gets that far without a GPU."""
    model = ArtifactMetadata(io="tensor", scale=2, in_chans=3, window_size=8, model_id="small")
    metadata = EngineMetadata(
        model=model,
        onnx_name="small.onnx",
        onnx_sha256="1" * 64,
        flavour=flavour,
        library_version=LIBRARIES[flavour],
        profiles=(ShapeProfile((1, 3, 64, 64), (4, 3, 64, 64), (8, 3, 64, 64)),),
    )
    path = folder / f"{flavour}.engine"
    write_engine(path, b"a plan", metadata)
    return path


@pytest.mark.parametrize("flavour", LIBRARIES)
def test_an_engine_without_a_library_or_gpu_is_exit_code_3(
    swinir: Program, picture: Path, tmp_path: Path, flavour: str
) -> None:
    try:
        find_gpu()
    except BackendUnavailableError as error:
        reason = str(error)
    else:
        pytest.skip("this machine has a GPU")
    backend = next(b for b in BACKENDS.values() if b.flavour == flavour)
    engine = engine_file(tmp_path, flavour)
    run = swinir("restore", picture, "out.png", "--model", engine, code=3)
    missing = backend.missing()
    assert (reason if missing is None else f"swinir-deploy[{backend.extra}]") in run.stderr
    assert not Path("out.png").exists()


def test_a_provider_that_is_not_there_is_exit_code_3(
    swinir: Program, picture: Path, onnx_file: Path
) -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime was built for GPUs")
    run = swinir(
        *("restore", picture, "out.png", "--model", onnx_file),
        *("--provider", "cuda", "--provider-option", "cudnn_conv_use_max_workspace=1"),
        code=3,
    )
    assert "swinir-deploy[ort-gpu]" in run.stderr


def test_options_of_the_provider_reach_the_session(
    swinir: Program, picture: Path, onnx_file: Path
) -> None:
    option = ("--provider-option", "session.intra_op.allow_spinning=0")
    swinir("restore", picture, "out.png", "--model", onnx_file, "--provider", "cpu", *option)
    assert Path("out.png").is_file()
    run = swinir(
        "restore", picture, "x.png", "--model", onnx_file, "--provider-option", "x", code=2
    )
    assert "not KEY=VALUE" in run.stderr


@pytest.fixture
def bench(
    swinir: Program, onnx_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Run]]:
    """``bench`` of an engine on the fake GPU of the runtimes' tests, beside ort on the CPU."""
    with fake_machine.machine(monkeypatch):
        engine = fake_machine.engine_file(tmp_path)
        fixed = ("bench", "-m", engine, "--against", onnx_file, "--shape", "8x8", "--runs", 3)
        yield lambda *options, code=0: swinir(*fixed, *options, code=code)


def unwrapped(text: str) -> list[str]:
    """Return the lines of a table; the heading, which may be wrapped, is one of them."""
    heading, sign, rest = text.partition("CONTENDER")
    return [" ".join(heading.split()), *(sign + rest).splitlines()]


def copy_and_kernel_ms() -> tuple[float, float]:
    """What the fake GPU takes for one of each."""
    return fake_gpu.COPY_MS, fake_gpu.KERNEL_MS


@pytest.mark.parametrize("options", [(), ("--transfers",), ("--no-transfers",)])
def test_bench_counts_transfers_or_not_and_says_so(
    bench: Callable[..., Run], options: tuple[str, ...]
) -> None:
    counted = "--no-transfers" not in options
    copy_ms, kernel_ms = copy_and_kernel_ms()
    wanted_ms = kernel_ms + (2 * copy_ms if counted else 0)
    document = bench(*options, "--json").document
    assert document["transfers"] is counted
    assert [row["device_p50_ms"] for row in document["rows"]] == [wanted_ms, None]

    run = bench(*options, "--csv", "rows.csv")
    heading, *lines = unwrapped(run.stdout)
    said = "are counted" if counted else "are not counted"
    assert heading.startswith(f"Transfers to and from the device {said}. GPU ms is by the GPU's")
    engine, on_cpu = (
        next(line for line in lines if line.startswith(name)) for name in ("tensorrt", "ort")
    )
    assert f"{wanted_ms:.1f}" in engine.split()
    assert f"{wanted_ms:.1f}" not in on_cpu.split()
    rows = list(csv.DictReader(Path("rows.csv").read_text().splitlines()))
    assert [row["transfers"] for row in rows] == [str(counted)] * 2
    assert [row["device_p50_ms"] for row in rows] == [str(wanted_ms), ""]


def test_bench_compares_with_the_same_transfers_only(bench: Callable[..., Run]) -> None:
    bench("-o", "old.json")
    run = bench("--no-transfers", "--compare", "old.json", code=2)
    assert "timed a GPU with transfers. Time with --transfers" in run.stderr
    assert "Timing" not in run.stderr, "it is refused before anything is timed"
    # Two runs on this machine may differ by more than the noise: that is exit code 1.
    run = bench("--compare", "old.json", code=None)
    assert run.code in (0, 1)
    assert "BEFORE ms" in run.stdout


def test_bench_of_a_back_end_that_takes_host_memory_only(
    bench: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As ONNX Runtime's GPU providers are here."""
    from swinir_deploy.runtimes.tensorrt.runtime import TensorRtRuntime

    monkeypatch.setattr(TensorRtRuntime, "_takes_gpu_memory", lambda _: False)
    run = bench("--no-transfers", code=1)
    assert "Error: 1 of 2 could not be timed" in run.stderr
    assert "'tensorrt' on cuda:0 takes and gives host memory only" in run.stderr
    assert bench("--json").document["rows"][0]["device_p50_ms"] is None
    heading, columns, *_ = unwrapped(bench().stdout)
    assert heading.endswith("device are counted. By the host's clock alone: tensorrt.")
    assert "GPU ms" not in columns


@pytest.mark.slow
def test_on_the_cpu_transfers_change_nothing(swinir: Program, onnx_file: Path) -> None:
    options = ("bench", "-m", onnx_file, "--shape", "8x8", "--runs", 1)
    headings = []
    for flag in ("--transfers", "--no-transfers"):
        heading, columns, *_ = unwrapped(swinir(*options, flag).stdout)
        assert "GPU ms" not in columns
        headings.append(heading)
    assert headings[0] == headings[1]
    assert headings[0].startswith("All on the CPU")
    swinir(*options, "-o", "old.json")
    run = swinir(*options, "--no-transfers", "--compare", "old.json", code=None)
    assert run.code in (0, 1)
