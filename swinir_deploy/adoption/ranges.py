"""Find the range of a foreign model's values by what it makes of a photograph."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.resources import as_file, files

import numpy as np
from numpy.typing import NDArray

from swinir_deploy.adoption.clues import Clues
from swinir_deploy.adoption.convention import BYTES, SIGNED, UNIT, Convention, ValueRange
from swinir_deploy.adoption.probe import Judge, Probe
from swinir_deploy.comparison import compare
from swinir_deploy.pictures.read import read_picture
from swinir_deploy.pictures.values import to_values

__all__ = ["FoundRange", "find_range"]

_CERTAIN_DB, _USUAL_DB = 1.0, 0.2
"""By how many dB the best range must be ahead of all others to count as found; the second is for
0..1, which most models have. LayerNorm makes networks so indifferent to scale that the built-in
models, all for 0..1, lose only 0.3 to 4 dB with values of 0..255."""

_PICTURE_DB = 15.0
"""A result that is this near to what the network makes of the photograph is a picture of it."""

_GAIN_DB = 0.5
"""A model that restores is better by this than its input, enlarged by repeating pixels. What gives
its input back is the better the wider the range, which says nothing about the range."""


@dataclass(frozen=True)
class FoundRange:
    """The range of a model's values, and how it was found.

    Attributes:
        probe: the model with this range.
        range_source: ``bytes``, ``graph``, ``run``, ``checkpoint``, ``given`` or ``assumed``.
        order_source: how the order of the channels was found, in the same words.
    """

    probe: Probe
    range_source: str
    order_source: str


def find_range(
    probe: Probe,
    scale: int,
    size: tuple[int, int],
    clues: Clues,
    *,
    given: ValueRange | None = None,
    bgr: bool | None = None,
    judge: Judge | None = None,
) -> FoundRange:
    """Find the values of black and white, and the order of the channels.

    The network that the model came from tells both. Without it, bytes tell their range, and so
    does a graph that divides by 255. Otherwise the model restores a photograph that was reduced
    (or had noise added) in each range; the one with the best result is taken if it is clearly the
    best. The order of the channels can be told by the mean that a graph subtracts.

    Args:
        probe: the model.
        scale: its scale.
        size: a height and width that it takes.
        clues: what its constants say.
        given: the range of inputs and outputs in floats, if the user has named it.
        bgr: whether blue comes first, if the user has said so.
        judge: the network that it came from, if that is known.
    """
    pairs = _pairs(probe.convention, clues, given)
    orders = [bgr] if bgr is not None else [False, True] if judge is not None else [bool(clues.bgr)]
    truth, degraded = _photograph(probe, scale, size)
    lowest_db = _psnr(degraded.repeat(scale, axis=2).repeat(scale, axis=3), truth) + _GAIN_DB
    if judge is not None:
        truth, lowest_db = judge(degraded), _PICTURE_DB
    scores = []
    for order in orders if probe.convention.channels == 3 else [False]:
        for into, out in pairs:
            own = replace(probe.convention, input_range=into, output_range=out, bgr=order)
            candidate = probe.with_convention(own)
            scores.append((_psnr(candidate.run(degraded), truth), candidate))
    best_db, best = max(scores, key=lambda score: score[0])
    others = [score for score, candidate in scores if candidate is not best]
    ahead_db = _USUAL_DB if best is scores[0][1] else _CERTAIN_DB
    is_clear = best_db >= lowest_db and all(best_db >= other + ahead_db for other in others)
    order_source = "given" if bgr is not None else "assumed" if clues.bgr is None else "graph"
    if judge is not None and is_clear and len(scores) > 1:
        return FoundRange(best, "checkpoint", "checkpoint")
    if len(pairs) == 1:
        own = probe.convention
        is_bytes = "uint8" in (own.input_dtype, own.output_dtype)
        source = "given" if given is not None else "bytes" if is_bytes else "graph"
        return FoundRange(best, source, order_source)
    chosen = best if is_clear else scores[0][1]
    return FoundRange(chosen, "run" if is_clear else "assumed", order_source)


def _pairs(
    own: Convention, clues: Clues, given: ValueRange | None
) -> list[tuple[ValueRange, ValueRange]]:
    """Return the ranges of input and output that are possible, the usual one first."""
    if own.input_dtype == "uint8":
        inputs = [BYTES]
    else:
        known = given or clues.input_range
        inputs = [known] if known is not None else [UNIT, BYTES, SIGNED]
    if own.output_dtype == "uint8":
        return [(into, BYTES) for into in inputs]
    if given is not None:
        return [(into, given) for into in inputs]
    if own.input_dtype == "uint8":
        return [(BYTES, UNIT), (BYTES, BYTES)]
    return [(into, into) for into in inputs]


def _psnr(restored: NDArray[np.float32] | None, truth: NDArray[np.float32]) -> float:
    if restored is None or restored.shape != truth.shape:
        return -np.inf
    return compare(np.clip(restored, -1, 2), truth).psnr_db


def _photograph(
    probe: Probe, scale: int, size: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return a photograph and what a model is to restore of it, both [batch, C, H, W] in 0..1."""
    height, width = size
    batch = probe.foreign.input.dims[0] or 1
    with as_file(files("swinir_deploy") / "demo" / "chelsea.png") as path:
        pixels = to_values(read_picture(path).pixels)
    rows, columns = (np.arange(side * scale) for side in (height, width))
    # A picture that is larger than the photograph repeats it.
    cut = pixels[(rows + 60) % len(pixels)][:, (columns + 90) % pixels.shape[1]]
    if probe.convention.channels == 1:
        cut = cut.mean(axis=2, keepdims=True)
    truth = np.repeat(cut.transpose(2, 0, 1)[None], batch, axis=0).astype(np.float32)
    if scale == 1:
        noise = np.random.default_rng(0).normal(0, 15 / 255, truth.shape)
        return truth, np.clip(truth + noise, 0, 1).astype(np.float32)
    parts = truth.reshape(batch, -1, height, scale, width, scale)
    return truth, parts.mean(axis=(3, 5), dtype=np.float32)
