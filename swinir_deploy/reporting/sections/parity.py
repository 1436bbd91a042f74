"""Is it right? Verdict and sections of ``verify``, ``verify --layers`` and ``export``."""

from __future__ import annotations

import math

from swinir_deploy.comparison import psnr_limit_db
from swinir_deploy.reporting.documents import (
    Compared,
    ExportDocument,
    LayersDocument,
    Limits,
    VerifyDocument,
)
from swinir_deploy.reporting.plots import Axis, Series, curve_plot, dot_plot
from swinir_deploy.reporting.sections.parts import Mood, Section, Table, Verdict, plural
from swinir_deploy.reporting.words import decibels, number, shape, size, small

__all__ = [
    "export_sections",
    "export_verdict",
    "layers_sections",
    "layers_verdict",
    "verify_sections",
    "verify_verdict",
]


def verify_verdict(found: VerifyDocument) -> Verdict:
    """Return whether the model is that of its network, with the worst figure."""
    failed = sum(not row.passed for row in found.rows)
    inputs = plural(len(found.rows), "input")
    k = found.spec.residual_scale_log2
    scaled = f" with the stream times 2^-{k}" if k else ""
    what = f"{found.model} on {found.spec.where}{scaled}"
    if found.passed:
        said = f"{what} gives the pixels of {found.reference} in PyTorch at all {inputs}."
    else:
        said = f"{what} differs from {found.reference} at {failed} of {inputs}."
    mood: Mood = "good" if found.passed else "bad"
    word = "Passed" if found.passed else "Failed"
    return Verdict(mood, word, said, _worst(found.rows, found.limit))


def verify_sections(found: VerifyDocument) -> list[Section]:
    """Return the comparison input by input."""
    text = (
        f"Each input went through {found.model} on {found.spec.where}, and through the network "
        f"of {found.reference} in PyTorch and FP32. Limit: {_limit_text(found.limit)}."
    )
    return [_parity("Parity, input by input", text, found.rows, found.limit, named=True)]


def export_verdict(found: ExportDocument) -> Verdict:
    """Return what the export's own check found. A file that fails it is not written."""
    meta = found.metadata
    said = (
        f"{found.path} ({size(found.size_bytes)}, {found.nodes} nodes) was exported from "
        f"{meta.model_id or 'its checkpoint'} in {meta.precision} and gives its pixels at all "
        f"{plural(len(found.checks), 'shape')}."
    )
    return Verdict("good", "Checked", said, _worst(found.checks, _export_limit(found)))


def export_sections(found: ExportDocument) -> list[Section]:
    """Return the export's check, shape by shape."""
    limit = _export_limit(found)
    text = (
        "Before the file got its name, ONNX Runtime ran it beside the network in PyTorch and "
        f"FP32. Limit: {_limit_text(limit)}."
    )
    return [_parity("The export's check, shape by shape", text, found.checks, limit, named=False)]


def layers_verdict(found: LayersDocument) -> Verdict:
    """Return the first tensor that differs, or the largest difference."""
    what = f"{found.model} on {found.ran_on} and {found.against} on {found.against_ran_on}"
    tensors = plural(found.tensors, "tensor")
    if found.passed or found.first is None:
        worst = found.worst[0] if found.worst else None
        figure = "nothing compared"
        if worst is not None:
            figure = (
                f"largest difference {small(worst.relative)} of its range, limit {worst.limit:g}"
            )
        return Verdict("good", "Passed", f"{what} agree in all {tensors}.", figure)
    first = found.first
    said = f"{what} differ first at {first.node} (node {first.position}, {first.op_type})."
    return Verdict(
        "bad",
        "Failed",
        said,
        f"difference {small(first.relative)} of its range, limit {first.limit:g}",
    )


def layers_sections(found: LayersDocument) -> list[Section]:
    """Return the difference along the network, and the worst tensors."""
    curve = found.curve
    values = [number(value) for value in curve.relative]
    plots = []
    same = len(curve.position) == len(values) == len(curve.limit)
    if values and same:
        plots.append(
            curve_plot(
                "Difference of every tensor, along the network",
                curve.position,
                values,
                curve.limit,
                Axis("part of its range", log=True),
                f"{plural(len(values), 'tensor')} in the order of the graph. The table below has "
                "the largest differences.",
                "node of the graph",
            )
        )
    rows = [
        (str(row.position), row.node, row.op_type, small(row.relative), f"{row.limit:g}",
         "passed" if row.passed else "FAILED")
        for row in found.worst
    ]  # fmt: skip
    bad = [index for index, row in enumerate(found.worst) if not row.passed]
    text = f"Both sides got the same input of {shape(found.input_shape)}."
    head = ("Node", "Name", "Operator", "Difference", "Limit", "Result")
    return [
        Section(
            "Layer by layer",
            [text],
            plots,
            [Table("The largest differences", head, rows, bad=bad)],
        )
    ]


# ------------------------------------------------------------------------------------------ shared


def _export_limit(found: ExportDocument) -> Limits:
    precision, io = found.metadata.precision, found.metadata.io
    if precision == "fp16" or precision == "bf16":
        return Limits(min_psnr_db=psnr_limit_db(precision, io))
    # In bytes, the check itself is stricter: half a level before rounding.
    return Limits(max_abs=1 / 255 if io == "image" else 1e-4)


def _relative(row: Compared) -> float:
    found = number(row.max_abs)
    return found / row.peak if row.peak else found


def _lowest(rows: list[Compared]) -> float:
    return min((_psnr(row) for row in rows), default=math.nan)


def _psnr(row: Compared) -> float:
    """Return a PSNR; infinite where null stands for equal pictures."""
    if row.psnr_db is None:
        return math.inf if number(row.max_abs) == 0 else -math.inf
    return number(row.psnr_db)


def _largest(rows: list[Compared]) -> float:
    values = [_relative(row) for row in rows]
    return math.nan if not all(map(math.isfinite, values)) else max(values, default=0.0)


def _worst(rows: list[Compared], limit: Limits) -> str:
    parts = []
    if limit.max_abs is not None:
        said = small(_largest(rows))
        parts.append(f"worst difference {said} of the range, limit {limit.max_abs:.2g}")
    if limit.min_psnr_db is not None:
        parts.append(f"lowest PSNR {decibels(_lowest(rows))}, limit {limit.min_psnr_db:.1f} dB")
    return "; ".join(parts)


def _limit_text(limit: Limits) -> str:
    parts = []
    if limit.max_abs is not None:
        parts.append(f"no difference above {limit.max_abs:.2g} of the range of the output")
    if limit.min_psnr_db is not None:
        parts.append(f"at least {limit.min_psnr_db:.1f} dB PSNR")
    return " and ".join(parts) or "none"


def _parity(title: str, text: str, rows: list[Compared], limit: Limits, *, named: bool) -> Section:
    """Return a section with a plot for each part of the limit, and a table of all figures."""
    labels = [
        f"{row.source} {shape(row.shape)}" if row.source != "synthetic" else shape(row.shape)
        for row in rows
    ]
    failed = [not row.passed for row in rows]
    plots = []
    if limit.max_abs is not None:
        values = [_relative(row) for row in rows]
        plots.append(
            dot_plot(
                "Largest difference of each input",
                labels,
                [Series("difference", values)],
                Axis("part of the range", True, {limit.max_abs: f"limit {limit.max_abs:.2g}"}),
                f"All differences are below the limit of {limit.max_abs:.2g}."
                if not any(failed)
                else f"{sum(failed)} of {len(rows)} are beyond the limit.",
                failed,
            )
        )
    if limit.min_psnr_db is not None:
        plots.append(
            dot_plot(
                "PSNR of each input",
                labels,
                [Series("PSNR", [_psnr(row) for row in rows])],
                Axis("dB", limits={limit.min_psnr_db: f"limit {limit.min_psnr_db:.1f} dB"}),
                f"The lowest is {decibels(_lowest(rows))}.",
                failed,
            )
        )
    head = ["Input", "Shape", "Difference", "PSNR", *(["Result"] if named else [])]
    cells = [
        [row.source, shape(row.shape), small(_relative(row)), decibels(_psnr(row)),
         *(["passed" if row.passed else "FAILED"] if named else [])]
        for row in rows
    ]  # fmt: skip
    bad = [index for index, is_bad in enumerate(failed) if is_bad]
    return Section(title, [text], plots, [Table("All figures", head, cells, folded=True, bad=bad)])
