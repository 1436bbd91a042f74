"""Restore pictures of one size, such as the frames of a video, several at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swinir_deploy.pictures.picture import Picture
from swinir_deploy.restoration.rows import PictureRows, WholePicture
from swinir_deploy.restoration.tiled_model import TiledModel
from swinir_deploy.restoration.tiling import TilePlan

__all__ = ["FrameRestorer"]


class FrameRestorer:
    """Restores frames with a model; a batch may hold tiles of several frames.

    Args:
        model: the model; its batch is the number of tiles in a run.

    Attributes:
        notes: sentences for the user, each once.
    """

    def __init__(self, model: TiledModel) -> None:
        self._model = model
        self.notes: list[str] = []

    def frames_at_once(self, height: int, width: int) -> int:
        """Return how many frames of this size fill a batch; at least 1."""
        tiles = len(self._model.plan(height, width).tiles)
        return max(1, self._model.batch // tiles)

    def restore(self, frames: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        """Return the restored frames.

        Args:
            frames: [height, width, channels] uint8 or uint16 of one shape: gray (1 channel), RGB
                (3) or RGB and opacity (4), as in :meth:`Restorer.restore_picture`.

        Raises:
            DeviceMemoryError: the memory does not suffice for the smallest tile.
            CheckFailedError: the model gave values that are not finite.
        """
        if not frames:
            return []
        height, width, channels = frames[0].shape
        if channels == 4:
            return [self._with_opacity(frame) for frame in frames]
        self._note(self._model.bridge.notes(channels, frames[0].dtype))
        notes: list[str] = []

        def work(plan: TilePlan) -> list[NDArray[Any]]:
            return self._model.restored(frames, plan)

        restored = self._model.attempt(height, width, notes, work)
        self._note(notes)
        return restored

    def _with_opacity(self, frame: NDArray[Any]) -> NDArray[Any]:
        picture = Picture(np.ascontiguousarray(frame[..., :3]), frame[..., 3].copy())
        rows = PictureRows(self._model, picture)
        whole = WholePicture(rows.layout)
        rows.write_to(lambda: whole)
        result = whole.picture()
        self._note(rows.notes)
        assert result.alpha is not None
        return np.concatenate([result.pixels, result.alpha[..., None]], axis=2)

    def _note(self, notes: Sequence[str]) -> None:
        self.notes += [note for note in dict.fromkeys(notes) if note not in self.notes]
