"""The proof of half precision: the network and the graph, computed in the types of the file."""

from __future__ import annotations

from collections.abc import Sequence
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

__all__ = ["ProofRow", "proved_report"]


@dataclass(frozen=True)
class ProofRow:
    """One picture.

    Attributes:
        picture: its name.
        torch_psnr_db: of the typed network in PyTorch against FP32, over the output's range.
        onnx_psnr_db: of the graph in ONNX Runtime, likewise.
    """

    picture: str
    torch_psnr_db: float
    onnx_psnr_db: float

    @property
    def worst_db(self) -> float:
        """The lower of the two."""
        return min(self.torch_psnr_db, self.onnx_psnr_db)


def _prove_precision(
    model: onnx.ModelProto,
    typed: SwinIR,
    network: SwinIR,
    precision: Precision,
    pictures: Sequence[NamedPicture],
) -> list[ProofRow]:
    """Run all three on every picture.

    Args:
        model: the exported graph, its sides dynamic.
        typed: the network that was traced for it.
        network: as it was loaded: FP32, without any rewrite.
        precision: ``fp16`` or ``bf16``.
        pictures: of sizes that the network takes.

    Raises:
        CheckFailedError: a picture with a value that is not finite, or with less than
            :data:`~swinir_deploy.comparison.MIN_PSNR_DB`. One is enough.
    """
    rounded, result_name = _with_float_result(round_every_result(model))
    session = open_session(rounded.SerializeToString(), optimise=False)
    takes_bytes = session.get_inputs()[0].type == "tensor(uint8)"
    rows = []
    for picture in pictures:
        with torch.inference_mode(), one_thread():
            wanted = network(torch.from_numpy(picture.values)).numpy()
            in_torch = typed(torch.from_numpy(picture.values)).numpy()
        fed = nhwc_levels(picture.values) if takes_bytes else picture.values
        in_onnx = session.run([result_name], {INPUT_NAME: fed})[0]
        rows.append(
            ProofRow(
                picture.name,
                _psnr_db(in_torch, wanted, picture, precision, "PyTorch"),
                _psnr_db(in_onnx, wanted, picture, precision, "ONNX Runtime"),
            )
        )
    return rows


def _psnr_db(
    found: NDArray[np.float32],
    wanted: NDArray[np.float32],
    picture: NamedPicture,
    precision: Precision,
    where: str,
) -> float:
    lost = int(np.size(found) - np.isfinite(found).sum())
    advice = "Nothing was written. Use --precision fp32" + (
        ", or bf16." if precision == "fp16" else "."
    )
    if lost:
        raise CheckFailedError(
            f"In {precision} the picture {picture.name!r} comes out of {where} with {lost} of "
            f"{np.size(found)} values NaN or Inf. {advice}"
        )
    psnr_db = compare(found, wanted).psnr_db
    if not psnr_db >= MIN_PSNR_DB[precision]:
        raise CheckFailedError(
            f"In {precision} the picture {picture.name!r} comes out of {where} with "
            f"{psnr_db:.1f} dB against FP32; the limit is {MIN_PSNR_DB[precision]:g} dB. {advice}"
        )
    return psnr_db


def _with_float_result(model: onnx.ModelProto) -> tuple[onnx.ModelProto, str]:
    """The model and the name of its NCHW float result: for images, what is clamped to bytes."""
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
"""Stands for equal outputs in a report, which is JSON; more than FP32 can tell apart."""


def proved_report(
    prepared: PreparedPrecision, model: onnx.ModelProto, rewrites: Sequence[str]
) -> dict[str, Any]:
    """Prove a half-precision graph and say how it was made.

    Args:
        prepared: what the graph was made from.
        model: the exported graph with dynamic sides.
        rewrites: that it was built with.

    Returns:
        For the artefact's metadata: ``pictures``, ``proof`` with the lowest PSNR of each back end
        against FP32, and for FP16 ``calibration`` with the maxima and what stays FP32.

    Raises:
        CheckFailedError: the proof failed.
    """
    network, precision = prepared.model.network, prepared.plan.precision
    typed = deployed_network(network, rewrites, prepared.plan)
    rows = _prove_precision(model, typed, network, precision, prepared.pictures)
    worst = min(rows, key=lambda row: row.worst_db)
    report: dict[str, Any] = {
        "pictures": prepared.source,
        "proof": {
            "pictures": len(rows),
            "limit_db": MIN_PSNR_DB[precision],
            "worst_torch_db": _rounded(min(row.torch_psnr_db for row in rows)),
            "worst_onnxruntime_db": _rounded(min(row.onnx_psnr_db for row in rows)),
            "worst_picture": worst.picture,
        },
    }
    if prepared.calibration is not None:
        maxima = prepared.calibration.module_max
        largest = max(maxima, key=lambda name: maxima[name])
        report["calibration"] = {
            "margin": MARGIN,
            "stream_max": round(prepared.calibration.stream_max, 1),
            "outside_max": round(maxima[largest], 1),
            "outside_max_in": largest,
            "kept_fp32": {name: round(maxima[name], 1) for name in prepared.plan.keep_fp32},
        }
    return report


def _rounded(psnr_db: float) -> float:
    return round(min(psnr_db, _INFINITE_DB), 1)
