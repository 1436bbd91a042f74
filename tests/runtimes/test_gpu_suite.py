"""The GPU suite itself: it skips with a reason where there is no GPU, and its checks can run.

No machine of this project's own has a GPU, so the bodies of its tests are run on the fake one: a
mistake in them would otherwise wait for the first user who has a real one.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import fake_gpu
import fake_tensorrt
import numpy as np
import pytest
from fake_cuda_engine import cuda_engine_file, know_kernels
from fake_gpu import Buffer
from fake_machine import GPU, engine_file, machine

from swinir_deploy import export_onnx, open_runtime
from swinir_deploy.artifacts.shapes import ShapeProfile
from swinir_deploy.errors import BackendUnavailableError
from swinir_deploy.nvidia.gpu import find_gpu
from swinir_deploy.runtimes import Runtime, RuntimeSpec

SUITE = Path(__file__).parents[1] / "gpu"
RANGE = ShapeProfile((1, 3, 8, 8), (1, 3, 64, 64), (3, 3, 128, 128))


@pytest.fixture
def fake_machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with machine(monkeypatch):
        yield


class Nearest(Runtime):
    """What the fake engine computes, in the reference's place."""

    def _load(self) -> RuntimeSpec:
        return RuntimeSpec("fake", "cuda:0", "tensor", 2, 3, 8, min_side_px=5)

    def _infer(self, batch: Any) -> Any:
        return batch.repeat(2, axis=2).repeat(2, axis=3)

    def _unload(self) -> None: ...


@pytest.fixture
def suite(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    monkeypatch.syspath_prepend(str(SUITE))
    return importlib.import_module


def made(monkeypatch: pytest.MonkeyPatch, folder: Path, flavour: str) -> Path:
    """An engine that the fake GPU runs."""
    if flavour != "cuda":
        return engine_file(folder, (RANGE,), flavour)
    know_kernels(monkeypatch)
    return cuda_engine_file(folder)


@pytest.mark.slow
def test_without_a_gpu_everything_is_skipped_with_the_reason() -> None:
    try:
        find_gpu()
    except BackendUnavailableError as error:
        reason = str(error)
    else:
        pytest.skip("this machine has a GPU")
    command = [sys.executable, "-m", "pytest", str(SUITE), "-p", "no:cacheprovider"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=SUITE.parent.parent)
    assert done.returncode == 0, done.stdout
    summary = done.stdout.splitlines()[-1]
    assert "skipped" in summary
    assert "passed" not in summary
    assert reason in done.stdout.replace("\n", " ")


ALL_ENGINES = {"tensorrt": "trt-fp16", "rtx": "rtx-fp16", "cuda": "cuda-fp16"}


@pytest.mark.parametrize("flavour", ALL_ENGINES)
@pytest.mark.parametrize(
    "name",
    [
        "test_a_replayed_graph_gives_the_pixels_of_the_plain_run",
        "test_threads_do_not_disturb_each_other",
        "test_memory_does_not_grow_over_500_runs",
        "test_closing_gives_the_memory_back",
        "test_pictures_of_any_size_go_through_tiles",
        "test_an_engine_of_another_gpu_or_version_is_refused",
    ],
)
@pytest.mark.usefixtures("fake_machine")
def test_what_is_asserted_of_engines_can_hold(
    suite: Callable[[str], Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    flavour: str,
    name: str,
) -> None:
    if flavour == "cuda" and "another_gpu" in name:
        pytest.skip("it holds machine code for more than one GPU")
    module = suite("test_gpu_engines")
    monkeypatch.setattr(module, "used_bytes", lambda: sum(Buffer.alive.values()))
    path = made(monkeypatch, tmp_path, flavour)
    offered = {
        "name": ALL_ENGINES[flavour],
        "open_on_gpu": lambda _, **options: open_runtime(path, **options),
        "engine_file": lambda *_: path,
        "reference": Nearest(),
        "gpu": GPU,
        "tmp_path": tmp_path,
    }
    test = getattr(module, name)
    wanted = test.__code__.co_varnames[: test.__code__.co_argcount]
    test(**{argument: offered[argument] for argument in wanted})


@pytest.mark.parametrize("flavour", ALL_ENGINES)
@pytest.mark.usefixtures("fake_machine")
def test_what_is_asserted_of_times_can_hold_and_can_fail(
    suite: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flavour: str
) -> None:
    module = suite("test_gpu_bench")
    path = made(monkeypatch, tmp_path, flavour)
    name = ALL_ENGINES[flavour]
    monkeypatch.setattr(module, "on_host", lambda result: result.array)

    def check() -> None:
        module.test_the_gpu_s_time_is_within_the_host_s(
            name, lambda _: open_runtime(path), Nearest()
        )
        for transfers in (True, False):
            module.test_bench_of_an_engine(name, lambda *_: path, transfers)

    clock = fake_gpu if flavour == "cuda" else fake_tensorrt
    with monkeypatch.context() as patch, pytest.raises(AssertionError, match=r"\d{5,6}\.0\d* <="):
        patch.setattr(clock, "KERNEL_MS", 60_000.0)  # longer than the host waited
        check()
    monkeypatch.setattr(clock, "KERNEL_MS", 1e-4)
    monkeypatch.setattr(fake_gpu, "COPY_MS", 1e-4)
    check()


@pytest.mark.parametrize(("error", "passes"), [(0.0, True), (0.01, False), (np.nan, False)])
def test_what_is_asserted_of_pixels_can_hold_and_can_fail(
    suite: Callable[[str], Any], error: float, passes: bool
) -> None:
    class Wrong(Nearest):
        def _load(self) -> RuntimeSpec:
            return replace(super()._load(), precision="fp16")

        def _infer(self, batch: Any) -> Any:
            return super()._infer(batch) + np.float32(error)

    module = suite("test_gpu_parity")

    def check() -> None:
        module.test_pixels_are_those_of_the_network("trt-fp16", lambda _: Wrong(), Nearest())

    if passes:
        check()
    else:
        with pytest.raises(AssertionError, match="trt-fp16 at"):
            check()


@pytest.mark.slow
def test_what_is_asserted_of_layers_can_hold(suite: Callable[[str], Any], tmp_path: Path) -> None:
    """On OpenVINO, which needs no GPU, in the engine's place."""
    pytest.importorskip("polygraphy")
    pytest.importorskip("openvino")
    module = suite("test_gpu_layers")
    path = tmp_path / "tiny.onnx"
    export_onnx("tiny-sr-x2", path, target="tensorrt")
    module.check_layers(path, "openvino", tmp_path)
