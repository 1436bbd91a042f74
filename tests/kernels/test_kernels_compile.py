"""Every kernel compiles for every architecture without a GPU, within its registers and memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from typing import Any

import pytest

from swinir_deploy.kernels.settings import ARCHITECTURES, SHARED_BYTES

pytest.importorskip("triton")

SCRIPT = """
import json, sys
from swinir_deploy.kernels.compile import compile_kernels
from swinir_deploy.network.config import SwinIRConfig
request = json.loads(sys.argv[1])
config = SwinIRConfig.from_dict(request["config"])
found = compile_kernels(config, [request["architecture"]], half=request["half"])
print(json.dumps([kernel.to_dict() for kernel in found]))
"""

COMMON: dict[str, Any] = {
    "upscale": 2,
    "in_chans": 3,
    "window_size": 8,
    "img_range": 1.0,
    "depths": [2],
    "num_heads": [6],
}
CONFIGS: dict[str, dict[str, Any]] = {
    "light": {**COMMON, "embed_dim": 60, "upsampler": "pixelshuffledirect"},
    "medium": {**COMMON, "embed_dim": 180, "upsampler": "pixelshuffle"},
    "large": {
        **COMMON,
        "embed_dim": 240,
        "num_heads": [8],
        "upsampler": "nearest+conv",
        "resi_connection": "3conv",
    },
}

SPILLS = {
    ("medium", 80): 40,
    ("medium", 86): 8,
    ("medium", 89): 8,
    ("medium", 120): 40,
    ("large", 86): 192,
    ("large", 89): 192,
    ("large", 120): 216,
}
"""Bytes that the attention half spills, where it does (docs/gpu.md says why); nothing else may."""


@cache
def compiled(name: str, architecture: int, half: str) -> list[dict[str, Any]]:
    """In a process of its own: this one may have imported Triton as an interpreter."""
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    request = {"config": CONFIGS[name], "architecture": architecture, "half": half}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(request)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    kernels: list[dict[str, Any]] = json.loads(done.stdout)
    return kernels


def check(name: str, architecture: int, half: str) -> None:
    kernels = compiled(name, architecture, half)
    assert {kernel["kernel"] for kernel in kernels} >= {"convolution", "first_convolution"}
    for kernel in kernels:
        allowed = SPILLS.get((name, architecture), 0) if kernel["part"] == "attention" else 0
        assert kernel["spill_bytes"] <= allowed, kernel
        assert kernel["shared_bytes"] <= SHARED_BYTES[architecture], kernel
        assert 0 < kernel["registers"] <= 255, kernel


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("name", list(CONFIGS))
def test_every_model_for_every_architecture(name: str, architecture: int) -> None:
    check(name, architecture, "fp16")


@pytest.mark.slow
def test_bf16_as_well() -> None:
    check("medium", 90, "bf16")
