"""Build an engine for the back end ``cuda`` and its sidecar, or take them from the cache."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from swinir_deploy._version import __version__
from swinir_deploy.artifacts.cuda_engine import Io, write_cuda_engine
from swinir_deploy.artifacts.engine import ENGINE_SUFFIX, EngineMetadata, write_engine
from swinir_deploy.artifacts.engine_cache import EngineCache
from swinir_deploy.artifacts.metadata import ArtifactMetadata, Precision
from swinir_deploy.artifacts.shapes import ShapeProfile
from swinir_deploy.errors import UsageError
from swinir_deploy.exporters.tensorrt.build import BuildReport
from swinir_deploy.kernels.compile import parse_architecture
from swinir_deploy.kernels.settings import ARCHITECTURES
from swinir_deploy.system.files import check_output
from swinir_deploy.system.packages import require

if TYPE_CHECKING:
    from swinir_deploy.exporters.cuda.assemble import PackedModel
    from swinir_deploy.models.load import LoadedModel

__all__ = ["TARGET", "architectures_of", "build_cuda_engine", "is_cuda_target"]

TARGET = "cuda"

_LARGEST = (64, 16384)
"""Of the profile in the sidecar: batch and sides. The engine itself has no such limits."""


def is_cuda_target(target: str | None) -> bool:
    """Return whether a value of ``--target`` names the back end ``cuda``."""
    return target is not None and target.strip().lower().partition(":")[0] == TARGET


def architectures_of(target: str) -> tuple[int, ...]:
    """Return the architectures that ``cuda:sm80,sm90`` names; all of them for ``cuda``.

    Raises:
        UsageError: the kernels are not made for one of them.
    """
    _, colon, rest = target.strip().lower().partition(":")
    if not colon:
        return ARCHITECTURES
    return tuple(sorted({parse_architecture(part.strip()) for part in rest.split(",")}))


def build_cuda_engine(
    loaded: LoadedModel,
    target: str = TARGET,
    output: str | os.PathLike[str] | None = None,
    *,
    precision: Precision = "fp16",
    io: Io = "tensor",
    calibrate: str | os.PathLike[str] | None = None,
    cache: EngineCache | None = None,
    say: Callable[[str], None] | None = None,
    on_wait: Callable[[], None] | None = None,
) -> BuildReport:
    """Build an engine of this project's own kernels, or take it from the cache. No GPU is needed.

    Args:
        loaded: the model in FP32.
        target: ``cuda:sm80,sm90``, or ``cuda`` for every architecture that the kernels serve.
        output: the engine to write; None writes ``MODEL.engine`` into the working directory.
        precision: ``fp16`` or ``bf16``.
        io: ``tensor``: [B, C, H, W] float32, 0..1, in and out; ``image``: [B, H, W, C] uint8.
        calibrate: a folder of pictures that the scale of the FP16 stream is found with; None takes
            the built-in ones.
        cache: cache of engines; None always builds and keeps nothing.
        say: called with a text for each step.
        on_wait: called once if another process is building the same engine.

    Returns:
        The path and metadata of the engine.

    Raises:
        BackendUnavailableError: Triton is not installed.
        InferenceError: Triton cannot compile a kernel.
        InputError: the output cannot be written.
        UsageError: the kernels do not serve this network, precision or architecture.
    """
    started = time.perf_counter()
    architectures = architectures_of(target)
    if precision == "fp32":
        raise UsageError("--target cuda computes in half precision. Choose fp16 or bf16.")
    path = Path(output) if output is not None else Path(f"{loaded.model_id}{ENGINE_SUFFIX}")
    check_output(path)
    require("cuda", "Building for cuda")
    import triton

    from swinir_deploy.exporters.cuda.assemble import compile_engine, pack_model
    from swinir_deploy.precision.prepare import prepare_precision

    tell = say or (lambda text: None)
    tell(f"Measuring {loaded.model_id} for {precision}")
    prepared = prepare_precision(loaded, precision, calibrate)
    packed = pack_model(loaded, prepared.plan, io)
    expected = EngineMetadata(
        model=_model_metadata(loaded, precision, io, prepared.plan.residual_scale_log2),
        onnx_name=loaded.card.id if loaded.card is not None else loaded.path.name,
        onnx_sha256=loaded.source_sha256,
        flavour="cuda",
        library_version=f"Triton {triton.__version__}",
        architectures=tuple(f"sm{number}" for number in architectures),
        profiles=(_profile(loaded, io),),
        options={
            "precision": precision,
            "io": io,
            "content_sha256": _digest(packed),
        },
        tools={"swinir-deploy": __version__, "triton": triton.__version__},
    )
    key = expected.cache_key()
    with _locked(cache, key, on_wait):
        cached = cache.load(key) if cache is not None else None
        if cached is not None:
            content, kept = cached
            metadata = write_engine(path, content, replace(kept, onnx_name=expected.onnx_name))
        else:
            engine = compile_engine(packed, architectures, lambda name: tell(f"Compiling {name}"))
            content = write_cuda_engine(engine)
            metadata = write_engine(path, content, expected)
            if cache is not None:
                cache.put(key, content, expected)
    return BuildReport(
        path=path,
        metadata=metadata,
        key=key,
        from_cache=cached is not None,
        seconds=time.perf_counter() - started,
        log=None,
        notes=(),
    )


def _digest(model: PackedModel) -> str:
    """Return the SHA-256 of all that is computed with, whatever options it came from."""
    numbers = json.dumps([model.packed.config.to_dict(), model.packed.numbers], sort_keys=True)
    return hashlib.sha256(model.weights + numbers.encode()).hexdigest()


def _model_metadata(
    loaded: LoadedModel, precision: Precision, io: Io, residual_scale_log2: int
) -> ArtifactMetadata:
    config = loaded.config
    return ArtifactMetadata(
        io=io,
        scale=config.upscale,
        in_chans=config.in_chans,
        window_size=config.window_size,
        precision=precision,
        task=loaded.task,
        model_id=loaded.model_id,
        source_sha256=loaded.source_sha256,
        target=TARGET,
        residual_scale_log2=residual_scale_log2,
        config=config.to_dict(),
        tools={"swinir-deploy": __version__},
    )


def _profile(loaded: LoadedModel, io: Io) -> ShapeProfile:
    config = loaded.config

    def shape(batch: int, side: int) -> tuple[int, int, int, int]:
        if io == "image":
            return batch, side, side, config.in_chans
        return batch, config.in_chans, side, side

    tuned = 32 * config.window_size
    return ShapeProfile(shape(1, config.min_side), shape(1, tuned), shape(*_LARGEST))


@contextmanager
def _locked(
    cache: EngineCache | None, key: str, on_wait: Callable[[], None] | None
) -> Iterator[None]:
    if cache is None:
        yield
    else:
        with cache.lock(key, on_wait):
            yield
