"""``swinir-deploy bundle``."""

from __future__ import annotations

import click

from swinir_deploy.cli.options import LibraryChoice, common_options
from swinir_deploy.cli.output import Output, plain, size_text

__all__ = ["command"]

EPILOG = """\b
Examples:
  swinir-deploy bundle x4.onnx -o x4-bundle
  swinir-deploy bundle x4.onnx --target openvino -o x4-bundle
  swinir-deploy bundle x4.engine -o x4-bundle
"""


@click.command("bundle", epilog=EPILOG)
@click.argument("model", metavar="MODEL", type=click.Path())
@click.option(
    "--target",
    type=LibraryChoice(("ort", "openvino", "tensorrt", "rtx")),
    help="Library that will run the model.  [default: ort for .onnx, the builder of an .engine]",
)
@click.option(
    "-o", "--output", required=True, type=click.Path(), metavar="DIR", help="The folder to write."
)
@common_options
def command(out: Output, model: str, target: str | None, output: str) -> None:
    """Write a folder to ship with a C or C++ program.

    It holds the model, the headers of libswinir, an example program with its CMakeLists.txt,
    licences and checksums. docs/embedding.md lists the libraries to ship with it.
    """
    from swinir_deploy.bundling import make_bundle

    report = make_bundle(model, output, target)
    for note in report.notes:
        out.note(note)
    out.done(
        plain(report),
        f"Bundled {model} for {report.target} -> {report.folder} ({len(report.files)} files, "
        f"{size_text(report.total_bytes)})",
    )
