"""A GPU that is not there: the objects of cuda-core and TensorRT that the runtime touches.

Memory is host memory, and a kernel is a function that runs at once, or goes into a graph while a
stream is being captured. The fakes are strict where the real libraries are undefined: memory that
was given back is never used, a graph is not launched once the context that it was recorded from
has changed, and an execution context is used in the documented order only.
``test_fakes.py`` holds every member of every class here to the real packages.
"""

from __future__ import annotations

import ctypes
import enum
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

CAPACITY_BYTES = 1 << 26
"""Of the fake GPU's memory."""

COPY_MS = 1.0
KERNEL_MS = 16.0


class Clock:
    """The fake GPU's own: it goes on by what copies and kernels take, and by nothing else."""

    now_ms = 0.0


class Buffer:
    """``cuda.core.Buffer``."""

    alive: dict[int, int] = {}  # noqa: RUF012 - the whole machine's memory

    def __init__(self, size: int, mr: Any) -> None:
        if mr == "gpu" and sum(self.alive.values()) + size > CAPACITY_BYTES:
            raise RuntimeError("CUDA_ERROR_OUT_OF_MEMORY: out of memory")
        self._bytes = np.zeros(size + 256, np.uint8)
        start = self._bytes.ctypes.data
        self.handle = start + -start % 256
        self.size = size
        self.alive[self.handle] = size

    def close(self, stream: Any = None) -> None:
        del self.alive[self.handle]

    def set_deallocation_stream(self, stream: Any) -> None:
        assert stream is LEGACY_DEFAULT_STREAM


LEGACY_DEFAULT_STREAM = object()


def check_alive(address: int, size: int) -> None:
    """Fail unless the range lies in memory that is allocated."""
    assert any(
        start <= address and address + size <= start + length
        for start, length in Buffer.alive.items()
    ), "memory that was given back is used"


class Stream:
    """``cuda.core.Stream``; work is done when it is enqueued."""

    def __init__(self) -> None:
        self.recording: list[Callable[[], None]] | None = None
        self.handle = id(self)
        self._events: list[Event] = []
        STREAMS[self.handle] = self

    def submit(self, work: Callable[[], None]) -> None:
        if self.recording is None:
            work()
        else:
            self.recording.append(work)

    def sync(self) -> None:
        assert self.recording is None, "a stream was waited for while it was captured"
        for event in self._events:
            event.is_done = True
        self._events.clear()

    def record(self, event: Event) -> Event:
        assert self.recording is None, "an event would go into the graph"
        event.happened_ms, event.is_done = Clock.now_ms, False
        self._events.append(event)
        return event

    def close(self) -> None:
        del STREAMS[self.handle]

    def create_graph_builder(self) -> GraphBuilder:
        return GraphBuilder(self)


STREAMS: dict[int, Stream] = {}


class EventOptions:
    """``cuda.core.EventOptions``."""

    def __init__(self, *, timing_enabled: bool = False) -> None:
        self.timing_enabled = timing_enabled


class Event:
    """``cuda.core.Event``; how many there are that were not closed is ``Event.alive``."""

    alive = 0

    def __init__(self, options: EventOptions) -> None:
        self.is_timing_enabled = options.timing_enabled
        self.is_done = False
        self.happened_ms = 0.0
        Event.alive += 1

    def __sub__(self, other: Event) -> float:
        assert self.is_timing_enabled and other.is_timing_enabled
        assert self.is_done and other.is_done, "an event is read before its stream is waited for"
        return self.happened_ms - other.happened_ms

    def close(self) -> None:
        Event.alive -= 1


class GraphBuilder:
    """``cuda.core.graph.GraphBuilder``."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._work: list[Callable[[], None]] = []

    def begin_building(self, mode: str) -> GraphBuilder:
        assert mode in ("global", "thread_local", "relaxed")
        self._stream.recording = self._work
        return self

    def end_building(self) -> GraphBuilder:
        self._stream.recording = None
        return self

    def complete(self) -> Graph:
        assert self._work, "an empty graph"
        return Graph(self._work)

    def close(self) -> None:
        assert self._stream.recording is None


class Graph:
    """``cuda.core.graph.Graph``."""

    launches = 0

    def __init__(self, work: list[Callable[[], None]]) -> None:
        self._work: list[Callable[[], None]] | None = work

    def upload(self, stream: Stream) -> None: ...

    def launch(self, stream: Stream) -> None:
        assert self._work is not None, "a graph was launched after it was destroyed"
        Graph.launches += 1
        for work in self._work:
            stream.submit(work)

    def close(self) -> None:
        self._work = None


class Device:
    """``cuda.core.Device``."""

    current = threading.local()

    def __init__(self, device_id: int) -> None:
        self._index = device_id

    def set_current(self) -> None:
        Device.current.index = self._index

    def create_stream(self) -> Stream:
        return Stream()

    def create_event(self, options: EventOptions) -> Event:
        return Event(options)

    def allocate(self, size: int, *, stream: Stream) -> Buffer:
        assert isinstance(stream, Stream)
        return Buffer(size, "gpu")


class LegacyPinnedMemoryResource:
    """``cuda.core.LegacyPinnedMemoryResource``."""

    def allocate(self, size: int) -> Buffer:
        return Buffer(size, "host")


class StridedMemoryView:
    """``cuda.core.utils.StridedMemoryView``."""

    def __init__(self, array: Any, ptr: int, device_id: int, owner: Any) -> None:
        self.shape, self.dtype = array.shape, array.dtype
        self.strides = tuple(step // array.itemsize for step in array.strides)
        self.ptr, self.device_id, self.array, self._owner = ptr, device_id, array, owner

    @classmethod
    def from_dlpack(cls, obj: Any, stream_ptr: int) -> StridedMemoryView:
        assert stream_ptr == -1 or stream_ptr in STREAMS
        return cls(obj.array, obj.array.ctypes.data, obj.device_id, obj)

    @classmethod
    def from_buffer(
        cls, buffer: Buffer, shape: tuple[int, ...], *, dtype: np.dtype[Any]
    ) -> StridedMemoryView:
        return cls(array_at(buffer.handle, shape, dtype), buffer.handle, 0, buffer)

    def __dlpack__(self, **_: Any) -> Any:
        raise AssertionError("only the view may be asked")

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, self.device_id


class FakeTensor:
    """What torch or cupy would hand over: memory on the fake GPU with DLPack's two methods."""

    def __init__(self, array: Any, device_id: int = 0, device_type: int = 2) -> None:
        self.array, self.device_id, self._type = array, device_id, device_type
        Buffer.alive[array.ctypes.data] = array.nbytes

    def __dlpack__(self, **_: Any) -> Any:
        raise AssertionError("only the view may be asked")

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._type, self.device_id


def array_at(address: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    """The array that lies at an address."""
    size = int(np.prod(shape)) * dtype.itemsize
    check_alive(address, size)
    return np.frombuffer((ctypes.c_byte * size).from_address(address), dtype).reshape(shape)


class CUresult(enum.IntEnum):
    """``cuda.bindings.driver.CUresult``."""

    CUDA_SUCCESS = 0
    CUDA_ERROR_INVALID_VALUE = 1
    CUDA_ERROR_OUT_OF_MEMORY = 2
    CUDA_ERROR_INVALID_IMAGE = 200
    CUDA_ERROR_NOT_FOUND = 500
    CUDA_ERROR_ILLEGAL_ADDRESS = 700
    CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES = 701


class CUfunction_attribute(enum.IntEnum):
    """``cuda.bindings.driver.CUfunction_attribute``."""

    CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES = 8


SHARED_BYTES = 101376
"""That a program may have on the fake GPU, an sm89."""

KERNELS: dict[str, tuple[tuple[Any, ...], Callable[..., None]]] = {}
"""Kernels that machine code may hold: by name, the ctypes of the parameters and what it does."""

MODULES: dict[int, bytes] = {}
LAUNCHES: list[tuple[str, tuple[int, ...], int, int]] = []
"""Name, grid, threads and shared memory of all launches, whether they ran or went into a graph."""

REFUSED: list[str] = []
"""Kernels whose next launch fails."""


def cuModuleLoadData(image: bytes) -> tuple[CUresult, int]:
    """``cuda.bindings.driver.cuModuleLoadData``."""
    if image[:4] != b"\x7fELF":
        return CUresult.CUDA_ERROR_INVALID_IMAGE, 0
    number = max(MODULES, default=0) + 1
    MODULES[number] = image
    return CUresult.CUDA_SUCCESS, number


def cuModuleUnload(hmod: int) -> tuple[CUresult]:
    """``cuda.bindings.driver.cuModuleUnload``."""
    del MODULES[hmod]
    return (CUresult.CUDA_SUCCESS,)


def cuModuleGetFunction(hmod: int, name: bytes) -> tuple[CUresult, tuple[int, str]]:
    """``cuda.bindings.driver.cuModuleGetFunction``."""
    if name not in MODULES[hmod]:
        return CUresult.CUDA_ERROR_NOT_FOUND, (0, "")
    return CUresult.CUDA_SUCCESS, (hmod, name.decode())


def cuFuncSetAttribute(
    hfunc: tuple[int, str], attrib: CUfunction_attribute, value: int
) -> tuple[CUresult]:
    """``cuda.bindings.driver.cuFuncSetAttribute``."""
    assert attrib is CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
    fits = value <= SHARED_BYTES
    return (CUresult.CUDA_SUCCESS if fits else CUresult.CUDA_ERROR_INVALID_VALUE,)


def cuLaunchKernel(
    f: tuple[int, str],
    gridDimX: int,
    gridDimY: int,
    gridDimZ: int,
    blockDimX: int,
    blockDimY: int,
    blockDimZ: int,
    sharedMemBytes: int,
    hStream: int,
    kernelParams: int,
    extra: int,
) -> tuple[CUresult]:
    """``cuda.bindings.driver.cuLaunchKernel``; arguments are read now, as the driver does."""
    module, name = f
    assert module in MODULES, "a kernel is launched whose code was unloaded"
    assert (blockDimY, blockDimZ, extra) == (1, 1, 0)
    if name in REFUSED:
        REFUSED.remove(name)
        return (CUresult.CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES,)
    types, kernel = KERNELS[name]
    count = len(types) + 2
    pointers = (ctypes.c_void_p * count).from_address(kernelParams)
    values = [
        kind.from_address(pointer).value
        for kind, pointer in zip((*types, ctypes.c_uint64, ctypes.c_uint64), pointers, strict=True)
    ]
    assert values[-2:] == [0, 0], "Triton's own two arguments"
    LAUNCHES.append((name, (gridDimX, gridDimY, gridDimZ), blockDimX, sharedMemBytes))

    def work() -> None:
        Clock.now_ms += KERNEL_MS
        kernel(*values[:-2])

    STREAMS[hStream].submit(work)
    return (CUresult.CUDA_SUCCESS,)


def cuMemcpyAsync(target: int, source: int, size: int, stream: int) -> tuple[CUresult]:
    """``cuda.bindings.driver.cuMemcpyAsync``."""
    check_alive(target, size)
    check_alive(source, size)

    def copy() -> None:
        Clock.now_ms += COPY_MS
        ctypes.memmove(target, source, size)

    STREAMS[stream].submit(copy)
    return (CUresult.CUDA_SUCCESS,)


core = SimpleNamespace(
    Device=Device,
    EventOptions=EventOptions,
    LegacyPinnedMemoryResource=LegacyPinnedMemoryResource,
    LEGACY_DEFAULT_STREAM=LEGACY_DEFAULT_STREAM,
    utils=SimpleNamespace(StridedMemoryView=StridedMemoryView),
)
driver = SimpleNamespace(
    CUresult=CUresult,
    CUfunction_attribute=CUfunction_attribute,
    cuFuncSetAttribute=cuFuncSetAttribute,
    cuLaunchKernel=cuLaunchKernel,
    cuMemcpyAsync=cuMemcpyAsync,
    cuModuleGetFunction=cuModuleGetFunction,
    cuModuleLoadData=cuModuleLoadData,
    cuModuleUnload=cuModuleUnload,
)
