"""TensorRT's runtime on the fake GPU: an engine that enlarges pictures by repetition."""

from __future__ import annotations

import enum
import json
from typing import Any

import numpy as np
from fake_gpu import KERNEL_MS, STREAMS, Clock, Device, array_at, check_alive

Shape = tuple[int, ...]


class TensorIOMode(enum.Enum):
    NONE, INPUT, OUTPUT = range(3)


class ExecutionContextAllocationStrategy(enum.Enum):
    STATIC, ON_PROFILE_CHANGE, USER_MANAGED = range(3)


class CudaGraphStrategy(enum.Enum):
    DISABLED, WHOLE_GRAPH_CAPTURE = range(2)


class DataType(enum.Enum):
    FLOAT, UINT8 = range(2)


class ILogger:
    class Severity(enum.IntEnum):
        INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)

    def __init__(self) -> None: ...


class IHostMemory(bytes):
    @property
    def nbytes(self) -> int:
        return len(self)


class IRuntimeCache:
    def __init__(self) -> None:
        self.kernels = b""

    def deserialize(self, blob: bytes) -> bool:
        fits = bytes(blob).startswith(b"kernels")
        self.kernels = bytes(blob) if fits else self.kernels
        return fits

    def serialize(self) -> IHostMemory:
        return IHostMemory(self.kernels)


class IRuntimeConfig:
    def __init__(self) -> None:
        self.cuda_graph_strategy = CudaGraphStrategy.DISABLED
        self.cache: IRuntimeCache | None = None

    def create_runtime_cache(self) -> IRuntimeCache:
        return IRuntimeCache()

    def set_runtime_cache(self, cache: IRuntimeCache) -> bool:
        self.cache = cache
        return True


class IExecutionContext:
    """Strict about the order of calls, and about what a recorded graph may rely on."""

    def __init__(self, engine: ICudaEngine, owns_memory: bool) -> None:
        self._engine, self._owns_memory = engine, owns_memory
        self._profile: int | None = 0  # TensorRT's default for the first one
        self._shape: Shape | None = None
        self._addresses: dict[str, int] = {}
        self._memory = (0, 0)
        self._state = 0  # grows with every change
        self._settled = -1  # the state in which it ran outside of a capture

    def set_optimization_profile_async(self, profile_index: int, stream_handle: int) -> bool:
        assert stream_handle in STREAMS
        if self._engine.fails == "profile":
            return False
        self._profile, self._shape = profile_index, None
        self._changed()
        return 0 <= profile_index < self._engine.num_optimization_profiles

    def set_input_shape(self, name: str, shape: Shape) -> bool:
        assert name == "input"
        assert self._profile is not None
        low, _, high = self._engine.profiles[self._profile]
        if not all(a <= b <= c for a, b, c in zip(low, shape, high, strict=True)):
            return False
        self._shape = tuple(shape)
        self._changed()
        return True

    def infer_shapes(self) -> list[str]:
        return [] if self._shape is not None else ["input"]

    def update_device_memory_size_for_shapes(self) -> int:
        assert self._shape is not None, "input shapes come first"
        return 0 if self._engine.fails == "memory" else self._needed()

    def set_device_memory(self, memory: int, size: int) -> None:
        assert not self._owns_memory
        assert memory % 256 == 0
        check_alive(memory, size)
        self._memory = (memory, size)
        self._changed()

    def set_tensor_address(self, name: str, memory: int) -> bool:
        assert name in ("input", "output")
        if self._addresses.get(name) != memory:
            self._addresses[name] = memory
            self._changed()
        return True

    def execute_async_v3(self, stream_handle: int) -> bool:
        assert Device.current.index == 0, "the thread has no GPU"
        stream, shape = STREAMS[stream_handle], self._shape
        if shape is None or len(self._addresses) != 2 or self._engine.fails == "execute":
            return False
        if stream.recording is not None:
            if self._engine.fails == "capture":
                raise RuntimeError("CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED")
            assert self._settled == self._state, "captured before what was put off was done"
        else:
            self._settled = self._state
        state = self._state

        def kernel() -> None:
            assert self._state == state, "a graph runs whose context has changed"
            if not self._owns_memory:
                assert self._memory[1] >= self._needed(), "too little activation memory"
                check_alive(*self._memory)
            self._engine.runs += 1
            Clock.now_ms += KERNEL_MS
            dtype = np.dtype(np.float32 if self._engine.io == "tensor" else np.uint8)
            first = 2 if self._engine.io == "tensor" else 1
            source = array_at(self._addresses["input"], shape, dtype)
            scale = self._engine.scale
            result = source.repeat(scale, first).repeat(scale, first + 1)
            array_at(self._addresses["output"], result.shape, dtype)[...] = result

        stream.submit(kernel)
        return True

    def _needed(self) -> int:
        assert self._shape is not None
        return int(np.prod(self._shape)) * 16

    def _changed(self) -> None:
        self._state += 1


class ICudaEngine:
    num_io_tensors = 2

    def __init__(self, plan: dict[str, Any]) -> None:
        self.profiles = [[tuple(shape) for shape in profile] for profile in plan["profiles"]]
        self.io, self.scale, self.fails = plan["io"], plan["scale"], plan.get("fails", "")
        self.num_optimization_profiles = len(self.profiles)
        self.contexts: list[Any] = []
        self.runs = 0

    def get_tensor_name(self, index: int) -> str:
        return ("input", "output")[index]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.INPUT if name == "input" else TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name: str) -> DataType:
        return DataType.FLOAT if self.io == "tensor" else DataType.UINT8

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[Shape]:
        assert name == "input"
        return self.profiles[profile_index]

    def create_runtime_config(self) -> IRuntimeConfig:
        return IRuntimeConfig()

    def create_execution_context(self, how: Any) -> IExecutionContext | None:
        if self.fails == "context":
            return None
        if isinstance(how, IRuntimeConfig):
            assert how.cuda_graph_strategy is CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
            if how.cache is not None:
                how.cache.kernels = how.cache.kernels or b"kernels"
            owns = True
        else:
            assert how is ExecutionContextAllocationStrategy.USER_MANAGED
            owns = False
        self.contexts.append(how)
        return IExecutionContext(self, owns)


class Runtime:
    opened: list[ICudaEngine] = []  # noqa: RUF012 - for the tests to look at

    def __init__(self, logger: Any) -> None:
        self.logger = logger
        assert Device.current.index == 0, "a runtime was made before a GPU was found"

    def deserialize_cuda_engine(self, serialized_engine: bytes) -> ICudaEngine | None:
        try:
            plan = json.loads(serialized_engine)
        except ValueError:
            self.logger.log(ILogger.Severity.ERROR, "the plan has a wrong magic tag")
            return None
        engine = ICudaEngine(plan)
        Runtime.opened.append(engine)
        return engine
