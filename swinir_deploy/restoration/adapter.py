"""Between pictures and a model: layout, number range, colour, batch size."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from swinir_deploy.errors import CheckFailedError, DeviceMemoryError
from swinir_deploy.pictures.values import to_levels
from swinir_deploy.runtimes.base import Runtime

__all__ = ["MemoryRanOutError", "ModelBridge"]

# Rec. 601 luma, as Pillow's convert("L").
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


class MemoryRanOutError(Exception):
    """The runtime had no memory for a batch; the cause is what it raised."""


class ModelBridge:
    """Feeds tiles of a gray or colour picture of any dtype to a runtime of any kind."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._spec = runtime.spec

    def notes(self, channels: int, dtype: np.dtype[Any]) -> list[str]:
        """What a user should know about such a picture on this model, as sentences."""
        notes = []
        if channels < self._spec.in_chans:
            notes.append("The model is for colour: gray went in as RGB, the luma came out.")
        elif channels > self._spec.in_chans:
            notes.append("The model is for gray: red, green and blue were restored one by one.")
        if self._spec.io == "image" and dtype != np.uint8:
            notes.append("The model has 8 bits: the picture was rounded to them on the way.")
        return notes

    def run(self, tiles: NDArray[Any]) -> NDArray[Any]:
        """Restore tiles of one size.

        A gray tile goes through a colour model as three equal channels, and the Rec. 601 luma of
        the result is given; a colour tile goes through a gray model as a batch of three.

        Args:
            tiles: [n, height, width, 1 or 3] uint8, uint16 or float32 0..1.

        Returns:
            [n, height * scale, width * scale, same channels] float32 around 0..1, or whatever
            8-bit models give around 0..255: :meth:`to_dtype` knows.

        Raises:
            MemoryRanOutError: the runtime says so.
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
        """Results of :meth:`run`, blended, as a picture of ``dtype``.

        Clamped to the range; whole numbers rounded half to even, as the official script does.
        """
        if self._spec.io == "image":
            values = values / np.float32(255)
        values = np.clip(values, 0.0, 1.0)
        if dtype != np.float32:
            values = np.rint(values * np.float32(np.iinfo(dtype).max))
        result: NDArray[Any] = values.astype(dtype, copy=False)
        return result

    def _to_model(self, tiles: NDArray[Any]) -> NDArray[Any]:
        """[n, height, width, channels] of a picture's dtype in the model's layout and dtype."""
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
        """Results [n, height, width, channels] for n tiles in the model's layout."""
        least, most = self._spec.ranges[0]
        size = most or len(tiles)
        outputs = []
        for first in range(0, len(tiles), size):
            batch = tiles[first : first + size]
            count = len(batch)
            if count < least:
                batch = np.concatenate([batch, batch[-1:].repeat(least - count, axis=0)])
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
