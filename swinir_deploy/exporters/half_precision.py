"""What ``--precision`` asks for: the plan before the graph is built, and the proof after it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

import onnx

from swinir_deploy.artifact import Precision
from swinir_deploy.comparison import MIN_PSNR_DB
from swinir_deploy.errors import UsageError
from swinir_deploy.exporters.calibration import (
    MARGIN,
    Calibration,
    calibrate,
    plan_precision,
)
from swinir_deploy.exporters.calibration_pictures import (
    NamedPicture,
    builtin_pictures,
    fit,
    hostile_pictures,
    pictures_of_folder,
)
from swinir_deploy.exporters.check import one_thread
from swinir_deploy.exporters.proof import ProofRow, prove_precision
from swinir_deploy.loading import LoadedModel
from swinir_deploy.network.config import SwinIRConfig
from swinir_deploy.network.precision import PrecisionPlan, deployed_network

__all__ = ["BF16_OPSET", "HalfPrecision", "check_precision", "prepare"]

BF16_OPSET = 22
"""The first in which Conv takes BF16."""

_PROOF_WINDOWS = 3
"""Windows on a side of a proof picture: all kinds of masked windows, and FP16 convolutions on a
CPU are too slow for more."""


@dataclass(frozen=True)
class HalfPrecision:
    """A model that is to be exported in half precision.

    Attributes:
        model: in FP32.
        plan: what is rescaled and what stays FP32.
        calibration: what the plan rests on; None for BF16, which has the range of FP32.
        source: of the calibration pictures.
        pictures: to prove it with.
    """

    model: LoadedModel
    plan: PrecisionPlan
    calibration: Calibration | None
    source: str
    pictures: tuple[NamedPicture, ...]

    def prove(self, model: onnx.ModelProto, rewrites: Sequence[str]) -> dict[str, Any]:
        """Run the proof.

        Args:
            model: the exported graph with dynamic sides.
            rewrites: that it was built with.

        Returns:
            The precision report for the artefact's metadata.

        Raises:
            CheckFailedError: the proof failed.
        """
        network = self.model.network
        typed = deployed_network(network, rewrites, self.plan)
        rows = prove_precision(model, typed, network, self.plan.precision, self.pictures)
        return self._report(rows)

    def _report(self, rows: Sequence[ProofRow]) -> dict[str, Any]:
        worst = min(rows, key=lambda row: row.worst_db)
        report: dict[str, Any] = {
            "pictures": self.source,
            "proof": {
                "pictures": len(rows),
                "limit_db": MIN_PSNR_DB[self.plan.precision],
                "worst_torch_db": min(_finite(row.torch_psnr_db) for row in rows),
                "worst_onnxruntime_db": min(_finite(row.onnx_psnr_db) for row in rows),
                "worst_picture": worst.picture,
            },
        }
        if self.calibration is not None:
            maxima = self.calibration.module_max
            kept = {name: round(maxima[name], 1) for name in self.plan.keep_fp32}
            largest = max(maxima, key=lambda name: maxima[name])
            report["calibration"] = {
                "margin": MARGIN,
                "stream_max": round(self.calibration.stream_max, 1),
                "outside_max": round(maxima[largest], 1),
                "outside_max_in": largest,
                "kept_fp32": kept,
            }
        return report


def check_precision(precision: str, opset: int | None, calibrate_with: object) -> None:
    """Refuse what makes no sense before any work.

    Raises:
        UsageError: no such precision, an opset that lacks BF16 convolutions, or pictures for a
            precision that needs none.
    """
    if precision not in get_args(Precision):
        raise UsageError(f"No precision {precision!r}; there are {', '.join(get_args(Precision))}.")
    if precision == "bf16" and opset is not None and opset < BF16_OPSET:
        raise UsageError(
            f"Opset {opset} has no BF16 convolutions; give {BF16_OPSET} or 23, or leave --opset "
            f"away (bf16 then takes {BF16_OPSET})."
        )
    if precision == "fp32" and calibrate_with is not None:
        raise UsageError(
            "Calibration pictures are for half precision; FP32 needs none. Add --precision fp16, "
            "or leave --calibrate away."
        )


def prepare(
    model: LoadedModel,
    precision: Precision,
    calibrate_with: str | os.PathLike[str] | None = None,
) -> HalfPrecision:
    """Measure the network and decide what a half-precision export of it needs.

    Args:
        model: in FP32.
        precision: ``fp16`` or ``bf16``.
        calibrate_with: a folder of pictures; None takes the built-in ones.

    Raises:
        InputError: the folder or its pictures cannot be used.
        CheckFailedError: the network itself gives NaN or Inf.
    """
    config = model.config
    if calibrate_with is None:
        source, real = "built-in", builtin_pictures(model)
    else:
        source, real = "folder", pictures_of_folder(calibrate_with, config)
    side = _proof_side(config)
    hostile = hostile_pictures(config, side)
    source = f"{len(real)} {source}, {len(hostile)} hostile"
    proof = (*(fit(picture, side) for picture in real), *hostile)
    calibration = None
    if precision == "fp16":
        measured = [fit(picture, side) if config.ape else picture for picture in real]
        with one_thread():
            calibration = calibrate(model.network, [*measured, *hostile])
    plan = plan_precision(model.network, precision, calibration)
    return HalfPrecision(model, plan, calibration, source, proof)


def _proof_side(config: SwinIRConfig) -> int:
    """In pixels."""
    return config.img_size if config.ape else _PROOF_WINDOWS * config.window_size


def _finite(psnr_db: float) -> float:
    """For JSON, which has no infinity; 200 dB is beyond what FP32 can tell."""
    return round(min(psnr_db, 200.0), 1)
