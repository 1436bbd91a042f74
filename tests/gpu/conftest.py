"""What the GPU suite needs: a GPU, the back ends that are installed, and one small model.

``make test-gpu`` runs it. Every test that the machine cannot run is skipped with the reason.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gpu_backends import FLAVOURS_OF, MODEL

from swinir_deploy import export_onnx, load_model, open_runtime
from swinir_deploy.errors import BackendUnavailableError
from swinir_deploy.kernels.settings import ARCHITECTURES
from swinir_deploy.nvidia.gpu import Gpu, find_gpu
from swinir_deploy.nvidia.tensorrt_library import FLAVOURS
from swinir_deploy.runtimes import Runtime


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.gpu)


@pytest.fixture(scope="session")
def gpu() -> Gpu:
    """The first GPU, or the reason why there is none."""
    try:
        return find_gpu()
    except BackendUnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def reference() -> Iterator[Runtime]:
    """The FP32 network on the CPU."""
    with open_runtime(MODEL, "torch", "cpu") as runtime:
        yield runtime


@pytest.fixture(scope="session")
def onnx_file(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """(precision, target) -> an export of the model, made once."""
    folder = tmp_path_factory.mktemp("gpu-onnx")
    lock = threading.Lock()

    def export(precision: Any, target: str) -> Path:
        path = folder / f"{precision}-{target}.onnx"
        with lock:
            if not path.exists():
                export_onnx(MODEL, path, precision=precision, target=target)
        return path

    return export


def code_for(gpu: Gpu) -> str:
    """Return the target whose machine code runs on a GPU: its major version, at most its minor."""
    major, minor = map(int, gpu.capability.split("."))
    fitting = [number for number in ARCHITECTURES if 10 * major <= number <= 10 * major + minor]
    if not fitting:
        pytest.skip(f"the kernels are not made for {gpu.name} ({gpu.architecture})")
    return f"cuda:sm{fitting[-1]}"


@pytest.fixture(scope="session")
def engine_file(
    gpu: Gpu, onnx_file: Callable[[str, str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Path]:
    """(flavour, precision) -> an engine for sides from 8 to 128 and batches to 3, built once."""
    from swinir_deploy.exporters.cuda.build import build_cuda_engine
    from swinir_deploy.exporters.tensorrt.build import build_engine
    from swinir_deploy.exporters.tensorrt.shapes import ShapeRequest

    folder = tmp_path_factory.mktemp("gpu-engines")
    failed: dict[str, str] = {}

    def build(flavour: str, precision: Any) -> Path:
        name = f"{flavour}-{precision}"
        path = folder / f"{name}.engine"
        if name in failed:
            pytest.skip(failed[name])
        if not path.exists():
            if precision == "bf16" and int(gpu.capability.split(".")[0]) < 8:
                pytest.skip(f"{gpu.name} ({gpu.architecture}) has no BF16 arithmetic")
            if flavour == "rtx" and gpu.architecture not in FLAVOURS["rtx"].architectures:
                pytest.skip(f"TensorRT for RTX does not know {gpu.name} ({gpu.architecture})")
            shapes = ShapeRequest(
                min_shapes=("1x3x8x8",), opt_shapes=("1x3x64x64",), max_shapes=("3x3x128x128",)
            )
            try:
                if flavour == "cuda":
                    build_cuda_engine(load_model(MODEL), code_for(gpu), path, precision=precision)
                    return path
                build_engine(
                    onnx_file(precision, "tensorrt"), flavour, path, shapes=shapes, progress=False
                )
            except BackendUnavailableError as error:
                failed[name] = str(error)
                pytest.skip(failed[name])
        return path

    return build


@pytest.fixture
def open_on_gpu(
    gpu: Gpu, request: pytest.FixtureRequest, onnx_file: Callable[[str, str], Path]
) -> Callable[..., Runtime]:
    """Name from BACKENDS -> the back end, open; skips where it cannot be had."""

    def opened(name: str, **options: Any) -> Runtime:
        kind, _, precision = name.rpartition("-")
        try:
            if kind == "torch":
                wanted = {"compile": True} if precision == "compiled" else {"precision": precision}
                return open_runtime(MODEL, "torch", "cuda", **wanted, **options)
            if kind == "torch-plain":
                wanted = {"precision": precision, "kernels": "plain"}
                return open_runtime(MODEL, "torch", "cuda", **wanted, **options)
            if kind.startswith("ort-"):
                provider = {"ort-cuda": "cuda", "ort-tensorrt": "tensorrt"}.get(kind, "rtx")
                target = "any" if provider == "cuda" else "tensorrt"
                path = onnx_file(precision, target)
                return open_runtime(path, "ort", "cuda", provider=provider, **options)
            build = request.getfixturevalue("engine_file")
            return open_runtime(build(FLAVOURS_OF[kind], precision), **options)
        except BackendUnavailableError as error:
            pytest.skip(str(error))

    return opened
