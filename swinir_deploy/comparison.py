"""Measure the difference between two outputs; every statement about parity uses these figures."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swinir_deploy.artifacts.metadata import IoLayout, Precision

__all__ = ["MIN_PSNR_DB", "Comparison", "compare", "psnr_limit_db", "sample_picture"]

MIN_PSNR_DB: dict[Precision, float] = {"fp16": 55.0, "bf16": 40.0}
"""For each half precision, the lowest PSNR in dB against FP32 that is accepted.

The PSNR is taken over the range of the output, before any rounding.
"""


def psnr_limit_db(precision: Precision, io: IoLayout) -> float:
    """Return the lowest accepted PSNR in dB for a precision and an input and output layout.

    For floats it is :data:`MIN_PSNR_DB`. For bytes it is lower, because both outputs are rounded:
    rounding adds a variance of 1/12 to each of them. An error with the standard deviation sigma
    (in levels of 0..255) before rounding is at most sqrt(sigma**2 + 1/6) after it.
    """
    limit = MIN_PSNR_DB[precision]
    if io == "tensor":
        return limit
    return 10 * math.log10(255**2 / (255**2 * 10 ** (-limit / 10) + 1 / 6))


@dataclass(frozen=True)
class Comparison:
    """The difference between an output and its reference, in the units of the output.

    Attributes:
        max_abs: largest absolute difference; infinite if any difference is not finite.
        mean_abs: mean absolute difference; infinite if any difference is not finite.
        psnr_db: PSNR in dB over ``peak``; infinite for equal arrays, minus infinite if any
            difference is not finite.
        peak: value range of the reference: 255 for bytes; for floats the largest finite absolute
            value, at least 1.0.
    """

    max_abs: float
    mean_abs: float
    psnr_db: float
    peak: float

    @property
    def relative_max(self) -> float:
        """Return ``max_abs / peak``: the largest difference as a share of the range."""
        return self.max_abs / self.peak


def compare(candidate: NDArray[Any], reference: NDArray[Any]) -> Comparison:
    """Compare an output with its reference.

    Args:
        candidate: the output, of any shape; floats, or uint8 in 0..255.
        reference: the expected output, of the same shape and dtype.

    Raises:
        ValueError: the shapes or dtypes differ, or the arrays are empty.
    """
    if candidate.shape != reference.shape or candidate.dtype != reference.dtype:
        raise ValueError(
            f"Cannot compare {candidate.shape} {candidate.dtype} with "
            f"{reference.shape} {reference.dtype}."
        )
    if reference.size == 0:
        raise ValueError(f"Cannot compare empty arrays (shape {reference.shape}).")
    expected = reference.astype(np.float64)
    with np.errstate(invalid="ignore"):  # Inf - Inf is NaN, and counts as an infinite difference
        difference = np.abs(candidate.astype(np.float64) - expected)
    finite = np.abs(expected[np.isfinite(expected)])
    peak = 255.0 if reference.dtype == np.uint8 else float(finite.max(initial=1.0))
    if not np.isfinite(difference).all():
        return Comparison(math.inf, math.inf, -math.inf, peak)
    mse = float(np.mean(difference**2))
    psnr_db = math.inf if mse == 0 else 10 * math.log10(peak**2 / mse)
    return Comparison(float(difference.max()), float(difference.mean()), psnr_db, peak)


def sample_picture(batch: int, channels: int, height: int, width: int) -> NDArray[np.float32]:
    """Return a batch of test pictures that is the same in every run.

    They have gradients, edges, texture and noise, as photographs do.

    Args:
        batch: number of pictures.
        channels: channels of each picture.
        height: height in pixels.
        width: width in pixels.

    Returns:
        [batch, channels, height, width] float32 in 0..1.
    """
    generator = np.random.default_rng(height * 65537 + width * 257 + batch)
    y = np.arange(height)[:, None] / 32.0
    x = np.arange(width)[None, :] / 32.0
    planes = []
    for index in range(batch * channels):
        phase = 0.7 * index
        gradient = 0.25 * np.sin(x + phase) + 0.25 * np.cos(0.8 * y - phase)
        edges = 0.2 * np.sign(np.sin(2.1 * x + 1.3 * y + phase))
        texture = 0.1 * np.sin(40 * x) * np.sin(30 * y + phase)
        noise = generator.normal(0.0, 0.05, (height, width))
        planes.append(0.5 + gradient + edges + texture + noise)
    stack = np.clip(np.stack(planes), 0.0, 1.0).astype(np.float32)
    return stack.reshape(batch, channels, height, width)
