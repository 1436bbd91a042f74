"""``swinir-deploy verify``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from swinir_deploy.artifacts.shapes import shape_text
from swinir_deploy.cli.layers import finish_layers
from swinir_deploy.cli.options import (
    NearChoice,
    ShapeType,
    common_options,
    given,
    report_option,
    runtime_options,
    weight_options,
)
from swinir_deploy.cli.output import Output, Stopwatch, table
from swinir_deploy.cli.outputs import check_outputs
from swinir_deploy.cli.pages import identified, page_option, save_page
from swinir_deploy.cli.selection import local_path
from swinir_deploy.errors import PictureError, UsageError
from swinir_deploy.system.packages import require

if TYPE_CHECKING:
    from swinir_deploy.models.load import LoadedModel
    from swinir_deploy.runtimes import RuntimeSpec
    from swinir_deploy.verification.parity import ParityReport

__all__ = ["command"]

Value = TypeVar("Value")

EPILOG = """\b
Examples:
  swinir-deploy verify tiny-sr-x4.onnx
  swinir-deploy verify mine.onnx --model finetuned.pth --shape 64x64 --shape 37x101
  swinir-deploy verify tiny-sr-x4.onnx --picture photo.png --limit 1e-5 --json
  swinir-deploy verify x4-fp16.onnx --layers --against x4.onnx
  swinir-deploy verify x4.onnx --layers --backend openvino --precision bf16
"""


@click.command("verify", epilog=EPILOG)
@click.argument("exported", metavar="MODEL.onnx", type=click.Path())
@click.option(
    "-m",
    "--model",
    metavar="MODEL",
    help="The checkpoint or id that it was exported from.  [default: by its metadata]",
)
@weight_options
@runtime_options
@click.option(
    "--shape",
    "shapes",
    type=ShapeType(),
    multiple=True,
    metavar="HxW",
    help="Shape of a synthetic input. Can be repeated.  [default: seven odd ones]",
)
@click.option(
    "--picture",
    "pictures",
    type=click.Path(),
    multiple=True,
    metavar="FILE",
    help="A real picture. Can be repeated.  [default: a crop that ships with this program]",
)
@click.option(
    "--limit",
    type=click.FloatRange(0, min_open=True),
    metavar="D",
    help="Maximum difference, relative to the range.  [default: by precision]",
)
@click.option("--min-psnr", type=float, metavar="DB", help="Minimum PSNR.")
@click.option(
    "--layers", is_flag=True, help="Compare every tensor inside, and name the first that differs."
)
@click.option(
    "--against",
    type=click.Path(),
    metavar="FILE.onnx",
    help="With --layers: the reference.  [default: the checkpoint, exported again in FP32; with "
    "--backend, the same file]",
)
@click.option(
    "--optimization",
    type=NearChoice(("none", "basic", "extended", "all")),
    help="With --layers: ONNX Runtime's graph optimisation of MODEL.onnx.  [default: basic]",
)
@report_option
@page_option
@common_options
def command(
    out: Output,
    exported: str,
    model: str | None,
    weights: dict[str, Any],
    backend: str | None,
    device: str | None,
    provider: str | None,
    provider_options: dict[str, str] | None,
    precision: str | None,
    kernels: str | None,
    threads: int | None,
    shapes: tuple[tuple[int, int], ...],
    pictures: tuple[str, ...],
    limit: float | None,
    min_psnr: float | None,
    layers: bool,
    against: str | None,
    optimization: str | None,
    output: str | None,
    page: str | None,
    overwrite: bool,
) -> int:
    """Compare an exported model with the PyTorch network that it was exported from.

    Compares on odd shapes and a real picture, with the network in FP32. The exit code is 1 if a
    difference is beyond the limit. With --layers, it compares tensor by tensor on one small
    picture, against ONNX Runtime on the CPU.
    """
    from swinir_deploy.models.find import find_model

    selection = find_model(exported)
    check_outputs([output, page], [selection, model, against, *pictures], overwrite)
    watch = Stopwatch()
    if layers:
        _refuse("with --layers", threads=threads, min_psnr=min_psnr)
        _refuse("with --layers", provider_option=provider_options, kernels=kernels)
        if against is not None and backend != "torch":
            _refuse("with --against", model=model, **weights)
        options = given(
            backend=backend,
            device=device,
            precision=precision,
            provider=provider,
            optimization=optimization,
            limit=limit,
            shape=_only("--shape", shapes),
            picture=_only("--picture", pictures),
        )
        require("layers", "Comparing layers")
        from swinir_deploy.verification.layers import compare_layers

        other: str | LoadedModel | None = against
        source = (model, weights)
        if backend == "torch":
            options["network"] = _load_reference(out, selection.name, *source)
        elif against is None and (backend in (None, "ort") or source != (None, {})):
            other = _load_reference(out, selection.name, *source)
        compared = compare_layers(selection.name, other, **options)
        return finish_layers(out, compared, watch, output, page)
    _refuse("without --layers", against=against, optimization=optimization)
    require("export", "Verifying a model")
    for picture in pictures:
        if not Path(picture).is_file():
            raise PictureError(f"Cannot read {picture}: there is no such file. Check the path.")
    from swinir_deploy.reporting.gallery import Gallery
    from swinir_deploy.reporting.identity import identify_model
    from swinir_deploy.verification.parity import Limit, target_note, verify

    gallery = Gallery()
    reference = _load_reference(out, selection.name, model, weights)
    requested = None if limit is None and min_psnr is None else Limit(limit, min_psnr)
    report = verify(
        local_path(selection, out),
        reference=reference,
        backend=backend,
        device=device,
        shapes=shapes or None,
        pictures=pictures or None,
        limit=requested,
        show=None if page is None else gallery.add_compared,
        **given(provider=provider, provider_options=provider_options, threads=threads),
        **given(precision=precision, kernels=kernels),
    )
    note = target_note(report.spec)
    if note is not None:
        out.note(note)
    out.say(f"Differences are in parts of the range of the output:\n{_table(report)}")
    document = identified(
        out,
        "verify",
        {**report.to_dict(), "seconds": watch.seconds},
        lambda: [identify_model(report.model, report.spec)],
        output,
        page,
    )
    worst = report.worst.comparison
    summary = (
        f"worst difference {worst.relative_max:.1e} of the range, PSNR {worst.psnr_db:.1f} dB "
        f"over {len(report.rows)} inputs; limit: {report.limit.describe()}"
    )
    what = f"{report.model} on {_where(report.spec)}"
    if report.passed:
        out.done(document, f"Verified {what} against {report.reference} ({summary}) in {watch}")
    else:
        out.answer(document, "")
        failed = sum(not row.passed for row in report.rows)
        click.echo(
            f"Error: {what} differs from {report.reference} at {failed} of {len(report.rows)} "
            f"inputs ({summary}). Export it again, or give another --limit.",
            err=True,
        )
    out.save(output)
    save_page(out, page, gallery.pictures)
    return 0 if report.passed else 1


def _load_reference(
    out: Output, exported: str, model: str | None, weights: dict[str, Any]
) -> LoadedModel:
    require("export", "Verifying a model")
    from swinir_deploy.verification.reference import load_reference, recorded_weights, source_of

    return load_reference(
        source_of(exported) if model is None else model,
        recorded=recorded_weights(exported),
        progress=not out.quiet,
        offline=out.offline,
        **weights,
    )


def _refuse(where: str, **values: Any) -> None:
    """Check that options without effect were not given.

    Raises:
        UsageError: one of them was given.
    """
    given_names = [name for name, value in values.items() if value is not None]
    if given_names:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in given_names)
        raise UsageError(f"{names} cannot be used {where}. Leave it out.")


def _only(option: str, values: tuple[Value, ...]) -> Value | None:
    if len(values) > 1:
        raise UsageError(f"{option} was given {len(values)} times; --layers takes one. Give one.")
    return values[0] if values else None


def _where(spec: RuntimeSpec) -> str:
    """Return such as ``torch cuda:0, fp16 with the stream times 2**-7, fused kernels``."""
    scale = spec.residual_scale_log2
    rescaled = f" with the stream times 2**-{scale}" if scale else ""
    kernels = f", {spec.kernels} kernels" if spec.kernels and spec.device != "cpu" else ""
    return f"{spec.backend} {spec.device}, {spec.precision}{rescaled}{kernels}"


def _table(report: ParityReport) -> str:
    rows = [
        [
            row.source,
            shape_text(row.shape),
            f"{row.comparison.relative_max:.1e}",
            f"{row.comparison.psnr_db:.1f}",
            "passed" if row.passed else "FAILED",
        ]
        for row in report.rows
    ]
    return table(["INPUT", "SHAPE", "DIFFERENCE", "PSNR dB", "RESULT"], rows, keys=2)
