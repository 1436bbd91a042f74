"""CUDA memory, streams, events, graphs and kernels for the engines' back ends, by cuda-python.

``cuda.core`` checks every call. This module turns its exceptions into this package's errors.
Nothing here can run without a GPU, so the module holds as little logic as possible.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swinir_deploy.errors import (
    BackendUnavailableError,
    DeviceMemoryError,
    InferenceError,
    InputError,
    SwinIRDeployError,
)
from swinir_deploy.nvidia.gpu import (
    Gpu,
    explain_missing_cuda,
    explain_missing_library,
    find_gpu,
)
from swinir_deploy.system.memory import means_out_of_memory

__all__ = [
    "CudaDevice",
    "CudaFunction",
    "CudaGraph",
    "CudaModule",
    "CudaStream",
    "CudaTimer",
    "DeviceArray",
    "DeviceMemory",
    "KernelArguments",
    "PinnedMemory",
]

DeviceArray = Any
"""``cuda.core.utils.StridedMemoryView``: shape, dtype, ptr and ``__dlpack__``."""


class CudaDevice:
    """One GPU.

    Attributes:
        gpu: name, compute capability and memory of the GPU.

    Raises:
        BackendUnavailableError: cuda-python, the driver or the GPU is missing.
        UsageError: there is no GPU with this number.
    """

    def __init__(self, index: int = 0) -> None:
        self.gpu: Gpu = find_gpu(index)
        self._core, self._driver = _cuda_python()
        self.activate()

    def activate(self) -> None:
        """Make this GPU the current device of the calling thread.

        Every thread that uses CUDA must call this first.
        """
        with _explained(f"activating GPU {self.gpu.index}"):
            self._core.Device(self.gpu.index).set_current()

    def create_stream(self) -> CudaStream:
        """Create a stream that runs independently of all other streams."""
        with _explained("creating a stream"):
            native = self._core.Device(self.gpu.index).create_stream()
        return CudaStream(native, self._driver)

    def create_timer(self, stream: CudaStream) -> CudaTimer:
        """Create a timer for the work that is enqueued into ``stream``."""
        with _explained("creating events"):
            options = self._core.EventOptions(timing_enabled=True)
            device = self._core.Device(self.gpu.index)
            return CudaTimer(stream, device.create_event(options), device.create_event(options))

    def reserve(self, stream: CudaStream) -> DeviceMemory:
        """Return a growing block of device memory, which is empty at first."""
        with _explained(f"choosing GPU {self.gpu.index}"):
            return DeviceMemory(self._core.Device(self.gpu.index), stream)

    def reserve_pinned(self) -> PinnedMemory:
        """Return a growing block of page-locked host memory, which is empty at first."""
        with _explained("preparing page-locked memory"):
            return PinnedMemory(self._core.LegacyPinnedMemoryResource())

    def load_code(self, cubin: bytes) -> CudaModule:
        """Load machine code for this GPU.

        Raises:
            InferenceError: the driver refuses it.
        """
        status, module = self._driver.cuModuleLoadData(cubin)
        self._require(status, "loading machine code")
        return CudaModule(module, self._driver)

    def _require(self, status: Any, what: str) -> None:
        _require_success(self._driver, status, what)

    def view(self, tensor: Any, stream: CudaStream | None) -> DeviceArray:
        """Return a view of a tensor in GPU memory, without a copy.

        Work in ``stream`` waits until the tensor is written. Without a stream nothing waits, so
        only shape, dtype and address may be used, not the values.

        Raises:
            InputError: the tensor is not on this GPU, or not contiguous.
        """
        address = -1 if stream is None else stream.address
        try:
            view = self._core.utils.StridedMemoryView.from_dlpack(tensor, stream_ptr=address)
        except (BufferError, RuntimeError, TypeError, NotImplementedError) as error:
            raise InputError(
                f"run() cannot read this {type(tensor).__name__} by DLPack: {error}. Detach it and "
                "make it contiguous first."
            ) from error
        if view.device_id != self.gpu.index:
            raise InputError(
                f"The tensor is on device {view.device_id}, the engine on GPU {self.gpu.index}. "
                "Move one of them."
            )
        if not _is_contiguous(view.shape, view.strides):
            raise InputError(
                f"The tensor of shape {list(view.shape)} has strides {list(view.strides)}; it must "
                "be contiguous. Call contiguous() on it first."
            )
        return view

    def new_array(
        self, shape: tuple[int, ...], dtype: np.dtype[Any], stream: CudaStream
    ) -> DeviceArray:
        """Allocate an uninitialised GPU array that other libraries can take over by DLPack."""
        size = int(np.prod(shape)) * dtype.itemsize
        with _explained(f"allocating {size:,} bytes for a result"):
            buffer = self._core.Device(self.gpu.index).allocate(size, stream=stream.native)
            # The library that takes the array over may still compute with it when it releases
            # it. Such work usually runs in the default stream, so the memory is freed in the
            # order of that stream.
            buffer.set_deallocation_stream(self._core.LEGACY_DEFAULT_STREAM)
        return self._core.utils.StridedMemoryView.from_buffer(buffer, shape, dtype=dtype)


class CudaStream:
    """A queue of work on a GPU.

    Attributes:
        native: the ``cuda.core.Stream``.
    """

    def __init__(self, native: Any, driver: Any) -> None:
        self.native = native
        self._driver = driver

    @property
    def address(self) -> int:
        """The ``cudaStream_t`` handle as an integer."""
        return int(self.native.handle)

    def copy(self, target: int, source: int, size: int) -> None:
        """Enqueue a copy of ``size`` bytes between addresses, whichever memory they lie in."""
        with _explained(f"copying {size:,} bytes"):
            (status,) = self._driver.cuMemcpyAsync(target, source, size, self.native.handle)
        if status != self._driver.CUresult.CUDA_SUCCESS:
            raise InferenceError(
                f"CUDA failed to copy {size:,} bytes ({status.name}). Run nvidia-smi to see "
                "whether the GPU still works."
            )

    def synchronize(self) -> None:
        """Wait until everything that was enqueued is done."""
        with _explained("computing"):
            self.native.sync()

    def capture(self, enqueue: Callable[[], None]) -> CudaGraph:
        """Record what ``enqueue`` puts into this stream, without computing it.

        Raises:
            InferenceError: the work contains an operation that a CUDA graph cannot record.
        """
        with _explained("capturing a CUDA graph"):
            builder = self.native.create_graph_builder()
            builder.begin_building(mode="thread_local")
            try:
                enqueue()
            except BaseException:
                with contextlib.suppress(Exception):
                    builder.end_building()
                    builder.close()
                raise
            graph = builder.end_building().complete()
            builder.close()
            graph.upload(self.native)
            return CudaGraph(graph, self)

    def close(self) -> None:
        """Destroy the stream. Its work must have ended."""
        self.native.close()


class CudaModule:
    """Machine code in the memory of a GPU."""

    def __init__(self, native: Any, driver: Any) -> None:
        self._native = native
        self._driver = driver

    def function(self, name: str, shared_bytes: int) -> CudaFunction:
        """Return a kernel of the code.

        Args:
            name: of the function.
            shared_bytes: of dynamic shared memory that each of its programs needs.

        Raises:
            InferenceError: there is no such function, or the GPU has less shared memory.
        """
        driver = self._driver
        status, function = driver.cuModuleGetFunction(self._native, name.encode())
        _require_success(driver, status, f"finding the kernel {name}")
        attribute = driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
        (status,) = driver.cuFuncSetAttribute(function, attribute, shared_bytes)
        _require_success(driver, status, f"giving {name} {shared_bytes:,} bytes of shared memory")
        return CudaFunction(name, function, shared_bytes, driver)

    def close(self) -> None:
        """Unload the code; none of its kernels may run."""
        (status,) = self._driver.cuModuleUnload(self._native)
        _require_success(self._driver, status, "unloading machine code")


class KernelArguments:
    """The arguments of a kernel, in memory that the driver reads when it is launched.

    Args:
        values: integers of 64 bits for addresses, of 32 bits and floats, as ctypes objects.
    """

    def __init__(self, values: Sequence[ctypes.c_uint64 | ctypes.c_int32 | ctypes.c_float]) -> None:
        self._values = tuple(values)
        self._pointers = (ctypes.c_void_p * len(self._values))(
            *(ctypes.addressof(value) for value in self._values)
        )

    @property
    def address(self) -> int:
        """Address of the array of pointers to the values."""
        return ctypes.addressof(self._pointers)


class CudaFunction:
    """A kernel that can be launched."""

    def __init__(self, name: str, native: Any, shared_bytes: int, driver: Any) -> None:
        self._name, self._native, self._shared = name, native, shared_bytes
        self._driver = driver

    def launch(
        self,
        stream: CudaStream,
        grid: tuple[int, int, int],
        threads: int,
        arguments: KernelArguments,
    ) -> None:
        """Enqueue a run of the kernel.

        Args:
            stream: the queue.
            grid: programs (thread blocks) along each axis.
            threads: of a program.
            arguments: must stay in memory until this method returns.

        Raises:
            InferenceError: the driver refuses the launch.
        """
        (status,) = self._driver.cuLaunchKernel(
            self._native,
            *grid,
            threads,
            1,
            1,
            self._shared,
            stream.native.handle,
            arguments.address,
            0,
        )
        _require_success(self._driver, status, f"launching {self._name}")


class CudaTimer:
    """Measures the time of the work between two events on a GPU, idle gaps included.

    A timer can be used many times, but not while its stream is captured.
    """

    def __init__(self, stream: CudaStream, start: Any, stop: Any) -> None:
        self._stream = stream
        self._start, self._stop = start, stop

    def start(self) -> None:
        """Enqueue the first event."""
        with _explained("recording an event"):
            self._stream.native.record(self._start)

    def stop(self) -> None:
        """Enqueue the second event."""
        with _explained("recording an event"):
            self._stream.native.record(self._stop)

    @property
    def elapsed_ms(self) -> float:
        """Time between the two events in milliseconds; synchronize the stream first."""
        with _explained("reading its events"):
            return float(self._stop - self._start)

    def close(self) -> None:
        """Destroy both events."""
        self._start.close()
        self._stop.close()


class CudaGraph:
    """Recorded work that :meth:`launch` repeats with one call."""

    def __init__(self, native: Any, stream: CudaStream) -> None:
        self._native = native
        self._stream = stream

    def launch(self) -> None:
        """Enqueue all of the recorded work."""
        with _explained("launching a CUDA graph"):
            self._native.launch(self._stream.native)

    def close(self) -> None:
        """Destroy the graph. Its work must have ended."""
        self._native.close()


class DeviceMemory:
    """A block of device memory that only ever grows."""

    def __init__(self, device: Any, stream: CudaStream) -> None:
        self._device = device
        self._stream = stream
        self._buffer: Any = None

    @property
    def address(self) -> int:
        """Device address of the first byte; 0 before the first :meth:`grow`."""
        return 0 if self._buffer is None else int(self._buffer.handle)

    @property
    def size(self) -> int:
        """Size of the block in bytes."""
        return 0 if self._buffer is None else int(self._buffer.size)

    def grow(self, size: int) -> bool:
        """Make the block at least ``size`` bytes large.

        Returns:
            Whether the block was allocated anew, which changes its address and loses its content.

        Raises:
            DeviceMemoryError: the GPU does not have that much free memory.
        """
        if size <= self.size:
            return False
        self.close()  # First, so that the old and the new block never exist together.
        with _explained(f"allocating {size:,} bytes on the GPU"):
            self._buffer = self._device.allocate(size, stream=self._stream.native)
        return True

    def close(self) -> None:
        """Free the memory."""
        if self._buffer is not None:
            self._buffer.close(self._stream.native)
            self._buffer = None


class PinnedMemory:
    """A block of page-locked host memory that only ever grows."""

    def __init__(self, resource: Any) -> None:
        self._resource = resource
        self._buffer: Any = None

    @property
    def address(self) -> int:
        """Host address of the first byte; 0 before the first :meth:`array`."""
        return 0 if self._buffer is None else int(self._buffer.handle)

    def array(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Return the beginning of the block as an array; the content of earlier arrays is lost."""
        size = int(np.prod(shape)) * dtype.itemsize
        if self._buffer is None or self._buffer.size < size:
            self.close()
            with _explained(f"allocating {size:,} bytes of page-locked memory"):
                self._buffer = self._resource.allocate(size)
        block = memoryview((ctypes.c_byte * size).from_address(self.address))
        array: NDArray[Any] = np.frombuffer(block, dtype=dtype).reshape(shape)
        return array

    def close(self) -> None:
        """Free the memory."""
        if self._buffer is not None:
            self._buffer.close()
            self._buffer = None


def _require_success(driver: Any, status: Any, what: str) -> None:
    """Raise an error if a function of the driver failed; ``what`` names the action."""
    if status == driver.CUresult.CUDA_SUCCESS:
        return
    if status == driver.CUresult.CUDA_ERROR_OUT_OF_MEMORY:
        raise _no_memory(what)
    raise InferenceError(
        f"CUDA failed while {what} ({status.name}). Run nvidia-smi to see whether the GPU still "
        "works."
    )


def _no_memory(what: str) -> DeviceMemoryError:
    return DeviceMemoryError(
        f"The GPU ran out of memory while {what}. Use smaller tiles (--tile) or batches, or close "
        "other programs that use it."
    )


def _cuda_python() -> tuple[Any, Any]:
    """Import ``cuda.core`` and ``cuda.bindings.driver``; both may load libraries at once."""
    with explain_missing_cuda("running an engine"):
        try:
            import cuda.core
            import cuda.core.utils
            from cuda.bindings import driver
        except ImportError as error:
            raise BackendUnavailableError(
                f"Running an engine needs cuda-python, which cannot be imported ({error}): "
                "pip install cuda-core cuda-bindings"
            ) from error
    return cuda.core, driver


def _is_contiguous(shape: tuple[int, ...], strides: tuple[int, ...] | None) -> bool:
    """Return whether the array is C-contiguous; ``strides`` in elements, None means contiguous."""
    if strides is None:
        return True
    expected = 1
    for size, stride in zip(reversed(shape), reversed(strides), strict=True):
        if size != 1 and stride != expected:
            return False
        expected *= size
    return True


@contextlib.contextmanager
def _explained(what: str) -> Iterator[None]:
    """Turn CUDA's exceptions into this package's errors; ``what`` names the action that failed."""
    try:
        yield
    except SwinIRDeployError:
        raise
    except Exception as error:  # The CUDAError of cuda.core has no public name.
        explain_missing_library(error, what)
        text = " ".join(str(error).split())
        if means_out_of_memory(error):
            raise _no_memory(what) from error
        raise InferenceError(
            f"CUDA failed while {what}: {text[:300] or type(error).__name__}. Run nvidia-smi to "
            "see whether the GPU still works."
        ) from error
