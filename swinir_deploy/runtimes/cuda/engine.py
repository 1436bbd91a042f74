"""An engine for CUDA in the memory of a GPU, and the launches that run it."""

from __future__ import annotations

import ctypes
import os
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from swinir_deploy.artifacts.cuda_engine import Kernel, read_cuda_engine
from swinir_deploy.artifacts.engine import EngineMetadata, read_plan, rebuild_command
from swinir_deploy.artifacts.launch_program import Buffer, Launch, Plan, Weight
from swinir_deploy.errors import ArtifactError, InferenceError
from swinir_deploy.nvidia.cuda import (
    CudaDevice,
    CudaFunction,
    CudaModule,
    CudaStream,
    KernelArguments,
)
from swinir_deploy.runtimes.engine_lane import Shape

__all__ = ["CudaContext", "LoadedCudaEngine"]

_KEPT_PLANS = 64
_ELEMENT_BYTES = 2
_WARP = 32


@dataclass(frozen=True)
class _Loaded:
    """A kernel of the file, and its function on the GPU."""

    kernel: Kernel
    function: CudaFunction


class LoadedCudaEngine:
    """An engine in the memory of a GPU, which must be current.

    All of the file is checked before anything goes to the GPU.

    Args:
        path: of the engine.
        metadata: its sidecar.
        device: the GPU.

    Attributes:
        path: of the engine.
        architecture: whose machine code runs, such as ``sm80``.

    Raises:
        ArtifactError: the file is damaged, or has no code for this GPU.
        DeviceMemoryError: the weights do not fit into the memory of the GPU.
        InferenceError: the driver refuses the code.
    """

    captures_graphs = False
    owns_activations = False

    def __init__(
        self, path: str | os.PathLike[str], metadata: EngineMetadata, device: CudaDevice
    ) -> None:
        self.path = Path(path)
        engine = read_cuda_engine(read_plan(path, metadata), os.fspath(path))
        if engine.io != metadata.model.io:
            raise ArtifactError(
                f"{path} takes io={engine.io!r}, its sidecar says {metadata.model.io!r}. Build it "
                f"again: {rebuild_command(metadata, path)}"
            )
        gpu = device.gpu
        name = engine.architecture_for(gpu.capability)
        if name is None:
            there = ", ".join(engine.architectures)
            raise ArtifactError(
                f"{path} has machine code for {there}; here is {gpu.name} ({gpu.architecture}). "
                f"Build it again with --target cuda:{gpu.architecture}."
            )
        self.architecture = name
        architecture = engine.architectures[name]
        self._program = architecture.program
        self._io = engine.io
        self._plans: OrderedDict[tuple[int, int, int], Plan] = OrderedDict()
        self._planning = threading.Lock()
        self._modules: list[CudaModule] = []
        self._stream = device.create_stream()
        self._weights = device.reserve(self._stream)
        try:
            self._kernels = [self._load(device, kernel) for kernel in architecture.kernels]
            self._upload(device, engine.weights)
        except BaseException:
            self.close()
            raise
        self._addresses = {
            tensor.name: self._weights.address + tensor.offset for tensor in engine.tensors
        }

    def _load(self, device: CudaDevice, kernel: Kernel) -> _Loaded:
        module = device.load_code(kernel.cubin)
        self._modules.append(module)
        return _Loaded(kernel, module.function(kernel.entry, kernel.shared_bytes))

    def _upload(self, device: CudaDevice, weights: bytes) -> None:
        if not weights:
            return
        self._weights.grow(len(weights))
        pinned = device.reserve_pinned()
        try:
            pinned.array((len(weights),), np.dtype(np.uint8))[:] = np.frombuffer(weights, np.uint8)
            self._stream.copy(self._weights.address, pinned.address, len(weights))
            self._stream.synchronize()
        finally:
            pinned.close()

    def plan(self, shape: Shape) -> Plan:
        """Return what is launched for an input shape; the last 64 are kept.

        Raises:
            InputError: the shape is too large for one run.
        """
        axes = (0, 2, 3) if self._io == "tensor" else (0, 1, 2)
        batch, height, width = (shape[axis] for axis in axes)
        key = (batch, height, width)
        with self._planning:
            if key not in self._plans:
                try:
                    self._plans[key] = self._program.plan(*key)
                except ValueError as error:
                    raise ArtifactError(
                        f"{self.path} is damaged: its program for {self.architecture} cannot be "
                        f"evaluated ({error}). Copy the file again, or build the engine again."
                    ) from error
            self._plans.move_to_end(key)
            while len(self._plans) > _KEPT_PLANS:
                self._plans.popitem(last=False)
            return self._plans[key]

    def create_context(self, stream: CudaStream) -> CudaContext:
        """Create a context, for one thread at a time."""
        return CudaContext(self, stream)

    def kernel_of(self, launch: Launch) -> _Loaded:
        """Return the kernel of a launch."""
        return self._kernels[int(launch.kernel)]

    def weight_address(self, name: str) -> int:
        """Return the device address of a weight."""
        return self._addresses[name]

    def close(self) -> None:
        """Release the engine; its contexts must not run."""
        self._weights.close()
        while self._modules:
            self._modules.pop().close()
        self._stream.synchronize()
        self._stream.close()


class CudaContext:
    """The launches of one shape with all their arguments, in one stream.

    Attributes:
        activation_bytes: size of the arena that the chosen shape needs.
    """

    def __init__(self, engine: LoadedCudaEngine, stream: CudaStream) -> None:
        self._engine = engine
        self._stream = stream
        self.activation_bytes = 0
        self._shape: Shape | None = None
        self._plan: Plan | None = None
        self._arena = 0
        self._bound: tuple[int, int, int] | None = None
        self._ready: list[tuple[_Loaded, tuple[int, int, int], KernelArguments]] = []

    def choose(self, shape: Shape) -> None:
        """Plan an input shape.

        Raises:
            InputError: the shape is too large for one run.
        """
        if shape != self._shape:
            self._shape, self._plan, self._bound = None, self._engine.plan(shape), None
            # At least one unit of alignment, so that there is always an address.
            self.activation_bytes = max(256, self._plan.arena_elements * _ELEMENT_BYTES)
            self._shape = shape

    def use_memory(self, address: int, size: int) -> None:
        """Set the arena."""
        assert size >= self.activation_bytes
        self._arena = address

    def forget(self) -> None:
        """Forget the shape; the next run plans and binds again."""
        self._shape = self._bound = None

    def bind(self, input_address: int, output_address: int) -> None:
        """Prepare the arguments of all launches for these addresses."""
        places = (self._arena, input_address, output_address)
        if places == self._bound or self._plan is None:
            return
        addresses = dict(zip(("arena", "input", "output"), places, strict=True))
        self._ready = [self._prepared(launch, addresses) for launch in self._plan.launches]
        self._bound = places

    def execute(self) -> None:
        """Enqueue all launches.

        Raises:
            InferenceError: the driver refuses one.
        """
        if self._bound is None:
            raise InferenceError(f"{self._engine.path}: nothing is bound. Bind addresses first.")
        for loaded, grid, arguments in self._ready:
            threads = loaded.kernel.warps * _WARP
            loaded.function.launch(self._stream, grid, threads, arguments)

    def _prepared(
        self, launch: Launch, addresses: dict[str, int]
    ) -> tuple[_Loaded, tuple[int, int, int], KernelArguments]:
        loaded = self._engine.kernel_of(launch)
        values: list[ctypes.c_uint64 | ctypes.c_int32 | ctypes.c_float] = []
        for parameter in loaded.kernel.parameters:
            argument = launch.arguments[parameter.name]
            if isinstance(argument, Weight):
                values.append(ctypes.c_uint64(self._engine.weight_address(argument.name)))
            elif isinstance(argument, Buffer):
                place = addresses[argument.name] + argument.offset * _ELEMENT_BYTES
                values.append(ctypes.c_uint64(place))
            elif parameter.kind == "f32":
                values.append(ctypes.c_float(argument))
            else:
                values.append(ctypes.c_int32(int(argument)))
        values += [ctypes.c_uint64(0), ctypes.c_uint64(0)]  # Triton's own: scratch, profile
        x, y, z = (*launch.grid, 1, 1)[:3]
        return loaded, (x, y, z), KernelArguments(values)
