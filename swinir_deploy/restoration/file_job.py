"""One picture file into another, in three stages: read, compute, write."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from swinir_deploy.errors import PictureError, UsageError
from swinir_deploy.pictures.picture import Picture
from swinir_deploy.pictures.probe import probe_picture
from swinir_deploy.pictures.read import read_picture
from swinir_deploy.pictures.write import (
    STREAMED,
    check_picture_fits,
    check_target,
    stream_picture,
    write_picture,
)
from swinir_deploy.restoration.memory_budget import memory_needed, rows_within
from swinir_deploy.restoration.reports import RestoredFile
from swinir_deploy.restoration.rows import PictureRows, WholePicture
from swinir_deploy.restoration.tiled_model import TiledModel
from swinir_deploy.system.memory import size_rounded_up

__all__ = ["FileJob", "FileOptions"]

_SLOW_TO_WRITE = ("PNG", "TIFF")
"""Formats whose compression takes as long as a small model, and that are written row by row."""


@dataclass(frozen=True)
class FileOptions:
    """How files are read and written.

    Attributes:
        quality: of JPEG and WebP.
        max_pixels: refuse larger sources; None for no limit.
        max_memory_bytes: for pictures, without the model; None for no limit. A result that would
            not fit is written in strips.
        overwrite_input: allow the target to be the source.
    """

    quality: int
    max_pixels: int | None
    max_memory_bytes: int | None = None
    overwrite_input: bool = False


class FileJob:
    """Restores one file; the stages are called once, in order, from any thread.

    Between the stages the job holds the picture; after the last it holds nothing.
    """

    def __init__(self, model: TiledModel, source: Path, target: Path, options: FileOptions) -> None:
        """Prepare; nothing is read yet."""
        self.source = source
        self.target = target
        self._model = model
        self._options = options
        self._kind = ""
        self._streams = False  # because memory is short
        self._picture: Picture | None = None
        self._result: Picture | None = None
        self._report: RestoredFile | None = None
        self._elapsed_ms = 0.0

    def prepare(self) -> int:
        """Check what can be checked before reading, and decide how to go about the memory.

        Returns:
            Bytes that this job will take at its peak; 0 where there is no limit.

        Raises:
            PictureError: a target that cannot be, a source whose head is broken, or a picture for
                which the limit does not suffice.
            UsageError: the target is the source.
        """
        source, target, limit = self.source, self.target, self._options.max_memory_bytes
        self._kind = check_target(target)
        is_itself = target.exists() and source.exists() and target.samefile(source)
        if is_itself and not self._options.overwrite_input:
            raise UsageError(
                f"{target} is the input itself. Give another name, or ask for it to be "
                "overwritten (overwrite_input)."
            )
        if limit is None:
            return 0
        probed = probe_picture(source, self._options.max_pixels)
        need = memory_needed(probed, self._model, self._kind)  # which may try and choose tiles
        reserved = self._model.reserved_bytes
        limit -= reserved
        if need.whole <= limit:
            sides = probed.layout.height, probed.layout.width
            return reserved + (need.streamed if self._pays_to_stream(*sides) else need.whole)
        if need.decode > limit:
            raise PictureError(
                f"Cannot read {source}: decoding it takes up to {size_rounded_up(need.decode)}; "
                f"the limit for memory is {size_rounded_up(limit)}, and pictures are decoded "
                "whole. Give more (max_memory, --max-memory), or cut the picture."
            )
        if self._kind not in STREAMED:
            raise PictureError(
                f"Cannot write {target}: restoring it takes up to {size_rounded_up(need.whole)}; "
                f"the limit for memory is {size_rounded_up(limit)}, and {self._kind} cannot be "
                "written in strips. Write a .png, .tif or .jpg instead, or give more "
                "(max_memory, --max-memory)."
            )
        self._streams = True
        return reserved + min(need.streamed, limit)

    def read(self) -> None:
        """Decode the source."""
        with self._stage("reading"):
            self._picture = read_picture(self.source, self._options.max_pixels)

    def compute(self) -> None:
        """Restore the picture; where memory is short, write it at the same time."""
        assert self._picture is not None
        with self._stage("restoring"):
            if self._streams or self._pays_to_stream(self._picture.height, self._picture.width):
                self._stream(self._picture)
                return
            rows = PictureRows(self._model, self._picture)
            whole = WholePicture(rows.layout)
            rows.write_to(lambda: whole)
            self._result = whole.picture(self._picture.notes + tuple(dict.fromkeys(rows.notes)))

    def write(self) -> RestoredFile:
        """Write what has not been written, and say what was done."""
        with self._stage("writing"):
            if self._result is not None:
                notes = write_picture(self.target, self._result, self._options.quality)
                self._report = self._reported(self._result.notes + notes)
        self._picture = self._result = None
        assert self._report is not None
        return self._report

    def restore(self) -> RestoredFile:
        """All stages in a row."""
        self.prepare()
        self.read()
        self.compute()
        return self.write()

    def _pays_to_stream(self, height: int, width: int) -> bool:
        """Whether rows can be compressed while the model computes others."""
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
        alpha = picture.alpha
        is_transparent = alpha is not None and bool(alpha.min() < np.iinfo(alpha.dtype).max)
        format_notes = check_picture_fits(self.target, rows.layout, is_transparent)
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
        """Count its time, and say it plainly when the computer's own memory runs out."""
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
