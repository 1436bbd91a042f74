"""Load a TensorRT engine, compare it with its sidecar, and create execution contexts."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from swinir_deploy.artifacts.engine import (
    EngineMetadata,
    mismatches,
    read_plan,
    rebuild_command,
)
from swinir_deploy.artifacts.onnx_file import parse_onnx, sha256_of_onnx
from swinir_deploy.artifacts.shapes import ShapeProfile
from swinir_deploy.errors import (
    ArtifactError,
    DeviceMemoryError,
    InferenceError,
    InputError,
    SwinIRDeployError,
)
from swinir_deploy.nvidia.cuda import CudaStream
from swinir_deploy.nvidia.gpu import Gpu
from swinir_deploy.nvidia.tensorrt_api import IExecutionContext, IRuntimeCache, IRuntimeConfig
from swinir_deploy.nvidia.tensorrt_library import Library, Message
from swinir_deploy.runtimes.tensorrt.context import TensorRtContext
from swinir_deploy.system.files import atomic_output
from swinir_deploy.system.memory import says_out_of_memory

__all__ = ["LoadedEngine", "runtime_cache_path"]

_DTYPES = {"tensor": "FLOAT", "image": "UINT8"}


def _require_fit(
    path: Path,
    metadata: EngineMetadata,
    library: Library,
    gpu: Gpu,
    onnx: str | os.PathLike[str] | None = None,
) -> None:
    """Check that an engine has weights, and fits the library, the GPU and the model.

    Args:
        path: path of the engine.
        metadata: the sidecar of the engine.
        library: the library that will open it.
        gpu: the GPU that it will run on.
        onnx: the ONNX file that it must have been built from; None skips this check.

    Raises:
        ArtifactError: the engine does not fit. The message names the parts that differ and the
            command that builds it again.
        InputError: ``onnx`` cannot be read.
    """
    if metadata.options.get("strip_weights"):
        whole = replace(metadata, options={**metadata.options, "strip_weights": False})
        raise ArtifactError(
            f"{path} was built with --strip-weights and cannot run without its weights. Refit it "
            f"first with those of {metadata.onnx_name} (OnnxParserRefitter of TensorRT) and set "
            "strip_weights to false in its sidecar, or build it with its weights: "
            f"{rebuild_command(whole, path, gpu.index)}"
        )
    source = None if onnx is None else _sha256_of_model(Path(onnx))
    differing = mismatches(metadata, library, gpu, onnx_sha256=source)
    if differing:
        raise ArtifactError(
            f"{path} does not fit: {'; '.join(differing)}. Build it again: "
            f"{rebuild_command(metadata, path, gpu.index)}"
        )


class LoadedEngine:
    """An engine in the memory of a GPU. The CUDA context of this GPU must be current.

    Args:
        path: path of the engine.
        metadata: its sidecar.
        library: the library that opens it.
        gpu: the GPU that it runs on.
        onnx: the ONNX file that it must have been built from; None skips this check.
        runtime_cache: the file that keeps compiled kernels (RTX only). It is read now and written
            by :meth:`close`. None keeps no kernels.

    Attributes:
        path: path of the engine.
        metadata: its sidecar.
        library: the library that opened it.
        input_name: name of its input.
        output_name: name of its output.
        profiles: its profiles, which are ranges of shapes, by their numbers.

    Raises:
        ArtifactError: the files are damaged, do not belong together, or do not fit the library or
            the GPU.
        DeviceMemoryError: the weights do not fit into the memory of the GPU.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        metadata: EngineMetadata,
        library: Library,
        gpu: Gpu,
        *,
        onnx: str | os.PathLike[str] | None = None,
        runtime_cache: Path | None = None,
    ) -> None:
        self.path = Path(path)
        self.library = library
        self.metadata = metadata
        plan = read_plan(path, metadata)
        self._rebuild = rebuild_command(self.metadata, self.path, gpu.index)
        _require_fit(self.path, self.metadata, library, gpu, onnx)
        with self._failing("load it"):
            self._runtime = library.api.Runtime(library.logger)
            engine = self._runtime.deserialize_cuda_engine(plan)
            if engine is None:
                raise _RefusalError
            self._engine = engine
        self.input_name, self.output_name = self._bindings()
        self.profiles = self._profiles()
        self._config: IRuntimeConfig | None = None
        self._cache: IRuntimeCache | None = None
        self._cache_path = runtime_cache if library.flavour.has_runtime_cache else None
        if library.flavour.captures_graphs or library.flavour.has_runtime_cache:
            self._configure()

    @property
    def owns_activations(self) -> bool:
        """Return whether contexts allocate their own device memory.

        That is so if the library captures graphs by itself, because it must know when the memory
        of a graph moves.
        """
        return self.library.flavour.captures_graphs

    @property
    def captures_graphs(self) -> bool:
        """Return whether the library captures CUDA graphs by itself."""
        return self.library.flavour.captures_graphs

    def create_context(self, stream: CudaStream) -> TensorRtContext:
        """Create an execution context, for one thread at a time.

        Raises:
            DeviceMemoryError: its memory does not fit into the memory of the GPU.
        """
        return TensorRtContext(self, stream)

    def create_native_context(self) -> IExecutionContext:
        """Create an execution context of the library.

        Raises:
            DeviceMemoryError: its memory does not fit into the memory of the GPU.
        """
        strategies = self.library.api.ExecutionContextAllocationStrategy
        with self._failing("create an execution context"):
            context = self._engine.create_execution_context(
                self._config if self._config is not None else strategies.USER_MANAGED
            )
            if context is None:
                raise _RefusalError
            return context

    def close(self) -> None:
        """Write the runtime cache and release the engine; its contexts must be released before."""
        try:
            self._save_cache()
        finally:
            del self._cache, self._config, self._engine, self._runtime

    # -------------------------------------------------------------------------------- checks

    def _bindings(self) -> tuple[str, str]:
        modes = self.library.api.TensorIOMode
        names = [self._engine.get_tensor_name(n) for n in range(self._engine.num_io_tensors)]
        inputs = [n for n in names if self._engine.get_tensor_mode(n) == modes.INPUT]
        outputs = [n for n in names if self._engine.get_tensor_mode(n) == modes.OUTPUT]
        expected = _DTYPES[self.metadata.model.io]
        dtypes = [_enum_name(self._engine.get_tensor_dtype(name)) for name in names]
        if len(inputs) != 1 or len(outputs) != 1 or set(dtypes) != {expected}:
            actual = ", ".join(f"{n} {d}" for n, d in zip(names, dtypes, strict=True))
            raise ArtifactError(
                f"{self.path}: its sidecar says io={self.metadata.model.io!r}, one input and one "
                f"output of {expected}; the engine has {actual}. Build it again: "
                f"{self._rebuild}"
            )
        return inputs[0], outputs[0]

    def _profiles(self) -> tuple[ShapeProfile, ...]:
        """Return the profiles of the engine, which must be those of the sidecar."""
        profiles = []
        for number in range(self._engine.num_optimization_profiles):
            shapes = self._engine.get_tensor_profile_shape(self.input_name, number)
            low, tuned, high = (_four(shape) for shape in shapes)
            profiles.append(ShapeProfile(low, tuned, high))
        if tuple(profiles) != self.metadata.profiles:
            raise ArtifactError(
                f"{self.path}: the engine takes other shapes than its sidecar says. Build it "
                f"again: {self._rebuild}"
            )
        return tuple(profiles)

    @contextlib.contextmanager
    def _failing(self, what: str) -> Iterator[None]:
        """Turn a failure of the library, whose reason is only in its log, into an error.

        Args:
            what: what the library was told to do, for the message.
        """
        with self.library.collecting() as messages:
            try:
                yield
            except SwinIRDeployError:
                raise
            except (_RefusalError, RuntimeError, TypeError, ValueError) as error:
                reason = "" if isinstance(error, _RefusalError) else str(error).strip()
                raise self._explain(what, messages, reason) from error

    def _explain(self, what: str, messages: Sequence[Message], reason: str) -> SwinIRDeployError:
        errors = [m.text for m in messages if m.severity in ("internal error", "error")]
        said = "; ".join([*errors, *([reason] if reason else [])]) or "without a reason"
        if says_out_of_memory(said):
            return DeviceMemoryError(
                f"{self.path}: the GPU ran out of memory when {self.library} had to {what}. Close "
                "other programs that use it, or build the engine for smaller shapes."
            )
        return ArtifactError(
            f"{self.path}: {self.library} could not {what} ({said[:500]}). Build it again: "
            f"{self._rebuild}"
        )

    # -------------------------------------------------------------------- contexts of RTX

    def _configure(self) -> None:
        api = self.library.api
        with self._failing("configure its contexts"):
            config = self._engine.create_runtime_config()
            if self.library.flavour.captures_graphs:
                config.cuda_graph_strategy = api.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
            if self._cache_path is not None:
                cache = config.create_runtime_cache()
                with contextlib.suppress(FileNotFoundError):
                    # The library refuses a cache of another driver, GPU or version, and begins a
                    # new one.
                    cache.deserialize(self._cache_path.read_bytes())
                if not config.set_runtime_cache(cache):
                    raise InferenceError(
                        f"{self.library} refused its own empty runtime cache. Open the engine "
                        "with runtime_cache=None."
                    )
                self._cache = cache
            self._config = config

    def _save_cache(self) -> None:
        if self._cache is None or self._cache_path is None:
            return
        blob = memoryview(self._cache.serialize()).cast("B")  # type: ignore[arg-type]
        # If the cache cannot be written, the next start only takes longer.
        with contextlib.suppress(InputError), atomic_output(self._cache_path) as temporary:
            temporary.write_bytes(blob)


def runtime_cache_path(path: str | os.PathLike[str]) -> Path:
    """Return the path of the compiled kernels of an engine, such as ``x4.engine.runtime-cache``."""
    engine = Path(path)
    return engine.with_name(engine.name + ".runtime-cache")


def _sha256_of_model(path: Path) -> str:
    try:
        content = path.read_bytes()
        return sha256_of_onnx(content, parse_onnx(content, path), path.parent)
    except OSError as error:
        raise InputError(
            f"Cannot read {error.filename or path}: {error.strerror or error}. Give the ONNX file "
            "that the engine was built from."
        ) from error


class _RefusalError(Exception):
    """The library returned None instead of an object."""


def _four(shape: Sequence[int]) -> tuple[int, int, int, int]:
    first, second, third, fourth = (int(size) for size in shape)
    return first, second, third, fourth


def _enum_name(member: Any) -> str:
    return str(member.name)
