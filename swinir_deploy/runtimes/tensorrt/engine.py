"""A TensorRT engine that is loaded, checked against its sidecar, and gives execution contexts."""

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
from swinir_deploy.nvidia.gpu import Gpu
from swinir_deploy.nvidia.tensorrt_api import IExecutionContext, IRuntimeCache, IRuntimeConfig
from swinir_deploy.nvidia.tensorrt_library import Library, Message
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
    """Refuse an engine without weights, or for something else than what is here.

    Args:
        path: of the engine.
        metadata: of the engine.
        library: that shall open it.
        gpu: that it shall run on.
        onnx: the model that it should come from; None does not ask.

    Raises:
        ArtifactError: the parts that differ, and the command that builds it again.
        InputError: ``onnx`` cannot be read.
    """
    if metadata.options.get("strip_weights"):
        whole = replace(metadata, options={**metadata.options, "strip_weights": False})
        raise ArtifactError(
            f"{path} was built with --strip-weights: without its weights it computes nothing of "
            f"use. Refit it first with those of {metadata.onnx_name} (OnnxParserRefitter of "
            "TensorRT) and describe the result with strip_weights false, or build it with its "
            f"weights: {rebuild_command(whole, path, gpu.index)}"
        )
    source = None if onnx is None else _sha256_of_model(Path(onnx))
    differing = mismatches(metadata, library, gpu, onnx_sha256=source)
    if differing:
        raise ArtifactError(
            f"{path} does not fit: {'; '.join(differing)}. Build it again: "
            f"{rebuild_command(metadata, path, gpu.index)}"
        )


class LoadedEngine:
    """A plan in the memory of a GPU, whose context must be current.

    Args:
        path: of the engine.
        metadata: of its sidecar.
        library: that opens it.
        gpu: that it runs on; None leaves out whether the engine fits it.
        onnx: as in :func:`_require_fit`.
        runtime_cache: file with the kernels that were compiled the last time (RTX), read now and
            written by :meth:`close`; None keeps none.

    Attributes:
        path: of the engine.
        metadata: of its sidecar.
        library: that opened it.
        input_name: of its input.
        output_name: of its output.
        profiles: the ranges of shapes that it takes, by their numbers.

    Raises:
        ArtifactError: the files are damaged, do not belong together, or do not fit what is here.
        DeviceMemoryError: the weights do not fit into the GPU.
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
        """Whether contexts bring their own device memory.

        Where the library captures graphs by itself, it must also know when their memory moves.
        """
        return self.library.flavour.captures_graphs

    def create_context(self) -> IExecutionContext:
        """A new execution context, for one thread at a time.

        Raises:
            DeviceMemoryError: its memory does not fit into the GPU.
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
        """Keep the runtime cache, and let the engine go; its contexts must be gone."""
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
        wanted = _DTYPES[self.metadata.model.io]
        dtypes = [_enum_name(self._engine.get_tensor_dtype(name)) for name in names]
        if len(inputs) != 1 or len(outputs) != 1 or set(dtypes) != {wanted}:
            found = ", ".join(f"{n} {d}" for n, d in zip(names, dtypes, strict=True))
            raise ArtifactError(
                f"{self.path}: its sidecar says io={self.metadata.model.io!r}, one input and one "
                f"output of {wanted}; the engine has {found}. Build it again: "
                f"{self._rebuild}"
            )
        return inputs[0], outputs[0]

    def _profiles(self) -> tuple[ShapeProfile, ...]:
        """As the engine itself has them, which must be what the sidecar says."""
        found = []
        for number in range(self._engine.num_optimization_profiles):
            shapes = self._engine.get_tensor_profile_shape(self.input_name, number)
            low, tuned, high = (_four(shape) for shape in shapes)
            found.append(ShapeProfile(low, tuned, high))
        if tuple(found) != self.metadata.profiles:
            raise ArtifactError(
                f"{self.path}: the engine takes other shapes than its sidecar says. Build it "
                f"again: {self._rebuild}"
            )
        return tuple(found)

    @contextlib.contextmanager
    def _failing(self, what: str) -> Iterator[None]:
        """Turn a refusal of the library, which says why in its log only, into an error."""
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
                f"{self.path}: the GPU ran out of memory when {self.library} was to {what}. Close "
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
                    # Of another driver, GPU or version, it is refused, and a new one begins.
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
        # A cache that cannot be written costs time at the next start, and nothing else.
        with contextlib.suppress(InputError), atomic_output(self._cache_path) as temporary:
            temporary.write_bytes(blob)


def runtime_cache_path(path: str | os.PathLike[str]) -> Path:
    """Where kernels that were compiled for an engine are kept: ``x4.engine.runtime-cache``."""
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
    """The library gave None where an object was asked for."""


def _four(shape: Sequence[int]) -> tuple[int, int, int, int]:
    first, second, third, fourth = (int(size) for size in shape)
    return first, second, third, fourth


def _enum_name(member: Any) -> str:
    return str(member.name)
