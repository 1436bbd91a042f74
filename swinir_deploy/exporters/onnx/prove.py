"""Prove a half-precision graph: compare it and the typed network with FP32 on pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from swinir_deploy.artifacts.metadata import Precision
from swinir_deploy.comparison import MIN_PSNR_DB, compare
from swinir_deploy.errors import CheckFailedError
from swinir_deploy.exporters.onnx.check import open_session
from swinir_deploy.exporters.onnx.pre_post import INPUT_NAME
from swinir_deploy.exporters.onnx.rounding import round_every_result
from swinir_deploy.network.swinir import SwinIR
from swinir_deploy.pictures.values import nhwc_levels
from swinir_deploy.precision.calibrate import MARGIN
from swinir_deploy.precision.plan import deployed_network
from swinir_deploy.precision.prepare import PreparedPrecision
from swinir_deploy.precision.samples import NamedPicture
from swinir_deploy.system.processors import one_thread
from swinir_deploy.system.stages import Stages

__all__ = ["ProofRow", "proved_report"]


@dataclass(frozen=True)
class ProofRow:
    """The result of the proof for one picture.

    Attributes:
        picture: name of the picture.
        torch_psnr_db: PSNR in dB of the typed network in PyTorch against FP32, over the range of
            the output.
        onnx_psnr_db: PSNR in dB of the graph in ONNX Runtime against FP32, likewise.
    """

    picture: str
    torch_psnr_db: float
    onnx_psnr_db: float

    @property
    def worst_db(self) -> float:
        """The lower of the two PSNR values in dB."""
        return min(self.torch_psnr_db, self.onnx_psnr_db)


def _prove_precision(
    model: onnx.ModelProto,
    typed: SwinIR,
    network: SwinIR,
    precision: Precision,
    pictures: Sequence[NamedPicture],
    step: Callable[[], None],
) -> list[ProofRow]:
    """Run the graph, the typed network and the FP32 network on every picture.

    Args:
        model: the exported graph with dynamic sides.
        typed: the half-precision network that the graph was traced from.
        network: the network as it was loaded, in FP32 without rewrites.
        precision: ``fp16`` or ``bf16``.
        pictures: pictures of sizes that the network takes.
        step: called after each picture.

    Returns:
        One result for each picture.

    Raises:
        CheckFailedError: the output for a picture is not finite, or its PSNR is less than
            :data:`~swinir_deploy.comparison.MIN_PSNR_DB`.
    """
    rounded, result_name = _with_float_result(round_every_result(model))
    session = open_session(rounded.SerializeToString(), optimise=False)
    takes_bytes = session.get_inputs()[0].type == "tensor(uint8)"
    rows = []
    for picture in pictures:
        with torch.inference_mode(), one_thread():
            expected = network(torch.from_numpy(picture.values)).numpy()
            in_torch = typed(torch.from_numpy(picture.values)).numpy()
        fed = nhwc_levels(picture.values) if takes_bytes else picture.values
        in_onnx = session.run([result_name], {INPUT_NAME: fed})[0]
        rows.append(
            ProofRow(
                picture.name,
                _psnr_db(in_torch, expected, picture, precision, "PyTorch"),
                _psnr_db(in_onnx, expected, picture, precision, "ONNX Runtime"),
            )
        )
        step()
    return rows


def _psnr_db(
    actual: NDArray[np.float32],
    expected: NDArray[np.float32],
    picture: NamedPicture,
    precision: Precision,
    where: str,
) -> float:
    lost = int(np.size(actual) - np.isfinite(actual).sum())
    advice = "Nothing was written. Use --precision fp32" + (
        ", or bf16." if precision == "fp16" else "."
    )
    if lost:
        raise CheckFailedError(
            f"In {precision} the picture {picture.name!r} comes out of {where} with {lost} of "
            f"{np.size(actual)} values NaN or Inf. {advice}"
        )
    psnr_db = compare(actual, expected).psnr_db
    if not psnr_db >= MIN_PSNR_DB[precision]:
        raise CheckFailedError(
            f"In {precision} the picture {picture.name!r} comes out of {where} with "
            f"{psnr_db:.1f} dB against FP32; the limit is {MIN_PSNR_DB[precision]:g} dB. {advice}"
        )
    return psnr_db


def _with_float_result(model: onnx.ModelProto) -> tuple[onnx.ModelProto, str]:
    """Make the float NCHW result an output: for ``image`` what is clamped to bytes later.

    Returns:
        The model, which is changed in place, and the name of that output.
    """
    (clip,) = [n for n in model.graph.node if n.op_type == "Clip"] or [None]
    if clip is None:
        return model, model.graph.output[0].name
    name = clip.input[0]
    del model.graph.output[:]
    model.graph.output.append(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
    )
    return model, name


_INFINITE_DB = 200.0
"""PSNR in reports for equal outputs, because JSON has no infinity; FP32 cannot reach it."""


def proved_report(
    prepared: PreparedPrecision,
    model: onnx.ModelProto,
    rewrites: Sequence[str],
    stages: Stages | None = None,
) -> dict[str, Any]:
    """Prove a half-precision graph and report how it was made.

    Args:
        prepared: the model, plan and pictures that the graph was made from.
        model: the exported graph with dynamic sides.
        rewrites: names of the rewrites that the graph was built with.
        stages: is told that the graph is proved.

    Returns:
        The report for the metadata: ``pictures``, ``proof`` with the lowest PSNR of each back end
        against FP32 and both values of every picture, and for FP16 ``calibration`` with the
        maxima, that of the stream also stage by stage, and what stays FP32.

    Raises:
        CheckFailedError: the output for a picture is not finite, or differs too much from FP32.
    """
    network, precision = prepared.model.network, prepared.plan.precision
    typed = deployed_network(network, rewrites, prepared.plan)
    stages, pictures = stages or Stages(), prepared.pictures
    stages.begin(f"Proving {precision} on {len(pictures)} pictures", len(pictures))
    rows = _prove_precision(model, typed, network, precision, pictures, stages.step)
    worst = min(rows, key=lambda row: row.worst_db)
    report: dict[str, Any] = {
        "pictures": prepared.source,
        "proof": {
            "pictures": len(rows),
            "limit_db": MIN_PSNR_DB[precision],
            "worst_torch_db": _rounded(min(row.torch_psnr_db for row in rows)),
            "worst_onnxruntime_db": _rounded(min(row.onnx_psnr_db for row in rows)),
            "worst_picture": worst.picture,
            "by_picture": {
                row.picture: [_rounded(row.torch_psnr_db), _rounded(row.onnx_psnr_db)]
                for row in rows
            },
        },
    }
    if prepared.calibration is not None:
        maxima = prepared.calibration.module_max
        largest = max(maxima, key=lambda name: maxima[name])
        report["calibration"] = {
            "margin": MARGIN,
            "stream_max": round(prepared.calibration.stream_max, 1),
            "stream_max_by_stage": [
                float(f"{largest:.4g}") for largest in prepared.calibration.stream_max_by_stage
            ],
            "outside_max": round(maxima[largest], 1),
            "outside_max_in": largest,
            "kept_fp32": {name: round(maxima[name], 1) for name in prepared.plan.keep_fp32},
        }
    return report


def _rounded(psnr_db: float) -> float:
    return round(min(psnr_db, _INFINITE_DB), 1)
