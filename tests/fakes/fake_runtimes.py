"""Runtimes whose right answer is known without a network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from swinir_deploy.runtimes.base import Runtime
from swinir_deploy.runtimes.spec import RuntimeSpec

DEFAULT_SPEC = RuntimeSpec(
    backend="fake",
    device="cpu",
    io="tensor",
    scale=2,
    in_chans=3,
    window_size=8,
    min_side_px=5,
    model_id="fake-model",
)


class FakeRuntime(Runtime):
    """Applies ``function`` to [n, height, width, channels], after a nearest enlargement.

    ``function`` defaults to the identity. The shapes of all batches are kept in ``shapes``.
    """

    def __init__(
        self, function: Callable[[np.ndarray], np.ndarray] | None = None, **changes: Any
    ) -> None:
        self._wanted = replace(DEFAULT_SPEC, **changes)
        self._function = function
        self.shapes: list[tuple[int, int, int]] = []
        super().__init__()

    def _load(self) -> RuntimeSpec:
        return self._wanted

    def _infer(self, batch: np.ndarray) -> np.ndarray:
        spec = self._wanted
        self.shapes.append(spec.batch_height_width(batch.shape))
        self._before(batch)
        nhwc = batch.transpose(0, 2, 3, 1) if spec.io == "tensor" else batch
        large = nhwc.repeat(spec.scale, axis=1).repeat(spec.scale, axis=2)
        if self._function is not None:
            large = self._function(large)
        result = large.transpose(0, 3, 1, 2) if spec.io == "tensor" else large
        return np.ascontiguousarray(result.astype(spec.dtype))

    def _before(self, batch: np.ndarray) -> None:
        """For subclasses that fail."""

    def _unload(self) -> None:
        pass


class LittleMemoryRuntime(FakeRuntime):
    """Fails as a back end would when a batch has more than ``most_px`` pixels."""

    def __init__(self, most_px: int, error: Exception, **changes: Any) -> None:
        self._most_px = most_px
        self._error = error
        super().__init__(**changes)

    def _before(self, batch: np.ndarray) -> None:
        count, height, width = self.spec.batch_height_width(batch.shape)
        if count * height * width > self._most_px:
            raise self._error


def box_blur(radius: int) -> Callable[[np.ndarray], np.ndarray]:
    """A mean over (2 radius + 1)² pixels; zeros beyond the edge, as a convolution has them."""

    def blur(batch: np.ndarray) -> np.ndarray:
        padded = np.pad(
            batch.astype(np.float64), ((0, 0), (radius, radius), (radius, radius), (0, 0))
        )
        side = 2 * radius + 1
        windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side), axis=(1, 2))
        return windows.mean(axis=(-2, -1))

    return blur


def nearest(pixels: np.ndarray, scale: int) -> np.ndarray:
    """What an identity model of that scale makes of [height, width, ...]."""
    return pixels.repeat(scale, axis=0).repeat(scale, axis=1)
