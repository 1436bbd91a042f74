"""Types for the part of TensorRT's Python bindings that this package uses.

TensorRT's bindings have no type annotations, and its GPU libraries are not installed where this
code is checked. So every class and member that the code uses is declared here, under the
library's own names. mypy then rejects all other names, and tests/test_tensorrt_api.py compares
every declared name with the real bindings of TensorRT 10.x, 11.x and TensorRT for RTX.
:data:`ONLY_IN` lists what some of them lack. Code that uses such a member asks
:class:`swinir_deploy.nvidia.tensorrt_library.Flavour` first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

__all__ = [
    "NOT_IN_OLD_VERSIONS",
    "ONLY_IN",
    "Builder",
    "IBuilderConfig",
    "ICudaEngine",
    "IExecutionContext",
    "IHostMemory",
    "INetworkDefinition",
    "IOptimizationProfile",
    "IRuntimeCache",
    "IRuntimeConfig",
    "ITensor",
    "ITimingCache",
    "OnnxParser",
    "ParserError",
    "Runtime",
    "TensorRTModule",
]

Enum = Any
"""A member of one of the library's enumerations."""

Buffer = Any
"""Bytes, or an object of the library that exports its memory."""


class IHostMemory(Protocol):
    """Serialised data; a buffer."""

    nbytes: int


class ITensor(Protocol):
    """A network's input or output."""

    name: str
    shape: Sequence[int]


class INetworkDefinition(Protocol):
    """A network that the parser fills in."""

    num_inputs: int
    num_outputs: int
    num_layers: int

    def get_input(self, index: int) -> ITensor:
        """Return the input with this number, from 0."""

    def get_output(self, index: int) -> ITensor:
        """Return the output with this number, from 0."""


class IOptimizationProfile(Protocol):
    """A range of shapes."""

    def set_shape(
        self, name: str, smallest: Sequence[int], tuned: Sequence[int], largest: Sequence[int], /
    ) -> None:
        """Set the smallest, tuned-for and largest shape of one input."""


class ITimingCache(Protocol):
    """Kernel timings that earlier builds measured."""

    def serialize(self) -> IHostMemory:
        """Return the content as bytes."""


class IBuilderConfig(Protocol):
    """Options of a build."""

    builder_optimization_level: int
    hardware_compatibility_level: Enum
    num_compute_capabilities: int
    profiling_verbosity: Enum
    progress_monitor: Any

    def set_flag(self, flag: Enum) -> None:
        """Switch a BuilderFlag on."""

    def clear_flag(self, flag: Enum) -> None:
        """Switch a BuilderFlag off."""

    def set_memory_pool_limit(self, pool: Enum, pool_size: int) -> None:
        """Limit a memory pool to ``pool_size`` bytes."""

    def add_optimization_profile(self, profile: IOptimizationProfile) -> int:
        """Add a profile and return its number, or -1 if it was refused."""

    def create_timing_cache(self, serialized_timing_cache: Buffer) -> ITimingCache | None:
        """Create a cache from bytes, which may be empty; None if they are damaged."""

    def set_timing_cache(self, cache: ITimingCache, ignore_mismatch: bool) -> bool:
        """Use a cache and return whether it fits this machine."""

    def get_timing_cache(self) -> ITimingCache | None:
        """Return the cache with what the build measured; None without one."""

    def set_compute_capability(self, compute_capability: Enum, index: int) -> bool:
        """Set the compute capability of a target GPU, which need not be in this machine."""


class Builder(Protocol):
    """Compiles networks."""

    def create_network(self, flags: int) -> INetworkDefinition:
        """Create an empty network."""

    def create_builder_config(self) -> IBuilderConfig:
        """Create default options."""

    def create_optimization_profile(self) -> IOptimizationProfile:
        """Create an empty profile."""

    def build_serialized_network(
        self, network: INetworkDefinition, config: IBuilderConfig
    ) -> IHostMemory | None:
        """Build and return the plan; None after a failure."""


class ParserError(Protocol):
    """Why a model was not understood."""

    def desc(self) -> str:
        """Return the description of the error."""

    def node(self) -> int:
        """Return the number of the node, or -1."""

    def node_name(self) -> str:
        """Return the name of the node."""

    def node_operator(self) -> str:
        """Return the operator of the node."""


class OnnxParser(Protocol):
    """Reads ONNX into a network."""

    num_errors: int

    def parse(self, model: Buffer, path: str) -> bool:
        """Parse a model and return whether that worked; ``path`` locates external weights."""

    def get_error(self, index: int) -> ParserError:
        """Return the error with this number, from 0."""


class IRuntimeCache(Protocol):
    """Kernels that were compiled while an engine ran."""

    def serialize(self) -> IHostMemory:
        """Return the content as bytes."""

    def deserialize(self, blob: Buffer) -> bool:
        """Load serialized kernels and return whether they fit."""


class IRuntimeConfig(Protocol):
    """Options of an execution context."""

    cuda_graph_strategy: Enum

    def create_runtime_cache(self) -> IRuntimeCache:
        """Create an empty cache."""

    def set_runtime_cache(self, cache: IRuntimeCache) -> bool:
        """Use a cache and return whether that worked."""

    def set_execution_context_allocation_strategy(self, strategy: Enum) -> None:
        """Set who owns the memory of the activations."""


class IExecutionContext(Protocol):
    """One thread's state of an engine."""

    def set_optimization_profile_async(self, profile_index: int, stream_handle: int) -> bool:
        """Select a profile and return whether that worked."""

    def set_input_shape(self, name: str, shape: Sequence[int]) -> bool:
        """Set the shape of an input for the next run and return whether that worked."""

    def get_tensor_shape(self, name: str) -> Sequence[int]:
        """Return the shape of a tensor for the current input shapes."""

    def infer_shapes(self) -> list[str]:
        """Return the names of the tensors whose shapes are not known yet."""

    def set_tensor_address(self, name: str, memory: int) -> bool:
        """Set the device address of an input or output and return whether that worked."""

    def update_device_memory_size_for_shapes(self) -> int:
        """Return the bytes that the activations need at the current input shape."""

    def set_device_memory(self, memory: int, size: int) -> None:
        """Set the memory for the activations where the caller owns it."""

    def execute_async_v3(self, stream_handle: int) -> bool:
        """Enqueue a run and return whether that worked."""


class ICudaEngine(Protocol):
    """A loaded plan."""

    num_io_tensors: int
    num_optimization_profiles: int
    device_memory_size_v2: int

    def get_tensor_name(self, index: int) -> str:
        """Return the name of the input or output with this number, from 0."""

    def get_tensor_mode(self, name: str) -> Enum:
        """Return the TensorIOMode of a tensor: input or output."""

    def get_tensor_dtype(self, name: str) -> Enum:
        """Return the DataType of an input or output."""

    def get_tensor_shape(self, name: str) -> Sequence[int]:
        """Return the shape of an input or output; -1 marks a dynamic size."""

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> Sequence[Sequence[int]]:
        """Return the smallest, tuned-for and largest shape of an input in a profile."""

    def create_execution_context(self, strategy: Enum) -> IExecutionContext | None:
        """Create a context; None when memory ran out. ``strategy`` may be an IRuntimeConfig."""

    def create_runtime_config(self) -> IRuntimeConfig:
        """Create the default options of a context."""


class Runtime(Protocol):
    """Loads plans."""

    def deserialize_cuda_engine(self, serialized_engine: Buffer) -> ICudaEngine | None:
        """Load a plan; None when it does not fit this machine."""


class ILogger(Protocol):
    """Base of loggers; a subclass has ``log(severity, text)``."""

    Severity: Any


class IProgressMonitor(Protocol):
    """Base of progress monitors; several threads call the methods of a subclass."""

    def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
        """Note that a phase of the build begins."""

    def step_complete(self, phase_name: str, step: int) -> bool:
        """Note that a step has ended; False stops the build."""

    def phase_finish(self, phase_name: str) -> None:
        """Note that a phase has ended."""


class BuilderFlag(Protocol):
    """Switches of a build."""

    STRIP_PLAN: Enum
    REFIT_IDENTICAL: Enum
    TF32: Enum


class NetworkDefinitionCreationFlag(Protocol):
    """Switches of a network."""

    STRONGLY_TYPED: Enum


class HardwareCompatibilityLevel(Protocol):
    """Other GPUs on which an engine may run."""

    NONE: Enum
    AMPERE_PLUS: Enum
    SAME_COMPUTE_CAPABILITY: Enum


class MemoryPoolType(Protocol):
    """Kinds of memory with a limit."""

    WORKSPACE: Enum


class ProfilingVerbosity(Protocol):
    """How much detail an engine records about its layers."""

    DETAILED: Enum


class ComputeCapability(Protocol):
    """GPUs that engines are compiled for; further members by name, such as SM89."""

    CURRENT: Enum


class ExecutionContextAllocationStrategy(Protocol):
    """Who owns the activations' memory."""

    STATIC: Enum
    ON_PROFILE_CHANGE: Enum
    USER_MANAGED: Enum


class CudaGraphStrategy(Protocol):
    """Whether a context captures CUDA graphs by itself."""

    DISABLED: Enum
    WHOLE_GRAPH_CAPTURE: Enum


class TensorIOMode(Protocol):
    """Input or output."""

    INPUT: Enum
    OUTPUT: Enum


# Aliases, because the class below has members with the names of these classes.
_Logger: TypeAlias = ILogger
_Monitor: TypeAlias = IProgressMonitor


class TensorRTModule(Protocol):
    """The module of the bindings."""

    __version__: str
    BuilderFlag: BuilderFlag
    ComputeCapability: ComputeCapability
    CudaGraphStrategy: CudaGraphStrategy
    ExecutionContextAllocationStrategy: ExecutionContextAllocationStrategy
    HardwareCompatibilityLevel: HardwareCompatibilityLevel
    ILogger: type[_Logger]
    IProgressMonitor: type[_Monitor]
    MemoryPoolType: MemoryPoolType
    NetworkDefinitionCreationFlag: NetworkDefinitionCreationFlag
    ProfilingVerbosity: ProfilingVerbosity
    TensorIOMode: TensorIOMode

    def Builder(self, logger: _Logger) -> Builder:  # noqa: N802
        """Create a builder."""

    def OnnxParser(self, network: INetworkDefinition, logger: _Logger) -> OnnxParser:  # noqa: N802
        """Create a parser that fills ``network``."""

    def Runtime(self, logger: _Logger) -> Runtime:  # noqa: N802
        """Create a runtime."""


ONLY_IN: dict[str, frozenset[str]] = {
    "ComputeCapability": frozenset({"rtx"}),
    "ComputeCapability.CURRENT": frozenset({"rtx"}),
    "CudaGraphStrategy": frozenset({"rtx"}),
    "CudaGraphStrategy.DISABLED": frozenset({"rtx"}),
    "CudaGraphStrategy.WHOLE_GRAPH_CAPTURE": frozenset({"rtx"}),
    "IBuilderConfig.num_compute_capabilities": frozenset({"rtx"}),
    "IBuilderConfig.set_compute_capability": frozenset({"rtx"}),
    "ICudaEngine.create_runtime_config": frozenset({"rtx"}),
    "IRuntimeCache": frozenset({"rtx"}),
    "IRuntimeConfig": frozenset({"rtx"}),
}
"""Class or member -> the flavours that have it, where not all do."""

NOT_IN_OLD_VERSIONS = frozenset({"HardwareCompatibilityLevel.SAME_COMPUTE_CAPABILITY"})
"""Members that the code looks for with ``hasattr`` before it uses them."""
