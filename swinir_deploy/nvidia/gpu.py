"""Find and select the GPUs of this machine by cuda-python, without torch or a compiler."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from swinir_deploy.errors import BackendUnavailableError, SwinIRDeployError, UsageError
from swinir_deploy.system.device import parse_device

__all__ = [
    "Gpu",
    "choose_gpu",
    "explain_missing_cuda",
    "explain_missing_library",
    "find_gpu",
    "free_memory_bytes",
    "gpu_number",
]


@dataclass(frozen=True)
class Gpu:
    """One CUDA device.

    Attributes:
        index: the number of the GPU, as CUDA counts, from 0.
        name: name from the driver, such as ``NVIDIA GeForce RTX 4090``.
        capability: compute capability, such as ``8.9``.
        memory_bytes: memory of the whole device in bytes.
    """

    index: int
    name: str
    capability: str
    memory_bytes: int

    @property
    def architecture(self) -> str:
        """The capability as targets name it, such as ``sm89``."""
        return f"sm{self.capability.replace('.', '')}"


def find_gpu(index: int = 0) -> Gpu:
    """Return the GPU with this number.

    Call this before any object of TensorRT is created: without a GPU, some of its factories
    return invalid pointers.

    Raises:
        BackendUnavailableError: cuda-python, the driver, a library of CUDA or a GPU is missing;
            the message says which, and what to install.
        UsageError: there are GPUs, but none with this number.
    """
    with explain_missing_cuda("asking for the GPU"):
        runtime = _runtime()
        status, count = runtime.cudaGetDeviceCount()
        codes = runtime.cudaError_t
        if status == codes.cudaErrorInsufficientDriver:
            raise BackendUnavailableError(
                "No NVIDIA driver is installed here, or one that is too old for "
                f"CUDA {_cuda_version(runtime)}. Install a newer driver (nvidia-smi shows the "
                "installed one)."
            )
        if status == codes.cudaErrorNoDevice or (status == codes.cudaSuccess and count == 0):
            raise BackendUnavailableError(
                "There is an NVIDIA driver, but no GPU that it may use. In a container, give it "
                "one (docker run --gpus all); CUDA_VISIBLE_DEVICES may hide it, too."
            )
        if status != codes.cudaSuccess:
            raise BackendUnavailableError(
                f"CUDA cannot say which GPUs are here ({status.name}). Run nvidia-smi to see "
                "whether the driver works."
            )
        if not 0 <= index < count:
            raise UsageError(
                f"There is no GPU {index}; this machine has {count}, counted from 0. Choose a "
                f"number from 0 to {count - 1}."
            )
        status, properties = runtime.cudaGetDeviceProperties(index)
        if status != codes.cudaSuccess:
            raise BackendUnavailableError(
                f"CUDA cannot describe GPU {index} ({status.name}). Run nvidia-smi to see whether "
                "the driver works."
            )
    return Gpu(
        index=index,
        name=properties.name.split(b"\0")[0].decode(errors="replace"),
        capability=f"{properties.major}.{properties.minor}",
        memory_bytes=int(properties.totalGlobalMem),
    )


def choose_gpu(gpu: Gpu) -> None:
    """Make a GPU the current device of the calling thread; a new thread begins with device 0.

    Raises:
        BackendUnavailableError: CUDA refuses this GPU, or cannot be loaded.
    """
    with explain_missing_cuda(f"choosing GPU {gpu.index}"):
        runtime = _runtime()
        (status,) = runtime.cudaSetDevice(gpu.index)
        if status != runtime.cudaError_t.cudaSuccess:
            raise BackendUnavailableError(
                f"CUDA cannot use GPU {gpu.index}, {gpu.name} ({status.name}). Run nvidia-smi to "
                "see whether another process holds it, or name another one with --device."
            )


def free_memory_bytes(index: int) -> int | None:
    """Return the free memory of a GPU in bytes; None where CUDA cannot tell it."""
    try:
        find_gpu(index)
        with explain_missing_cuda("asking for the GPU's memory"):
            runtime = _runtime()
            (before_status, before) = runtime.cudaGetDevice()
            (status,) = runtime.cudaSetDevice(index)
            if status != runtime.cudaError_t.cudaSuccess:
                return None
            status, free, _ = runtime.cudaMemGetInfo()
            if before_status == runtime.cudaError_t.cudaSuccess:
                runtime.cudaSetDevice(before)
    except (BackendUnavailableError, UsageError):
        return None
    return int(free) if status == runtime.cudaError_t.cudaSuccess else None


@contextlib.contextmanager
def explain_missing_cuda(doing: str) -> Iterator[None]:
    """Turn what cuda-python raises where CUDA is missing into this package's error.

    Its bindings load libraries when a function is first called, and what they raise then shares
    no base: ImportError, OSError, RuntimeError, and cuda.pathfinder's DynamicLibNotFoundError,
    which some versions do not export.

    Args:
        doing: what needs CUDA, such as ``asking for the GPU``.

    Raises:
        BackendUnavailableError: in place of any exception that is not this package's own.
    """
    try:
        yield
    except SwinIRDeployError:
        raise
    except Exception as error:
        raise _missing_cuda(doing, error) from error


def explain_missing_library(error: Exception, doing: str) -> None:
    """Raise this package's error if ``error`` says that a library of CUDA cannot be loaded.

    Raises:
        BackendUnavailableError: it does.
    """
    # cuda.pathfinder's exceptions are looked up by name: not every version exports them.
    is_pathfinder = type(error).__name__.startswith("DynamicLib")
    if is_pathfinder or isinstance(error, (ImportError, OSError)):
        raise _missing_cuda(doing, error) from error


def _missing_cuda(doing: str, error: Exception) -> BackendUnavailableError:
    text = " ".join(str(error).split())[:300].rstrip(".")
    return BackendUnavailableError(
        f"The CUDA runtime cannot be loaded for {doing}: {text or type(error).__name__}. "
        "Install an NVIDIA driver and CUDA libraries that fit each other, such as "
        "pip install nvidia-cuda-runtime"
    )


def _runtime() -> Any:
    """Import the module ``cuda.bindings.runtime``."""
    try:
        from cuda.bindings import runtime
    except ModuleNotFoundError as error:
        raise BackendUnavailableError(
            "Asking for the GPU needs cuda-python, which is not installed: "
            "pip install cuda-bindings"
        ) from error
    return runtime


def _cuda_version(runtime: Any) -> str:
    """Return the CUDA that cuda-python was made for, such as ``13.0``.

    Not ``getLocalRuntimeVersion``: that loads libcudart, which need not be installed.
    """
    status, number = runtime.cudaRuntimeGetVersion()
    if status != runtime.cudaError_t.cudaSuccess or not number:
        return "13"
    return f"{number // 1000}.{number % 1000 // 10}"


def gpu_number(device: str | None) -> int:
    """Return the number of the GPU that ``cuda`` (None, too) or ``cuda:N`` names.

    Raises:
        UsageError: ``device`` names another kind of device, such as ``cpu``.
    """
    return parse_device(device or "cuda", ("cuda",), "cuda or cuda:0", "an engine").number
