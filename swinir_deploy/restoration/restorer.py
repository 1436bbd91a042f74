"""Pictures of any size and kind through a model that takes batches of tiles."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from swinir_deploy.errors import InputError
from swinir_deploy.pictures.limits import DEFAULT_MAX_PIXELS
from swinir_deploy.pictures.picture import Picture
from swinir_deploy.pictures.write import DEFAULT_QUALITY
from swinir_deploy.restoration.auto_tile import TileChoice
from swinir_deploy.restoration.file_job import FileJob, FileOptions
from swinir_deploy.restoration.folder import restore_folder
from swinir_deploy.restoration.reports import FolderReport, RestoredFile
from swinir_deploy.restoration.rows import PictureRows, WholePicture
from swinir_deploy.restoration.tiled_model import DEFAULT_OVERLAP_PX, TiledModel
from swinir_deploy.restoration.tiling import TilePlan
from swinir_deploy.runtimes import open_runtime
from swinir_deploy.runtimes.base import Runtime

__all__ = ["Restorer", "restore"]


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
        tile: int | Literal["auto"] | None = None,
        overlap_px: int = DEFAULT_OVERLAP_PX,
        batch: int | None = None,
        progress: bool | None = None,
    ) -> None:
        """Prepare; nothing is computed yet.

        Args:
            runtime: open; its ``spec`` says what it takes.
            tile: side of a tile in input pixels, rounded down to whole windows (but at least one);
                0 for the whole picture at once; None for the whole picture up to
                ``WHOLE_PICTURE_PX``, else ``DEFAULT_TILE_PX``; ``"auto"`` for the whole picture up
                to ``WHOLE_PICTURE_PX``, else what is fastest of the sizes that fit in the memory
                there is: they are tried at the first such picture (:attr:`tile_choice`). A runtime
                with fixed sides has its own.
            overlap_px: neighbouring tiles share at least as many input pixels; never more than
                half a tile.
            batch: tiles for one call of the runtime; None is one, or with ``"auto"`` what is
                fastest. A runtime with a fixed batch has its own.
            progress: a bar on stderr; None for one only where stderr is a terminal.

        Raises:
            UsageError: a negative tile or overlap, a batch below 1.
        """
        self._model = TiledModel(runtime, tile, overlap_px, batch, progress)
        self._progress = progress

    @property
    def runtime(self) -> Runtime:
        """As given."""
        return self._model.runtime

    @property
    def tile_choice(self) -> TileChoice | None:
        """What ``tile="auto"`` came to, with all that was tried; None while nothing was."""
        return self._model.choice

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
        array = _checked_pixels(pixels)
        height, width, channels = array.shape
        scale = self._model.spec.scale
        result: NDArray[Any] = np.empty((height * scale, width * scale, channels), array.dtype)

        def work(plan: TilePlan) -> None:
            done = 0
            with contextlib.closing(self._model.strips(array, plan)) as strips:
                for strip in strips:
                    result[done : done + len(strip)] = strip
                    done += len(strip)

        self._model.attempt(height, width, [], work)
        return result.reshape(result.shape[: pixels.ndim])

    def restore_picture(self, picture: Picture) -> Picture:
        """Restore a picture with its opacity, colour profile, DPI and notes.

        Colours under full transparency are replaced by those around them first. Opacity itself is
        scaled by a gray model as a picture of its own, else by bicubic interpolation; a model of
        scale 1 leaves it alone.

        Raises:
            As :meth:`restore_array`.
        """
        rows = PictureRows(self._model, picture)
        whole = WholePicture(rows.layout)
        rows.write_to(lambda: whole)
        return whole.picture(picture.notes + tuple(dict.fromkeys(rows.notes)))

    def restore_file(
        self,
        source: str | os.PathLike[str],
        target: str | os.PathLike[str],
        quality: int = DEFAULT_QUALITY,
        overwrite_input: bool = False,
        max_pixels: int | None = DEFAULT_MAX_PIXELS,
        max_memory_bytes: int | None = None,
    ) -> RestoredFile:
        """Restore one picture file into another; see ``read_picture`` and ``write_picture``.

        Args:
            source: the file to read.
            target: the file to write, in the format of its suffix; its folder must exist.
            quality: of JPEG and WebP.
            overwrite_input: allow ``target`` to be ``source``.
            max_pixels: refuse larger sources; None for no limit.
            max_memory_bytes: for the picture on its way, without the model and its runtime; None
                for no limit. A PNG, TIFF or JPEG that would not fit is written in strips as they
                are computed, with the same pixels; where even one row of tiles would not fit,
                tiles get lower, and a note says so. Sources are decoded whole. With
                ``tile="auto"`` it counts for the model's runs, too, which get half at most.

        Raises:
            PictureError: a file that cannot be read or written, or that the limit for memory does
                not suffice for.
            UsageError: ``target`` is ``source``, and that was not allowed.
            As :meth:`restore_array`.
        """
        self._model.memory_limit_bytes = max_memory_bytes
        options = FileOptions(quality, max_pixels, max_memory_bytes, overwrite_input)
        return FileJob(self._model, Path(source), Path(target), options).restore()

    def restore_folder(
        self,
        source: str | os.PathLike[str],
        target: str | os.PathLike[str],
        suffix: str | None = None,
        quality: int = DEFAULT_QUALITY,
        on_error: Literal["continue", "raise"] = "continue",
        max_pixels: int | None = DEFAULT_MAX_PIXELS,
        max_memory_bytes: int | None = None,
        resume: bool = False,
    ) -> FolderReport:
        """Restore every picture below a folder, in the order of their names; the tree is kept.

        The next picture is read and the last one written while one is computed.

        Args:
            source: the folder to read. Nothing in it is changed.
            target: the folder to write; made if it is not there. It may lie inside ``source``.
            suffix: of all results, such as ``.png``; None keeps each file's own.
            quality: of JPEG and WebP.
            on_error: ``continue`` collects failures in the report; ``raise`` stops at the first.
            max_pixels: refuse larger pictures; None for no limit.
            max_memory_bytes: as in :meth:`restore_file`, for all pictures on their way together.
            resume: leave out pictures whose result is there and not older than they are. Results
                are whole or not there; by which model they were made is not looked at.

        Raises:
            PictureError: ``source`` is not a folder or holds no picture; ``target`` is a file.
            UsageError: ``target`` is ``source``, or ``suffix`` is not that of a picture format.
        """
        self._model.memory_limit_bytes = max_memory_bytes
        options = FileOptions(quality, max_pixels, max_memory_bytes)

        def job(file: Path, result: Path) -> FileJob:
            return FileJob(self._model, file, result, options)

        return restore_folder(
            job, source, target, suffix, on_error, self._progress, resume, max_memory_bytes
        )


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


def restore(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    model: str | os.PathLike[str],
    backend: str | None = None,
    device: str | None = None,
    tile: int | Literal["auto"] | None = None,
    overlap_px: int = DEFAULT_OVERLAP_PX,
    batch: int | None = None,
    max_pixels: int | None = DEFAULT_MAX_PIXELS,
    max_memory_bytes: int | None = None,
    resume: bool = False,
    progress: bool | None = None,
    **options: Any,
) -> RestoredFile | FolderReport:
    """Restore a picture file, or every picture below a folder.

    Args:
        source: a picture or a folder.
        target: the picture to write (its folder must exist), or the folder.
        model: an exported file, a checkpoint or a catalogue id.
        backend: as in :func:`swinir_deploy.open_runtime`.
        device: likewise.
        tile: as in :class:`Restorer`.
        overlap_px: likewise.
        batch: likewise.
        max_pixels: refuse larger pictures; None for no limit.
        max_memory_bytes: as in :meth:`Restorer.restore_file`.
        resume: as in :meth:`Restorer.restore_folder`; not for a single picture.
        progress: as in :class:`Restorer`.
        **options: of the back end, as in :func:`swinir_deploy.open_runtime`.

    Returns:
        A :class:`FolderReport` for a folder; files that failed are listed in it.

    Raises:
        InputError: a picture or model that cannot be read, a target that cannot be written.
        BackendUnavailableError: the back end's packages or device are missing.
    """
    with open_runtime(model, backend, device, **options) as runtime:
        restorer = Restorer(runtime, tile, overlap_px, batch, progress)
        limits: dict[str, Any] = {"max_pixels": max_pixels, "max_memory_bytes": max_memory_bytes}
        if Path(source).is_dir():
            return restorer.restore_folder(source, target, resume=resume, **limits)
        return restorer.restore_file(source, target, **limits)
