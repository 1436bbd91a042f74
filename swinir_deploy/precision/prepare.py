"""Make a precision plan for a model, and the pictures for its proof."""

from __future__ import annotations

import os
from dataclasses import dataclass

from swinir_deploy.artifacts.metadata import Precision
from swinir_deploy.models.load import LoadedModel
from swinir_deploy.network.config import SwinIRConfig
from swinir_deploy.precision.calibrate import Calibration, calibrate, plan_precision
from swinir_deploy.precision.plan import PrecisionPlan
from swinir_deploy.precision.samples import (
    NamedPicture,
    builtin_pictures,
    fit,
    hostile_pictures,
    pictures_of_folder,
)
from swinir_deploy.system.processors import one_thread
from swinir_deploy.system.stages import Stages

__all__ = ["PreparedPrecision", "prepare_precision"]

_PROOF_WINDOWS = 3
"""Windows on a side of a proof picture. Three windows show every kind of masked window, and
PyTorch's FP16 convolutions on a CPU are too slow for more."""


@dataclass(frozen=True)
class PreparedPrecision:
    """A model with a plan for half precision.

    Attributes:
        model: the model in FP32.
        plan: what is rescaled and what stays FP32.
        calibration: measurements behind the plan; None for BF16, which has the range of FP32.
        source: number and kinds of the pictures, such as ``8 built-in, 5 hostile``.
        pictures: pictures for the proof: the calibration pictures, cut to three windows a side,
            and the hostile ones.
    """

    model: LoadedModel
    plan: PrecisionPlan
    calibration: Calibration | None
    source: str
    pictures: tuple[NamedPicture, ...]


def prepare_precision(
    model: LoadedModel,
    precision: Precision,
    calibrate_with: str | os.PathLike[str] | None = None,
    stages: Stages | None = None,
) -> PreparedPrecision:
    """Measure the network and decide what half precision needs.

    Args:
        model: the model in FP32.
        precision: ``fp16`` or ``bf16``.
        calibrate_with: a folder of pictures; None takes the built-in ones.
        stages: is told that the network is measured, for ``fp16``.

    Raises:
        InputError: the folder or its pictures cannot be used.
        CheckFailedError: the FP32 network returns NaN or Inf.
    """
    config = model.config
    if calibrate_with is None:
        kind, real = "built-in", builtin_pictures(model)
    else:
        kind, real = "given", pictures_of_folder(calibrate_with, config)
    side = _proof_side(config)
    hostile = hostile_pictures(config, side)
    calibration = None
    if precision == "fp16":
        measured = [fit(picture, side) if config.ape else picture for picture in real]
        stages = stages or Stages()
        count = len(measured) + len(hostile)
        stages.begin(f"Measuring the values inside the network on {count} pictures", count)
        with one_thread():
            calibration = calibrate(model.network, [*measured, *hostile], stages.step)
    return PreparedPrecision(
        model=model,
        plan=plan_precision(precision, calibration),
        calibration=calibration,
        source=f"{len(real)} {kind}, {len(hostile)} hostile",
        pictures=(*(fit(picture, side) for picture in real), *hostile),
    )


def _proof_side(config: SwinIRConfig) -> int:
    """Return the side of a proof picture in pixels."""
    return config.img_size if config.ape else _PROOF_WINDOWS * config.side_multiple
