"""Input shapes of an engine: tiles of one size by default, ranges of sides on request.

An engine with fixed sides needs less memory and fewer kernels than one for a range, and a dynamic
batch costs nothing (docs/tensorrt.md). So by default it restores pictures of any size in tiles.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from swinir_deploy.artifacts.metadata import ArtifactMetadata
from swinir_deploy.artifacts.shapes import ShapePattern, ShapeProfile, min_side_px, parse_sizes
from swinir_deploy.errors import UsageError

__all__ = ["DEFAULT_TILE_PX", "ShapeRequest", "parse_batch", "shape_profiles"]

DEFAULT_TILE_PX = 256
_DEFAULT_BATCH = (1, 4, 8)


@dataclass(frozen=True)
class ShapeRequest:
    """The requested input shapes of an engine.

    Attributes:
        tile_px: side of the square tile in pixels, or several sides, one for each profile; None
            takes the default.
        batch: smallest, tuned-for and largest batch; None takes the default.
        min_shapes: smallest shape of each profile, as ``HxW`` or ``NxCxHxW``; empty for tiles.
        opt_shapes: shape that each profile is tuned for; empty for tiles.
        max_shapes: largest shape of each profile; empty for tiles.
    """

    tile_px: int | Sequence[int] | None = None
    batch: tuple[int, int, int] | None = None
    min_shapes: Sequence[str] = ()
    opt_shapes: Sequence[str] = ()
    max_shapes: Sequence[str] = ()

    @property
    def tiles_px(self) -> tuple[int, ...]:
        """Requested tile sides in pixels, without duplicates; empty for the default."""
        requested = (self.tile_px,) if isinstance(self.tile_px, int) else self.tile_px
        return tuple(dict.fromkeys(requested or ()))


def parse_batch(text: str) -> tuple[int, int, int]:
    """Read the smallest, tuned-for and largest batch from ``1,4,8``, ``1,8`` or ``4``.

    ``1,8`` is tuned for 8; ``4`` is a fixed batch.

    Raises:
        UsageError: the text is not such a list.
    """
    parts = text.split(",")
    if not 1 <= len(parts) <= 3 or not all(re.fullmatch(r"\s*\d{1,5}\s*", part) for part in parts):
        raise UsageError(f"The batch {text!r} is not a list of numbers. Give one such as 1,4,8.")
    numbers = [int(part) for part in parts]
    first, middle, last = numbers[0], numbers[len(numbers) // 2], numbers[-1]
    if not 1 <= first <= middle <= last:
        raise UsageError(
            f"The batch {text!r} does not grow from a first number of at least 1. Give one such as "
            "1,4,8."
        )
    return first, middle, last


def shape_profiles(request: ShapeRequest, model: ArtifactMetadata) -> tuple[ShapeProfile, ...]:
    """Return the requested profiles in the model's layout.

    Args:
        request: the requested shapes. The default is one profile of tiles of
            :data:`DEFAULT_TILE_PX`, rounded down to a multiple of the window, in batches of
            :data:`_DEFAULT_BATCH`.
        model: metadata with the layout, channels, window and fixed sides of the model.

    Raises:
        UsageError: the shapes contradict each other or the model.
    """
    pattern = ShapePattern.of_artifact(model.shape)
    fixed = (pattern.batch, pattern.height, pattern.width)
    if request.min_shapes or request.opt_shapes or request.max_shapes:
        if request.tiles_px or request.batch is not None:
            raise UsageError(
                "--tile and --batch make an engine for tiles; --min-shape, --opt-shape and "
                "--max-shape make one for a range. Give one or the other (the batch of a range is "
                "the N of NxCxHxW)."
            )
        ranges = _ranges(request, model)
    else:
        batch = request.batch or _DEFAULT_BATCH
        if request.batch is None and fixed[0] is not None:
            batch = (fixed[0],) * 3
        default = DEFAULT_TILE_PX // model.window_size * model.window_size
        sides = [(side, side) for side in request.tiles_px]
        sides = sides or [(fixed[1] or default, fixed[2] or default)]
        ranges = [[(count, *side) for count in batch] for side in sides]
    return tuple(_profile(sizes, fixed, model) for sizes in ranges)


_Sizes = tuple[int, int, int]
"""Batch, height, width."""


def _ranges(request: ShapeRequest, model: ArtifactMetadata) -> list[list[_Sizes]]:
    count = len(request.max_shapes)
    if count == 0:
        raise UsageError("A range of shapes needs --max-shape, such as --max-shape 512x512.")
    for name, given in (("min", request.min_shapes), ("opt", request.opt_shapes)):
        if len(given) not in (0, count):
            raise UsageError(
                f"The numbers of shapes differ: {count} --max-shape and {len(given)} "
                f"--{name}-shape. Give one of each for every profile, in the same order."
            )
    largest = [parse_sizes(text, model.in_chans) for text in request.max_shapes]
    tuned = [parse_sizes(text, model.in_chans) for text in request.opt_shapes] or largest
    smallest = [parse_sizes(text, model.in_chans) for text in request.min_shapes] or tuned
    return [list(sizes) for sizes in zip(smallest, tuned, largest, strict=True)]


def _profile(
    sizes: Sequence[_Sizes], fixed: tuple[int | None, ...], model: ArtifactMetadata
) -> ShapeProfile:
    minimum = min_side_px(model.window_size)
    for shape in sizes:
        for name, size, only in zip(("batch", "height", "width"), shape, fixed, strict=True):
            if only is not None and size != only:
                raise UsageError(
                    f"This model was exported with a {name} of {only} (shape {model.shape}), so "
                    f"its engine cannot have {size}. Ask for {only}, or export it again without "
                    "--shape."
                )
        if min(shape[1:]) < minimum:
            raise UsageError(
                f"The shape has a side of {min(shape[1:])} pixels; windows of "
                f"{model.window_size} need at least {minimum}. Give larger sides."
            )

    def in_layout(shape: _Sizes) -> tuple[int, int, int, int]:
        count, height, width = shape
        if model.io == "image":
            return count, height, width, model.in_chans
        return count, model.in_chans, height, width

    try:
        return ShapeProfile(*(in_layout(shape) for shape in sizes))
    except ValueError as error:
        texts = [f"{count}x{model.in_chans}x{h}x{w}" for count, h, w in sizes]
        raise UsageError(
            f"The range {' to '.join(texts)} does not grow in every size. It must grow from "
            "--min-shape over --opt-shape to --max-shape. Change one of them."
        ) from error
