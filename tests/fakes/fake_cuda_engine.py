"""An engine of the back end ``cuda`` whose two kernels the fake GPU can compute.

They enlarge by doubling pixels, by way of the arena, so that order, addresses and memory show in
the result.
"""

from __future__ import annotations

import ctypes
from dataclasses import replace
from pathlib import Path
from typing import Any

import fake_gpu
import numpy as np
import pytest

from swinir_deploy.artifacts.cuda_engine import (
    Architecture,
    CudaEngine,
    Kernel,
    PackedTensor,
    Parameter,
    write_cuda_engine,
)
from swinir_deploy.artifacts.engine import EngineMetadata, write_engine
from swinir_deploy.artifacts.launch_program import Expression, LaunchStep, Place, Program, Weight
from swinir_deploy.artifacts.metadata import ArtifactMetadata
from swinir_deploy.artifacts.shapes import ShapeProfile

__all__ = ["cuda_engine_file", "know_kernels"]

BATCH, HEIGHT, WIDTH = map(Expression, ("batch", "picture_height", "picture_width"))
FACTOR = 0.5
"""The first kernel multiplies by it, the second by the weight, 2."""


def halve(source: int, result: int, count: int, factor: float) -> None:
    pixels = fake_gpu.array_at(source, (count,), np.dtype(np.float32))
    fake_gpu.array_at(result, (count,), np.dtype(np.float32))[:] = pixels * np.float32(factor)


def enlarge(source: int, result: int, weight: int, planes: int, height: int, width: int) -> None:
    pixels = fake_gpu.array_at(source, (planes, height, width), np.dtype(np.float32))
    (by,) = fake_gpu.array_at(weight, (1,), np.dtype(np.float32))
    target = fake_gpu.array_at(result, (planes, 2 * height, 2 * width), np.dtype(np.float32))
    target[:] = np.kron(pixels, np.ones((1, 2, 2), np.float32)) * by


def _kernel(name: str, parameters: str, **changes: Any) -> Kernel:
    kinds = {"p": "pointer", "i": "i32", "f": "f32"}
    named = tuple(Parameter(f"x{n}", kinds[kind]) for n, kind in enumerate(parameters))  # type: ignore[arg-type]
    cubin = b"\x7fELF" + bytes(14) + (190).to_bytes(2, "little") + name.encode()
    kernel = Kernel(name, name, {}, named, 4, 1024, 32, 0, cubin)
    return replace(kernel, **changes)


def cuda_engine_file(
    folder: Path, architectures: tuple[str, ...] = ("sm80", "sm90"), **changes: Any
) -> Path:
    elements = BATCH * 3 * HEIGHT * WIDTH
    steps = (
        LaunchStep(
            "0",
            (elements,),
            {"x0": Place("input"), "x1": Place("arena", 64), "x2": elements, "x3": FACTOR},
            {},
            "edge",
        ),
        LaunchStep(
            "1",
            (HEIGHT, 3),
            {
                "x0": Place("arena", 64),
                "x1": Place("output"),
                "x2": Weight("by"),
                "x3": BATCH * 3,
                "x4": HEIGHT,
                "x5": WIDTH,
            },
            {},
            "edge",
        ),
    )
    program = Program((), steps, elements * 2 + 64, (BATCH, 3, HEIGHT * 2, WIDTH * 2))
    kernels = (_kernel("halve", "ppif"), _kernel("enlarge", "pppiii", **changes.pop("second", {})))
    engine = CudaEngine(
        io="tensor",
        half="fp16",
        tensors=(PackedTensor("other", "fp32", (3,), 0), PackedTensor("by", "fp32", (1,), 256)),
        weights=bytes(256) + np.float32(1 / FACTOR).tobytes(),
        architectures={name: Architecture(kernels, program) for name in architectures},
    )
    content = changes.pop("content", None) or write_cuda_engine(engine)
    metadata = EngineMetadata(
        model=ArtifactMetadata(io="tensor", scale=2, in_chans=3, window_size=8, model_id="small"),
        onnx_name="small",
        onnx_sha256="1" * 64,
        flavour="cuda",
        library_version="Triton 3.6.0",
        profiles=(ShapeProfile((1, 3, 8, 8), (1, 3, 16, 16), (4, 3, 64, 64)),),
        architectures=architectures,
        **changes,
    )
    path = folder / "small.engine"
    write_engine(path, content, metadata)
    return path


def know_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the fake GPU compute the two kernels."""
    floats, ints, pointers = ctypes.c_float, ctypes.c_int32, ctypes.c_uint64
    monkeypatch.setitem(fake_gpu.KERNELS, "halve", ((pointers, pointers, ints, floats), halve))
    monkeypatch.setitem(fake_gpu.KERNELS, "enlarge", ((pointers,) * 3 + (ints,) * 3, enlarge))
