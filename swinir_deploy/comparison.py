"""How far one output is from another: the figures behind every parity statement."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swinir_deploy.artifacts.metadata import IoLayout, Precision

__all__ = ["MIN_PSNR_DB", "Comparison", "compare", "psnr_limit_db", "sample_picture"]

MIN_PSNR_DB: dict[Precision, float] = {"fp16": 55.0, "bf16": 40.0}
"""Half precision -> lowest PSNR against FP32, over the output's range, before any rounding."""


def psnr_limit_db(precision: Precision, io: IoLayout) -> float:
    """:data:`MIN_PSNR_DB`, for bytes lowered by what rounding both outputs adds.

    An error of standard deviation sigma (in levels) before rounding is at most
    sqrt(sigma**2 + 1/6) after it: twice the 1/12 of a rounding.
    """
    limit = MIN_PSNR_DB[precision]
    if io == "tensor":
        return limit
    return 10 * math.log10(255**2 / (255**2 * 10 ** (-limit / 10) + 1 / 6))


@dataclass(frozen=True)
class Comparison:
    """Differences between an output and its reference, in the output's own units.

    Attributes:
        max_abs: largest absolute difference; infinite where a value is not finite.
        mean_abs: mean absolute difference.
        psnr_db: over ``peak``; infinite for equal arrays.
        peak: the value range: the largest finite absolute reference value, at least 1.0 (255 for
            bytes).
    """

    max_abs: float
    mean_abs: float
    psnr_db: float
    peak: float

    @property
    def relative_max(self) -> float:
        """``max_abs / peak``."""
        return self.max_abs / self.peak


def compare(candidate: NDArray[Any], reference: NDArray[Any]) -> Comparison:
    """Compare two arrays of one shape and dtype (float, or uint8 on its 0..255 scale).

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
    wanted = reference.astype(np.float64)
    with np.errstate(invalid="ignore"):  # Inf - Inf, which counts as infinitely far
        difference = np.abs(candidate.astype(np.float64) - wanted)
    finite = np.abs(wanted[np.isfinite(wanted)])
    peak = 255.0 if reference.dtype == np.uint8 else float(finite.max(initial=1.0))
    if not np.isfinite(difference).all():
        return Comparison(math.inf, math.inf, -math.inf, peak)
    mse = float(np.mean(difference**2))
    psnr_db = math.inf if mse == 0 else 10 * math.log10(peak**2 / mse)
    return Comparison(float(difference.max()), float(difference.mean()), psnr_db, peak)


def sample_picture(batch: int, channels: int, height: int, width: int) -> NDArray[np.float32]:
    """A deterministic picture with what pictures have: gradients, edges, texture and noise.

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
