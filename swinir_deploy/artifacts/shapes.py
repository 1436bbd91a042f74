"""Shapes as text and as records: the pattern of an export and the profile of an engine."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from swinir_deploy.errors import UsageError

__all__ = [
    "DEFAULT_SHAPE",
    "NetworkLimits",
    "ShapePattern",
    "ShapeProfile",
    "min_side_px",
    "parse_sides",
    "parse_sizes",
    "shape_text",
]

DEFAULT_SHAPE = "NxCxHxW"

_BETWEEN = re.compile("[x\u00d7]", re.IGNORECASE)


def min_side_px(window_size: int) -> int:
    """Return the smallest side in pixels that reflection padding brings to a whole window."""
    return window_size // 2 + 1


def shape_text(shape: Iterable[int]) -> str:
    """Return a shape in words, such as ``1x3x64x64``."""
    return "x".join(map(str, shape))


def parse_sides(text: str) -> tuple[int, int]:
    """Return the height and width of a text such as ``64x96``, both at least 1.

    Raises:
        UsageError: it is not such a text.
    """
    parts = _numbers(text)
    if len(parts) != 2 or 0 in parts:
        raise UsageError(
            f"The shape {text!r} is not understood. Give height and width, such as 64x96."
        )
    return parts[0], parts[1]


def parse_sizes(text: str, in_chans: int) -> tuple[int, int, int]:
    """Return the batch, height and width of ``HxW`` (one picture) or ``NxCxHxW``.

    Args:
        text: two or four numbers joined by ``x``.
        in_chans: the channels that the model takes.

    Raises:
        UsageError: the text has another form, or its channels are not the model's.
    """
    parts = _numbers(text)
    if len(parts) not in (2, 4):
        raise UsageError(
            f"The shape {text!r} is not understood. Give height and width such as 256x256, or "
            f"batch, channels, height and width such as 4x{in_chans}x256x256."
        )
    if len(parts) == 2:
        return 1, parts[0], parts[1]
    if parts[1] != in_chans:
        raise UsageError(
            f"The shape {text!r} has {parts[1]} channels; this model has {in_chans}. Give "
            f"{parts[0]}x{in_chans}x{parts[2]}x{parts[3]}."
        )
    return parts[0], parts[2], parts[3]


def _numbers(text: str) -> list[int]:
    """Return the numbers between the signs; none if there is anything else."""
    parts = _BETWEEN.split(text.strip())
    return [int(part) for part in parts] if all(map(_NUMBER.fullmatch, parts)) else []


_NUMBER = re.compile("[0-9]{1,6}")


class NetworkLimits(Protocol):
    """The part of a network's configuration that limits its input shapes."""

    @property
    def in_chans(self) -> int:
        """Return the number of input channels."""

    @property
    def window_size(self) -> int:
        """Return the side of an attention window in pixels."""

    @property
    def img_size(self) -> int:
        """Return the side in pixels of the pictures that the position embedding was trained for."""

    @property
    def ape(self) -> bool:
        """Return whether there is an absolute position embedding, which fixes the sides."""

    @property
    def min_side(self) -> int:
        """Return the smallest side in pixels that can be padded to a whole window."""


@dataclass(frozen=True)
class ShapePattern:
    """Batch, height and width of an exported graph's input. None means dynamic.

    Attributes:
        batch: number of pictures.
        height: height in pixels.
        width: width in pixels.
    """

    batch: int | None = None
    height: int | None = None
    width: int | None = None

    @classmethod
    def parse(cls, text: str, network: NetworkLimits) -> ShapePattern:
        """Read a pattern such as ``1x3xHxW``: batch, channels, height, width, in any layout.

        Args:
            text: four parts joined by ``x``; letters are dynamic, digits static.
            network: the network's configuration, which limits channels and sides.

        Raises:
            UsageError: the text is no pattern, its channels are wrong, or a side is too small.
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
                    f"windows of {network.window_size} needs at least {network.min_side}. Give a "
                    "larger side."
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

    @classmethod
    def of_artifact(cls, shape: str) -> ShapePattern:
        """Return the pattern that an exported file carries, such as ``1x3xHxW``."""
        parts = [int(part) if part.isdecimal() else None for part in shape.split("x")]
        return cls(parts[0], parts[2], parts[3]) if len(parts) == 4 else cls()

    def describe(self, channels: int) -> str:
        """Return the pattern in its canonical spelling, such as ``Nx3xHxW``."""
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
        """Return whether the profile contains this shape."""
        return len(shape) == 4 and all(
            low <= side <= high for low, side, high in zip(self.min, shape, self.max, strict=True)
        )

    def describe(self) -> str:
        """Return the range in words, such as ``1..8x3x256x256 (tuned for 4x3x256x256)``."""
        ranges = (
            f"{low}" if low == high else f"{low}..{high}"
            for low, high in zip(self.min, self.max, strict=True)
        )
        return f"{'x'.join(ranges)} (tuned for {shape_text(self.opt)})"
