"""Convert between pictures and a model: layout, value range, colour and batch size."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from swinir_deploy.errors import CheckFailedError, DeviceMemoryError
from swinir_deploy.pictures.values import to_levels
from swinir_deploy.runtimes.base import Runtime

__all__ = ["MemoryRanOutError", "ModelBridge"]

# The weights of red, green and blue in the Rec. 601 luma, as in Pillow's convert("L").
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


class MemoryRanOutError(Exception):
    """The runtime had no memory for a batch; ``__cause__`` is the error that it raised."""


class ModelBridge:
    """Runs tiles of a picture through a runtime; converts colour, dtype and layout.

    Args:
        runtime: an open runtime, which is not closed.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._spec = runtime.spec

    def notes(self, channels: int, dtype: np.dtype[Any]) -> list[str]:
        """Return sentences for the user about how the model treats such a picture.

        Args:
            channels: channels of the picture, 1 or 3.
            dtype: dtype of the picture.
        """
        notes = []
        if channels < self._spec.in_chans:
            notes.append("The model is for colour: gray went in as RGB, and the luma came out.")
        elif channels > self._spec.in_chans:
            notes.append("The model is for gray: red, green and blue were restored one by one.")
        if self._spec.io == "image" and dtype != np.uint8:
            notes.append("The model takes 8 bits: the picture was rounded to 8 bits.")
        return notes

    def run(self, tiles: NDArray[Any]) -> NDArray[Any]:
        """Restore tiles of one size.

        A gray tile goes through a colour model as three equal channels, and the result is the Rec.
        601 luma. A colour tile goes through a gray model as three gray tiles.

        Args:
            tiles: [n, height, width, 1 or 3] uint8, uint16 or float32 in 0..1.

        Returns:
            [n, height * scale, width * scale, same channels] in the value range of the model:
            float32 around 0..1, or 0..255 for models that take bytes. :meth:`to_dtype` converts
            it.

        Raises:
            MemoryRanOutError: the runtime has no memory for the batch.
            CheckFailedError: the model gave values that are not finite.
        """
        count, height, width, channels = tiles.shape
        if channels < self._spec.in_chans:
            tiles = tiles.repeat(3, axis=3)
        elif channels > self._spec.in_chans:
            tiles = tiles.transpose(0, 3, 1, 2).reshape(count * 3, height, width, 1)
        outputs = self._run_batches(self._to_model(tiles))
        if channels < self._spec.in_chans:
            luma: NDArray[Any] = outputs @ _LUMA
            return luma[..., None]
        if channels > self._spec.in_chans:
            outputs = outputs.reshape(count, 3, *outputs.shape[1:3]).transpose(0, 2, 3, 1)
        return outputs

    def to_dtype(self, values: NDArray[np.float32], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Return blended results of :meth:`run` as pixels of a picture.

        Values are clamped to the range of ``dtype``. Whole numbers are rounded half to even, as the
        official script does.

        Args:
            values: results of :meth:`run` in the value range of the model, of any shape.
            dtype: uint8, uint16 or float32.
        """
        if self._spec.io == "image":
            values = values / np.float32(255)
        values = np.clip(values, 0.0, 1.0)
        if dtype != np.float32:
            values = np.rint(values * np.float32(np.iinfo(dtype).max))
        result: NDArray[Any] = values.astype(dtype, copy=False)
        return result

    def _to_model(self, tiles: NDArray[Any]) -> NDArray[Any]:
        """Return [n, height, width, channels] tiles in the layout and dtype of the model."""
        if self._spec.io == "image":
            if tiles.dtype == np.uint16:
                tiles = (tiles.astype(np.uint32) + 128) // 257
            elif tiles.dtype == np.float32:
                tiles = to_levels(tiles)
            levels: NDArray[np.uint8] = tiles.astype(np.uint8, copy=False)
            return levels
        floats: NDArray[np.float32] = tiles.transpose(0, 3, 1, 2).astype(np.float32)
        if tiles.dtype != np.float32:
            floats /= np.float32(np.iinfo(tiles.dtype).max)
        return floats

    def _run_batches(self, tiles: NDArray[Any]) -> NDArray[Any]:
        """Return the results [n, height, width, channels] of n tiles in the model's layout."""
        min_batch, max_batch = self._spec.ranges[0]
        size = max_batch or len(tiles)
        outputs = []
        for first in range(0, len(tiles), size):
            batch = tiles[first : first + size]
            count = len(batch)
            if count < min_batch:
                batch = np.concatenate([batch, batch[-1:].repeat(min_batch - count, axis=0)])
            outputs.append(self._run(batch)[:count])
        joined = np.concatenate(outputs) if len(outputs) > 1 else outputs[0]
        return joined.transpose(0, 2, 3, 1) if self._spec.io == "tensor" else joined

    def _run(self, batch: NDArray[Any]) -> NDArray[Any]:
        try:
            result: NDArray[Any] = self._runtime.run(batch)
        except (DeviceMemoryError, MemoryError) as error:
            raise MemoryRanOutError from error
        if result.dtype.kind == "f" and not np.isfinite(result).all():
            spec = self._spec
            raise CheckFailedError(
                f"{spec.model_id or 'The model'} on {spec.backend} ({spec.precision}) gave values "
                "that are not finite; the picture would have black patches. Use an fp32 or bf16 "
                "model, or check the weights."
            )
        return result
