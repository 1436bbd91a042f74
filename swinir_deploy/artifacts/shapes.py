"""Shapes in words and in records: the pattern of an export, the profile of an engine."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol

from swinir_deploy.errors import UsageError

__all__ = ["DEFAULT_SHAPE", "ShapePattern", "ShapeProfile"]

DEFAULT_SHAPE = "NxCxHxW"


class NetworkLimits(Protocol):
    """What a configuration says about the shapes that its network takes."""

    @property
    def in_chans(self) -> int:
        """Channels of the input."""

    @property
    def window_size(self) -> int:
        """Side of an attention window in pixels."""

    @property
    def img_size(self) -> int:
        """Side of the pictures that positions are learned for, in pixels."""

    @property
    def ape(self) -> bool:
        """Whether positions are learned, so that sides are fixed."""

    @property
    def min_side(self) -> int:
        """The smallest side that reflection padding can bring to a window, in pixels."""


@dataclass(frozen=True)
class ShapePattern:
    """Batch, height and width of an exported graph; None where dynamic."""

    batch: int | None = None
    height: int | None = None
    width: int | None = None

    @classmethod
    def parse(cls, text: str, network: NetworkLimits) -> ShapePattern:
        """Read a pattern such as ``1x3xHxW``: batch, channels, height, width, in any layout.

        Args:
            text: four parts joined by ``x``; letters are dynamic, digits static.
            network: its configuration, whose channels and smallest side the pattern must respect.

        Raises:
            UsageError: not such a pattern, wrong channels, or a side that is too small.
        """
        parts = re.split("[x\u00d7,]", text.strip(), flags=re.IGNORECASE)
        if len(parts) != 4 or not all(re.fullmatch(r"[A-WYZa-wyz_]+|[0-9]{1,6}", p) for p in parts):
            raise UsageError(
                f"The shape {text!r} is not understood. Give batch, channels, height and width, "
                "digits (six at most) for fixed and letters for dynamic ones, such as 1x3xHxW."
            )
        batch, channels, height, width = (int(p) if p.isdigit() else None for p in parts)
        if channels not in (None, network.in_chans):
            raise UsageError(
                f"The shape {text!r} has {channels} channels; this model has {network.in_chans}: "
                f"write {parts[0]}x{network.in_chans}x{parts[2]}x{parts[3]}."
            )
        if batch == 0:
            raise UsageError(f"The shape {text!r} has a batch of 0; it must be at least 1.")
        for side in (height, width):
            if side is not None and side < network.min_side:
                raise UsageError(
                    f"The shape {text!r} has a side of {side} pixels; reflection padding to "
                    f"windows of {network.window_size} needs at least {network.min_side}."
                )
        if network.ape:
            window, side = network.window_size, network.img_size
            if any(s is None or -(-s // window) * window != side for s in (height, width)):
                raise UsageError(
                    f"This network has an absolute position embedding for {side}x{side} pixels, "
                    f"so its sides must be fixed: export it with --shape "
                    f"{parts[0]}x{network.in_chans}x{side}x{side}."
                )
        return cls(batch, height, width)

    def describe(self, channels: int) -> str:
        """The pattern in its canonical spelling, such as ``Nx3xHxW``."""
        return f"{self.batch or 'N'}x{channels}x{self.height or 'H'}x{self.width or 'W'}"


@dataclass(frozen=True)
class ShapeProfile:
    """A range of input shapes, each in the model's layout ([N, C, H, W] or [N, H, W, C]).

    Attributes:
        min: the smallest shape.
        opt: the shape that kernels are chosen for.
        max: the largest shape.
    """

    min: tuple[int, int, int, int]
    opt: tuple[int, int, int, int]
    max: tuple[int, int, int, int]

    def __post_init__(self) -> None:
        if not all(1 <= a <= b <= c for a, b, c in zip(self.min, self.opt, self.max, strict=True)):
            raise ValueError(f"sizes must grow from min to max: {self}")

    def contains(self, shape: tuple[int, ...]) -> bool:
        """Whether the engine takes this shape under this profile."""
        return len(shape) == 4 and all(
            low <= side <= high for low, side, high in zip(self.min, shape, self.max, strict=True)
        )
