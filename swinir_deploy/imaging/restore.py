"""Open a model, restore a file or a folder with it, close it: the one-call form."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from swinir_deploy.imaging.limits import DEFAULT_MAX_PIXELS
from swinir_deploy.imaging.reports import FolderReport, RestoredFile
from swinir_deploy.imaging.restorer import Restorer
from swinir_deploy.imaging.tiled import DEFAULT_OVERLAP_PX
from swinir_deploy.runtimes import open_runtime

__all__ = ["restore"]


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
