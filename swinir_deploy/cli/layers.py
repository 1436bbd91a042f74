"""The text that ``verify --layers`` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from swinir_deploy.artifacts.shapes import shape_text
from swinir_deploy.cli.output import Output, Stopwatch, table
from swinir_deploy.cli.pages import identified, save_page

if TYPE_CHECKING:
    from swinir_deploy.verification.layers import LayerRow, LayersReport

__all__ = ["finish_layers"]


def finish_layers(
    out: Output, report: LayersReport, watch: Stopwatch, output: str | None, page: str | None
) -> int:
    """Print the worst ten tensors and the first beyond its limit, and return the exit code.

    Args:
        out: where to print.
        report: the result of the comparison.
        watch: started before the comparison.
        output: file for the JSON document, or None.
        page: file for the HTML page, or None.

    Returns:
        0 if every tensor is within its limit, else 1.
    """
    out.say(f"Differences are in parts of each tensor's range:\n{_table(report.worst())}")
    from swinir_deploy.reporting.identity import identify_model

    document = identified(
        out,
        "layers",
        {**report.to_dict(), "seconds": watch.seconds},
        lambda: [identify_model(report.model)],
        output,
        page,
    )
    worst = report.worst(1)
    what = f"{report.model} on {report.ran_on} and {report.against} on {report.against_ran_on}"
    counted = f"{len(report.rows)} tensors compared, {len(report.unpaired)} without a counterpart"
    first = report.first
    if first is None:
        largest = f"largest difference {worst[0].relative:.1e} of the range" if worst else "none"
        out.done(document, f"{what} agree ({counted}; {largest}) in {watch}")
    else:
        out.answer(document, "")
        click.echo(
            f"Error: {what} differ first at {first.node} (node {first.position}, {first.op_type}): "
            f"the difference is {first.relative:.1e} of the range, the limit {first.limit:.1e} "
            f"({counted}). Every node before it is within its limit.",
            err=True,
        )
    out.save(output)
    save_page(out, page)
    return 0 if report.passed else 1


def _table(rows: list[LayerRow]) -> str:
    def cells(row: LayerRow) -> list[str]:
        return [
            str(row.position),
            row.node,
            shape_text(row.shape) or "scalar",
            f"{row.relative:.1e}",
            f"2^{row.scale_log2}" if row.scale_log2 else "1",
            "passed" if row.passed else "FAILED",
        ]

    head = ["NODE", "NAME", "SHAPE", "DIFFERENCE", "SCALED BY", "RESULT"]
    return table(head, [cells(row) for row in rows], keys=3)
