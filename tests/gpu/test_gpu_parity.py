"""Every GPU back end gives the pixels of the FP32 network on the CPU."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from gpu_backends import BACKENDS, precision_of

from swinir_deploy.comparison import compare, sample_picture
from swinir_deploy.runtimes import Runtime
from swinir_deploy.verification.parity import LIMITS, Limit

SHAPES = [
    (1, 3, 8, 8),
    (1, 3, 9, 13),
    (2, 3, 16, 8),
    (1, 3, 64, 64),
    (3, 3, 40, 24),
    (1, 3, 67, 101),
    (1, 3, 128, 8),
    (2, 3, 128, 128),
]

TF32_LIMIT = Limit(max_abs=2e-3)
"""GPUs multiply FP32 matrices with 10 bits of mantissa unless they are told not to."""


@pytest.mark.parametrize("name", BACKENDS)
def test_pixels_are_those_of_the_network(
    name: str, open_on_gpu: Callable[..., Runtime], reference: Runtime
) -> None:
    precision = precision_of(name)
    limit = TF32_LIMIT if precision == "fp32" else LIMITS[precision]
    with open_on_gpu(name) as runtime:
        assert runtime.spec.device.startswith("cuda")
        assert runtime.spec.precision == precision
        for shape in SHAPES:
            picture = sample_picture(*shape)
            wanted = reference.run(picture)
            for turn in range(3):  # the second and third may be a captured graph
                found = compare(runtime.run(picture), wanted)
                assert limit.holds(found), f"{name} at {shape}, run {turn}: {found}"


@pytest.mark.parametrize("name", BACKENDS)
def test_hostile_pictures_stay_finite(name: str, open_on_gpu: Callable[..., Runtime]) -> None:
    side = 64
    spot = np.zeros((1, 3, side, side), np.float32)
    spot[..., 31, 31] = 1
    board = np.indices((side, side)).sum(0) % 2
    noise = np.random.default_rng(0).random((1, 3, side, side), np.float32)
    pictures = {
        "black": np.zeros_like(spot),
        "white": np.ones_like(spot),
        "spot": spot,
        "checkerboard": np.broadcast_to(board, spot.shape).astype(np.float32),
        "noise": noise,
    }
    with open_on_gpu(name) as runtime:
        for kind, picture in pictures.items():
            assert np.isfinite(runtime.run(picture)).all(), kind
