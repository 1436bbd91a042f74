"""What this package uses of TensorRT's Python bindings, as types.

TensorRT's bindings carry no types, and none of its GPU libraries is installed where this code is
checked. So every class and member that the code touches is written down here, under the library's
own names: mypy lets nothing else through, and tests/test_tensorrt_api.py holds every name to the
real bindings of TensorRT 10.x, 11.x and TensorRT for RTX. :data:`ONLY_IN` lists what some of
them lack; code that uses it asks :class:`swinir_deploy.nvidia.tensorrt_library.Flavour` first.
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
    """What the parser fills in."""

    num_inputs: int
    num_outputs: int
    num_layers: int

    def get_input(self, index: int) -> ITensor:
        """Input by number."""

    def get_output(self, index: int) -> ITensor:
        """Output by number."""


class IOptimizationProfile(Protocol):
    """A range of shapes."""

    def set_shape(
        self, name: str, smallest: Sequence[int], tuned: Sequence[int], largest: Sequence[int], /
    ) -> None:
        """Of one input."""


class ITimingCache(Protocol):
    """What earlier builds measured."""

    def serialize(self) -> IHostMemory:
        """As bytes."""


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
        """In bytes."""

    def add_optimization_profile(self, profile: IOptimizationProfile) -> int:
        """Its number, or -1."""

    def create_timing_cache(self, serialized_timing_cache: Buffer) -> ITimingCache | None:
        """From bytes, which may be empty; None if they are damaged."""

    def set_timing_cache(self, cache: ITimingCache, ignore_mismatch: bool) -> bool:
        """Whether the cache fits this machine."""

    def get_timing_cache(self) -> ITimingCache | None:
        """What the build measured."""

    def set_compute_capability(self, compute_capability: Enum, index: int) -> bool:
        """Of a GPU that need not be here."""


class Builder(Protocol):
    """Compiles networks."""

    def create_network(self, flags: int) -> INetworkDefinition:
        """An empty network."""

    def create_builder_config(self) -> IBuilderConfig:
        """Default options."""

    def create_optimization_profile(self) -> IOptimizationProfile:
        """An empty profile."""

    def build_serialized_network(
        self, network: INetworkDefinition, config: IBuilderConfig
    ) -> IHostMemory | None:
        """The plan; None after a failure."""


class ParserError(Protocol):
    """Why a model was not understood."""

    def desc(self) -> str:
        """In words."""

    def node(self) -> int:
        """Number of the node, or -1."""

    def node_name(self) -> str:
        """Name of the node."""

    def node_operator(self) -> str:
        """Its operator."""


class OnnxParser(Protocol):
    """Reads ONNX into a network."""

    num_errors: int

    def parse(self, model: Buffer, path: str) -> bool:
        """Whether it was understood; ``path`` is where external weights lie."""

    def get_error(self, index: int) -> ParserError:
        """Error by number."""


class IRuntimeCache(Protocol):
    """Kernels that were compiled while an engine ran."""

    def serialize(self) -> IHostMemory:
        """As bytes."""

    def deserialize(self, blob: Buffer) -> bool:
        """Whether the bytes fit."""


class IRuntimeConfig(Protocol):
    """Options of an execution context."""

    cuda_graph_strategy: Enum

    def create_runtime_cache(self) -> IRuntimeCache:
        """An empty one."""

    def set_runtime_cache(self, cache: IRuntimeCache) -> bool:
        """Whether it was taken."""

    def set_execution_context_allocation_strategy(self, strategy: Enum) -> None:
        """Who owns the activations' memory."""


class IExecutionContext(Protocol):
    """One thread's state of an engine."""

    def set_optimization_profile_async(self, profile_index: int, stream_handle: int) -> bool:
        """Choose a profile."""

    def set_input_shape(self, name: str, shape: Sequence[int]) -> bool:
        """Of the next run."""

    def get_tensor_shape(self, name: str) -> Sequence[int]:
        """Given the input shapes."""

    def infer_shapes(self) -> list[str]:
        """What is not known yet."""

    def set_tensor_address(self, name: str, memory: int) -> bool:
        """Device memory of an input or output."""

    def update_device_memory_size_for_shapes(self) -> int:
        """Bytes that the activations of the current input shape take."""

    def set_device_memory(self, memory: int, size: int) -> None:
        """Where the activations go, if the caller owns their memory."""

    def execute_async_v3(self, stream_handle: int) -> bool:
        """Enqueue a run."""


class ICudaEngine(Protocol):
    """A loaded plan."""

    num_io_tensors: int
    num_optimization_profiles: int
    device_memory_size_v2: int

    def get_tensor_name(self, index: int) -> str:
        """Of an input or output."""

    def get_tensor_mode(self, name: str) -> Enum:
        """Input or output."""

    def get_tensor_dtype(self, name: str) -> Enum:
        """Its DataType."""

    def get_tensor_shape(self, name: str) -> Sequence[int]:
        """-1 where dynamic."""

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> Sequence[Sequence[int]]:
        """Smallest, tuned-for and largest shape of an input."""

    def create_execution_context(self, strategy: Enum) -> IExecutionContext | None:
        """None when memory ran out; takes an IRuntimeConfig, too."""

    def create_runtime_config(self) -> IRuntimeConfig:
        """Default options of a context."""


class Runtime(Protocol):
    """Loads plans."""

    def deserialize_cuda_engine(self, serialized_engine: Buffer) -> ICudaEngine | None:
        """None when the plan does not fit this machine."""


class ILogger(Protocol):
    """Base of loggers; a subclass has ``log(severity, text)``."""

    Severity: Any


class IProgressMonitor(Protocol):
    """Base of progress monitors; what a subclass has is called from several threads."""

    def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
        """A part of the build begins."""

    def step_complete(self, phase_name: str, step: int) -> bool:
        """False stops the build."""

    def phase_finish(self, phase_name: str) -> None:
        """The part has ended."""


class BuilderFlag(Protocol):
    """Switches of a build."""

    STRIP_PLAN: Enum
    REFIT_IDENTICAL: Enum
    TF32: Enum


class NetworkDefinitionCreationFlag(Protocol):
    """Switches of a network."""

    STRONGLY_TYPED: Enum


class HardwareCompatibilityLevel(Protocol):
    """On which other GPUs an engine may run."""

    NONE: Enum
    AMPERE_PLUS: Enum
    SAME_COMPUTE_CAPABILITY: Enum


class MemoryPoolType(Protocol):
    """Kinds of memory with a limit."""

    WORKSPACE: Enum


class ProfilingVerbosity(Protocol):
    """How much an engine says about its layers."""

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


# The class below has members of these names.
_Logger: TypeAlias = ILogger
_Monitor: TypeAlias = IProgressMonitor


class TensorRTModule(Protocol):
    """The top of the bindings."""

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
        """A new builder."""

    def OnnxParser(self, network: INetworkDefinition, logger: _Logger) -> OnnxParser:  # noqa: N802
        """A parser that fills ``network``."""

    def Runtime(self, logger: _Logger) -> Runtime:  # noqa: N802
        """A new runtime."""


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
