"""A machine with one fake GPU and both libraries, and engines for it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fake_gpu
import fake_tensorrt
import pytest

from swinir_deploy.artifacts.engine import EngineMetadata, write_engine
from swinir_deploy.artifacts.metadata import ArtifactMetadata
from swinir_deploy.artifacts.shapes import ShapeProfile
from swinir_deploy.nvidia import cuda as cuda_module
from swinir_deploy.nvidia.gpu import Gpu
from swinir_deploy.nvidia.tensorrt_library import FLAVOURS, Library
from swinir_deploy.runtimes.tensorrt import runtime as tensorrt_module

__all__ = ["GPU", "WIDE", "engine_file", "machine"]

GPU = Gpu(0, "NVIDIA GeForce RTX 4090", "8.9", 24 << 30)
WIDE = ShapeProfile((1, 3, 8, 8), (1, 3, 16, 16), (4, 3, 64, 64))


@contextlib.contextmanager
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One GPU and both libraries; afterwards no memory may be left."""
    libraries = {
        "tensorrt": Library(FLAVOURS["tensorrt"], _api_of("10.13.0.35")),
        "rtx": Library(FLAVOURS["rtx"], _api_of("1.7.1.116")),
    }
    monkeypatch.setattr(cuda_module, "find_gpu", lambda index: GPU)
    monkeypatch.setattr(cuda_module, "_cuda_python", lambda: (fake_gpu.core, fake_gpu.driver))
    monkeypatch.setattr(tensorrt_module, "load_library", libraries.__getitem__)
    monkeypatch.setattr("swinir_deploy.system.packages.is_importable", lambda name: True)
    fake_gpu.Device.current.index = None
    fake_gpu.Buffer.alive.clear()
    fake_gpu.STREAMS.clear()
    fake_gpu.MODULES.clear()
    fake_gpu.LAUNCHES.clear()
    fake_gpu.REFUSED.clear()
    fake_gpu.Graph.launches = 0
    fake_gpu.Event.alive = 0
    fake_tensorrt.Runtime.opened.clear()
    yield
    assert not fake_gpu.STREAMS, "a stream was left open"
    assert not fake_gpu.Event.alive, "an event was left open"
    assert not fake_gpu.MODULES, "machine code was left loaded"


def _api_of(version: str) -> Any:
    names = [
        "CudaGraphStrategy",
        "ExecutionContextAllocationStrategy",
        "ILogger",
        "Runtime",
        "TensorIOMode",
    ]
    return SimpleNamespace(
        __version__=version, **{name: getattr(fake_tensorrt, name) for name in names}
    )


def engine_file(
    folder: Path,
    profiles: tuple[ShapeProfile, ...] = (WIDE,),
    flavour: Any = "tensorrt",
    io: Any = "tensor",
    fails: str = "",
    **changes: Any,
) -> Path:
    version = {"tensorrt": "10.13.0.35", "rtx": "1.7.1.116"}[flavour]
    model = ArtifactMetadata(io=io, scale=2, in_chans=3, window_size=8, model_id="small")
    values: dict[str, Any] = {
        "onnx_name": "small.onnx",
        "onnx_sha256": "1" * 64,
        "library_version": version,
        "gpu_name": GPU.name,
        "gpu_capability": GPU.capability,
        "profiles": profiles,
    }
    metadata = EngineMetadata(model=model, flavour=flavour, **{**values, **changes})
    plan = {
        "profiles": [[p.min, p.opt, p.max] for p in profiles],
        "io": io,
        "scale": 2,
        "fails": fails,
    }
    path = folder / "small.engine"
    write_engine(path, json.dumps(plan).encode(), metadata)
    return path
