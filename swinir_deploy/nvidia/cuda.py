"""CUDA as the TensorRT back ends need it: memory, streams and graphs, by cuda-python.

``cuda.core`` checks every call that it makes; what it raises is turned into this package's errors
here. Nothing in this file can run without a GPU, so it decides as little as possible.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable, Iterator
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
    "CudaGraph",
    "CudaStream",
    "CudaTimer",
    "DeviceArray",
    "DeviceMemory",
    "PinnedMemory",
]

DeviceArray = Any
"""``cuda.core.utils.StridedMemoryView``: shape, dtype, ptr and ``__dlpack__``."""


class CudaDevice:
    """One GPU.

    Attributes:
        gpu: what it is.

    Raises:
        BackendUnavailableError: cuda-python, the driver or the GPU is missing.
        UsageError: there is no GPU with this number.
    """

    def __init__(self, index: int = 0) -> None:
        self.gpu: Gpu = find_gpu(index)
        self._core, self._driver = _cuda_python()
        self.activate()

    def activate(self) -> None:
        """Make it the calling thread's device; every thread that uses CUDA must."""
        with _explained(f"activating GPU {self.gpu.index}"):
            self._core.Device(self.gpu.index).set_current()

    def create_stream(self) -> CudaStream:
        """A queue of its own, which waits for no other."""
        with _explained("creating a stream"):
            native = self._core.Device(self.gpu.index).create_stream()
        return CudaStream(native, self._driver)

    def create_timer(self, stream: CudaStream) -> CudaTimer:
        """For what is enqueued into a stream."""
        with _explained("creating events"):
            options = self._core.EventOptions(timing_enabled=True)
            device = self._core.Device(self.gpu.index)
            return CudaTimer(stream, device.create_event(options), device.create_event(options))

    def reserve(self, stream: CudaStream) -> DeviceMemory:
        """Device memory that grows; none yet."""
        with _explained(f"choosing GPU {self.gpu.index}"):
            return DeviceMemory(self._core.Device(self.gpu.index), stream)

    def reserve_pinned(self) -> PinnedMemory:
        """Host memory that the GPU copies from and to by itself; none yet."""
        with _explained("preparing page-locked memory"):
            return PinnedMemory(self._core.LegacyPinnedMemoryResource())

    def view(self, tensor: Any, stream: CudaStream | None) -> DeviceArray:
        """A tensor in GPU memory, where it lies; ``stream`` waits until it is written.

        Without a stream nothing waits: its values must not be read.

        Raises:
            InputError: it is not on this GPU, or not contiguous.
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
        """Uninitialised memory on the GPU as an array that DLPack hands on."""
        size = int(np.prod(shape)) * dtype.itemsize
        with _explained(f"allocating {size:,} bytes for a result"):
            buffer = self._core.Device(self.gpu.index).allocate(size, stream=stream.native)
            # Whoever takes the array over may still compute on it when it lets go: the memory is
            # given back in the order of the default stream, where such work usually runs.
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
        """The ``cudaStream_t`` as a number."""
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
            InferenceError: it does something that no graph can hold.
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
        """Destroy it; its work must be done."""
        self.native.close()


class CudaTimer:
    """How long a GPU takes for what was enqueued between two events, gaps in between included.

    It may be used again and again, never while its stream is captured.
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
        """Between the two, in milliseconds; the stream must have been waited for."""
        with _explained("reading its events"):
            return float(self._stop - self._start)

    def close(self) -> None:
        """Destroy both."""
        self._start.close()
        self._stop.close()


class CudaGraph:
    """Recorded work that one call repeats."""

    def __init__(self, native: Any, stream: CudaStream) -> None:
        self._native = native
        self._stream = stream

    def launch(self) -> None:
        """Enqueue all of it."""
        with _explained("launching a CUDA graph"):
            self._native.launch(self._stream.native)

    def close(self) -> None:
        """Destroy it; its work must be done."""
        self._native.close()


class DeviceMemory:
    """A block of device memory that only ever grows."""

    def __init__(self, device: Any, stream: CudaStream) -> None:
        self._device = device
        self._stream = stream
        self._buffer: Any = None

    @property
    def address(self) -> int:
        """Of the first byte; 0 before :meth:`grow`."""
        return 0 if self._buffer is None else int(self._buffer.handle)

    @property
    def size(self) -> int:
        """In bytes."""
        return 0 if self._buffer is None else int(self._buffer.size)

    def grow(self, size: int) -> bool:
        """Make sure of ``size`` bytes; True if the block has moved (and lost what it held).

        Raises:
            DeviceMemoryError: the GPU has not that much left.
        """
        if size <= self.size:
            return False
        self.close()  # first, so that both never take memory at the same time
        with _explained(f"allocating {size:,} bytes on the GPU"):
            self._buffer = self._device.allocate(size, stream=self._stream.native)
        return True

    def close(self) -> None:
        """Give the memory back."""
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
        """Of the first byte; 0 before :meth:`array`."""
        return 0 if self._buffer is None else int(self._buffer.handle)

    def array(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """The beginning of the block as an array; what an earlier call gave is lost."""
        size = int(np.prod(shape)) * dtype.itemsize
        if self._buffer is None or self._buffer.size < size:
            self.close()
            with _explained(f"allocating {size:,} bytes of page-locked memory"):
                self._buffer = self._resource.allocate(size)
        block = memoryview((ctypes.c_byte * size).from_address(self.address))
        array: NDArray[Any] = np.frombuffer(block, dtype=dtype).reshape(shape)
        return array

    def close(self) -> None:
        """Give the memory back."""
        if self._buffer is not None:
            self._buffer.close()
            self._buffer = None


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
    """Row by row without gaps; ``strides`` in elements, None where there are none to tell."""
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
    """Say what failed and what to do, in place of CUDA's own exceptions."""
    try:
        yield
    except SwinIRDeployError:
        raise
    except Exception as error:  # cuda.core's CUDAError has no public name
        explain_missing_library(error, what)
        text = " ".join(str(error).split())
        if means_out_of_memory(error):
            raise DeviceMemoryError(
                f"The GPU ran out of memory while {what}. Use smaller tiles (--tile) or batches, "
                "or close other programs that use it."
            ) from error
        raise InferenceError(
            f"CUDA failed while {what}: {text[:300] or type(error).__name__}. Run nvidia-smi to "
            "see whether the GPU still works."
        ) from error
