"""Frames through the model: in batches, equal neighbours once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swinir_deploy.restoration.frames import FrameRestorer
from swinir_deploy.video.convert import Picture

__all__ = ["FrameWork"]


class FrameWork:
    """Restores frames in groups that fill a batch.

    Attributes:
        repeated: number of frames that were equal to the one before and were not computed.
        model_s: time in which the model computed, in seconds.

    Args:
        frames: restores frames.
        at_once: number of frames that fill a batch.
        dedupe: whether a frame that equals the one before it is computed once.
    """

    def __init__(self, frames: FrameRestorer, at_once: int, dedupe: bool) -> None:
        self._frames, self._at_once, self._dedupe = frames, at_once, dedupe
        self._last_pixels: NDArray[Any] | None = None
        self._last_result: NDArray[Any] | None = None
        self.repeated = 0
        self.model_s = 0.0

    def restored(self, items: Iterator[Any]) -> Iterator[Any]:
        """Yield restored frames in their order; other items pass as they come.

        Args:
            items: frames (:class:`Picture`), and packets of other streams among them.
        """
        group: list[Picture] = []
        to_compute = 0
        for item in items:
            if not isinstance(item, Picture):
                yield item
                continue
            before = group[-1].pixels if group else self._last_pixels
            if not self._is_equal(before, item.pixels):
                to_compute += 1
            elif group and before is not None:
                item = replace(item, pixels=before)  # the same array, to be found equal at once
            group.append(item)
            # A still picture must not make the group grow.
            if to_compute >= self._at_once or len(group) >= 2 * self._at_once:
                yield from self._computed(group)
                group, to_compute = [], 0
        yield from self._computed(group)

    def _computed(self, group: list[Picture]) -> Iterator[Picture]:
        """Yield the results of a group of frames."""
        fresh: list[NDArray[Any]] = []
        places = []
        for picture in group:
            if not self._is_equal(self._last_pixels, picture.pixels):
                fresh.append(picture.pixels)
            self._last_pixels = picture.pixels
            places.append(len(fresh) - 1)
        started = time.perf_counter()
        results = self._frames.restore(fresh)
        self.model_s += time.perf_counter() - started
        self.repeated += len(group) - len(fresh)
        for picture, place in zip(group, places, strict=True):
            if place >= 0:
                self._last_result = results[place]
            assert self._last_result is not None
            yield replace(picture, pixels=self._last_result)

    def _is_equal(self, one: NDArray[Any] | None, other: NDArray[Any]) -> bool:
        if not self._dedupe or one is None:
            return False
        return one is other or bool(np.array_equal(one, other))
