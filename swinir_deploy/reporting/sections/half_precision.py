"""Does half precision hold? The stream stage by stage against 65504, and the proof by picture."""

from __future__ import annotations

import math
from typing import Any

from swinir_deploy.reporting.identity import ModelIdentity
from swinir_deploy.reporting.plots import Axis, Plot, Series, dot_plot
from swinir_deploy.reporting.sections.parts import Section, Table
from swinir_deploy.reporting.words import FP16_MAX, decibels

__all__ = ["half_precision_sections"]

_EQUAL_DB = 200.0


def half_precision_sections(model: ModelIdentity) -> list[Section]:
    """Return what a half-precision file says of its calibration and proof; empty for others."""
    report = model.precision_report
    calibration, proof = _object(report, "calibration"), _object(report, "proof")
    text, plots, tables = [], [], []
    if calibration:
        said, plot, table = _stream(calibration, model.residual_scale_log2 or 0)
        text.append(said)
        plots += plot
        tables += table
    if proof:
        said, plot, table = _proof(proof)
        text.append(said)
        plots += plot
        tables += table
    if not text:
        return []
    return [Section(f"Half precision: {model.precision} of {model.name}", text, plots, tables)]


def _stream(calibration: dict[str, Any], k: int) -> tuple[str, list[Plot], list[Table]]:
    largest = _number(calibration.get("stream_max"))
    said = "The largest number of FP16 is 65504; what is larger becomes infinite."
    if largest is not None:
        said += f" On the calibration pictures, the stream reaches {largest:,.0f}. The export " + (
            f"multiplies it by 2^-{k}, so that it reaches {largest * 2.0**-k:,.0f}."
            if k
            else "leaves it as it is."
        )
    kept = calibration.get("kept_fp32")
    if isinstance(kept, dict) and kept:
        said += f" Kept in FP32: {', '.join(map(str, kept))}."
    stages = calibration.get("stream_max_by_stage")
    values = [_number(v) for v in stages] if isinstance(stages, list) else []
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return said, [], []
    labels = [f"stage {number}" for number in range(1, len(known) + 1)]
    rescaled = [value * 2.0**-k for value in known]
    series = [Series("without rescaling", known)]
    if k:
        series.append(Series(f"times 2^-{k}, as in the file", rescaled))
    plot = dot_plot(
        "Largest value of the stream, stage by stage",
        labels,
        series,
        Axis("largest absolute value", True, {FP16_MAX: "65504"}),
        f"Without rescaling at most {max(known):,.0f}; in the file at most {max(rescaled):,.0f}; "
        "the limit is 65504.",
        [value >= FP16_MAX for value in rescaled],
    )
    head = ["Stage", "Without rescaling", "In the file", "Of 65504"]
    rows = [
        [label, f"{value:,.1f}", f"{small:,.1f}", f"{small / FP16_MAX:.1%}"]
        for label, value, small in zip(labels, known, rescaled, strict=True)
    ]
    return said, [plot], [Table("The stream, stage by stage", head, rows, folded=True)]


def _proof(proof: dict[str, Any]) -> tuple[str, list[Plot], list[Table]]:
    limit = _number(proof.get("limit_db"))
    said = (
        f"The export was proved on {proof.get('pictures', 'some')} pictures in true half "
        f"precision against FP32: at least {proof.get('worst_torch_db', '?')} dB in PyTorch, "
        f"{proof.get('worst_onnxruntime_db', '?')} dB in ONNX Runtime; the worst is "
        f"{str(proof.get('worst_picture', '?'))!r}."
    )
    by_picture = _object(proof, "by_picture")
    pairs = {
        name: (_decibels(pair[0]), _decibels(pair[1]))
        for name, pair in by_picture.items()
        if isinstance(pair, list) and len(pair) == 2
    }
    rows = [(n, a, b) for n, (a, b) in pairs.items() if a is not None and b is not None]
    if not rows or limit is None:
        return said, [], []
    failed = [min(a, b) < limit for _, a, b in rows]
    plot = dot_plot(
        "PSNR against FP32, picture by picture",
        [name for name, _, _ in rows],
        [Series("PyTorch", [a for _, a, _ in rows]), Series("ONNX Runtime", [b for *_, b in rows])],
        Axis("dB", limits={limit: f"limit {limit:g} dB"}),
        f"The lowest is {min(min(a, b) for _, a, b in rows):.1f} dB; the limit is {limit:g} dB.",
        failed,
    )
    cells = [[name, decibels(a), decibels(b)] for name, a, b in rows]
    bad = [index for index, is_bad in enumerate(failed) if is_bad]
    head = ["Picture", "PyTorch", "ONNX Runtime"]
    return said, [plot], [Table("The proof, picture by picture", head, cells, folded=True, bad=bad)]


def _decibels(value: Any) -> float | None:
    """Return a PSNR of a proof, in which 200 dB stand for equal outputs."""
    found = _number(value)
    return math.inf if found is not None and found >= _EQUAL_DB else found


def _object(values: dict[str, Any], name: str) -> dict[str, Any]:
    found = values.get(name)
    return found if isinstance(found, dict) else {}


def _number(value: Any) -> float | None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number else None
