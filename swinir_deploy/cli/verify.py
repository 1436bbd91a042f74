"""``swinir-deploy verify``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from swinir_deploy.cli.options import (
    ShapeType,
    common_options,
    given,
    report_option,
    runtime_options,
)
from swinir_deploy.cli.output import Output, Stopwatch, table
from swinir_deploy.cli.selection import find_model
from swinir_deploy.errors import CatalogError, UsageError
from swinir_deploy.extras import require

if TYPE_CHECKING:
    from swinir_deploy.evaluation.parity import ParityReport

__all__ = ["command"]

EPILOG = """\b
Examples:
  swinir-deploy verify tiny-sr-x4.onnx
  swinir-deploy verify mine.onnx --model finetuned.pth --shape 64x64 --shape 37x101
  swinir-deploy verify tiny-sr-x4.onnx --picture photo.png --limit 1e-5 --json
"""


@click.command("verify", epilog=EPILOG)
@click.argument("exported", metavar="MODEL.onnx", type=click.Path())
@click.option(
    "-m",
    "--model",
    metavar="MODEL",
    help="The checkpoint or id it came from.  [default: as its metadata say]",
)
@click.option("--key", metavar="NAME", help="Entry of the checkpoint with the weights.")
@click.option("--img-range", type=float, metavar="R", help="Of a checkpoint that does not say.")
@runtime_options
@click.option(
    "--shape",
    "shapes",
    type=ShapeType(),
    multiple=True,
    metavar="HxW",
    help="Of a synthetic input; can be given again.  [default: seven odd ones]",
)
@click.option(
    "--picture",
    "pictures",
    type=click.Path(),
    multiple=True,
    metavar="FILE",
    help="A real picture; can be given again.  [default: a crop that ships with this program]",
)
@click.option(
    "--limit",
    type=click.FloatRange(0, min_open=True),
    metavar="D",
    help="Largest difference, relative to the range.  [default: by precision]",
)
@click.option("--min-psnr", type=float, metavar="DB", help="Lowest PSNR.")
@report_option
@common_options
def command(
    out: Output,
    exported: str,
    model: str | None,
    key: str | None,
    img_range: float | None,
    backend: str | None,
    device: str | None,
    provider: str | None,
    threads: int | None,
    shapes: tuple[tuple[int, int], ...],
    pictures: tuple[str, ...],
    limit: float | None,
    min_psnr: float | None,
    output: str | None,
) -> int:
    """Compare an exported model with the PyTorch network it came from.

    On odd shapes and a real picture, in FP32. Exit code 1 if any difference is beyond the limit.
    """
    selection = find_model(exported)
    require("export", "Verifying a model")
    from swinir_deploy.evaluation.parity import Limit, verify
    from swinir_deploy.loading import load_model

    name = model if model is not None else _source(selection.name, selection.is_onnx)
    watch = Stopwatch()
    reference = load_model(
        find_model(name).checkpoint,
        img_range=img_range,
        key=key,
        progress=not out.quiet,
        offline=out.offline,
    )
    asked = None if limit is None and min_psnr is None else Limit(limit, min_psnr)
    report = verify(
        selection.local(out),
        reference=reference,
        backend=backend,
        device=device,
        shapes=shapes or None,
        pictures=pictures or None,
        limit=asked,
        **given(provider=provider, threads=threads),
    )
    out.say(_table(report))
    document = {**report.to_dict(), "seconds": watch.seconds}
    worst = report.worst.comparison
    summary = (
        f"worst difference {worst.relative_max:.1e} of the range, PSNR {worst.psnr_db:.1f} dB "
        f"over {len(report.rows)} inputs; limit: {report.limit.describe()}"
    )
    what = f"{report.model} on {report.spec.backend} {report.spec.device}"
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
    return 0 if report.passed else 1


def _source(path: str, is_onnx: bool) -> str:
    """The id in the file's metadata, if the catalogue has it."""
    from swinir_deploy.catalog import load_catalog
    from swinir_deploy.cli.describe import read_onnx

    metadata = read_onnx(path).metadata if is_onnx else None
    if metadata is None:
        raise UsageError(
            f"{path} does not say which model it came from. Name it: --model ID or --model FILE."
        )
    try:
        return load_catalog().get(metadata.model_id).id
    except CatalogError as error:
        raise UsageError(
            f"{path} came from {metadata.model_id!r}, which is not in the catalogue. Name the "
            "checkpoint: --model FILE."
        ) from error


def _table(report: ParityReport) -> str:
    rows = [
        [
            row.source,
            "x".join(map(str, row.shape)),
            f"{row.comparison.max_abs:.1e}",
            f"{row.comparison.psnr_db:.1f}",
            "passed" if row.passed else "FAILED",
        ]
        for row in report.rows
    ]
    return table(["INPUT", "SHAPE", "DIFFERENCE", "PSNR dB", "RESULT"], rows)
