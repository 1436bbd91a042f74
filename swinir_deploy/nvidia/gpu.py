"""Find and select the GPUs of this machine by cuda-python, without torch or a compiler."""

from __future__ import annotations

from dataclasses import dataclass

from swinir_deploy.errors import BackendUnavailableError, UsageError
from swinir_deploy.system.device import parse_device

__all__ = ["Gpu", "choose_gpu", "find_gpu", "free_memory_bytes", "gpu_number"]


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
        BackendUnavailableError: cuda-python, the driver or a GPU is missing; the message says
            which, and what to install.
        UsageError: there are GPUs, but none with this number.
    """
    try:
        from cuda.bindings import runtime
    except ImportError as error:
        raise BackendUnavailableError(
            "Asking for the GPU needs cuda-python, which is not installed: "
            "pip install cuda-bindings"
        ) from error
    try:
        status, count = runtime.cudaGetDeviceCount()
    except RuntimeError as error:  # The library of the CUDA runtime was not found.
        raise BackendUnavailableError(
            f"The CUDA runtime cannot be loaded: {error}. Install a driver and CUDA libraries "
            "that fit each other."
        ) from error
    codes = runtime.cudaError_t
    if status == codes.cudaErrorInsufficientDriver:
        raise BackendUnavailableError(
            "No NVIDIA driver is installed here, or one that is too old for "
            f"CUDA {_toolkit_version(runtime)}. Install a newer driver (nvidia-smi shows the "
            "installed one)."
        )
    if status == codes.cudaErrorNoDevice or (status == codes.cudaSuccess and count == 0):
        raise BackendUnavailableError(
            "There is an NVIDIA driver, but no GPU that it may use. In a container, give it one "
            "(docker run --gpus all); CUDA_VISIBLE_DEVICES may hide it, too."
        )
    if status != codes.cudaSuccess:
        raise BackendUnavailableError(
            f"CUDA cannot say which GPUs are here ({status.name}). Run nvidia-smi to see whether "
            "the driver works."
        )
    if not 0 <= index < count:
        raise UsageError(
            f"There is no GPU {index}; this machine has {count}, counted from 0. Choose a number "
            f"from 0 to {count - 1}."
        )
    status, properties = runtime.cudaGetDeviceProperties(index)
    if status != codes.cudaSuccess:
        raise BackendUnavailableError(
            f"CUDA cannot describe GPU {index} ({status.name}). Run nvidia-smi to see whether the "
            "driver works."
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
        BackendUnavailableError: CUDA refuses this GPU.
    """
    from cuda.bindings import runtime

    (status,) = runtime.cudaSetDevice(gpu.index)
    if status != runtime.cudaError_t.cudaSuccess:
        raise BackendUnavailableError(
            f"CUDA cannot use GPU {gpu.index}, {gpu.name} ({status.name}). Run nvidia-smi to see "
            "whether another process holds it, or name another one with --device."
        )


def free_memory_bytes(index: int) -> int | None:
    """Return the free memory of a GPU in bytes; None where CUDA cannot tell it."""
    try:
        find_gpu(index)
        from cuda.bindings import runtime

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


def _toolkit_version(runtime: object) -> str:
    """Return the version of CUDA that cuda-python was made for, such as ``13.0``."""
    status, number = runtime.getLocalRuntimeVersion()  # type: ignore[attr-defined]
    if status.value != 0 or not number:
        return "13"
    return f"{number // 1000}.{number % 1000 // 10}"


def gpu_number(device: str | None) -> int:
    """Return the number of the GPU that ``cuda`` (None, too) or ``cuda:N`` names.

    Raises:
        UsageError: ``device`` names another kind of device, such as ``cpu``.
    """
    return parse_device(device or "cuda", ("cuda",), "cuda or cuda:0", "an engine").number
