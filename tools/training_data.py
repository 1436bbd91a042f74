"""Training pictures in memory: sharp versions of each picture, reduced once, cropped for free."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[np.uint8]

SUFFIXES = {".jpg", ".jpeg", ".png"}
STRIDE = 4
"""Crops of the reduced picture start at multiples of this many pixels."""
AROUND = 8
"""Pixels around a crop that are degraded with it: edges stay outside, and a crop begins anywhere in
the blocks of its JPEG."""


def sharp_versions(path: Path) -> Iterator[Pixels]:
    """Return the picture at one or two sizes at which it is sharp, [H, W, 3].

    Camera pictures carry sensor noise, JPEG blocks and little detail at their full size;
    halved or quartered they are what a super-resolution network should learn to draw.
    """
    with Image.open(path) as opened:
        image = opened.convert("RGBA" if opened.mode == "P" else "RGB").convert("RGB")
    longest = max(image.size)
    lossy = path.suffix.lower() != ".png"
    if longest > 3000:
        sides = [1600, 960]
    elif longest > 1400:
        sides = [longest // 2, longest // 3]
    else:
        sides = [longest * 3 // 4 if lossy else longest, longest // 2]
    for side in sides:
        size = tuple(max(1, round(length * side / longest)) for length in image.size)
        if min(size) >= 160:
            yield np.asarray(image.resize(size, Image.Resampling.LANCZOS, reducing_gap=4.0))


def stamp_sheets(paths: list[Path], side: int = 1024) -> Iterator[Pixels]:
    """Cut-out photographs and drawings (RGBA) laid in rows on sheets of plain colours."""
    colours = np.random.default_rng(0)
    sheet, x, y, row = None, 0, 0, 0
    for path in paths:
        with Image.open(path) as opened:
            stamp = opened.convert("RGBA")
        if max(stamp.size) > 400:
            stamp.thumbnail((400, 400), Image.Resampling.LANCZOS)
        if sheet is not None and x + stamp.width > side:
            x, y, row = 0, y + row, 0
        if sheet is None or y + stamp.height > side:
            if sheet is not None:
                yield np.asarray(sheet)
            sheet = Image.new("RGB", (side, side), tuple(colours.integers(0, 256, 3).tolist()))
            x, y, row = 0, 0, 0
        sheet.paste(stamp, (x, y), stamp)
        x, row = x + stamp.width, max(row, stamp.height)
    if sheet is not None:
        yield np.asarray(sheet)


def load_versions(folder: Path) -> dict[str, list[Pixels]]:
    """All pictures of a folder (see training_pictures.py) by name, at their sharp sizes.

    Exact copies of a picture are taken once.
    """
    versions: dict[str, list[Pixels]] = {}
    stamps: list[Path] = []
    seen: set[str] = set()
    for path in sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if digest in seen:
            continue
        seen.add(digest)
        if path.name.startswith("tuxpaint-stamps"):
            stamps.append(path)
        else:
            versions[path.stem] = list(sharp_versions(path))
    for number, sheet in enumerate(stamp_sheets(stamps)):
        versions[f"stamps{number:02}"] = [sheet]
    return versions


def _crop_weights(low: Pixels, patch: int) -> npt.NDArray[np.float64]:
    """How often each crop of the reduced picture is drawn: flat crops teach little.

    Returns:
        ``[rows, columns]`` of crop positions, ``STRIDE`` apart.
    """
    gray = low.astype(np.float64).mean(axis=2)
    detail = np.zeros_like(gray)
    detail[1:] += np.abs(np.diff(gray, axis=0))
    detail[:, 1:] += np.abs(np.diff(gray, axis=1))
    total = np.pad(detail, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    boxes = total[patch:, patch:] - total[:-patch, patch:]
    boxes = boxes - total[patch:, :-patch] + total[:-patch, :-patch]
    mean = boxes[::STRIDE, ::STRIDE] / patch**2
    return np.clip(mean, 0.5, 16.0)


class PatchSampler:
    """Draws batches of aligned crops with random flips and transpositions.

    Args:
        pairs: (high, low) pictures [H, W, channels].
        scale: side of high divided by side of low.
        patch: side of a crop of low.
        seed: of the sampler's own random generator.
        degrade: makes low from a crop of high and a seed, anew each time; the low pictures then
            only tell where there is detail. None crops both.
    """

    def __init__(
        self,
        pairs: list[tuple[Pixels, Pixels]],
        scale: int,
        patch: int,
        seed: int,
        degrade: Callable[[Pixels, int], Pixels] | None = None,
    ) -> None:
        self.scale, self.patch, self.degrade = scale, patch, degrade
        self.drawn = patch + AROUND if degrade else patch
        self.pairs = [(h, lo) for h, lo in pairs if min(lo.shape[:2]) >= self.drawn]
        self.random = np.random.default_rng(seed)
        weights = [_crop_weights(low, self.drawn) for _, low in self.pairs]
        self.columns = [w.shape[1] for w in weights]
        self.starts = np.cumsum([0] + [w.size for w in weights])
        self.cumulative = np.cumsum(np.concatenate([w.ravel() for w in weights]))

    def batch(self, size: int) -> tuple[Pixels, Pixels]:
        """``[size, C, patch, patch]`` and ``[size, C, patch * scale, patch * scale]``."""
        draws = self.random.random(size) * self.cumulative[-1]
        positions = np.searchsorted(self.cumulative, draws, side="right")
        lows, highs = [], []
        for position in np.minimum(positions, len(self.cumulative) - 1):
            which = int(np.searchsorted(self.starts, position, side="right")) - 1
            row, column = divmod(int(position - self.starts[which]), self.columns[which])
            pair = self._pair(which, row * STRIDE, column * STRIDE)
            flips = self.random.integers(0, 2, 3)
            for crop, out in zip(pair, (highs, lows), strict=True):
                flipped = crop[:: 1 - 2 * flips[0], :: 1 - 2 * flips[1]]
                out.append(flipped.transpose((2, 1, 0) if flips[2] else (2, 0, 1)))
        return np.stack(lows), np.stack(highs)

    def _pair(self, which: int, top: int, left: int) -> tuple[Pixels, Pixels]:
        """Return the crops (high, low) at a place of the reduced picture."""
        high, low = self.pairs[which]
        if self.degrade is None:
            return self._high(high, top, left, self.patch), _cut(low, top, left, self.patch)
        high = np.ascontiguousarray(self._high(high, top, left, self.drawn))
        low = self.degrade(high, int(self.random.integers(2**32)))
        top, left = (int(offset) for offset in self.random.integers(0, AROUND + 1, 2))
        return self._high(high, top, left, self.patch), _cut(low, top, left, self.patch)

    def _high(self, picture: Pixels, top: int, left: int, side: int) -> Pixels:
        """Return the part of a good picture at a place and of a side of the reduced one."""
        return _cut(picture, top * self.scale, left * self.scale, side * self.scale)


def _cut(picture: Pixels, top: int, left: int, side: int) -> Pixels:
    return picture[top : top + side, left : left + side]
