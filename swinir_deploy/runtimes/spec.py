"""The description of an open model: the shapes and types that it takes, and its origin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from swinir_deploy.artifacts.metadata import (
    ArtifactMetadata,
    IoLayout,
    Precision,
    channels_text,
)
from swinir_deploy.artifacts.shapes import min_side_px
from swinir_deploy.errors import UsageError

__all__ = ["Ranges", "RuntimeSpec", "require_pictures"]

Ranges = tuple[tuple[int, int | None], ...]
"""The smallest and the largest batch size, height and width; None as the largest means no limit."""


@dataclass(frozen=True)
class RuntimeSpec:
    """What an open model takes and gives.

    Attributes:
        backend: name of the back end, such as ``ort``.
        device: where it computes, such as ``cpu`` or ``cuda:0``.
        io: ``tensor`` for NCHW float32 in 0..1, ``image`` for NHWC uint8; RGB, or gray with one
            channel.
        scale: output side divided by input side.
        in_chans: channels of the input, 1 to 16; pictures have 1 or 3.
        window_size: side in pixels that an attention window covers; sides of tiles are multiples
            of it.
        precision: precision of the arithmetic.
        min_side_px: smallest height and width that the model itself takes, in pixels.
        batch: the only batch size that it takes, or None for any.
        height: the only input height that it takes, or None for any.
        width: the only input width that it takes, or None for any.
        min_batch: smallest batch size.
        max_batch: largest batch size, or None for any.
        min_height: smallest input height, where it is above ``min_side_px``.
        max_height: largest input height, or None for any.
        min_width: smallest input width, where it is above ``min_side_px``.
        max_width: largest input width, or None for any. All sizes within these ranges can be
            combined.
        other_ranges: the ranges of the other profiles of an engine, each as in :attr:`ranges`.
        task: ``sr``, ``denoise``, ``jpeg`` or empty.
        model_id: catalogue id or file name.
        source_sha256: SHA-256 of the checkpoint that the model came from; empty if unknown.
        target: the recipe of the export (``any`` for a checkpoint).
        residual_scale_log2: k of the factor 2**-k of the stream in an FP16 model; 0 for none.
        config: hyper-parameters of the network, as ``SwinIRConfig.to_dict`` returns them.
        provider: the execution provider that ONNX Runtime reports; empty for other back ends.
        kernels: kernels of ``torch``: ``fused`` or ``plain``; empty for other back ends.
        kernels_reason: what fused kernels run on, or why plain ones run: a sentence.
        out_chans: channels of the output; 0 where they are those of the input.
        weights: ``key`` and ``prefix`` of the weights in their checkpoint, where it needs them.

    Example:
        >>> from swinir_deploy import open_runtime
        >>> with open_runtime("tiny-sr-x4") as runtime:
        ...     print(runtime.spec.scale, runtime.spec.describe_input())
        4 [batch, 3, height, width] float32 (RGB, 0..1)
    """

    backend: str
    device: str
    io: IoLayout
    scale: int
    in_chans: int
    window_size: int
    precision: Precision = "fp32"
    min_side_px: int = 1
    batch: int | None = None
    height: int | None = None
    width: int | None = None
    min_batch: int = 1
    max_batch: int | None = None
    min_height: int = 1
    max_height: int | None = None
    min_width: int = 1
    max_width: int | None = None
    other_ranges: tuple[Ranges, ...] = ()
    task: str = ""
    model_id: str = ""
    source_sha256: str = ""
    target: str = "any"
    residual_scale_log2: int = 0
    config: dict[str, Any] = field(default_factory=dict)
    provider: str = ""
    kernels: str = ""
    kernels_reason: str = ""
    out_chans: int = 0
    weights: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of_artifact(
        cls,
        metadata: ArtifactMetadata,
        backend: str,
        device: str,
        shape: Sequence[object],
        precision: Precision | None = None,
    ) -> RuntimeSpec:
        """Describe an exported file.

        Args:
            metadata: the metadata of the file.
            backend: name of the back end that opened it.
            device: where it computes.
            shape: shape of its input in its own layout; a size that is not a whole number is free.
            precision: precision of the arithmetic, if it is not that of the file.
        """
        spec = cls(
            backend=backend,
            device=device,
            io=metadata.io,
            scale=metadata.scale,
            in_chans=metadata.in_chans,
            window_size=metadata.window_size,
            precision=precision or metadata.precision,
            min_side_px=min_side_px(metadata.window_size),
            task=metadata.task,
            model_id=metadata.model_id,
            source_sha256=metadata.source_sha256,
            target=metadata.target,
            residual_scale_log2=metadata.residual_scale_log2,
            config=metadata.config,
            out_chans=metadata.out_chans,
            weights=metadata.weights,
        )
        fixed = tuple(side if isinstance(side, int) else None for side in shape)
        axes = (0, 2, 3) if metadata.io == "tensor" else (0, 1, 2)
        batch, height, width = (fixed[axis] for axis in axes)
        return replace(spec, batch=batch, height=height, width=width)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Return the dtype of input and output: float32 or uint8."""
        return np.dtype(np.float32 if self.io == "tensor" else np.uint8)

    def batch_within(self, batch: int) -> int:
        """Return the nearest batch size that the model takes, by its first range."""
        smallest, largest = self.ranges[0]
        return max(smallest, min(batch, largest or batch))

    @property
    def channels_out(self) -> int:
        """Return the number of channels of the output."""
        return self.out_chans or self.in_chans

    @property
    def takes_pictures(self) -> bool:
        """Return whether a gray or an RGB picture goes in and the same kind comes out."""
        return self.in_chans in (1, 3) and self.channels_out == self.in_chans

    @property
    def ranges(self) -> Ranges:
        """Return the smallest and the largest batch size, height and width; None is no limit."""
        low_height, low_width = (
            max(self.min_side_px, low) for low in (self.min_height, self.min_width)
        )
        return (
            (self.batch or self.min_batch, self.batch or self.max_batch),
            (self.height or low_height, self.height or self.max_height),
            (self.width or low_width, self.width or self.max_width),
        )

    def takes(self, batch: int, height: int, width: int) -> bool:
        """Return whether this size is within :attr:`ranges` or within :attr:`other_ranges`."""
        sizes = (batch, height, width)
        return any(
            all(
                low <= size and (high is None or size <= high)
                for size, (low, high) in zip(sizes, ranges, strict=True)
            )
            for ranges in (self.ranges, *self.other_ranges)
        )

    def input_shape(self, batch: int, height: int, width: int) -> tuple[int, int, int, int]:
        """Return the shape of an input batch in the layout of the model."""
        if self.io == "tensor":
            return batch, self.in_chans, height, width
        return batch, height, width, self.in_chans

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, int, int, int]:
        """Return the shape of the output for an input of ``input_shape``."""
        batch, height, width = self.batch_height_width(input_shape)
        sides = (height * self.scale, width * self.scale)
        if self.io == "tensor":
            return batch, self.channels_out, *sides
        return batch, *sides, self.channels_out

    def batch_height_width(self, shape: tuple[int, ...]) -> tuple[int, int, int]:
        """Return batch, height and width of a four-dimensional shape in the model's layout."""
        if self.io == "tensor":
            return shape[0], shape[2], shape[3]
        return shape[0], shape[1], shape[2]

    def describe_input(self) -> str:
        """Return a description such as ``[batch, 3, height, width] float32 (RGB, 0..1)``."""
        batch, height, width = (
            name if high is None else f"{low}..{high}" if low < high else f"{high}"
            for name, (low, high) in zip(("batch", "height", "width"), self.ranges, strict=True)
        )
        dims = (
            [batch, self.in_chans, height, width]
            if self.io == "tensor"
            else [batch, height, width, self.in_chans]
        )
        colour = channels_text(self.in_chans, self.channels_out)
        values = "0..1" if self.io == "tensor" else "0..255"
        return f"[{', '.join(map(str, dims))}] {self.dtype} ({colour}, {values})"


def require_pictures(spec: RuntimeSpec) -> None:
    """Check that a model takes gray or RGB pictures and gives the same kind.

    Raises:
        UsageError: it has other channels, such as a model for satellites or raw sensors.
    """
    if not spec.takes_pictures:
        raise UsageError(
            f"{spec.model_id or 'The model'} takes {spec.in_chans} channels and gives "
            f"{spec.channels_out}; pictures have 1 (gray) or 3 (RGB). Run it on arrays: "
            "swinir_deploy.open_runtime(...).run(batch)"
        )
