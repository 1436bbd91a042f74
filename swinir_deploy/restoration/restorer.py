"""Restore pictures of any size and kind with an open runtime."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from swinir_deploy.errors import InputError
from swinir_deploy.exports.open import open_model
from swinir_deploy.pictures.limits import DEFAULT_MAX_PIXELS
from swinir_deploy.pictures.picture import Picture
from swinir_deploy.pictures.read import count_frames
from swinir_deploy.restoration.auto_tile import TileChoice
from swinir_deploy.restoration.file_job import FileJob, FileOptions
from swinir_deploy.restoration.folder import restore_folder
from swinir_deploy.restoration.pages import PagesJob
from swinir_deploy.restoration.reports import FolderReport, RestoredFile
from swinir_deploy.restoration.rows import PictureRows, WholePicture
from swinir_deploy.restoration.tiled_model import DEFAULT_OVERLAP_PX, TiledModel
from swinir_deploy.restoration.tiling import TilePlan
from swinir_deploy.runtimes.base import Runtime
from swinir_deploy.runtimes.spec import require_pictures

__all__ = ["Restorer", "restore"]


class Restorer:
    """Restores arrays, pictures and files with an open runtime, which it does not close.

    Pictures are padded by reflection and cut into overlapping tiles as the runtime needs it. A
    runtime with fixed sides gets tiles of exactly this size. When memory runs out, the batch
    becomes 1; when it runs out again, the tile is halved. This applies to this picture and all
    later ones. Only one thread at a time may use a restorer.

    Example:
        >>> import numpy as np
        >>> from swinir_deploy import Restorer, open_runtime
        >>> picture = np.zeros((30, 20, 3), np.uint8)
        >>> with open_runtime("tiny-sr-x4") as runtime:
        ...     Restorer(runtime).restore_array(picture).shape
        (120, 80, 3)
    """

    def __init__(
        self,
        runtime: Runtime,
        tile: int | Literal["auto"] | None = None,
        overlap_px: int = DEFAULT_OVERLAP_PX,
        batch: int | None = None,
        progress: bool | None = None,
    ) -> None:
        """Make a restorer; nothing is computed yet.

        Args:
            runtime: an open runtime; its ``spec`` says which sizes it takes.
            tile: side of a tile in input pixels, rounded down to whole windows (but at least one
                window). 0 restores the whole picture at once. With None and ``"auto"``, pictures
                of up to ``WHOLE_PICTURE_PX`` pixels are not cut. For larger pictures, None means
                ``DEFAULT_TILE_PX``, and ``"auto"`` means the fastest size that fits into the free
                memory; the sizes are tried when the first such picture comes
                (:attr:`tile_choice`). A runtime with fixed sides gets tiles of these sides.
            overlap_px: the smallest overlap of neighbouring tiles in input pixels; it is reduced
                to half a tile if it is larger.
            batch: number of tiles for one call of the runtime. None means one tile, or with
                ``"auto"`` the fastest number. A runtime with a fixed batch gets that batch.
            progress: whether to show a progress bar on stderr; None shows it if stderr is a
                terminal.

        Raises:
            UsageError: the tile or the overlap is negative, the batch is below 1, or the model
                does not restore pictures, which have 1 or 3 channels.
        """
        require_pictures(runtime.spec)
        self._model = TiledModel(runtime, tile, overlap_px, batch, progress)
        self._progress = progress

    @property
    def runtime(self) -> Runtime:
        """Return the runtime that the restorer uses."""
        return self._model.runtime

    @property
    def tile_choice(self) -> TileChoice | None:
        """Return the result of ``tile="auto"`` with all trials, or None if there were none yet."""
        return self._model.choice

    # ------------------------------------------------------------------------------ for callers

    def restore_array(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Restore one picture.

        A gray picture goes through a colour model as three equal channels, and the result is the
        luma (Rec. 601). A colour picture goes through a gray model channel by channel.

        Args:
            pixels: [height, width, channels] with 1 or 3 channels (RGB), or [height, width] for
                gray; uint8 in 0..255, uint16 in 0..65535 or float32 in 0..1. A model that takes
                floats gets values outside 0..1 (noise) unchanged.

        Returns:
            A picture of the same dtype, with the same number of axes and channels, and sides
            ``spec.scale`` times as long. Values are clamped to the range; whole numbers are rounded
            half to even, as the official script does.

        Raises:
            InputError: the picture has another shape or dtype, or float values that are not finite.
            CheckFailedError: the model gave values that are not finite.
            DeviceMemoryError: the memory does not suffice for the smallest tile.

        Example:
            >>> import numpy as np
            >>> from swinir_deploy import Restorer, open_runtime
            >>> with open_runtime("tiny-sr-x4") as runtime:
            ...     Restorer(runtime).restore_array(np.zeros((16, 24), np.float32)).shape
            (64, 96)
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

        First, fully transparent pixels get the colour of the visible pixels around them. A gray
        model scales the opacity as a second picture; for a colour model it is scaled by bicubic
        interpolation. A model of scale 1 does not change the opacity.

        Raises:
            CheckFailedError: the model gave values that are not finite.
            DeviceMemoryError: the memory does not suffice for the smallest tile.
        """
        rows = PictureRows(self._model, picture)
        whole = WholePicture(rows.layout)
        rows.write_to(lambda: whole)
        return whole.picture(picture.notes + tuple(dict.fromkeys(rows.notes)))

    def restore_file(
        self,
        source: str | os.PathLike[str],
        target: str | os.PathLike[str],
        quality: int | None = None,
        overwrite_input: bool = False,
        max_pixels: int | None = DEFAULT_MAX_PIXELS,
        max_memory_bytes: int | None = None,
        strip: bool = False,
        pages: bool = False,
        replace_pages: bool = True,
    ) -> RestoredFile:
        """Restore one picture file into another file.

        Args:
            source: the picture file to read.
            target: the file to write; its suffix decides the format. Its folder must exist.
            quality: quality of formats with loss, from 1 to 100; 100 is lossless in WebP and AVIF.
                None means 95, and a WebP without loss for one that came without loss.
            overwrite_input: allow ``target`` to be ``source``.
            max_pixels: the largest accepted number of pixels of the source; None for no limit.
            max_memory_bytes: limit for the memory of the picture, without the model and its
                runtime; None for no limit. A PNG, TIFF or JPEG that would not fit is written in
                strips as they are computed, with the same pixels. If even one row of tiles would
                not fit, the tiles are made lower, and a note says so. The source is always decoded
                as a whole. With ``tile="auto"`` the limit includes the runs of the model, which
                may take at most half of it.
            strip: leave out metadata: EXIF, XMP, IPTC, text, DPI and the time of the last change,
                which are carried otherwise. The colour profile is kept.
            pages: restore every page or frame: the first into ``target``, the others beside it,
                into ``NAME-page2.png`` and so on.
            replace_pages: replace files of other pages that exist.

        Raises:
            PictureError: a file cannot be read or written, or the limit for memory does not
                suffice.
            UsageError: ``target`` is ``source`` without ``overwrite_input``, or ``quality`` is
                outside 1..100.
            CheckFailedError: the model gave values that are not finite.
            DeviceMemoryError: the memory does not suffice for the smallest tile.
        """
        self._model.memory_limit_bytes = max_memory_bytes
        options = FileOptions(quality, max_pixels, max_memory_bytes, overwrite_input, strip)
        job = self._job(Path(source), Path(target), options, pages, replace_pages)
        return job.restore()

    def _job(
        self, source: Path, target: Path, options: FileOptions, pages: bool, replace_pages: bool
    ) -> FileJob | PagesJob:
        if not pages:
            return FileJob(self._model, source, target, options)

        def page_job(place: Path, page: int | None) -> FileJob:
            return FileJob(self._model, source, place, options, page)

        def count() -> int:
            return count_frames(source, options.max_pixels)

        return PagesJob(page_job, count, target, replace_pages)

    def restore_folder(
        self,
        source: str | os.PathLike[str],
        target: str | os.PathLike[str],
        suffix: str | None = None,
        quality: int | None = None,
        on_error: Literal["continue", "raise"] = "continue",
        max_pixels: int | None = DEFAULT_MAX_PIXELS,
        max_memory_bytes: int | None = None,
        resume: bool = False,
        strip: bool = False,
        pages: bool = False,
        replace_pages: bool = True,
    ) -> FolderReport:
        """Restore every picture below a folder, in the order of their names.

        The results have the same tree of folders. While one picture is computed, the next one is
        read and the last one is written.

        Args:
            source: the folder to read. Nothing in it is changed.
            target: the folder to write. It is created if it is missing, and may lie inside
                ``source``.
            suffix: suffix of all results, such as ``.png``; None keeps the suffix of each file.
            quality: as in :meth:`restore_file`.
            on_error: ``continue`` collects failures in the report; ``raise`` stops at the first
                one.
            max_pixels: the largest accepted number of pixels of a picture; None for no limit.
            max_memory_bytes: as in :meth:`restore_file`, for all pictures that are processed at the
                same time.
            resume: skip pictures whose result exists and is not older than the picture. A result
                that exists is complete. It is not checked which model made it.
            strip: as in :meth:`restore_file`.
            pages: as in :meth:`restore_file`.
            replace_pages: as in :meth:`restore_file`.

        Raises:
            PictureError: ``source`` is not a folder or holds no picture; ``target`` is a file.
            UsageError: ``target`` is ``source``, or ``suffix`` is not that of a picture format.
        """
        self._model.memory_limit_bytes = max_memory_bytes
        options = FileOptions(quality, max_pixels, max_memory_bytes, strip=strip)

        def job(file: Path, result: Path) -> FileJob | PagesJob:
            return self._job(file, result, options, pages, replace_pages)

        return restore_folder(
            job, source, target, suffix, on_error, self._progress, resume, max_memory_bytes
        )


def _checked_pixels(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return checked pixels as [height, width, channels]; see :meth:`Restorer.restore_array`."""
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
    strip: bool = False,
    pages: bool = False,
    progress: bool | None = None,
    **options: Any,
) -> RestoredFile | FolderReport:
    """Restore a picture file, or every picture below a folder.

    Args:
        source: a picture or a folder of pictures.
        target: the picture to write (its folder must exist), or the folder to write.
        model: an exported file, a checkpoint or a catalogue id. A checkpoint or id runs by an
            export that is kept in the cache, unless ``backend`` is ``torch``.
        backend: name of the back end, as in :func:`swinir_deploy.open_runtime`. None is ``ort`` for
            checkpoints and ids on the CPU in FP32, and ``torch`` for other requests.
        device: the device, as in :func:`swinir_deploy.open_runtime`.
        tile: side of a tile in input pixels, as in :class:`Restorer`.
        overlap_px: the smallest overlap of tiles in input pixels, as in :class:`Restorer`.
        batch: number of tiles in a run, as in :class:`Restorer`.
        max_pixels: the largest accepted number of pixels of a picture; None for no limit.
        max_memory_bytes: limit for memory, as in :meth:`Restorer.restore_file`.
        resume: skip results that exist, as in :meth:`Restorer.restore_folder`. It has no effect on
            a single picture.
        strip: leave out metadata, as in :meth:`Restorer.restore_file`.
        pages: restore every page or frame, as in :meth:`Restorer.restore_file`.
        progress: whether to show a progress bar, as in :class:`Restorer`.
        **options: options of the back end, as in :func:`swinir_deploy.open_runtime`, and
            ``precision``: with ``ort``, that of the export of a checkpoint or id.

    Returns:
        A :class:`RestoredFile` for a picture; a :class:`FolderReport`, which lists files that
        failed, for a folder.

    Raises:
        InputError: a picture or the model cannot be read, or the target cannot be written.
        UsageError: the options are impossible, or the target is the source.
        BackendUnavailableError: the packages or the device of the back end are missing.
        CheckFailedError: the model gave values that are not finite.
        DeviceMemoryError: the memory does not suffice for the smallest tile.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> from swinir_deploy import restore
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     source, target = Path(folder, "small.png"), Path(folder, "large.png")
        ...     Image.new("RGB", (24, 16)).save(source)
        ...     report = restore(source, target, model="tiny-sr-x4")
        >>> report.target_width, report.target_height
        (96, 64)
    """
    with open_model(model, backend, device, **options) as runtime:
        restorer = Restorer(runtime, tile, overlap_px, batch, progress)
        limits: dict[str, Any] = {
            "max_pixels": max_pixels,
            "max_memory_bytes": max_memory_bytes,
            "strip": strip,
            "pages": pages,
        }
        if Path(source).is_dir():
            return restorer.restore_folder(source, target, resume=resume, **limits)
        return restorer.restore_file(source, target, **limits)
