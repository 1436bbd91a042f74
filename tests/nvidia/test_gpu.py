"""What a machine without CUDA is told, whichever part of it is missing."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from swinir_deploy.errors import BackendUnavailableError, InferenceError, UsageError
from swinir_deploy.nvidia import gpu
from swinir_deploy.nvidia.cuda import _cuda_python, _explained

runtime = pytest.importorskip("cuda.bindings.runtime")

WITHOUT_CUDART = """
import sys

def refuse(event, arguments):
    if event == "ctypes.dlopen" and "cudart" in str(arguments[0]):
        raise OSError(f"{arguments[0]}: cannot open shared object file: No such file or directory")

sys.addaudithook(refuse)

from cuda.pathfinder import load_nvidia_dynamic_lib

try:
    load_nvidia_dynamic_lib("cudart")
except Exception as error:
    print("PATHFINDER", type(error).__name__)
else:
    raise SystemExit("cuda.pathfinder found libcudart: this does not show what it should")
"""
"""Has the loader refuse CUDA's runtime library, as it does where the library is not installed."""

ASK = """
from swinir_deploy.errors import BackendUnavailableError
from swinir_deploy.nvidia.gpu import find_gpu, free_memory_bytes

print("FREE", free_memory_bytes(999))
try:
    find_gpu()
except BackendUnavailableError as error:
    print("TOLD", error)
else:
    print("GPU")
"""

BENCH = """
from swinir_deploy.cli.main import main

sys.argv[1:] = ["bench", "--model", "tiny-denoise-gray-25", "--backend", "torch", "--offline",
    "--shape", "8x8", "--runs", "1", "--threads", "1", "--json"]
main()
"""


@pytest.mark.parametrize("task", [ASK, BENCH], ids=["find_gpu", "bench"])
def test_cuda_without_its_runtime_library(task: str) -> None:
    """cuda-bindings is installed, libcudart is not: so it is on a machine without CUDA."""
    absent = {"CUDA_HOME", "CUDA_PATH", "LD_LIBRARY_PATH"}
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT_CUDART + task],
        capture_output=True,
        text=True,
        timeout=120,
        env={name: value for name, value in os.environ.items() if name not in absent},
    )
    assert run.returncode == 0, run.stderr
    first, *told = run.stdout.splitlines()
    assert first.startswith("PATHFINDER "), first
    assert "unexpected" not in run.stderr
    if task is ASK:
        assert told[0] == "FREE None"
        assert told[1] == "GPU" or "nvidia" in told[1].lower(), told


class DynamicLibNotFoundError(RuntimeError):
    """Named as the one of cuda.pathfinder, which its own packages do not always export."""


RAISED = [
    DynamicLibNotFoundError('Failure finding "libcudart.so"'),
    RuntimeError('Function "cudaGetDeviceCount" not found'),
    OSError("libcuda.so.1: cannot open shared object file"),
    ImportError("DLL load failed while importing runtime"),
    FileNotFoundError("nvidia/cu13/lib"),
    AttributeError("module has no attribute"),
    ValueError(""),
]


class Bindings:
    """``cuda.bindings.runtime`` with one GPU, one function of which raises."""

    cudaError_t = runtime.cudaError_t

    def __init__(self, failing: str, error: Exception) -> None:
        self._failing, self._error = failing, error

    def _call(self, name: str, *results: Any) -> tuple[Any, ...]:
        assert hasattr(runtime, name)
        if name == self._failing:
            raise self._error
        return (self.cudaError_t.cudaSuccess, *results)

    def cudaGetDeviceCount(self) -> Any:
        if self._failing == "cudaRuntimeGetVersion":
            return self.cudaError_t.cudaErrorInsufficientDriver, None
        return self._call("cudaGetDeviceCount", 1)

    def cudaRuntimeGetVersion(self) -> Any:
        return self._call("cudaRuntimeGetVersion", 13050)

    def cudaGetDeviceProperties(self, index: int) -> Any:
        found = SimpleNamespace(name=b"GPU\0", major=8, minor=9, totalGlobalMem=1 << 30)
        return self._call("cudaGetDeviceProperties", found)

    def cudaSetDevice(self, index: int) -> Any:
        return self._call("cudaSetDevice")

    def cudaGetDevice(self) -> Any:
        return self._call("cudaGetDevice", 0)

    def cudaMemGetInfo(self) -> Any:
        return self._call("cudaMemGetInfo", 5, 7)


def install(monkeypatch: pytest.MonkeyPatch, bindings: Any) -> None:
    import cuda.bindings

    monkeypatch.setattr(cuda.bindings, "runtime", bindings)
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", bindings)


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize(
    "failing", ["cudaGetDeviceCount", "cudaRuntimeGetVersion", "cudaGetDeviceProperties"]
)
def test_whatever_the_bindings_raise_is_explained(
    failing: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, Bindings(failing, error))
    with pytest.raises(BackendUnavailableError) as told:
        gpu.find_gpu()
    assert (str(error) or "ValueError") in str(told.value)
    assert str(told.value).endswith("pip install nvidia-cuda-runtime")
    assert told.value.__cause__ is error
    assert gpu.free_memory_bytes(0) is None


@pytest.mark.parametrize("failing", ["cudaSetDevice", "cudaGetDevice", "cudaMemGetInfo"])
def test_what_fails_after_the_gpu_was_found_is_explained(
    failing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, Bindings(failing, RAISED[0]))
    found = gpu.find_gpu()
    assert gpu.free_memory_bytes(0) is None
    if failing == "cudaSetDevice":
        with pytest.raises(BackendUnavailableError, match="choosing GPU 0"):
            gpu.choose_gpu(found)


def test_a_gpu_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Bindings("", RAISED[0]))
    assert gpu.find_gpu() == gpu.Gpu(0, "GPU", "8.9", 1 << 30)
    assert gpu.find_gpu().architecture == "sm89"
    assert gpu.free_memory_bytes(0) == 5
    assert gpu.free_memory_bytes(1) is None
    with pytest.raises(UsageError, match="no GPU 1"):
        gpu.find_gpu(1)


@pytest.mark.parametrize("error", [ImportError("libcudart.so.13"), OSError("cannot be loaded")])
def test_a_cuda_python_that_cannot_be_imported(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    import cuda.bindings

    class Finder:
        def find_spec(self, name: str, *_: object) -> None:
            if name in ("cuda.bindings.runtime", "cuda.core.utils"):
                raise error

    monkeypatch.delattr(cuda.bindings, "runtime", raising=False)
    for name in ("cuda.bindings.runtime", "cuda.core.utils"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    with pytest.raises(BackendUnavailableError, match=str(error)):
        gpu.find_gpu()
    with pytest.raises(BackendUnavailableError, match=str(error)):
        _cuda_python()


def test_a_library_that_is_missing_later_is_no_failed_inference() -> None:
    """cuda.core loads libraries when it first needs them."""
    for error in RAISED[:1] + RAISED[2:5]:
        with (
            pytest.raises(BackendUnavailableError, match="for capturing a CUDA graph"),
            _explained("capturing a CUDA graph"),
        ):
            raise error
    with pytest.raises(InferenceError, match="nvidia-smi"), _explained("computing"):
        raise RuntimeError("CUDA_ERROR_ILLEGAL_ADDRESS")
