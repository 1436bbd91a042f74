"""Keep parts of pictures for a page: before, after, and the difference times 8, without loss."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from swinir_deploy.evaluation.degradations import bicubic_resize
from swinir_deploy.evaluation.protocol import Sample
from swinir_deploy.pictures.values import to_levels

__all__ = ["DIFFERENCE_FACTOR", "MAX_PICTURES", "MAX_SIDE_PX", "Gallery", "Panel", "ShownPicture"]

MAX_PICTURES = 4
"""Pictures on a page: the first ones, and the one with the lowest score."""

MAX_SIDE_PX = 384
"""Largest side of the part of a picture that is shown. Four panels of that size take about 0.5 MB
in a page."""

DIFFERENCE_FACTOR = 8

Levels = NDArray[np.uint8]


@dataclass(frozen=True)
class Panel:
    """One picture of those that are compared.

    Attributes:
        label: what it is, such as ``restored``.
        uri: the pixels as a data URI: lossless WebP.
    """

    label: str
    uri: str


@dataclass(frozen=True)
class ShownPicture:
    """A part of a picture in several states.

    Attributes:
        name: name of the picture.
        caption: which part it is, and what the panels are, as sentences.
        width: width of every panel in pixels.
        height: height of every panel in pixels.
        panels: the states; the last one is the difference.
        left: number of the panel that is shown on the left at first.
        right: likewise on the right.
    """

    name: str
    caption: str
    width: int
    height: int
    panels: tuple[Panel, ...]
    left: int
    right: int


class Gallery:
    """The pictures that one command shows.

    Attributes:
        pictures: at most :data:`MAX_PICTURES`, in the order in which they came.
    """

    def __init__(self) -> None:
        """Begin without pictures."""
        self._kept: list[tuple[float, ShownPicture]] = []

    @property
    def pictures(self) -> tuple[ShownPicture, ...]:
        """The pictures that were kept."""
        return tuple(picture for _, picture in self._kept)

    def add_measured(self, name: str, sample: Sample, restored: Levels, score: float) -> None:
        """Keep a picture of an evaluation, if it is one of the first or has the lowest score.

        Args:
            name: name of the picture's file.
            sample: the original, and what the model got.
            restored: [height, width, 1 or 3] uint8, the model's result.
            score: the first metric; of two pictures, the lower score is kept.
        """
        if not self._has_room(score):
            return
        baseline = sample.baseline
        is_smaller = sample.degraded.shape[:2] != baseline.shape[:2]
        before = "bicubic" if is_smaller else "degraded"
        panels = {"original": sample.truth, before: baseline, "restored": restored}
        said = f"{score:.2f} dB. The difference is that of restored and original"
        where = _busiest(restored, baseline)
        self._keep(score, _shown(name, said, panels, where, ("original", "restored"), (1, 2)))

    def add_compared(
        self,
        name: str,
        given: NDArray[np.float32],
        output: NDArray[Any],
        expected: NDArray[Any],
    ) -> None:
        """Keep a picture of a comparison with the network. Other data than pictures are left out.

        Args:
            name: name of the picture; ``synthetic`` is not kept.
            given: [1, channels, height, width] float32 in 0..1, the model's input.
            output: what the back end gave: float32 like ``given``, or NHWC uint8.
            expected: what the network gave, likewise.
        """
        after, wanted = _levels(output), _levels(expected)
        if name == "synthetic" or after.shape[2] not in (1, 3) or given.shape[1] not in (1, 3):
            return
        before = _levels(given)
        scale = after.shape[0] // before.shape[0]
        if scale > 1:
            before = bicubic_resize(before, scale)
        if before.shape[:2] != after.shape[:2]:
            return
        first = "input, bicubic" if scale > 1 else "input"
        panels = {first: before, "restored": after, "PyTorch, fp32": wanted}
        most = int(np.abs(after.astype(int) - wanted).max())
        said = (
            f"The difference is that of restored and PyTorch in fp32: at most {most} of 255 levels"
        )
        where = _busiest(after, _like(before, after))
        difference = ("restored", "PyTorch, fp32")
        self._keep(-float(most), _shown(name, said, panels, where, difference, (0, 1)))

    def _has_room(self, score: float) -> bool:
        return len(self._kept) < MAX_PICTURES or score < self._kept[-1][0]

    def _keep(self, score: float, picture: ShownPicture) -> None:
        if not self._has_room(score):
            return
        del self._kept[MAX_PICTURES - 1 :]
        self._kept.append((score, picture))


def _shown(
    name: str,
    said: str,
    panels: dict[str, Levels],
    where: tuple[slice, slice],
    difference: tuple[str, str],
    at_first: tuple[int, int],
) -> ShownPicture:
    first, second = (panels[label].astype(np.int16) for label in difference)
    apart = (np.abs(first - second) * DIFFERENCE_FACTOR).clip(0, 255).astype(np.uint8)
    all_panels = panels | {f"difference \u00d7 {DIFFERENCE_FACTOR}": apart}
    rows, columns = where
    whole = apart.shape
    height, width = rows.stop - rows.start, columns.stop - columns.start
    part = "The whole picture"
    if (height, width) != whole[:2]:
        part = (
            f"The part of {width}x{height} pixels where the model changed most, at "
            f"{columns.start}, {rows.start} of {whole[1]}x{whole[0]}"
        )
    return ShownPicture(
        name,
        f"{said}. {part}.",
        width,
        height,
        tuple(Panel(label, _uri(pixels[where])) for label, pixels in all_panels.items()),
        *at_first,
    )


def _levels(values: NDArray[Any]) -> Levels:
    """Return the first picture of a batch, NCHW float32 or NHWC uint8, as [h, w, c] uint8."""
    if values.dtype == np.uint8:
        return np.asarray(values[0])
    finite = np.nan_to_num(np.asarray(values[0], np.float32), nan=0.0, posinf=1.0, neginf=0.0)
    return to_levels(np.ascontiguousarray(finite.transpose(1, 2, 0)))


def _like(pixels: Levels, other: Levels) -> Levels:
    """Return a picture with as many channels as another, for a comparison with it."""
    if pixels.shape[2] == other.shape[2]:
        return pixels
    gray = pixels.mean(axis=2, keepdims=True).astype(np.uint8)
    return np.repeat(gray, other.shape[2], axis=2)


def _busiest(after: Levels, before: Levels) -> tuple[slice, slice]:
    """Return rows and columns of the part of at most MAX_SIDE_PX where two pictures differ most."""
    changed = np.abs(after.astype(np.float32) - before).mean(axis=2)
    height, width = (min(side, MAX_SIDE_PX) for side in changed.shape)
    total = np.pad(changed, ((1, 0), (1, 0))).cumsum(0, np.float64).cumsum(1)
    boxes = total[height:, width:] - total[:-height, width:]
    boxes = boxes - total[height:, :-width] + total[:-height, :-width]
    top, left = (int(i) for i in np.unravel_index(boxes.argmax(), boxes.shape))
    return slice(top, top + height), slice(left, left + width)


def _uri(pixels: Levels) -> str:
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).convert("RGB")
    written = io.BytesIO()
    image.save(written, "WEBP", lossless=True, quality=60, method=4, exact=True)
    return f"data:image/webp;base64,{base64.b64encode(written.getvalue()).decode()}"
