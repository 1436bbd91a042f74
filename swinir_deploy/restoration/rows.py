"""Restore a picture row by row, from top to bottom, with the opacity beside the colours."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from dataclasses import replace
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swinir_deploy.pictures.alpha import AlphaScaler, fill_transparent
from swinir_deploy.pictures.picture import Picture, PictureLayout
from swinir_deploy.pictures.write import RowSink
from swinir_deploy.restoration.tiled_model import TiledModel
from swinir_deploy.restoration.tiling import TilePlan

__all__ = ["PictureRows", "WholePicture", "layout_after"]


def layout_after(layout: PictureLayout, scale: int) -> PictureLayout:
    """Return the layout of the result for a picture of ``layout``."""
    return replace(layout, width=layout.width * scale, height=layout.height * scale)


class PictureRows:
    """Restores a picture into a sink for rows.

    First, fully transparent pixels get the colour of the visible pixels around them. A gray model
    scales the opacity as a second picture; for a colour model it is scaled by bicubic
    interpolation. A model of scale 1 does not change the opacity.

    Attributes:
        layout: layout of the result.
        notes: sentences for the user; more may be added while rows are computed.
    """

    def __init__(self, model: TiledModel, picture: Picture) -> None:
        self._model = model
        self._picture = picture
        self.layout = layout_after(picture.layout, model.spec.scale)
        self.notes = model.bridge.notes(picture.layout.colours, picture.pixels.dtype)
        self._pixels = picture.pixels
        if picture.alpha is not None:
            self._pixels = fill_transparent(picture.pixels, picture.alpha)
            if model.spec.scale > 1:
                self.notes.append(
                    "The opacity was scaled by the model, as a gray picture."
                    if self._is_gray_model
                    else "The opacity was scaled by bicubic interpolation."
                )

    @property
    def _is_gray_model(self) -> bool:
        return self._model.spec.in_chans == 1

    def write_to(
        self,
        open_sink: Callable[[], AbstractContextManager[RowSink]],
        most_rows: int | None = None,
    ) -> None:
        """Compute all rows and write them to a sink.

        Args:
            open_sink: returns an empty sink. It is called again if memory ran out before the end.
            most_rows: the largest height of a tile in input pixels; None for no limit.

        Raises:
            DeviceMemoryError: the memory does not suffice for the smallest tile.
            CheckFailedError: the model gave values that are not finite.
        """

        def work(plan: TilePlan) -> None:
            # Tiles are computed ahead in a thread. It must end before the runtime is closed, also
            # after an error.
            with open_sink() as sink, contextlib.closing(self._rows(plan)) as pieces:
                for rows in pieces:
                    sink.write_rows(rows)

        self._model.attempt(self._picture.height, self._picture.width, self.notes, work, most_rows)

    def _rows(self, plan: TilePlan) -> Generator[NDArray[Any], None, None]:
        """Yield the rows of the result as [n, width, channels]."""
        colours = self._model.strips(self._pixels, plan)
        alpha = self._picture.alpha
        if alpha is None:
            yield from colours
        elif self._is_gray_model and self._model.spec.scale > 1:
            opacity = self._model.strips(alpha[..., None], plan, is_main=False)
            for pair in zip(colours, opacity, strict=True):
                yield np.concatenate(pair, axis=2)
        else:
            scaler = AlphaScaler(alpha, self._model.spec.scale)
            done = 0
            for rows in colours:
                beside = scaler.rows(done, len(rows))[..., None]
                yield np.concatenate([rows, beside], axis=2)
                done += len(rows)


class WholePicture:
    """A sink that keeps the whole picture in memory."""

    def __init__(self, layout: PictureLayout) -> None:
        self._layout = layout
        shape = (layout.height, layout.width)
        self._pixels: NDArray[Any] = np.empty((*shape, layout.colours), layout.dtype)
        self._alpha: NDArray[Any] | None = (
            np.empty(shape, layout.dtype) if layout.has_alpha else None
        )
        self._done = 0

    def write_rows(self, rows: NDArray[Any]) -> None:
        """Append [n, width, channels] rows."""
        place = slice(self._done, self._done + len(rows))
        self._pixels[place] = rows[..., : self._layout.colours]
        if self._alpha is not None:
            self._alpha[place] = rows[..., -1]
        self._done += len(rows)

    def picture(self, notes: tuple[str, ...] = ()) -> Picture:
        """Return the picture that was written, with these notes."""
        layout = self._layout
        return Picture(
            self._pixels,
            self._alpha,
            layout.icc_profile,
            layout.dpi,
            notes,
            layout.metadata,
            layout.value_range,
            layout.is_lossless,
        )

    def __enter__(self) -> WholePicture:
        self._done = 0
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass
