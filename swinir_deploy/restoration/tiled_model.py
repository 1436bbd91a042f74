"""Run a picture through a model in batches of tiles; make tiles smaller when memory runs out."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
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
"""Side of a tile in input pixels by default, rounded down to whole windows (252 for window 7)."""

DEFAULT_OVERLAP_PX = 32
"""The smallest overlap of neighbouring tiles by default, in input pixels."""

WHOLE_PICTURE_PX = 384 * 384
"""Pictures of at most so many pixels are not cut, unless the caller gives a tile."""

ROWS_AT_ONCE = 16
"""Finished rows are passed on in groups of so many, so that their temporary arrays are small."""

# Tiles are halved down to so many windows. In smaller tiles, most of the work would be overlap.
_SMALLEST_TILE_WINDOWS = 4

ResultT = TypeVar("ResultT")


class TiledModel:
    """Plans tiles as a runtime needs them, runs them in batches and joins the results.

    The arguments have the same meaning as those of
    :class:`~swinir_deploy.restoration.restorer.Restorer`.

    Args:
        runtime: an open runtime; it is not closed.
        tile: side of a tile in input pixels, 0, ``"auto"`` or None.
        overlap_px: the smallest overlap of neighbouring tiles in input pixels.
        batch: number of tiles in a run, or None.
        progress: whether to show a progress bar, or None.

    Attributes:
        runtime: the runtime.
        spec: what the runtime takes and gives.
        bridge: converts tiles for the runtime.
        memory_limit_bytes: limit for the memory of pictures and, with ``tile="auto"``, of tiles
            together; tiles may take at most half of it. None for no limit.
        choice: the result of ``tile="auto"``; None until a picture is large enough to be cut.

    Raises:
        UsageError: the tile or the overlap is negative, or the batch is below 1.
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
        for name, value, minimum in (
            ("tile", tile, 0),
            ("overlap_px", overlap_px, 0),
            ("batch", batch, 1),
        ):
            if isinstance(value, int) and value < minimum:
                raise UsageError(f"Restorer got {name} {value}; it must be at least {minimum}.")
        self.runtime = runtime
        self.spec = runtime.spec
        self.bridge = ModelBridge(runtime)
        self._is_auto = tile == "auto"
        self._tile = None if isinstance(tile, str) else tile
        self._overlap_px = overlap_px
        self._requested_batch = batch
        self._batch = self.spec.batch_within(batch or 1)
        self._progress = progress
        self._largest_tile: int | None = None
        self.memory_limit_bytes: int | None = None
        self.choice: TileChoice | None = None
        # An engine may have several profiles. Only those with the same range of batches are used.
        every = [self.spec.ranges, *self.spec.other_ranges]
        self._sides = [sides for batches, *sides in every if batches == self.spec.ranges[0]]

    @property
    def batch(self) -> int:
        """Return the number of tiles in a run, as memory has allowed so far."""
        return self._batch

    @property
    def reserved_bytes(self) -> int:
        """Return the share of :attr:`memory_limit_bytes` that runs take; 0 without "auto"."""
        if self.choice is None or self.memory_limit_bytes is None:
            return 0
        return self.choice.chosen.taken_bytes or 0

    @property
    def smallest_tile(self) -> int:
        """Return the smallest side of a tile when memory runs out, in input pixels."""
        window = self.spec.window_size
        return max(_SMALLEST_TILE_WINDOWS * window, padded_side(1, window, self.spec.min_side_px))

    # ------------------------------------------------------------------------------------ plans

    def plan(self, height: int, width: int, most_rows: int | None = None) -> TilePlan:
        """Plan the tiles of a picture, as requested and as memory has allowed so far.

        A runtime may have several ranges of sides. If a tile was requested, the range with the
        nearest tile is used. Otherwise it is the range with which the fewest pixels are computed,
        and of equal ones the range with the fewest tiles.

        Args:
            height: height of the picture in pixels.
            width: width of the picture in pixels.
            most_rows: the largest height of a tile in input pixels, rounded down to whole windows.
                The limits of the runtime take precedence.
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
        requested = tile if self._tile or self._largest_tile is not None else 0

        def cost(plan: TilePlan) -> tuple[int, int, int]:
            """Return the distance from the requested tile, the computed pixels and the tiles."""
            tiles = (plan.rows.tile, plan.columns.tile)
            distance = sum(abs(used - requested) for used in tiles) if requested else 0
            return distance, len(plan.tiles) * tiles[0] * tiles[1], len(plan.tiles)

        return plans[0] if len(plans) == 1 else min(plans, key=cost)

    def _choose(self, height: int, width: int) -> None:
        """Try sizes of tiles, and use the best one for this picture and all later ones.

        Later pictures get the same size, so that the order of pictures of a folder does not change
        their pixels.
        """
        limit = self.memory_limit_bytes
        self.choice = choose_tile(
            self.runtime,
            self._overlap_px,
            pixels=height * width,
            longest_px=max(height, width),
            limit_bytes=None if limit is None else limit // 2,
            batch=self._requested_batch,
        )
        self._tile, self._batch = self.choice.tile, self.spec.batch_within(self.choice.batch)

    def _plan_axis(
        self, side: int, tile: int, limits: tuple[int, int | None], most_px: int | None = None
    ) -> AxisPlan:
        """Plan tiles along one side: of ``tile`` pixels (0: one tile), within the limits."""
        window = self.spec.window_size
        minimum, maximum = padded_side(1, window, limits[0]), limits[1]
        if maximum is not None and maximum < minimum:
            # No whole number of windows is within the limits, so the largest side is used.
            used, is_fixed = maximum, True
        else:
            bounds = (tile or padded_side(side, window), most_px, maximum)
            used = max(minimum, min(px for px in bounds if px is not None) // window * window)
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
        """Call ``work`` with a plan, and again with a smaller one each time that memory runs out.

        Args:
            height: height of the picture in pixels.
            width: width of the picture in pixels.
            notes: gets a sentence each time that memory runs out.
            work: does the work. It starts from the beginning when it is called again.
            most_rows: as in :meth:`plan`.

        Returns:
            What ``work`` returned.

        Raises:
            DeviceMemoryError: the memory does not suffice for the smallest tile.
        """
        while True:
            plan = self.plan(height, width, most_rows)
            try:
                return work(plan)
            except MemoryRanOutError as error:
                note = self._shrink(plan, error.__cause__)
            notes.append(note)

    def _shrink(self, plan: TilePlan, cause: BaseException | None) -> str:
        """Reduce the batch or the tile, for this picture and all later ones.

        Returns:
            A sentence for the user that says so.

        Raises:
            DeviceMemoryError: neither the batch nor the tile can be reduced.
        """
        spec = self.spec
        minimum = spec.ranges[0][0]
        if self._batch > minimum:
            self._batch = minimum
            at_once = "one" if minimum == 1 else minimum
            return f"Memory ran out: tiles went through the model {at_once} at a time."
        before = max(plan.rows.tile, plan.columns.tile)
        if self._largest_tile is not None:
            # A smallest side of the model may have kept the tile above the last reduction.
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
        """Yield the restored picture from top to bottom, at most ``ROWS_AT_ONCE`` rows at a time.

        While the caller uses the rows, a thread computes the next tiles.

        Args:
            pixels: [height, width, channels] uint8, uint16 or float32.
            plan: the plan of a picture of this size.
            is_main: whether these tiles are computed ahead and counted in the progress bar. Of two
                pictures that are restored at the same time, only one may be the main one.

        Yields:
            [rows, width * scale, channels], of the dtype of ``pixels``.

        Raises:
            MemoryRanOutError: the runtime has no memory for these tiles; see :meth:`attempt`.
            CheckFailedError: the model gave values that are not finite.
        """
        outputs = self._run_tiles([pixels], plan, is_main)
        for strip in blend_strips(plan, self.spec.scale, outputs, ROWS_AT_ONCE):
            yield self.bridge.to_dtype(strip, pixels.dtype)

    def restored(self, pictures: Sequence[NDArray[Any]], plan: TilePlan) -> list[NDArray[Any]]:
        """Return the restored pictures; a batch may hold tiles of several of them.

        Args:
            pictures: [height, width, channels] arrays of one shape and dtype.
            plan: the plan of a picture of this size.

        Raises:
            MemoryRanOutError: the runtime has no memory for these tiles; see :meth:`attempt`.
            CheckFailedError: the model gave values that are not finite.
        """
        scale = self.spec.scale
        results = []
        with contextlib.closing(self._run_tiles(pictures, plan, is_main=True)) as outputs:
            for picture in pictures:
                height, width, channels = picture.shape
                result = np.empty((height * scale, width * scale, channels), picture.dtype)
                tiles = itertools.islice(outputs, len(plan.tiles))
                done = 0
                for strip in blend_strips(plan, scale, tiles, ROWS_AT_ONCE):
                    result[done : done + len(strip)] = self.bridge.to_dtype(strip, picture.dtype)
                    done += len(strip)
                results.append(result)
        return results

    def _run_tiles(
        self, pictures: Sequence[NDArray[Any]], plan: TilePlan, is_main: bool
    ) -> Generator[NDArray[Any], None, None]:
        """Yield the result of each tile: [height, width, channels] in the range of the model."""
        rows = reflect_indices(plan.rows.side, plan.rows.padded)
        columns = reflect_indices(plan.columns.side, plan.columns.padded)

        def cut(picture: NDArray[Any], tile: Tile) -> NDArray[Any]:
            # Rows and columns are taken in one step. Taking all columns of these rows first would
            # make a large copy of a wide picture.
            part = columns[tile.left : tile.left + tile.width]
            return picture[np.ix_(rows[tile.top : tile.top + tile.height], part)]

        count = len(pictures) * len(plan.tiles)
        groups = _groups(itertools.product(pictures, plan.tiles), self._batch)
        results = (self.bridge.run(np.stack([cut(*pair) for pair in group])) for group in groups)
        ahead = is_main and count > self._batch
        with (
            contextlib.closing(one_ahead(results) if ahead else results) as made,
            self._bar(count if is_main else 0) as bar,
        ):
            for outputs in made:
                for output in outputs:
                    yield output
                    bar.update()

    def _bar(self, tiles: int) -> Any:
        """Return a progress bar, which is disabled for a single tile."""
        disable = None if self._progress is None else not self._progress
        return tqdm(total=tiles, unit="tile", leave=False, disable=True if tiles < 2 else disable)


ItemT = TypeVar("ItemT")


def _groups(items: Iterable[ItemT], size: int) -> Iterator[list[ItemT]]:
    """Yield lists of ``size`` consecutive items; the last one may be shorter."""
    left = iter(items)
    while group := list(itertools.islice(left, size)):
        yield group


def one_ahead(items: Iterator[ItemT]) -> Generator[ItemT, None, None]:
    """Yield the same items; a thread makes the next item while the caller uses the last one.

    Only one thread runs ``items``, and at most one item waits. A caller that stops early waits for
    the item that is being made; no further items are made. An exception of ``items`` is raised in
    the place of the item that failed.
    """
    end = object()
    with ThreadPoolExecutor(1, "swinir-ahead") as pool:
        coming = pool.submit(next, items, end)
        while (item := coming.result()) is not end:
            coming = pool.submit(next, items, end)
            yield cast("ItemT", item)
