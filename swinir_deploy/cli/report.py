"""``swinir-deploy report``."""

from __future__ import annotations

from pathlib import Path

import click

from swinir_deploy.cli.options import common_options, overwrite_option
from swinir_deploy.cli.output import Output, Stopwatch, size_text
from swinir_deploy.cli.outputs import check_outputs
from swinir_deploy.cli.pages import checked_page

__all__ = ["command"]

EPILOG = """\b
Examples:
  swinir-deploy verify x4.onnx -o verify.json
  swinir-deploy bench x4.onnx -o bench.json
  swinir-deploy report verify.json bench.json -o x4.html

The page holds everything and loads nothing. Pictures are in the pages that 'verify' and 'eval'
write with --report; JSON files have none.
"""


@click.command("report", epilog=EPILOG)
@click.argument("files", nargs=-1, required=True, metavar="A.json B.json ...", type=click.Path())
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(),
    metavar="FILE.html",
    callback=checked_page,
    help="The HTML page to write.",
)
@overwrite_option
@common_options
def command(out: Output, files: tuple[str, ...], output: str, overwrite: bool) -> None:
    """Join saved reports into one HTML page to hand over.

    Takes what verify, eval, bench and inspect wrote with -o, and what export printed with --json.
    The page says first what was proved, then which model, on which machine and by which command.
    """
    check_outputs([output], files, overwrite)
    from swinir_deploy.reporting.contents import mixed_models, verdict_of
    from swinir_deploy.reporting.documents import read_document
    from swinir_deploy.reporting.page import write_page

    watch = Stopwatch()
    documents = [read_document(path) for path in files]
    mixed = mixed_models(documents)
    if mixed:
        out.note(f"{mixed} The page says so.")
    write_page(output, documents)
    size_bytes = Path(output).stat().st_size
    reports = [
        {"path": d.source, "kind": d.kind, "result": verdict_of(d.values).word.lower()}
        for d in documents
    ]
    out.done(
        {"path": output, "size_bytes": size_bytes, "reports": reports},
        f"Wrote {output} ({size_text(size_bytes)}) from {len(files)} "
        f"report{'s' if len(files) > 1 else ''} in {watch}",
    )
