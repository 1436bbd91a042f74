"""Build an engine and its sidecar from an ONNX model, or take them from the cache."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from swinir_deploy._version import __version__
from swinir_deploy.artifacts.engine import (
    ENGINE_SUFFIX,
    EngineMetadata,
    sidecar_path,
    write_engine,
)
from swinir_deploy.artifacts.engine_cache import EngineCache
from swinir_deploy.errors import BackendUnavailableError, UsageError
from swinir_deploy.exporters.tensorrt.compile import compile_model
from swinir_deploy.exporters.tensorrt.kernel_log import activation_bytes
from swinir_deploy.exporters.tensorrt.onnx_input import read_source
from swinir_deploy.exporters.tensorrt.options import BuildOptions
from swinir_deploy.exporters.tensorrt.shapes import ShapeRequest, shape_profiles
from swinir_deploy.exporters.tensorrt.target import Target
from swinir_deploy.nvidia.gpu import Gpu, find_gpu
from swinir_deploy.nvidia.tensorrt_library import Library, Message, load_library
from swinir_deploy.system.files import atomic_output, check_output
from swinir_deploy.system.same_file import check_not_inputs

__all__ = ["BuildReport", "build_engine", "check_build", "log_path"]


@dataclass(frozen=True)
class BuildReport:
    """The engine that a build wrote.

    Attributes:
        path: path of the engine; the sidecar is beside it.
        metadata: content of the sidecar.
        key: key of the engine in the cache.
        from_cache: whether the engine came from the cache.
        seconds: time of the whole call in seconds.
        log: file with the warnings of the library; None without any.
        notes: advice for the user.
    """

    path: Path
    metadata: EngineMetadata
    key: str
    from_cache: bool
    seconds: float
    log: Path | None
    notes: tuple[str, ...]


def build_engine(
    model: str | os.PathLike[str],
    target: str | None = None,
    output: str | os.PathLike[str] | None = None,
    *,
    shapes: ShapeRequest | None = None,
    options: BuildOptions | None = None,
    any_graph: bool = False,
    cache: EngineCache | None = None,
    device: int = 0,
    progress: bool | None = None,
    on_wait: Callable[[], None] | None = None,
    built_from: str = "",
) -> BuildReport:
    """Build an engine, or take it from the cache.

    Args:
        model: an ONNX file of this package, exported for TensorRT.
        target: ``tensorrt``, ``rtx``, or ``rtx:sm86,sm89`` for GPUs that need not be in this
            machine. None is the GPU in this machine, with the library that is installed.
        output: the engine to write; None writes ``MODEL.engine`` into the working directory.
        shapes: input shapes of the engine; None takes tiles (see :func:`shape_profiles`).
        options: options of the builder; None takes the defaults.
        any_graph: also build a graph that was exported for another target.
        cache: cache of engines; None always builds and keeps nothing.
        device: number of the GPU to build for, where one is needed.
        progress: show a progress bar; None shows one if stderr is a terminal.
        on_wait: called once if another process is building the same engine.
        built_from: what the sidecar names as the source, where ``model`` is a temporary file: a
            checkpoint or an id.

    Returns:
        The path, metadata and notes of the engine.

    Raises:
        UsageError: options or shapes are impossible, or the output is the model itself.
        InputError: the model cannot be read, or the output cannot be written.
        ArtifactError: the graph was exported for another target, or the library cannot parse it.
        BackendUnavailableError: the library, a driver or a GPU is missing.
        DeviceMemoryError: the GPU ran out of memory.
        CheckFailedError: the library cannot build the engine; the log file has its messages.

    Example:
        The example needs an NVIDIA GPU and TensorRT.

        >>> from swinir_deploy import build_engine, export_onnx
        >>> exported = export_onnx(
        ...     "tiny-sr-x4", "x4.onnx", target="tensorrt", precision="fp16"
        ... )  # doctest: +SKIP
        >>> build_engine(exported.path, "tensorrt").path.name  # doctest: +SKIP
        'x4.engine'
    """
    started = time.perf_counter()
    path = Path(output) if output is not None else Path(f"{Path(model).stem}{ENGINE_SUFFIX}")
    selected, checked, gpu, library = check_build(target, path, options=options, device=device)
    for written in (path, sidecar_path(path), log_path(path)):
        check_not_inputs(written, [model])
    source = read_source(model)
    if not any_graph:
        source.check_recipe()
    profiles = shape_profiles(shapes or ShapeRequest(), source.metadata)
    expected = EngineMetadata(
        model=source.metadata,
        onnx_name=built_from or source.path.name,
        onnx_sha256=source.sha256,
        flavour=selected.flavour.name,
        library_version=library.version,
        cuda_major=library.cuda_major or 0,
        gpu_name=gpu.name if gpu else "",
        gpu_capability=gpu.capability if gpu else "",
        architectures=selected.architectures,
        input_name=source.input_name,
        profiles=profiles,
        options=checked.to_dict(),
        tools={"swinir-deploy": __version__, selected.flavour.distribution: library.version},
    )
    key = expected.cache_key()
    note = source.precision_note()
    log: Path | None = None

    with _locked(cache, key, on_wait):
        cached = cache.load(key) if cache is not None else None
        if cached is not None:
            plan, kept = cached
            metadata = write_engine(path, plan, replace(kept, onnx_name=expected.onnx_name))
            _write_log(log_path(path), [])  # Remove the log of an earlier engine.
        else:
            messages: list[Message] = []
            timing_key = _timing_key(library, gpu) if gpu and cache else ""
            try:
                compilation = compile_model(
                    source,
                    selected,
                    library,
                    profiles,
                    checked,
                    gpu=gpu,
                    progress=progress,
                    messages=messages,
                    down_to="info",
                    timing_cache=cache.timing(timing_key) if cache and timing_key else b"",
                )
            except Exception:  # Not KeyboardInterrupt: Ctrl-C must leave no files behind.
                _write_log(log_path(path), messages)
                raise
            log = _write_log(log_path(path), messages)
            complete = replace(expected, activation_bytes=activation_bytes(messages))
            metadata = write_engine(path, compilation.plan, complete)
            if cache is not None:
                cache.put(key, compilation.plan, complete)
                if timing_key and compilation.timing_cache:
                    cache.put_timing(timing_key, compilation.timing_cache)
    return BuildReport(
        path=path,
        metadata=metadata,
        key=key,
        from_cache=cached is not None,
        seconds=time.perf_counter() - started,
        log=log,
        notes=() if note is None else (note,),
    )


class CheckedBuild(NamedTuple):
    """What a build needs of this machine, found and checked."""

    target: Target
    options: BuildOptions
    gpu: Gpu | None
    library: Library


def check_build(
    target: str | None,
    output: str | os.PathLike[str],
    *,
    options: BuildOptions | None = None,
    device: int = 0,
) -> CheckedBuild:
    """Check what can be checked without the model, before a checkpoint is exported.

    Arguments and errors are as in :func:`build_engine`.
    """
    selected = Target.of_installed() if target is None else Target.parse(target)
    checked = (options or BuildOptions()).checked_for(selected)
    if Path(output).suffix.lower() == ".onnx":
        raise UsageError(
            f"The output {output} would replace an ONNX file. Give a name that ends in .engine."
        )
    check_output(output)
    gpu = _gpu_for(selected, device) if selected.needs_gpu else None
    return CheckedBuild(selected, checked, gpu, load_library(selected.flavour.name))


def _gpu_for(target: Target, device: int) -> Gpu:
    """Return the GPU to build for; the error says how to build without one.

    Raises:
        BackendUnavailableError: there is no GPU, or no driver.
        UsageError: there is no GPU with this number.
    """
    try:
        return find_gpu(device)
    except BackendUnavailableError as error:
        raise BackendUnavailableError(
            f"{error} An engine for --target {target} is built on the GPU that runs it; ahead of "
            "time and without a GPU, TensorRT for RTX builds one for the GPUs that you name, such "
            "as --target rtx:sm89."
        ) from error


def log_path(engine: str | os.PathLike[str]) -> Path:
    """Return the path of a build's log file: ``x4.engine`` -> ``x4.engine.log``."""
    path = Path(engine)
    return path.with_name(path.name + ".log")


@contextlib.contextmanager
def _locked(
    cache: EngineCache | None, key: str, on_wait: Callable[[], None] | None
) -> Iterator[None]:
    if cache is None:
        yield
    else:
        with cache.lock(key, on_wait):
            yield


def _write_log(path: Path, messages: list[Message]) -> Path | None:
    """Write warnings and errors to a file; without any, remove the file of an earlier build."""
    problems = [m for m in messages if m.severity not in ("info", "verbose")]
    if not problems:
        path.unlink(missing_ok=True)
        return None
    with atomic_output(path) as temporary:
        lines = [f"[{message.severity}] {message.text.rstrip()}\n" for message in problems]
        temporary.write_text("".join(lines), encoding="utf-8")
    return path


def _timing_key(library: Library, gpu: Gpu) -> str:
    """Return the key of the timing cache, which depends on library and GPU, not on the model."""
    parts = [
        library.flavour.name,
        library.version,
        library.cuda_major,
        gpu.name,
        gpu.capability,
        platform.system(),
        platform.machine(),
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
