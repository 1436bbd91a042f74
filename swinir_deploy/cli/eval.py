"""``swinir-deploy eval``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from swinir_deploy.cli.options import (
    ModelRequest,
    common_options,
    given,
    model_options,
    report_option,
    runtime_options,
)
from swinir_deploy.cli.output import Output, table, tell_failures
from swinir_deploy.cli.outputs import check_outputs
from swinir_deploy.cli.pages import identified, page_option, save_page
from swinir_deploy.cli.positional import model_argument
from swinir_deploy.cli.selection import select_model
from swinir_deploy.errors import UsageError

if TYPE_CHECKING:
    from swinir_deploy.evaluation.reports import EvaluationReport, Scores

__all__ = ["command"]

EPILOG = """\b
Examples:
  swinir-deploy eval tiny-sr-x4 --data Set5/HR --lr Set5/LR_bicubic/X4
  swinir-deploy eval medium-denoise-gray-25.onnx --data Set12 --json -o set12.json
  swinir-deploy eval finetuned.pth --task jpeg --quality 40 --data LIVE1 --self-ensemble

Whole pictures are padded, rounded and measured as in the official script. The paper's main
figures were made without --tile and --self-ensemble. JPEG models, and real-world
ones without --lr, need OpenCV: pip install 'swinir-deploy[eval]'
"""


@click.command("eval", epilog=EPILOG)
@model_options
@model_argument
@click.option("--data", required=True, metavar="DIR", help="Folder of original pictures.")
@click.option(
    "--lr",
    metavar="DIR",
    help="Folder of reduced pictures, NAMExSCALE.png.  [default: made by MATLAB's bicubic]",
)
@runtime_options
@click.option(
    "--tile",
    type=click.IntRange(1),
    metavar="PX",
    help="Side of a tile.  [default: whole pictures, as in the paper]",
)
@click.option("--self-ensemble", is_flag=True, help="Average eight flips and rotations (the '+').")
@click.option(
    "--reference",
    metavar="MODEL",
    help="Checkpoint or id to compare with, in PyTorch and FP32.  [default: by the model's id]",
)
@click.option("--no-reference", is_flag=True, help="Do not compare with PyTorch, in half the time.")
@report_option
@page_option
@common_options
def command(
    out: Output,
    request: ModelRequest,
    data: str,
    lr: str | None,
    backend: str | None,
    device: str | None,
    provider: str | None,
    provider_options: dict[str, str] | None,
    precision: str | None,
    kernels: str | None,
    threads: int | None,
    tile: int | None,
    self_ensemble: bool,
    reference: str | None,
    no_reference: bool,
    output: str | None,
    page: str | None,
    overwrite: bool,
) -> int:
    """Measure a model by the paper's protocol.

    Prints PSNR, SSIM and PSNR-B of every picture of a folder and their means, beside those of the
    degraded pictures, the published figures of the model, and those of PyTorch in FP32. With a
    MODEL, the options --task, --noise and --quality choose the test of your own checkpoint.
    """
    if reference is not None and no_reference:
        raise UsageError(
            f"--reference {reference} and --no-reference exclude each other. Give one."
        )
    requested, request = _test_options(request)
    selection = select_model(request, out, "eval --task sr --scale 4 --data Set5/HR")
    check_outputs([output, page], [selection, data, lr, reference], overwrite)
    from swinir_deploy.models.find import find_model

    compared = find_model(reference).checkpoint if reference is not None else not no_reference
    from swinir_deploy.evaluation.evaluate import evaluate
    from swinir_deploy.evaluation.testsets import list_pictures
    from swinir_deploy.reporting.gallery import Gallery
    from swinir_deploy.reporting.identity import identify_model

    list_pictures(data)  # before a download
    gallery = Gallery()

    report = evaluate(
        selection.name,
        data,
        lr=lr,
        backend=backend,
        device=device,
        tile=tile,
        self_ensemble=self_ensemble,
        reference=compared,
        offline=out.offline,
        progress=lambda line: out.say(f"Measuring {line}"),
        say=out.say,
        show=None if page is None else gallery.add_measured,
        **given(task=requested.task, noise=requested.noise, quality=requested.quality),
        **given(provider=provider, provider_options=provider_options, threads=threads),
        **given(precision=precision, kernels=kernels),
        **request.weights,
    )
    for note in report.notes:
        out.note(note)
    document = identified(
        out,
        "eval",
        report.to_dict(),
        lambda: [identify_model(report.model, report.spec)],
        output,
        page,
    )
    out.answer(document, "\n\n".join(filter(None, [_table(report), _stated(report)])))
    out.done(document, _line(report))
    out.save(output)
    save_page(out, page, gallery.pictures)
    return tell_failures("measured", [(str(Path(data, f.name)), f.error) for f in report.failures])


def _test_options(request: ModelRequest) -> tuple[ModelRequest, ModelRequest]:
    """Return the options of the test, and the options that select the model.

    With --model, the options --task, --noise and --quality belong to the test.
    """
    if request.model is None:
        return ModelRequest(), request
    requested = ModelRequest(task=request.task, noise=request.noise, quality=request.quality)
    return requested, replace(request, task=None, noise=None, quality=None)


def _table(report: EvaluationReport) -> str:
    metrics, reference = report.metrics, report.mean_reference
    name = report.protocol.baseline
    head = ["PICTURE", "SIZE", *map(_label, metrics), *(f"{name} {_label(m)}" for m in metrics)]
    rows = [
        [p.name, f"{p.width}x{p.height}", *_cells(p.scores, metrics), *_cells(p.baseline, metrics)]
        for p in report.pictures
    ]
    rows.append(["mean", "", *_cells(report.mean, metrics), *_cells(report.mean_baseline, metrics)])
    if reference is not None:
        head.append("TO FP32 dB")
        pairs = [(p.scores, p.reference or {}) for p in report.pictures]
        for row, (scores, others) in zip(rows, [*pairs, (report.mean, reference)], strict=True):
            row.append(_signed(scores[metrics[0]], others[metrics[0]], 4))
    return table(head, rows)


def _stated(report: EvaluationReport) -> str:
    """Return a table of the catalogue's figures beside the measured ones; empty without any."""
    if not report.stated:
        return ""
    rows = [
        [
            f"{stated.dataset} {_label(stated.metric)}",
            _cell(stated.metric, stated.measured),
            _cell(stated.metric, stated.stated),
            _signed(stated.measured, stated.stated, _digits(stated.metric)),
            stated.source,
        ]
        for stated in report.stated
    ]
    return table(["FIGURE", "MEASURED", "STATED", "DIFFERENCE", "SOURCE"], rows)


def _line(report: EvaluationReport) -> str:
    metric, spec = report.metrics[0], report.spec
    mean, baseline = report.mean, report.mean_baseline
    figures = ", ".join(f"{_label(m)} {_cell(m, mean[m])}" for m in report.metrics if m in mean)
    parts = [
        figures,
        f"{_signed(mean[metric], baseline[metric], 2)} dB to {report.protocol.baseline}",
    ]
    if report.mean_reference is not None:
        gained = _signed(mean[metric], report.mean_reference[metric], 4)
        parts.append(f"{gained} dB to PyTorch in FP32")
    ways = [f"tiles of {report.tile}"] * (report.tile is not None)
    ways += ["self-ensemble"] * report.self_ensemble
    return (
        f"Measured {spec.model_id or report.model} on {spec.backend} {spec.device} with "
        f"{_counted(report)} pictures of {report.dataset or report.data}, "
        f"{', '.join([report.protocol.title, *ways])}: {'; '.join(parts)}; in "
        f"{report.seconds:.1f} s"
    )


def _counted(report: EvaluationReport) -> str:
    measured, failed = len(report.pictures), len(report.failures)
    return f"{measured} of {measured + failed}" if failed else str(measured)


def _label(metric: str) -> str:
    """Return the label of a metric: ``psnr_b_gray`` -> ``PSNR-B gray``."""
    name, _, space = metric.rpartition("_")
    shown = {"y": "Y", "rgb": "RGB"}.get(space, space)
    return f"{name.upper().replace('_', '-')} {shown}"


def _digits(metric: str) -> int:
    return 4 if metric.startswith("ssim") else 2


def _cell(metric: str, value: float) -> str:
    return f"{value:.{_digits(metric)}f}"


def _cells(scores: Scores, metrics: tuple[str, ...]) -> list[str]:
    return [_cell(metric, scores[metric]) if metric in scores else "-" for metric in metrics]


def _signed(first: float, second: float, digits: int) -> str:
    difference = 0.0 if first == second else round(first - second, digits)
    return f"{difference + 0.0:+.{digits}f}"  # + 0.0 turns -0.0 into 0.0
