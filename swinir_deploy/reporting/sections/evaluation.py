"""Is it good? Verdict and sections of ``eval``."""

from __future__ import annotations

import math

from swinir_deploy.reporting.documents import EvalDocument, Stated
from swinir_deploy.reporting.plots import Axis, Plot, Series, dot_plot
from swinir_deploy.reporting.sections.parts import Section, Table, Verdict, plural
from swinir_deploy.reporting.words import Number, number

__all__ = ["eval_sections", "eval_verdict"]

_BASELINES = {"sr": "bicubic", "denoise": "noisy", "jpeg": "JPEG"}
_SHOWN_PICTURES = 30
"""Pictures in the plot; the table has all."""


def eval_verdict(found: EvalDocument) -> Verdict:
    """Return the mean of the first metric, and its distance from the baseline and FP32."""
    metric = found.metrics[0] if found.metrics else "psnr"
    mean, before = found.mean.get(metric), found.mean_baseline.get(metric)
    said = (
        f"{found.model} on {found.spec.where} was measured on "
        f"{plural(len(found.pictures), 'picture')} of {found.dataset or found.data}, "
        f"{_degradation(found)}."
    )
    figure = f"{_label(metric)} {_cell(metric, mean)}, {_baseline(found)} {_cell(metric, before)}"
    if found.reference_difference_db is not None:
        figure += f"; {number(found.reference_difference_db):+.4f} dB to PyTorch in FP32"
    if found.failures:
        said += f" {plural(len(found.failures), 'picture')} could not be measured."
        return Verdict("warn", "Incomplete", said, figure)
    return Verdict("plain", "Measured", said, figure)


def eval_sections(found: EvalDocument) -> list[Section]:
    """Return measured beside published figures, and the scores picture by picture."""
    sections = []
    if found.stated:
        sections.append(_published(found.stated))
    metric = found.metrics[0] if found.metrics else "psnr"
    tables = [_scores(found)]
    if found.failures:
        failed = [(failure.name, failure.error) for failure in found.failures]
        tables.append(Table("Not measured", ("Picture", "Why"), failed, bad=range(len(failed))))
    plots = [_by_picture(found, metric)] if found.pictures else []
    text = [
        f"By the paper's protocol: {_degradation(found)}, on {found.data}. The mean is "
        f"{_label(metric)} {_cell(metric, found.mean.get(metric))}; without the model it is "
        f"{_cell(metric, found.mean_baseline.get(metric))}."
    ]
    sections.append(Section("Quality, picture by picture", text, plots, tables))
    return sections


def _degradation(found: EvalDocument) -> str:
    protocol = found.protocol
    amount = {"sr": f"x{protocol.scale}", "denoise": f"noise {protocol.noise or 0:g}"}
    return amount.get(protocol.task, f"JPEG quality {protocol.quality}")


def _baseline(found: EvalDocument) -> str:
    return _BASELINES.get(found.protocol.task, "degraded")


def _label(metric: str) -> str:
    """Return the label of a metric: ``psnr_b_gray`` -> ``PSNR-B gray``."""
    name, _, space = metric.rpartition("_")
    return f"{name.upper().replace('_', '-')} {({'y': 'Y', 'rgb': 'RGB'}).get(space, space)}"


def _cell(metric: str, value: Number) -> str:
    found = number(value)
    if not math.isfinite(found):
        return "equal" if found == math.inf else "-"
    return f"{found:.{4 if metric.startswith('ssim') else 2}f}"


def _published(stated: list[Stated]) -> Section:
    rows = [
        [f"{s.dataset} {_label(s.metric)}", _cell(s.metric, s.measured), _cell(s.metric, s.stated),
         f"{number(s.measured) - s.stated:+.{4 if s.metric.startswith('ssim') else 2}f}", s.source]
        for s in stated
    ]  # fmt: skip
    in_db = [s for s in stated if s.metric.startswith("psnr")]
    plots = []
    if in_db:
        largest = max(abs(number(s.measured) - s.stated) for s in in_db)
        plots.append(
            dot_plot(
                "Measured and published PSNR",
                [f"{s.dataset} {_label(s.metric)}" for s in in_db],
                [
                    Series("published", [s.stated for s in in_db]),
                    Series("measured", [number(s.measured) for s in in_db]),
                ],
                Axis("dB"),
                f"The largest difference is {largest:.2f} dB.",
            )
        )
    head = ["Figure", "Measured", "Published", "Difference", "Source"]
    return Section("Beside the published figures", (), plots, [Table("Figures", head, rows)])


def _by_picture(found: EvalDocument, metric: str) -> Plot:
    shown = found.pictures[:_SHOWN_PICTURES]
    more = len(found.pictures) - len(shown)
    title = f"{_label(metric)} of each picture" + (f", the first {len(shown)}" if more else "")
    return dot_plot(
        title,
        [picture.name for picture in shown],
        [
            Series(_baseline(found), [number(p.baseline.get(metric)) for p in shown]),
            Series("restored", [number(p.scores.get(metric)) for p in shown]),
        ],
        Axis("dB"),
        f"The mean is {_cell(metric, found.mean.get(metric))} dB, that of {_baseline(found)} "
        f"{_cell(metric, found.mean_baseline.get(metric))} dB.",
    )


def _scores(found: EvalDocument) -> Table:
    name, metrics = _baseline(found), found.metrics
    head = ["Picture", *map(_label, metrics), *(f"{name} {_label(m)}" for m in metrics)]
    rows = [
        [p.name, *(_cell(m, p.scores.get(m)) for m in metrics),
         *(_cell(m, p.baseline.get(m)) for m in metrics)]
        for p in found.pictures
    ]  # fmt: skip
    rows.append(
        ["mean", *(_cell(m, found.mean.get(m)) for m in metrics),
         *(_cell(m, found.mean_baseline.get(m)) for m in metrics)]
    )  # fmt: skip
    if found.mean_reference is not None and metrics:
        head.append("To PyTorch, fp32")
        metric = metrics[0]
        pairs = [(p.scores, p.reference or {}) for p in found.pictures]
        for row, (own, other) in zip(
            rows, [*pairs, (found.mean, found.mean_reference)], strict=True
        ):
            a, b = number(own.get(metric)), number(other.get(metric))
            row.append(f"{0.0 if a == b else a - b:+.4f}")
    return Table("All scores", head, rows, folded=len(rows) > 12)
