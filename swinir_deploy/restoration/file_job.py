"""Restore one picture file into another in three stages: read, compute, write."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from swinir_deploy.errors import PictureError, UsageError
from swinir_deploy.pictures.picture import Picture, PictureLayout
from swinir_deploy.pictures.read import probe_picture, read_picture
from swinir_deploy.pictures.write import (
    STREAMED,
    check_picture_fits,
    check_target,
    stream_picture,
    write_picture,
)
from swinir_deploy.restoration.memory_budget import memory_needed, rows_within
from swinir_deploy.restoration.reports import RestoredFile
from swinir_deploy.restoration.rows import PictureRows, WholePicture, layout_after
from swinir_deploy.restoration.tiled_model import TiledModel
from swinir_deploy.system.memory import size_rounded_up

__all__ = ["FileJob", "FileOptions"]

_SLOW_TO_WRITE = ("PNG", "TIFF")
"""Formats that are written row by row and whose compression takes as long as a small model."""


@dataclass(frozen=True)
class FileOptions:
    """Options of reading and writing files.

    Attributes:
        quality: quality of formats with loss, from 1 to 100; None as in ``write_picture``.
        max_pixels: the largest accepted number of pixels of a source; None for no limit.
        max_memory_bytes: limit for the memory of pictures, without the model; None for no limit.
            A result that would not fit is written in strips.
        overwrite_input: allow the target to be the source.
        strip: leave out metadata: EXIF, XMP, IPTC, text, DPI and the time of the last change. What
            the colours need is kept.
    """

    quality: int | None
    max_pixels: int | None
    max_memory_bytes: int | None = None
    overwrite_input: bool = False
    strip: bool = False


class FileJob:
    """Restores one file. The stages are called once each, in order, from any thread.

    Between the stages the job holds the picture. After the last stage it holds nothing.
    """

    def __init__(
        self,
        model: TiledModel,
        source: Path,
        target: Path,
        options: FileOptions,
        page: int | None = None,
    ) -> None:
        """Make the job; nothing is read yet.

        Args:
            model: the model that restores the picture.
            source: the file to read.
            target: the file to write.
            options: options of reading and writing.
            page: the frame or page to restore, from 0; None is the first, and a note on others.
        """
        self.source = source
        self.target = target
        self._page = page
        self._model = model
        self._options = options
        self._kind = ""
        self._streams = False  # True if the limit for memory requires it
        self._picture: Picture | None = None
        self._result: Picture | None = None
        self._report: RestoredFile | None = None
        self._elapsed_ms = 0.0

    def prepare(self) -> int:
        """Check what the head of the file shows, and decide whether to write in strips.

        Returns:
            The peak memory of this job in bytes; 0 if there is no limit.

        Raises:
            PictureError: the target cannot be written or cannot hold the size of the result, the
                head of the source is damaged, or the limit for memory does not suffice.
            UsageError: the target is the source.
        """
        source, target, limit = self.source, self.target, self._options.max_memory_bytes
        self._kind = check_target(target)
        is_itself = target.exists() and source.exists() and target.samefile(source)
        if is_itself and not self._options.overwrite_input:
            raise UsageError(
                f"{target} is the input itself. Give another name, or allow to overwrite it "
                "(overwrite_input)."
            )
        probed = probe_picture(source, self._options.max_pixels, self._page)
        self._check_fits(probed.layout, is_transparent=False)
        if limit is None:
            return 0
        need = memory_needed(probed, self._model, self._kind)  # this may try sizes of tiles
        reserved = self._model.reserved_bytes
        limit -= reserved
        if need.whole <= limit:
            sides = probed.layout.height, probed.layout.width
            return reserved + (need.streamed if self._pays_to_stream(*sides) else need.whole)
        if need.decode > limit:
            raise PictureError(
                f"Cannot read {source}: decoding it takes up to {size_rounded_up(need.decode)}; "
                f"the limit for memory is {size_rounded_up(limit)}, and a picture is decoded as a "
                "whole. Raise the limit (max_memory, --max-memory), or cut the picture into parts."
            )
        if self._kind not in STREAMED:
            raise PictureError(
                f"Cannot write {target}: restoring it takes up to {size_rounded_up(need.whole)}; "
                f"the limit for memory is {size_rounded_up(limit)}, and {self._kind} cannot be "
                "written in strips. Write a .png, .tif or .jpg instead, or raise the limit "
                "(max_memory, --max-memory)."
            )
        self._streams = True
        return reserved + min(need.streamed, limit)

    def read(self) -> None:
        """Read and decode the source.

        Raises:
            PictureError: the source cannot be read.
        """
        with self._stage("reading"):
            picture = read_picture(self.source, self._options.max_pixels, self._page)
            if self._options.strip:
                picture = replace(picture, dpi=None, metadata=picture.metadata.stripped())
            self._picture = picture

    def compute(self) -> None:
        """Restore the picture, and write it at the same time if it is written in strips.

        Raises:
            PictureError: the limit for memory does not suffice, or the target cannot be written.
            DeviceMemoryError: the memory does not suffice for the smallest tile.
            CheckFailedError: the model gave values that are not finite.
        """
        assert self._picture is not None
        self._check_fits(self._picture.layout, self._picture.is_transparent)
        with self._stage("restoring"):
            if self._streams or self._pays_to_stream(self._picture.height, self._picture.width):
                self._stream(self._picture)
                return
            rows = PictureRows(self._model, self._picture)
            whole = WholePicture(rows.layout)
            rows.write_to(lambda: whole)
            self._result = whole.picture(self._picture.notes + tuple(dict.fromkeys(rows.notes)))

    def write(self) -> RestoredFile:
        """Write the result if it was not written yet, and return the report.

        Raises:
            PictureError: the target cannot be written.
        """
        with self._stage("writing"):
            if self._result is not None:
                notes = write_picture(self.target, self._result, self._options.quality)
                self._report = self._reported(self._result.notes + notes)
        self._picture = self._result = None
        assert self._report is not None
        return self._report

    def restore(self) -> RestoredFile:
        """Run all stages, and return the report."""
        self.prepare()
        self.read()
        self.compute()
        return self.write()

    def _check_fits(self, layout: PictureLayout, is_transparent: bool) -> tuple[str, ...]:
        """Check that the target can hold the result, and return what its format cannot keep."""
        result = layout_after(layout, self._model.spec.scale)
        return check_picture_fits(self.target, result, is_transparent, self._options.quality)

    def _pays_to_stream(self, height: int, width: int) -> bool:
        """Return whether rows can be compressed while the model computes the next ones."""
        plan = self._model.plan(height, width)
        return self._kind in _SLOW_TO_WRITE and len(plan.rows.starts) > 1

    def _stream(self, picture: Picture) -> None:
        most_rows = None
        if self._streams:
            limit = self._options.max_memory_bytes
            assert limit is not None
            limit -= self._model.reserved_bytes
            try:
                most_rows = rows_within(limit, picture.layout, self._model)
            except UsageError as error:
                raise PictureError(f"Cannot restore {self.source}: {error}") from error
        rows = PictureRows(self._model, picture)
        format_notes = self._check_fits(picture.layout, picture.is_transparent)
        if most_rows is not None:
            rows.notes.append(f"Tiles were at most {most_rows} pixels high, to save memory.")
        rows.write_to(
            lambda: stream_picture(self.target, rows.layout, self._options.quality), most_rows
        )
        self._report = self._reported(
            picture.notes + tuple(dict.fromkeys(rows.notes)) + format_notes
        )

    def _reported(self, notes: tuple[str, ...]) -> RestoredFile:
        assert self._picture is not None
        width, height = self._picture.width, self._picture.height
        scale = self._model.spec.scale
        return RestoredFile(
            self.source,
            self.target,
            width,
            height,
            width * scale,
            height * scale,
            self._elapsed_ms,
            notes,
        )

    @contextlib.contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        """Add the time of a stage to the total, and explain when the host memory runs out."""
        started = time.perf_counter()
        try:
            yield
        except MemoryError as error:
            raise PictureError(
                f"Cannot restore {self.source}: memory ran out while {name} it. Give a limit "
                "(max_memory, --max-memory), so that the result is written in strips, or use "
                "smaller tiles."
            ) from error
        finally:
            self._elapsed_ms += (time.perf_counter() - started) * 1e3
