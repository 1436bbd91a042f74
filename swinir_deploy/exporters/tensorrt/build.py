"""``build``: an ONNX model in, an engine with its sidecar out, from the cache where it has it."""

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

from swinir_deploy._version import __version__
from swinir_deploy.artifacts.engine import ENGINE_SUFFIX, EngineMetadata, write_engine
from swinir_deploy.artifacts.engine_cache import EngineCache
from swinir_deploy.errors import UsageError
from swinir_deploy.exporters.tensorrt.compile import compile_model
from swinir_deploy.exporters.tensorrt.kernel_log import activation_bytes
from swinir_deploy.exporters.tensorrt.onnx_input import read_source
from swinir_deploy.exporters.tensorrt.options import BuildOptions
from swinir_deploy.exporters.tensorrt.shapes import ShapeRequest, shape_profiles
from swinir_deploy.exporters.tensorrt.target import Target
from swinir_deploy.nvidia.gpu import Gpu, find_gpu
from swinir_deploy.nvidia.tensorrt_library import Library, Message, load_library
from swinir_deploy.system.files import atomic_output, check_output

__all__ = ["BuildReport", "build_engine", "log_path"]


@dataclass(frozen=True)
class BuildReport:
    """What a build gave.

    Attributes:
        path: of the plan; the sidecar lies beside it.
        metadata: as the sidecar has it.
        key: of the cache.
        from_cache: it was built before.
        seconds: for everything.
        log: what the library had to say beside errors; None if that was nothing.
        notes: for the user.
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
    target: str,
    output: str | os.PathLike[str] | None = None,
    *,
    shapes: ShapeRequest | None = None,
    options: BuildOptions | None = None,
    any_graph: bool = False,
    cache: EngineCache | None = None,
    device: int = 0,
    progress: bool | None = None,
    on_wait: Callable[[], None] | None = None,
) -> BuildReport:
    """Build an engine, or take it from the cache.

    Args:
        model: an ONNX file of this package, exported for TensorRT.
        target: ``tensorrt``, ``rtx``, or ``rtx:sm86,sm89`` for GPUs that need not be here.
        output: the engine to write; by default the model's name with ``.engine`` in the working
            directory.
        shapes: what it shall take; by default tiles (see :func:`shape_profiles`).
        options: of the builder.
        any_graph: build a graph that was exported for something else, too.
        cache: where engines are kept; None builds in any case and keeps nothing.
        device: number of the GPU to build for, where one is needed.
        progress: show a bar; None shows one where stderr is a terminal.
        on_wait: called once while another process builds the same engine.

    Raises:
        UsageError: impossible options or shapes.
        InputError: the model cannot be read, or the output cannot be written.
        BackendUnavailableError: the library, a driver or a GPU is missing.
        CheckFailedError: the library could not build it; the log file says more.
    """
    started = time.perf_counter()
    chosen = Target.parse(target)
    checked = (options or BuildOptions()).checked_for(chosen)
    path = Path(output) if output is not None else Path(f"{Path(model).stem}{ENGINE_SUFFIX}")
    if path.suffix.lower() == ".onnx":
        raise UsageError(f"The output {path} would replace an ONNX file; name it .engine.")
    check_output(path)
    source = read_source(model)
    if not any_graph:
        source.check_recipe()
    profiles = shape_profiles(shapes or ShapeRequest(), source.metadata)
    gpu = find_gpu(device) if chosen.needs_gpu else None
    library = load_library(chosen.flavour.name)
    wanted = EngineMetadata(
        model=source.metadata,
        onnx_name=source.path.name,
        onnx_sha256=source.sha256,
        flavour=chosen.flavour.name,
        library_version=library.version,
        cuda_major=library.cuda_major or 0,
        gpu_name=gpu.name if gpu else "",
        gpu_capability=gpu.capability if gpu else "",
        architectures=chosen.architectures,
        input_name=source.input_name,
        profiles=profiles,
        options=checked.to_dict(),
        tools={"swinir-deploy": __version__, chosen.flavour.distribution: library.version},
    )
    key = wanted.cache_key()
    note = source.precision_note()
    log: Path | None = None

    with _locked(cache, key, on_wait):
        found = cache.load(key) if cache is not None else None
        if found is not None:
            plan, kept = found
            metadata = write_engine(path, plan, replace(kept, onnx_name=source.path.name))
            _write_log(log_path(path), [])  # one that lies there is of another engine
        else:
            messages: list[Message] = []
            timing_key = _timing_key(library, gpu) if gpu and cache else ""
            try:
                compilation = compile_model(
                    source,
                    chosen,
                    library,
                    profiles,
                    checked,
                    gpu=gpu,
                    progress=progress,
                    messages=messages,
                    down_to="info",
                    timing_cache=cache.timing(timing_key) if cache and timing_key else b"",
                )
            except Exception:  # after Ctrl-C, nothing is left behind
                _write_log(log_path(path), messages)
                raise
            log = _write_log(log_path(path), messages)
            complete = replace(wanted, activation_bytes=activation_bytes(messages))
            metadata = write_engine(path, compilation.plan, complete)
            if cache is not None:
                cache.put(key, compilation.plan, complete)
                if timing_key and compilation.timing_cache:
                    cache.put_timing(timing_key, compilation.timing_cache)
    return BuildReport(
        path=path,
        metadata=metadata,
        key=key,
        from_cache=found is not None,
        seconds=time.perf_counter() - started,
        log=log,
        notes=() if note is None else (note,),
    )


def log_path(engine: str | os.PathLike[str]) -> Path:
    """Where a build writes what the library said: ``x4.engine`` -> ``x4.engine.log``."""
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
    """Warnings and errors; without any, no file, and none from an earlier build either."""
    worth = [m for m in messages if m.severity not in ("info", "verbose")]
    if not worth:
        path.unlink(missing_ok=True)
        return None
    with atomic_output(path) as temporary:
        lines = [f"[{message.severity}] {message.text.rstrip()}\n" for message in worth]
        temporary.write_text("".join(lines), encoding="utf-8")
    return path


def _timing_key(library: Library, gpu: Gpu) -> str:
    """Measurements hold for one library on one kind of GPU, whatever the model is."""
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
