"""Plan the positions of tiles, and join their results; this needs no model.

All tiles of a plan have the same size. Every tile starts at a multiple of the window, so that its
windows are also windows of the whole picture. The picture counts as padded to whole windows, as
the official network pads it; the last tile ends where this padding ends.

Two neighbours share an overlap. The outer quarters of the overlap are dropped, because there a
model has seen the least of the surroundings. Over the middle half, one result fades into the other
by a squared sine. At every pixel, the weights of all tiles sum to exactly one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swinir_deploy.errors import UsageError
from swinir_deploy.restoration.padding import ceil_to_multiple, padded_side

__all__ = ["AxisPlan", "Tile", "TilePlan", "blend_strips", "plan_axis", "plan_tiles"]

# Weights are multiples of 2**-12, so that float32 adds them exactly.
_WEIGHT_STEPS = 4096


@dataclass(frozen=True)
class AxisPlan:
    """The tiles along one axis, in input pixels.

    Attributes:
        side: side of the picture.
        padded: the side that all tiles cover together; at least ``side``.
        tile: side of every tile.
        starts: first pixel of each tile. They are multiples of the window and strictly increasing;
            the first is 0 and the last is ``padded - tile``.
    """

    side: int
    padded: int
    tile: int
    starts: tuple[int, ...]

    def weights(self, scale: int = 1) -> list[NDArray[np.float32]]:
        """Return the weights of each tile in the result.

        Args:
            scale: output side divided by input side.

        Returns:
            For each tile [tile * scale] float32 in 0..1. At every output pixel, the weights of the
            tiles that cover it sum to exactly 1. At the edges of the picture the weight is 1.
        """
        pixels = np.arange(self.padded * scale, dtype=np.float64) + 0.5
        # rise[i] goes from 0 to 1 where tile i takes over from tile i - 1. The weight of tile i is
        # rise[i] - rise[i + 1]; the sum of all weights telescopes to 1 for any number of tiles.
        rise = [np.ones_like(pixels)]
        for before, start in zip(self.starts, self.starts[1:], strict=False):
            overlap = before + self.tile - start
            first = (start + overlap // 4) * scale
            last = (before + self.tile - overlap // 4) * scale
            ramp = np.clip((pixels - first) / max(last - first, 1e-9), 0.0, 1.0)
            rise.append(np.rint(np.sin(ramp * (np.pi / 2)) ** 2 * _WEIGHT_STEPS) / _WEIGHT_STEPS)
        rise.append(np.zeros_like(pixels))
        return [
            (rise[i] - rise[i + 1])[start * scale : (start + self.tile) * scale].astype(np.float32)
            for i, start in enumerate(self.starts)
        ]


@dataclass(frozen=True)
class Tile:
    """One rectangle of the padded picture, in input pixels.

    Attributes:
        row: number of its row of tiles, from 0.
        column: number of its column of tiles, from 0.
        top: its first row of pixels.
        left: its first column of pixels.
        height: its height in pixels.
        width: its width in pixels.
    """

    row: int
    column: int
    top: int
    left: int
    height: int
    width: int


@dataclass(frozen=True)
class TilePlan:
    """All tiles of a picture.

    Attributes:
        rows: the tiles along the height.
        columns: the tiles along the width.
    """

    rows: AxisPlan
    columns: AxisPlan

    @cached_property
    def tiles(self) -> tuple[Tile, ...]:
        """Return all tiles, row by row, from the top left."""
        return tuple(
            Tile(row, column, top, left, self.rows.tile, self.columns.tile)
            for row, top in enumerate(self.rows.starts)
            for column, left in enumerate(self.columns.starts)
        )


def plan_axis(
    side: int, tile: int, overlap_px: int, window: int, min_side: int = 1, fixed: bool = False
) -> AxisPlan:
    """Plan the tiles along one axis: as few as possible, evenly spread, and as small as possible.

    Args:
        side: side of the picture in pixels, at least 1.
        tile: the largest side of a tile in pixels; a multiple of ``window`` unless ``fixed``.
        overlap_px: the smallest overlap of neighbours in pixels; at most ``tile - window``.
        window: side of an attention window in pixels.
        min_side: the smallest side that the model takes, in pixels.
        fixed: whether ``tile`` is the only side that the model takes; then a smaller picture is
            padded to it. Otherwise a smaller picture gets one tile of whole windows.

    Raises:
        UsageError: a value is outside its range.
    """
    if side < 1:
        raise UsageError(f"The picture's side is {side}; it must be at least 1 pixel.")
    if tile < window or (tile % window and not fixed):
        raise UsageError(
            f"The tile is {tile} pixels; it must be a multiple of the model's window of {window}. "
            f"Try {max(window, tile // window * window)}."
        )
    if not 0 <= overlap_px <= tile - window:
        raise UsageError(
            f"The overlap is {overlap_px} pixels; with tiles of {tile} and a window of {window} "
            f"it must be from 0 to {tile - window}. Give another overlap or larger tiles."
        )
    if tile < min_side:
        raise UsageError(
            f"The tile is {tile} pixels; the model takes no side below {min_side}. Make it larger."
        )
    if side <= tile:
        only = tile if fixed else padded_side(side, window, min_side)
        return AxisPlan(side, only, only, (0,))
    # In windows: the distance from the first tile to the last one, and the longest step.
    distance = ceil_to_multiple(side - tile, window) // window
    step = (tile - overlap_px) // window
    gaps = -(-distance // step)
    if not fixed:
        # The smallest tile with which the same number of tiles covers the side. A larger tile
        # would only increase the overlap, which is computed twice.
        windows, overlap = -(-side // window), -(-overlap_px // window)
        smallest = -(-(windows + gaps * overlap) // (gaps + 1)) * window
        tile = max(smallest, ceil_to_multiple(min_side, window))
        distance = windows - tile // window
    starts = tuple(i * distance // gaps * window for i in range(gaps + 1))
    return AxisPlan(side, distance * window + tile, tile, starts)


def plan_tiles(
    height: int,
    width: int,
    tile: int | tuple[int, int],
    overlap_px: int | tuple[int, int],
    window: int,
    min_side: int = 1,
    fixed: tuple[bool, bool] = (False, False),
) -> TilePlan:
    """Plan tiles of one size that cover a picture.

    Args:
        height: height of the picture in pixels.
        width: width of the picture in pixels.
        tile: the largest side of a tile in pixels, or the largest (height, width).
        overlap_px: the smallest overlap of neighbours in pixels, or that of (rows, columns).
        window: side of an attention window in pixels.
        min_side: the smallest side that the model takes, in pixels.
        fixed: for (height, width), whether the model takes only this side of a tile.

    Raises:
        UsageError: a value is outside its range; see :func:`plan_axis`.
    """
    tiles = (tile, tile) if isinstance(tile, int) else tile
    overlaps = (overlap_px, overlap_px) if isinstance(overlap_px, int) else overlap_px
    rows, columns = (
        plan_axis(side, tiles[i], overlaps[i], window, min_side, fixed[i])
        for i, side in enumerate((height, width))
    )
    return TilePlan(rows, columns)


def blend_strips(
    plan: TilePlan, scale: int, outputs: Iterable[NDArray[Any]], most_rows: int | None = None
) -> Iterator[NDArray[np.float32]]:
    """Join the results of tiles into horizontal strips of the finished picture.

    At most one row of tiles is in memory at a time.

    Args:
        plan: the positions of the tiles.
        scale: output side divided by input side.
        outputs: one [tile height * scale, tile width * scale, channels] array for each of
            ``plan.tiles``, in this order, of any real dtype.
        most_rows: the largest number of rows of a strip; by default a row of tiles is one strip.

    Yields:
        Strips [rows, picture width * scale, channels] float32 from top to bottom; each is a new
        array. Together they have picture height * scale rows.
    """
    height, width = plan.rows.side * scale, plan.columns.side * scale
    if len(plan.tiles) == 1:
        for output in outputs:
            yield from _pieces(output[:height, :width], most_rows)
        return
    row_weights, column_weights = plan.rows.weights(scale), plan.columns.weights(scale)
    tops = [start * scale for start in plan.rows.starts]
    lefts = [start * scale for start in plan.columns.starts]
    last_column = len(lefts) - 1
    band: NDArray[np.float32] | None = None
    for tile, output in zip(plan.tiles, outputs, strict=True):
        tile_height, tile_width, channels = output.shape
        if band is None:
            band = np.zeros((tile_height, plan.columns.padded * scale, channels), np.float32)
        weight = row_weights[tile.row][:, None, None] * column_weights[tile.column][:, None]
        left = lefts[tile.column]
        band[:, left : left + tile_width] += output * weight
        if tile.column < last_column:
            continue
        is_last_row = tile.row == len(tops) - 1
        done = tile_height if is_last_row else tops[tile.row + 1] - tops[tile.row]
        yield from _pieces(band[: min(done, height - tops[tile.row]), :width], most_rows)
        if not is_last_row:
            band[: tile_height - done] = band[done:]
            band[tile_height - done :] = 0.0


def _pieces(strip: NDArray[Any], most_rows: int | None) -> Iterator[NDArray[np.float32]]:
    """Yield copies of the rows of a strip, at most ``most_rows`` at a time."""
    step = most_rows or len(strip)
    for first in range(0, len(strip), step):
        yield strip[first : first + step].astype(np.float32)
