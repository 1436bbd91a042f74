"""Compile an ONNX model to a plan in memory, for given shapes and options."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from swinir_deploy.artifacts.shapes import ShapeProfile
from swinir_deploy.errors import ArtifactError, CheckFailedError, DeviceMemoryError, UsageError
from swinir_deploy.exporters.tensorrt.onnx_input import SourceModel
from swinir_deploy.exporters.tensorrt.options import BuildOptions
from swinir_deploy.exporters.tensorrt.progress import BuildProgress, interruptible, make_monitor
from swinir_deploy.exporters.tensorrt.target import Target
from swinir_deploy.nvidia.gpu import Gpu, choose_gpu
from swinir_deploy.nvidia.tensorrt_api import (
    Buffer,
    Builder,
    IBuilderConfig,
    IHostMemory,
    INetworkDefinition,
    ITimingCache,
    OnnxParser,
)
from swinir_deploy.nvidia.tensorrt_library import Library, Message, Severity
from swinir_deploy.system.memory import says_out_of_memory

__all__ = ["Compilation", "compile_model"]


@dataclass(frozen=True)
class Compilation:
    """The result of a compilation.

    Attributes:
        plan: the serialized engine, a buffer of the library.
        seconds: time of the library in seconds.
        messages: log messages of the library.
        timing_cache: kernel timings for the next build; empty if there are none.
    """

    plan: IHostMemory
    seconds: float
    messages: tuple[Message, ...]
    timing_cache: bytes = b""


def compile_model(
    source: SourceModel,
    target: Target,
    library: Library,
    profiles: Sequence[ShapeProfile],
    options: BuildOptions,
    *,
    gpu: Gpu | None = None,
    progress: bool | None = None,
    messages: list[Message] | None = None,
    down_to: Severity = "warning",
    timing_cache: bytes = b"",
) -> Compilation:
    """Compile a model; Ctrl-C stops it at the library's next step.

    Args:
        source: the ONNX model.
        target: the GPUs to compile for.
        library: the library of the target's flavour.
        profiles: input shapes of the engine.
        options: options of the builder.
        gpu: the GPU to build on; None where none is needed.
        progress: show a progress bar; None shows one if stderr is a terminal.
        messages: list that receives the library's messages, also when the compilation fails.
        down_to: least severe messages to collect; ``verbose`` also requests the list of kernels.
        timing_cache: kernel timings of earlier builds on the same GPU.

    Raises:
        ArtifactError: the library cannot parse the graph; the message names the node.
        CheckFailedError: the library cannot build the engine; the message has its errors.
        DeviceMemoryError: the GPU ran out of memory.
        BackendUnavailableError: the GPU cannot be used.
        KeyboardInterrupt: Ctrl-C was pressed.
    """
    if gpu is not None:
        choose_gpu(gpu)
    collected = messages if messages is not None else []
    with library.collecting(down_to) as heard:
        session = _Session(library, BuildProgress(progress))
        try:
            session.parse(source, heard)
            session.configure(source, target, profiles, options, timing_cache)
            if down_to == "verbose":
                session.config.profiling_verbosity = library.api.ProfilingVerbosity.DETAILED
            started = time.perf_counter()
            plan = interruptible(lambda: session.build(gpu), session.progress.stop)
            seconds = time.perf_counter() - started
            if plan is None:
                raise _build_error(source, library, heard)
            measured = session.measured()
        finally:
            session.close()
            collected += heard
    return Compilation(plan, seconds, tuple(collected), measured)


class _Session:
    """The library's objects of one build, always released in a fixed order.

    An exception keeps the objects of its frames alive. These objects must not live until the
    process ends, because then parts of the library are gone before their destructors run.
    """

    def __init__(self, library: Library, progress: BuildProgress) -> None:
        self.library = library
        self.progress = progress
        self.builder: Builder = library.api.Builder(library.logger)
        self.network: INetworkDefinition = self.builder.create_network(library.network_flags)
        self.parser: OnnxParser = library.api.OnnxParser(self.network, library.logger)
        self.config: IBuilderConfig = self.builder.create_builder_config()
        self.monitor = make_monitor(library.api, progress)
        self.timing_cache: ITimingCache | None = None

    def close(self) -> None:
        """Release all objects; those that refer to others come first."""
        self.progress.close()
        for name in ("config", "timing_cache", "monitor", "parser", "network", "builder"):
            self.__dict__.pop(name, None)

    def parse(self, source: SourceModel, heard: list[Message]) -> None:
        """Parse the model into the network."""
        if self.parser.parse(source.content, str(source.path)):
            return
        errors = [self.parser.get_error(index) for index in range(self.parser.num_errors)]
        lines = [
            f"node {error.node_name() or error.node()!r} ({error.node_operator() or 'unknown'}): "
            f"{error.desc()}"
            for error in errors
        ]
        raise ArtifactError(
            f"{self.library} does not understand {source.path}: "
            f"{'; '.join(lines) or _errors_in(heard)}. Export the model for it: swinir-deploy "
            "export --for tensorrt"
        )

    def configure(
        self,
        source: SourceModel,
        target: Target,
        profiles: Sequence[ShapeProfile],
        options: BuildOptions,
        timing_cache: bytes,
    ) -> None:
        """Set the options, GPUs, shapes, timing cache and progress monitor."""
        api, config = self.library.api, self.config
        config.progress_monitor = self.monitor
        if options.workspace_bytes:
            config.set_memory_pool_limit(api.MemoryPoolType.WORKSPACE, options.workspace_bytes)
        if options.opt_level is not None:
            config.builder_optimization_level = options.opt_level
        if options.strip_weights:
            config.set_flag(api.BuilderFlag.STRIP_PLAN)
            # The engine gets the same weights again later. A plan for any weights (REFIT) may lose
            # a bias, as the release notes of TensorRT 11.3 say.
            config.set_flag(api.BuilderFlag.REFIT_IDENTICAL)
        if options.compat == "same-cc":
            if not hasattr(api.HardwareCompatibilityLevel, "SAME_COMPUTE_CAPABILITY"):
                raise UsageError(
                    f"{self.library} does not know --compat same-cc; newer versions do. Update "
                    "it, or leave --compat out."
                )
            level = api.HardwareCompatibilityLevel.SAME_COMPUTE_CAPABILITY
            config.hardware_compatibility_level = level
        elif options.compat == "ampere+":
            config.hardware_compatibility_level = api.HardwareCompatibilityLevel.AMPERE_PLUS
        if target.flavour.architectures:
            self._choose_gpus(target)
        for shapes in profiles:
            profile = self.builder.create_optimization_profile()
            profile.set_shape(source.input_name, shapes.min, shapes.opt, shapes.max)
            if config.add_optimization_profile(profile) < 0:
                raise ArtifactError(
                    f"{self.library} does not take the shapes {shapes.min} to {shapes.max} for "
                    f"{source.path}. Export it without --shape, or ask for the sides that it has."
                )
        if target.flavour.has_timing_cache:
            # A damaged cache or one of another GPU is refused; then an empty one is used.
            for content in dict.fromkeys((timing_cache, b"")):
                cache = config.create_timing_cache(content)
                if cache is not None and config.set_timing_cache(cache, False):
                    self.timing_cache = cache
                    break

    def build(self, gpu: Gpu | None) -> IHostMemory | None:
        """Build the plan in the calling thread, which first selects the GPU; None if that fails."""
        if gpu is not None:
            choose_gpu(gpu)
        return self.builder.build_serialized_network(self.network, self.config)

    def _choose_gpus(self, target: Target) -> None:
        known = self.library.api.ComputeCapability
        requested = [getattr(known, name.upper()) for name in target.architectures]
        self.config.num_compute_capabilities = len(requested) or 1
        for index, capability in enumerate(requested or [known.CURRENT]):
            if not self.config.set_compute_capability(capability, index):
                raise CheckFailedError(
                    f"{self.library} does not compile for {target}. Choose another --target."
                )

    def measured(self) -> bytes:
        """Return the timing cache after the build; empty if the library has none."""
        cache = self.config.get_timing_cache() if self.timing_cache is not None else None
        return b"" if cache is None else bytes(cast("Buffer", cache.serialize()))


def _build_error(source: SourceModel, library: Library, heard: list[Message]) -> Exception:
    details = _errors_in(heard)
    text = f"{library} could not build {source.path}: {details}"
    if says_out_of_memory(details):
        return DeviceMemoryError(
            f"{text}. Build for a smaller --tile or --batch, or limit --workspace."
        )
    return CheckFailedError(
        f"{text}. Nothing was written. Try other shapes, or export the model again with "
        "--for tensorrt."
    )


def _errors_in(messages: list[Message]) -> str:
    errors = [m.text.strip() for m in messages if m.severity in ("error", "internal error")]
    return "; ".join(dict.fromkeys(errors)) or "it gave no reason"
