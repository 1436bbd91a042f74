"""What an evaluation found."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from swinir_deploy.evaluation.protocol import Protocol
from swinir_deploy.runtimes import RuntimeSpec

__all__ = ["EvaluationReport", "PictureScore", "StatedFigure"]

Scores = dict[str, float]


@dataclass(frozen=True)
class PictureScore:
    """One picture.

    Attributes:
        name: of its file.
        height: of the result, in pixels.
        width: of the result, in pixels.
        scores: of the model's result: ``psnr_y`` and so on, PSNR in dB; without what the picture
            is too small for.
        baseline: the same for the bicubic, noisy or JPEG picture.
        reference: the same for the FP32 network in PyTorch; None where it was not run.
    """

    name: str
    height: int
    width: int
    scores: Scores
    baseline: Scores
    reference: Scores | None = None


@dataclass(frozen=True)
class StatedFigure:
    """A figure of the catalogue beside what was measured.

    Attributes:
        dataset: such as ``Set5``.
        metric: such as ``psnr_y``.
        stated: the figure.
        measured: here, the mean over the folder.
        source: who states it.
    """

    dataset: str
    metric: str
    stated: float
    measured: float
    source: str

    @property
    def difference(self) -> float:
        """Measured minus stated."""
        return self.measured - self.stated


@dataclass(frozen=True)
class EvaluationReport:
    """A model on a folder of pictures, by the paper's protocol.

    Attributes:
        model: the file or id that was measured.
        spec: of its runtime.
        protocol: task, scale, noise or quality.
        data: the folder.
        dataset: of the catalogue's figures that the folder is named after, or None.
        tile: side of the tiles in input pixels; None for whole pictures, as the paper has it.
        self_ensemble: whether results are the mean over the eight flips and turns.
        pictures: in the order of their names.
        reference: id of the network in PyTorch and FP32 that ran on the same pictures, or None.
        stated: the catalogue's figures for this model on this data set.
        notes: what else is to be known, as sentences.
        seconds: that it took.
    """

    model: str
    spec: RuntimeSpec
    protocol: Protocol
    data: str
    dataset: str | None
    tile: int | None
    self_ensemble: bool
    pictures: tuple[PictureScore, ...]
    reference: str | None
    stated: tuple[StatedFigure, ...]
    notes: tuple[str, ...]
    seconds: float

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the measures that the paper gives for the task, PSNR first."""
        return self.protocol.metrics

    @property
    def mean(self) -> Scores:
        """Plain means over the pictures, of dB too, as the official script has them."""
        return mean_scores([picture.scores for picture in self.pictures])

    @property
    def mean_baseline(self) -> Scores:
        """The same for the baseline."""
        return mean_scores([picture.baseline for picture in self.pictures])

    @property
    def mean_reference(self) -> Scores | None:
        """The same for the reference; None where it was not run."""
        found = [p.reference for p in self.pictures if p.reference is not None]
        return mean_scores(found) if found else None

    @property
    def reference_difference_db(self) -> float | None:
        """Mean PSNR minus that of FP32 PyTorch; None where it was not run."""
        reference, metric = self.mean_reference, self.metrics[0]
        return None if reference is None else _gap(self.mean[metric], reference[metric])

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; infinite figures as text."""
        values = asdict(self) | {
            "metrics": self.metrics,
            "border_px": self.protocol.border_px,
            "mean": self.mean,
            "mean_baseline": self.mean_baseline,
            "mean_reference": self.mean_reference,
            "reference_difference_db": self.reference_difference_db,
            "stated": [asdict(s) | {"difference": s.difference} for s in self.stated],
        }
        plain: dict[str, Any] = _plain(values)
        return plain


def mean_scores(scores: list[Scores]) -> Scores:
    """The mean of every measure, over the pictures that it was taken of."""
    names = dict.fromkeys(name for one in scores for name in one)
    return {
        name: sum(one[name] for one in scores if name in one) / sum(name in one for one in scores)
        for name in names
    }


def _gap(first: float, second: float) -> float:
    """``first - second``; 0 for two that are infinite."""
    return 0.0 if first == second else first - second


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
