"""The way to the driver is the one that a card would see: arguments bound, kernels compiled."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("triton")

CONFIG: dict[str, Any] = {
    "upscale": 2,
    "in_chans": 3,
    "window_size": 8,
    "img_range": 1.0,
    "depths": [2],
    "embed_dim": 60,
    "num_heads": [6],
    "upsampler": "pixelshuffledirect",
}
WIDE: dict[str, Any] = {**CONFIG, "embed_dim": 180, "upsampler": "pixelshuffle"}


def launched(**request: Any) -> list[dict[str, Any]]:
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    script = Path(__file__).with_name("launch_on_fake.py")
    done = subprocess.run(
        [sys.executable, str(script), json.dumps(request)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    rounds: list[dict[str, Any]] = json.loads(done.stdout)
    return rounds


@pytest.mark.slow
@pytest.mark.parametrize(
    ("config", "dtype", "io", "kernels"),
    [(WIDE, "bfloat16", "image", {"attention_half": 2, "mlp_half": 2})],
)
def test_a_wide_network_reaches_it_too(
    config: dict[str, Any], dtype: str, io: str, kernels: dict[str, int]
) -> None:
    reach(config, dtype, io, kernels)


@pytest.mark.slow
def test_a_network_reaches_the_driver() -> None:
    reach(CONFIG, "float16", "tensor", {"swin_block": 2})


def reach(config: dict[str, Any], dtype: str, io: str, kernels: dict[str, int]) -> None:
    shapes = [[1, 3, 16, 24], [2, 3, 9, 17], [1, 3, 8, 8]]
    if io == "image":
        shapes = [[shape[0], *shape[2:], 3] for shape in shapes]
    rounds = launched(architecture=90, config=config, dtype=dtype, io=io, shapes=shapes)
    for name, count in kernels.items():
        for one in rounds:
            assert sum(launch["kernel"] == name for launch in one["launches"]) == count
    for one, shape in zip(rounds, shapes, strict=True):
        height, width = (shape[2], shape[3]) if io == "tensor" else (shape[1], shape[2])
        assert sorted(one["result"]) == sorted([shape[0], 3, 2 * height, 2 * width])
        assert all(min(launch["grid"]) >= 1 for launch in one["launches"])
    # No size is compiled in: the first shape compiles everything that the others need.
    assert rounds[0]["compiled"] == rounds[1]["compiled"] == rounds[2]["compiled"]
