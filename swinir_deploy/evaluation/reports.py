"""The report of an evaluation."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from swinir_deploy.evaluation.protocol import Protocol
from swinir_deploy.runtimes import RuntimeSpec

__all__ = ["EvaluationReport", "PictureScore", "StatedFigure", "UnmeasuredPicture"]

Scores = dict[str, float]


@dataclass(frozen=True)
class PictureScore:
    """The scores of one picture.

    Attributes:
        name: name of the picture's file.
        height: height of the result in pixels.
        width: width of the result in pixels.
        scores: name of a metric, such as ``psnr_y`` -> score of the model's result, PSNR in dB.
            Metrics that the picture is too small for are left out.
        baseline: the scores of the bicubic, noisy or JPEG picture.
        reference: the scores of the FP32 network in PyTorch; None if it was not run.
    """

    name: str
    height: int
    width: int
    scores: Scores
    baseline: Scores
    reference: Scores | None = None


@dataclass(frozen=True)
class UnmeasuredPicture:
    """A picture that could not be measured.

    Attributes:
        name: name of the picture's file.
        error: what went wrong and what to do, as one line.
    """

    name: str
    error: str


@dataclass(frozen=True)
class StatedFigure:
    """A figure of the catalogue and its measured value.

    Attributes:
        dataset: name of the data set, such as ``Set5``.
        metric: name of the metric, such as ``psnr_y``.
        stated: the catalogue's figure.
        measured: the measured mean over the folder.
        source: where the figure was published.
    """

    dataset: str
    metric: str
    stated: float
    measured: float
    source: str

    @property
    def difference(self) -> float:
        """Return the measured value minus the stated one."""
        return self.measured - self.stated


@dataclass(frozen=True)
class EvaluationReport:
    """The results of a model on a folder of pictures, by the paper's protocol.

    Attributes:
        model: the file or id that was measured.
        spec: specification of its runtime.
        protocol: task, scale, noise and quality of the test.
        data: the folder of pictures.
        dataset: name of the catalogue's data set that the folder is named after, or None.
        tile: side of the tiles in input pixels; None for whole pictures, as in the paper.
        self_ensemble: True if results are the mean over the eight flips and rotations.
        pictures: the scores of each picture, in the order of the file names.
        reference: id of the network in PyTorch and FP32 that ran on the same pictures, or None.
        stated: the catalogue's figures for this model on this data set.
        failures: pictures that could not be measured; the means are those of the others.
        notes: remarks, as sentences.
        seconds: duration of the evaluation in seconds.
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
    failures: tuple[UnmeasuredPicture, ...] = ()

    @property
    def metrics(self) -> tuple[str, ...]:
        """Return the names of the metrics that the paper gives for the task, PSNR first."""
        return self.protocol.metrics

    @property
    def mean(self) -> Scores:
        """Return the mean of each metric over the pictures. PSNR in dB is averaged as it is."""
        return mean_scores([picture.scores for picture in self.pictures])

    @property
    def mean_baseline(self) -> Scores:
        """Return the mean scores of the baseline."""
        return mean_scores([picture.baseline for picture in self.pictures])

    @property
    def mean_reference(self) -> Scores | None:
        """Return the mean scores of the reference; None if it was not run."""
        scores = [p.reference for p in self.pictures if p.reference is not None]
        return mean_scores(scores) if scores else None

    @property
    def reference_difference_db(self) -> float | None:
        """Return mean PSNR minus that of PyTorch in FP32, in dB; None if that was not run."""
        reference, metric = self.mean_reference, self.metrics[0]
        return None if reference is None else _gap(self.mean[metric], reference[metric])

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON. Infinite numbers and NaN become text."""
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
    """Return the mean of each metric over the pictures that have it."""
    names = dict.fromkeys(name for one in scores for name in one)
    return {
        name: sum(one[name] for one in scores if name in one) / sum(name in one for one in scores)
        for name in names
    }


def _gap(first: float, second: float) -> float:
    """Return ``first - second``, or 0 if both are infinite."""
    return 0.0 if first == second else first - second


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
