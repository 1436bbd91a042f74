"""A restored picture as rows: colours and opacity side by side, from top to bottom."""

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
    """Of the result for a picture of ``layout``."""
    return replace(layout, width=layout.width * scale, height=layout.height * scale)


class PictureRows:
    """Restores a picture into whatever takes rows.

    Colours under full transparency are replaced by those around them first. Opacity itself is
    scaled by a gray model as a picture of its own, else by bicubic interpolation; a model of scale
    1 leaves it alone.

    Attributes:
        layout: of the result.
        notes: what a user would want to know, as sentences; more come while rows are made.
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
        """Compute all rows and hand them on.

        Args:
            open_sink: gives an empty sink; called again when memory ran out half way.
            most_rows: height of a tile in input pixels at most.

        Raises:
            DeviceMemoryError: memory runs out even with the smallest tile.
            CheckFailedError: the model gave values that are not finite.
        """

        def work(plan: TilePlan) -> None:
            # Closed before anyone closes the runtime, whatever happens: tiles are computed ahead.
            with open_sink() as sink, contextlib.closing(self._rows(plan)) as pieces:
                for rows in pieces:
                    sink.write_rows(rows)

        self._model.attempt(self._picture.height, self._picture.width, self.notes, work, most_rows)

    def _rows(self, plan: TilePlan) -> Generator[NDArray[Any], None, None]:
        """[n, width, channels] of the result."""
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
    """A sink that keeps the picture in memory."""

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
        here = slice(self._done, self._done + len(rows))
        self._pixels[here] = rows[..., : self._layout.colours]
        if self._alpha is not None:
            self._alpha[here] = rows[..., -1]
        self._done += len(rows)

    def picture(self, notes: tuple[str, ...] = ()) -> Picture:
        """What has been written."""
        layout = self._layout
        return Picture(self._pixels, self._alpha, layout.icc_profile, layout.dpi, notes)

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
