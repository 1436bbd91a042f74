"""The back ends that the GPU suite goes through."""

from __future__ import annotations

__all__ = ["BACKENDS", "ENGINES", "FLAVOURS_OF", "MODEL", "precision_of"]

MODEL = "tiny-sr-x2"

BACKENDS = [
    *("torch-fp32", "torch-fp16", "torch-bf16", "torch-compiled"),
    *("torch-plain-fp16", "torch-plain-bf16"),
    *("ort-cuda-fp32", "ort-cuda-fp16"),
    *("ort-tensorrt-fp32", "ort-tensorrt-fp16"),
    *("ort-rtx-fp32", "ort-rtx-fp16"),
    *("trt-fp32", "trt-fp16", "trt-bf16"),
    *("rtx-fp32", "rtx-fp16", "rtx-bf16"),
    *("cuda-fp16", "cuda-bf16"),
]
"""Everything that computes on a GPU: back end or provider, and what it computes in."""

ENGINES = [name for name in BACKENDS if name.startswith(("trt-", "rtx-", "cuda-"))]

FLAVOURS_OF = {"trt": "tensorrt", "rtx": "rtx", "cuda": "cuda"}


def precision_of(name: str) -> str:
    """``trt-fp16`` -> ``fp16``."""
    last = name.rpartition("-")[2]
    return "fp32" if last == "compiled" else last
