"""A picture through a model that takes batches of tiles; smaller tiles when memory runs out."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from swinir_deploy.errors import DeviceMemoryError, UsageError
from swinir_deploy.restoration.adapter import MemoryRanOutError, ModelBridge
from swinir_deploy.restoration.auto_tile import TileChoice, choose_tile, overlap_of
from swinir_deploy.restoration.padding import padded_side, reflect_indices
from swinir_deploy.restoration.tiling import AxisPlan, Tile, TilePlan, blend_strips, plan_axis
from swinir_deploy.runtimes.base import Runtime

__all__ = [
    "DEFAULT_OVERLAP_PX",
    "DEFAULT_TILE_PX",
    "ROWS_AT_ONCE",
    "WHOLE_PICTURE_PX",
    "TiledModel",
    "one_ahead",
]

DEFAULT_TILE_PX = 256
"""Side of a tile where none is asked for, rounded down to whole windows (252 for window 7)."""

DEFAULT_OVERLAP_PX = 32
"""Least overlap of neighbouring tiles, in input pixels."""

WHOLE_PICTURE_PX = 384 * 384
"""Pictures of at most so many pixels are not cut unless a tile is asked for."""

ROWS_AT_ONCE = 16
"""Finished rows are handed on so many at a time, which keeps what they pass through small."""

# Halving stops at tiles of so many windows: below, the overlap would be most of the work.
_SMALLEST_TILE_WINDOWS = 4

ResultT = TypeVar("ResultT")


class TiledModel:
    """Plans tiles as a runtime needs them, runs them in batches and joins the results.

    Args:
        runtime: open; it is not closed.
        tile: as in :class:`~swinir_deploy.restoration.restorer.Restorer`, and so are the others.
        overlap_px: likewise.
        batch: likewise.
        progress: likewise.

    Attributes:
        runtime: as given.
        spec: of the runtime.
        bridge: feeds the runtime.
        memory_limit_bytes: for pictures and, with ``tile="auto"``, tiles together; half of it is
            the most that tiles may take. None for no limit.
        choice: what ``tile="auto"`` came to, once a picture was large enough to ask.

    Raises:
        UsageError: a negative tile or overlap, a batch below 1.
    """

    def __init__(
        self,
        runtime: Runtime,
        tile: int | Literal["auto"] | None,
        overlap_px: int,
        batch: int | None,
        progress: bool | None,
    ) -> None:
        if isinstance(tile, str) and tile != "auto":
            raise UsageError(
                f"Restorer got tile {tile!r}; it must be a number of pixels, 'auto' or None."
            )
        for name, value, least in (
            ("tile", tile, 0),
            ("overlap_px", overlap_px, 0),
            ("batch", batch, 1),
        ):
            if isinstance(value, int) and value < least:
                raise UsageError(f"Restorer got {name} {value}; it must be at least {least}.")
        self.runtime = runtime
        self.spec = runtime.spec
        self.bridge = ModelBridge(runtime)
        self._is_auto = tile == "auto"
        self._tile = None if isinstance(tile, str) else tile
        self._overlap_px = overlap_px
        self._asked_batch = batch
        self._batch = self._batch_within(batch or 1)
        self._progress = progress
        self._largest_tile: int | None = None
        self.memory_limit_bytes: int | None = None
        self.choice: TileChoice | None = None
        # An engine with several profiles has others; batches are put together for one range.
        every = [self.spec.ranges, *self.spec.other_ranges]
        self._sides = [sides for batches, *sides in every if batches == self.spec.ranges[0]]

    def _batch_within(self, batch: int) -> int:
        least, most = self.spec.ranges[0]
        return max(least, min(batch, most or batch))

    @property
    def batch(self) -> int:
        """Tiles in one run, as memory has allowed so far."""
        return self._batch

    @property
    def reserved_bytes(self) -> int:
        """What runs take of :attr:`memory_limit_bytes`; 0 where tiles are not chosen by it."""
        if self.choice is None or self.memory_limit_bytes is None:
            return 0
        return self.choice.chosen.taken_bytes or 0

    @property
    def smallest_tile(self) -> int:
        """Tiles are not made smaller than this when memory is short, in input pixels."""
        window = self.spec.window_size
        return max(_SMALLEST_TILE_WINDOWS * window, padded_side(1, window, self.spec.min_side_px))

    # ------------------------------------------------------------------------------------ plans

    def plan(self, height: int, width: int, most_rows: int | None = None) -> TilePlan:
        """Tiles for a picture, as asked for and as memory has allowed so far.

        Where the runtime has several ranges of sides, the one whose tiles are nearest to what was
        asked for; else the one that computes the fewest pixels, of these in the fewest tiles.

        Args:
            height: of the picture in pixels.
            width: of the picture in pixels.
            most_rows: height of a tile in input pixels at most, rounded down to whole windows; the
                heights that the runtime takes come first.
        """
        if self._is_auto and self.choice is None and height * width > WHOLE_PICTURE_PX:
            self._choose(height, width)
        tile = self._tile
        if tile is None or (self._is_auto and height * width <= WHOLE_PICTURE_PX):
            tile = 0 if height * width <= WHOLE_PICTURE_PX else DEFAULT_TILE_PX
        if self._largest_tile is not None:
            tile = min(tile or self._largest_tile, self._largest_tile)
        plans = [
            TilePlan(
                self._plan_axis(height, tile, heights, most_rows),
                self._plan_axis(width, tile, widths),
            )
            for heights, widths in self._sides
        ]
        asked = tile if self._tile or self._largest_tile is not None else 0

        def cost(plan: TilePlan) -> tuple[int, int, int]:
            """How far from the tile that was asked for, then how many pixels are computed."""
            tiles = (plan.rows.tile, plan.columns.tile)
            far = sum(abs(used - asked) for used in tiles) if asked else 0
            return far, len(plan.tiles) * tiles[0] * tiles[1], len(plan.tiles)

        return plans[0] if len(plans) == 1 else min(plans, key=cost)

    def _choose(self, height: int, width: int) -> None:
        """Try tiles; all further pictures get the same, so that order does not matter."""
        limit = self.memory_limit_bytes
        self.choice = choose_tile(
            self.runtime,
            self._overlap_px,
            pixels=height * width,
            longest_px=max(height, width),
            limit_bytes=None if limit is None else limit // 2,
            batch=self._asked_batch,
        )
        self._tile, self._batch = self.choice.tile, self._batch_within(self.choice.batch)

    def _plan_axis(
        self, side: int, tile: int, limits: tuple[int, int | None], most_px: int | None = None
    ) -> AxisPlan:
        """Tiles along one side: of ``tile`` pixels (0: one tile), as far as the limits allow."""
        window = self.spec.window_size
        least, most = padded_side(1, window, limits[0]), limits[1]
        if most is not None and most < least:
            # No whole number of windows is within the limits: no other side is used.
            used, is_fixed = most, True
        else:
            wanted = (tile or padded_side(side, window), most_px, most)
            used = max(least, min(px for px in wanted if px is not None) // window * window)
            is_fixed = False
        overlap_px = overlap_of(used, self._overlap_px, window)
        return plan_axis(side, used, overlap_px, window, limits[0], is_fixed)

    def attempt(
        self,
        height: int,
        width: int,
        notes: list[str],
        work: Callable[[TilePlan], ResultT],
        most_rows: int | None = None,
    ) -> ResultT:
        """Do ``work`` with a plan, and again with a smaller one each time that memory runs out.

        Args:
            height: of the picture in pixels.
            width: of the picture in pixels.
            notes: gets a sentence for each time.
            work: must start from the beginning when it is called again.
            most_rows: as in :meth:`plan`.

        Raises:
            DeviceMemoryError: memory runs out even with the smallest tile.
        """
        while True:
            plan = self.plan(height, width, most_rows)
            try:
                return work(plan)
            except MemoryRanOutError as error:
                note = self._shrink(plan, error.__cause__)
            notes.append(note)

    def _shrink(self, plan: TilePlan, cause: BaseException | None) -> str:
        """Ask for less memory from now on.

        Returns:
            The note that says so.

        Raises:
            DeviceMemoryError: there is nothing left to make smaller.
        """
        spec = self.spec
        least = spec.ranges[0][0]
        if self._batch > least:
            self._batch = least
            at_once = "one" if least == 1 else least
            return f"Memory ran out: tiles went through the model {at_once} at a time."
        before = max(plan.rows.tile, plan.columns.tile)
        if self._largest_tile is not None:
            # A smallest height or width of the model may have kept that side above what was asked.
            before = min(before, self._largest_tile)
        after = max(self.smallest_tile, before // 2 // spec.window_size * spec.window_size)
        if after >= before or spec.height is not None or spec.width is not None:
            raise DeviceMemoryError(
                f"{spec.device} has not enough memory for one tile of "
                f"{plan.columns.tile}x{plan.rows.tile} pixels with {spec.model_id or 'this model'} "
                f"on {spec.backend} ({cause}). Close other programs, or use a smaller model"
                f"{' or one with smaller fixed sides' if spec.height or spec.width else ''}."
            ) from cause
        self._largest_tile = after
        return f"Memory ran out: the tile was reduced to {after} pixels."

    # -------------------------------------------------------------------------------- computing

    def strips(
        self, pixels: NDArray[Any], plan: TilePlan, is_main: bool = True
    ) -> Generator[NDArray[Any], None, None]:
        """The restored picture from top to bottom, ``ROWS_AT_ONCE`` rows at a time or fewer.

        The model computes the next tiles, in a thread, while the caller uses the rows.

        Args:
            pixels: [height, width, channels] uint8, uint16 or float32.
            plan: of a picture of that size.
            is_main: whether these tiles are counted in a progress bar and computed ahead, as
                those of one of several pictures that are restored side by side are.

        Yields:
            [rows, width * scale, channels] of the dtype of ``pixels``.

        Raises:
            MemoryRanOutError: the runtime has no memory for these tiles; see :meth:`attempt`.
            CheckFailedError: the model gave values that are not finite.
        """
        outputs = self._run_tiles(pixels, plan, is_main)
        for strip in blend_strips(plan, self.spec.scale, outputs, ROWS_AT_ONCE):
            yield self.bridge.to_dtype(strip, pixels.dtype)

    def _run_tiles(
        self, pixels: NDArray[Any], plan: TilePlan, is_main: bool
    ) -> Iterator[NDArray[Any]]:
        """The model's result for each tile of the plan: [height, width, channels], model range."""
        rows = reflect_indices(plan.rows.side, plan.rows.padded)
        columns = reflect_indices(plan.columns.side, plan.columns.padded)

        def cut(tile: Tile) -> NDArray[Any]:
            # Both at once: all columns of these rows would be a large copy of a wide picture.
            part = columns[tile.left : tile.left + tile.width]
            return pixels[np.ix_(rows[tile.top : tile.top + tile.height], part)]

        has_several = len(plan.tiles) > self._batch
        groups = _groups(plan.tiles, self._batch)
        results = (self.bridge.run(np.stack([cut(tile) for tile in group])) for group in groups)
        with (
            contextlib.closing(one_ahead(results) if is_main and has_several else results) as made,
            self._bar(len(plan.tiles) if is_main else 0) as bar,
        ):
            for outputs in made:
                for output in outputs:
                    yield output
                    bar.update()

    def _bar(self, tiles: int) -> Any:
        """A progress bar; none for a single tile."""
        disable = None if self._progress is None else not self._progress
        return tqdm(total=tiles, unit="tile", leave=False, disable=True if tiles < 2 else disable)


def _groups(tiles: Iterable[Tile], size: int) -> Iterator[list[Tile]]:
    """Consecutive tiles, ``size`` at a time."""
    left = iter(tiles)
    while group := list(itertools.islice(left, size)):
        yield group


ItemT = TypeVar("ItemT")


def one_ahead(items: Iterator[ItemT]) -> Generator[ItemT, None, None]:
    """The same items, of which the next is made in a thread while the caller uses the last.

    Only one thread ever runs ``items``, and only one item waits. Whoever stops early waits for the
    one that is being made, and no more are.

    Raises:
        Whatever ``items`` raises, at the place where the item would have come.
    """
    end = object()
    with ThreadPoolExecutor(1, "swinir-ahead") as pool:
        coming = pool.submit(next, items, end)
        while (item := coming.result()) is not end:
            coming = pool.submit(next, items, end)
            yield cast("ItemT", item)
