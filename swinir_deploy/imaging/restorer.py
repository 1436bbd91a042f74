"""Pictures of any size and kind through a model that takes batches of tiles."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from swinir_deploy.errors import DeviceMemoryError, InputError, UsageError
from swinir_deploy.imaging.alpha import fill_transparent, scale_alpha
from swinir_deploy.imaging.bridge import MemoryRanOutError, ModelBridge
from swinir_deploy.imaging.files import read_picture
from swinir_deploy.imaging.folders import restore_folder
from swinir_deploy.imaging.limits import DEFAULT_MAX_PIXELS
from swinir_deploy.imaging.padding import padded_side, reflect_indices
from swinir_deploy.imaging.picture import Picture
from swinir_deploy.imaging.reports import FolderReport, RestoredFile
from swinir_deploy.imaging.tiling import Tile, TilePlan, blend_strips, plan_tiles
from swinir_deploy.imaging.writing import DEFAULT_QUALITY, check_target, write_picture
from swinir_deploy.runtimes.base import Runtime

__all__ = ["DEFAULT_OVERLAP_PX", "DEFAULT_TILE_PX", "WHOLE_PICTURE_PX", "Restorer"]

DEFAULT_TILE_PX = 256
"""Side of a tile where none is asked for, rounded down to whole windows (252 for window 7)."""

DEFAULT_OVERLAP_PX = 32
"""Least overlap of neighbouring tiles, in input pixels."""

WHOLE_PICTURE_PX = 384 * 384
"""Pictures of at most so many pixels are not cut unless a tile is asked for."""

# Halving stops at tiles of so many windows: below, the overlap would be most of the work.
_SMALLEST_TILE_WINDOWS = 4


class Restorer:
    """Restores arrays, pictures and files with an open runtime, which it does not close.

    Pictures are padded by reflection and cut into overlapping tiles as the runtime needs it; a
    runtime with fixed sides gets tiles of just that size. When memory runs out the batch becomes
    1, then the tile is halved, for this picture and all that follow. Not for several threads at
    once.
    """

    def __init__(
        self,
        runtime: Runtime,
        tile: int | None = None,
        overlap_px: int = DEFAULT_OVERLAP_PX,
        batch: int = 1,
        progress: bool | None = None,
    ) -> None:
        """Prepare; nothing is computed yet.

        Args:
            runtime: open; its ``spec`` says what it takes.
            tile: side of a tile in input pixels, rounded down to whole windows (but at least one);
                0 for the whole picture at once; None for the whole picture up to
                ``WHOLE_PICTURE_PX``, else ``DEFAULT_TILE_PX``. A runtime with fixed sides has its
                own.
            overlap_px: neighbouring tiles share at least as many input pixels; never more than
                half a tile.
            batch: tiles for one call of the runtime. A runtime with a fixed batch has its own.
            progress: a bar on stderr; None for one only where stderr is a terminal.

        Raises:
            UsageError: a negative tile or overlap, a batch below 1.
        """
        for name, value, least in (
            ("tile", tile, 0),
            ("overlap_px", overlap_px, 0),
            ("batch", batch, 1),
        ):
            if value is not None and value < least:
                raise UsageError(f"Restorer got {name} {value}; it must be at least {least}.")
        self._runtime = runtime
        self._spec = runtime.spec
        self._bridge = ModelBridge(runtime)
        self._tile = tile
        self._overlap_px = overlap_px
        self._batch = self._spec.batch or batch
        self._progress = progress
        self._largest_tile: int | None = None

    @property
    def runtime(self) -> Runtime:
        """As given."""
        return self._runtime

    # ------------------------------------------------------------------------------ for callers

    def restore_array(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Restore one picture.

        A gray picture goes through a colour model as three equal channels, and the luma (Rec. 601)
        of the result is given; a colour picture goes through a gray model channel by channel.

        Args:
            pixels: [height, width, channels] or, for gray, [height, width]; 1 or 3 channels (RGB);
                uint8 0..255, uint16 0..65535 or float32 0..1. Float values outside 0..1 (noise)
                reach a float model as they are.

        Returns:
            The same dtype, number of axes and of channels; sides ``spec.scale`` times as long.
            Clamped to the range; whole numbers rounded half to even, as the official script does.

        Raises:
            InputError: another shape or dtype, or float values that are not finite.
            CheckFailedError: the model gave values that are not finite.
            DeviceMemoryError: memory runs out even with the smallest tile.
        """
        return self._restore(pixels, [])

    def restore_picture(self, picture: Picture) -> Picture:
        """Restore a picture with its opacity, colour profile, DPI and notes.

        Colours under full transparency are replaced by those around them first. Opacity itself is
        scaled by a gray model as a picture of its own, else by bicubic interpolation; a model of
        scale 1 leaves it alone.

        Raises:
            As :meth:`restore_array`.
        """
        notes: list[str] = []
        pixels, alpha = picture.pixels, picture.alpha
        if alpha is not None:
            pixels = fill_transparent(pixels, alpha)
        restored = self._restore(pixels, notes)
        if alpha is not None and self._spec.scale > 1 and self._spec.in_chans == 1:
            alpha = self._restore(alpha, [])
            notes.append("The opacity was scaled by the model, as a gray picture.")
        elif alpha is not None and self._spec.scale > 1:
            alpha = scale_alpha(alpha, self._spec.scale)
            notes.append("The opacity was scaled by bicubic interpolation.")
        return replace(
            picture, pixels=restored, alpha=alpha, notes=picture.notes + tuple(dict.fromkeys(notes))
        )

    def restore_file(
        self,
        source: str | os.PathLike[str],
        target: str | os.PathLike[str],
        quality: int = DEFAULT_QUALITY,
        overwrite_input: bool = False,
        max_pixels: int | None = DEFAULT_MAX_PIXELS,
    ) -> RestoredFile:
        """Restore one picture file into another; see ``read_picture`` and ``write_picture``.

        Args:
            source: the file to read.
            target: the file to write, in the format of its suffix; its folder must exist.
            quality: of JPEG and WebP.
            overwrite_input: allow ``target`` to be ``source``.
            max_pixels: refuse larger sources; None for no limit.

        Raises:
            PictureError: a file that cannot be read or written.
            UsageError: ``target`` is ``source``, and that was not allowed.
            As :meth:`restore_array`.
        """
        started = time.perf_counter()
        source, target = Path(source), Path(target)
        check_target(target)
        if not overwrite_input and target.exists() and source.exists() and target.samefile(source):
            raise UsageError(
                f"{target} is the input itself. Give another name, or ask for it to be "
                "overwritten (overwrite_input)."
            )
        picture = read_picture(source, max_pixels)
        restored = self.restore_picture(picture)
        notes = restored.notes + write_picture(target, restored, quality)
        return RestoredFile(
            source,
            target,
            picture.width,
            picture.height,
            restored.width,
            restored.height,
            (time.perf_counter() - started) * 1e3,
            notes,
        )

    def restore_folder(
        self,
        source: str | os.PathLike[str],
        target: str | os.PathLike[str],
        suffix: str | None = None,
        quality: int = DEFAULT_QUALITY,
        on_error: Literal["continue", "raise"] = "continue",
        max_pixels: int | None = DEFAULT_MAX_PIXELS,
    ) -> FolderReport:
        """Restore every picture below a folder, in the order of their names; the tree is kept.

        Args:
            source: the folder to read. Nothing in it is changed.
            target: the folder to write; made if it is not there. It may lie inside ``source``.
            suffix: of all results, such as ``.png``; None keeps each file's own.
            quality: of JPEG and WebP.
            on_error: ``continue`` collects failures in the report; ``raise`` stops at the first.
            max_pixels: refuse larger pictures; None for no limit.

        Raises:
            PictureError: ``source`` is not a folder or holds no picture; ``target`` is a file.
            UsageError: ``target`` is ``source``, or ``suffix`` is not that of a picture format.
        """
        restore_file = partial(self.restore_file, quality=quality, max_pixels=max_pixels)
        return restore_folder(restore_file, source, target, suffix, on_error, self._progress)

    # ------------------------------------------------------------------------------------ plans

    def _plan(self, height: int, width: int) -> TilePlan:
        """Tiles for a picture, as asked for and as memory has allowed so far."""
        spec = self._spec
        window, least = spec.window_size, padded_side(1, spec.window_size, spec.min_side_px)
        tile = self._tile
        if tile is None:
            tile = 0 if height * width <= WHOLE_PICTURE_PX else DEFAULT_TILE_PX
        if self._largest_tile is not None:
            tile = min(tile or self._largest_tile, self._largest_tile)
        sides, overlaps = [], []
        for side, only in ((height, spec.height), (width, spec.width)):
            used = only or max(least, (tile or padded_side(side, window)) // window * window)
            sides.append(used)
            overlaps.append(max(0, min(self._overlap_px, used // 2, used - window)))
        return plan_tiles(
            height,
            width,
            (sides[0], sides[1]),
            (overlaps[0], overlaps[1]),
            window,
            spec.min_side_px,
            (spec.height is not None, spec.width is not None),
        )

    def _shrink(self, plan: TilePlan, cause: BaseException | None) -> str:
        """Ask for less memory from now on.

        Returns:
            The note that says so.

        Raises:
            DeviceMemoryError: there is nothing left to make smaller.
        """
        spec = self._spec
        if self._batch > 1 and spec.batch is None:
            self._batch = 1
            return "Memory ran out: tiles went through the model one at a time."
        before = max(plan.rows.tile, plan.columns.tile)
        floor = max(
            _SMALLEST_TILE_WINDOWS * spec.window_size,
            padded_side(1, spec.window_size, spec.min_side_px),
        )
        after = max(floor, before // 2 // spec.window_size * spec.window_size)
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

    def _restore(self, pixels: NDArray[Any], notes: list[str]) -> NDArray[Any]:
        array = _checked_pixels(pixels)
        height, width, channels = array.shape
        spec = self._spec
        notes += self._bridge.notes(channels, array.dtype)
        result: NDArray[Any] = np.empty(
            (height * spec.scale, width * spec.scale, channels), array.dtype
        )
        while True:
            plan = self._plan(height, width)
            try:
                top = 0
                for strip in blend_strips(plan, spec.scale, self._run_tiles(array, plan)):
                    result[top : top + strip.shape[0]] = self._bridge.to_dtype(strip, array.dtype)
                    top += strip.shape[0]
                return result.reshape(result.shape[: pixels.ndim])
            except MemoryRanOutError as error:
                note = self._shrink(plan, error.__cause__)
            notes.append(note)

    def _run_tiles(self, pixels: NDArray[Any], plan: TilePlan) -> Iterator[NDArray[Any]]:
        """The model's result for each tile of the plan: [height, width, channels], model range."""
        rows = reflect_indices(plan.rows.side, plan.rows.padded)
        columns = reflect_indices(plan.columns.side, plan.columns.padded)

        def cut(tile: Tile) -> NDArray[Any]:
            part = pixels.take(rows[tile.top : tile.top + tile.height], axis=0)
            return part.take(columns[tile.left : tile.left + tile.width], axis=1)

        with self._bar(len(plan.tiles)) as bar:
            for group in _groups(plan.tiles, self._batch):
                for output in self._bridge.run(np.stack([cut(tile) for tile in group])):
                    yield output
                    bar.update()

    def _bar(self, tiles: int) -> Any:
        """A progress bar; none for a single tile."""
        disable = None if self._progress is None else not self._progress
        return tqdm(total=tiles, unit="tile", leave=False, disable=True if tiles < 2 else disable)


def _checked_pixels(pixels: NDArray[Any]) -> NDArray[Any]:
    """[height, width, channels]; see :meth:`Restorer.restore_array` for what is accepted."""
    array = pixels[..., None] if pixels.ndim == 2 else pixels
    if (
        array.dtype not in (np.uint8, np.uint16, np.float32)
        or array.ndim != 3
        or array.shape[2] not in (1, 3)
        or min(array.shape) < 1
    ):
        raise InputError(
            f"restore_array got {list(pixels.shape)} {pixels.dtype}; it takes [height, width, "
            "1 or 3] uint8, uint16 or float32 with at least one pixel."
        )
    if array.dtype == np.float32 and not np.isfinite(array).all():
        raise InputError(
            "restore_array got float values that are not finite; they must be numbers around "
            "0..1. Replace NaN and infinity first."
        )
    return array


def _groups(tiles: Iterable[Tile], size: int) -> Iterator[list[Tile]]:
    """Consecutive tiles, ``size`` at a time."""
    left = iter(tiles)
    while group := list(itertools.islice(left, size)):
        yield group
