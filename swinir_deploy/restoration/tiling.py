"""Where tiles lie and how their results are joined: arithmetic only, no model.

All tiles of a plan have the same size, and every tile starts at a multiple of the window, so that
its windows are windows of the whole picture too. The picture is thought of as padded to whole
windows, as the official forward pads it; the last tile ends where that padding ends.

Two neighbours share an overlap. Its outer quarters are thrown away, because there a model has
seen the least of the surroundings; over the middle half one result fades into the other by a
squared sine. The weights of all tiles sum to exactly one at every pixel.
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

# Weights are multiples of 2**-12, so that float32 adds them without rounding.
_WEIGHT_STEPS = 4096


@dataclass(frozen=True)
class AxisPlan:
    """Tiles along one axis, in input pixels.

    Attributes:
        side: of the picture.
        padded: the side that the tiles cover together; at least ``side``.
        tile: side of every tile.
        starts: first pixel of each tile: multiples of the window, strictly increasing, the first
            0 and the last ``padded - tile``.
    """

    side: int
    padded: int
    tile: int
    starts: tuple[int, ...]

    def weights(self, scale: int = 1) -> list[NDArray[np.float32]]:
        """The share of each tile in the result, for output ``scale`` times as large.

        Returns:
            For each tile [tile * scale] values in 0..1. At every output pixel the values of the
            tiles over it sum to exactly 1. A picture's own edges do not fade.
        """
        pixels = np.arange(self.padded * scale, dtype=np.float64) + 0.5
        # rise[i] goes from 0 to 1 where tile i takes over from tile i - 1; tile i weighs
        # rise[i] - rise[i + 1], and that sum telescopes to 1 however many tiles overlap.
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
        row: which row of tiles it is in.
        column: which column of tiles it is in.
        top: first pixel row.
        left: first pixel column.
        height: pixel rows.
        width: pixel columns.
    """

    row: int
    column: int
    top: int
    left: int
    height: int
    width: int


@dataclass(frozen=True)
class TilePlan:
    """All tiles of a picture: every row of ``rows`` with every column of ``columns``."""

    rows: AxisPlan
    columns: AxisPlan

    @cached_property
    def tiles(self) -> tuple[Tile, ...]:
        """Row by row, from the top left."""
        return tuple(
            Tile(row, column, top, left, self.rows.tile, self.columns.tile)
            for row, top in enumerate(self.rows.starts)
            for column, left in enumerate(self.columns.starts)
        )


def plan_axis(
    side: int, tile: int, overlap_px: int, window: int, min_side: int = 1, fixed: bool = False
) -> AxisPlan:
    """Spread as few tiles as possible evenly along one axis, none larger than they must be.

    Args:
        side: of the picture in pixels, at least 1.
        tile: side of a tile in pixels at most; a multiple of ``window`` unless ``fixed``.
        overlap_px: neighbours share at least as many pixels; at most ``tile - window``.
        window: side of an attention window in pixels.
        min_side: smallest side that the model takes.
        fixed: the model takes no other side than ``tile``; a smaller picture is padded to it.
            Otherwise a smaller picture gets one tile of whole windows.

    Raises:
        UsageError: a value outside its range.
    """
    if side < 1:
        raise UsageError(f"A picture's side is {side}; it must be at least 1 pixel.")
    if tile < window or (tile % window and not fixed):
        raise UsageError(
            f"The tile is {tile} pixels; it must be a multiple of the model's window of {window}. "
            f"Try {max(window, tile // window * window)}."
        )
    if not 0 <= overlap_px <= tile - window:
        raise UsageError(
            f"The overlap is {overlap_px} pixels; with tiles of {tile} and a window of {window} "
            f"it must be from 0 to {tile - window}."
        )
    if tile < min_side:
        raise UsageError(
            f"The tile is {tile} pixels; the model takes no side below {min_side}. Make it larger."
        )
    if side <= tile:
        only = tile if fixed else padded_side(side, window, min_side)
        return AxisPlan(side, only, only, (0,))
    # Counted in windows: how far the last tile is from the first, and the longest step.
    distance = ceil_to_multiple(side - tile, window) // window
    step = (tile - overlap_px) // window
    gaps = -(-distance // step)
    if not fixed:
        # The smallest tile with which as many reach: the rest would only be computed twice.
        windows, overlap = -(-side // window), -(-overlap_px // window)
        least = -(-(windows + gaps * overlap) // (gaps + 1)) * window
        tile = max(least, ceil_to_multiple(min_side, window))
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
    """Cover a picture with tiles of one size.

    Args:
        height: of the picture in pixels.
        width: of the picture in pixels.
        tile: side of a tile in pixels at most, or its (height, width).
        overlap_px: least overlap of neighbours, or that of (rows, columns).
        window: side of an attention window in pixels.
        min_side: smallest side that the model takes.
        fixed: whether the model takes this tile (height, width) and no other.

    Raises:
        UsageError: as :func:`plan_axis`.
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
    """Join the tiles' results into horizontal strips of the finished picture.

    At no time is more held than one row of tiles.

    Args:
        plan: where the tiles lie.
        scale: output side divided by input side.
        outputs: one [tile height * scale, tile width * scale, channels] array for each of
            ``plan.tiles``, in that order; any real dtype.
        most_rows: of a strip; by default a row of tiles gives one strip.

    Yields:
        Strips [rows, picture width * scale, channels] float32, from top to bottom, together
        picture height * scale rows; each is a fresh array.
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
    """Copies of a strip's rows, so many at a time."""
    step = most_rows or len(strip)
    for first in range(0, len(strip), step):
        yield strip[first : first + step].astype(np.float32)
