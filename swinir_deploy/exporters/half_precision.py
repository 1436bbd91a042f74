"""What ``export --precision`` must prove at the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnx

from swinir_deploy.calibration import MARGIN, PreparedPrecision
from swinir_deploy.comparison import MIN_PSNR_DB
from swinir_deploy.exporters.proof import prove_precision
from swinir_deploy.network.precision import deployed_network

__all__ = ["proved_report"]

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
    rows = prove_precision(model, typed, network, precision, prepared.pictures)
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
