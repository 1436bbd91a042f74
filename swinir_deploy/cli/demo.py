"""``swinir-deploy demo``."""

from __future__ import annotations

from pathlib import Path

import click

from swinir_deploy.cli.options import common_options, overwrite_option
from swinir_deploy.cli.output import Output, Stopwatch
from swinir_deploy.cli.outputs import check_outputs
from swinir_deploy.system.packages import require

__all__ = ["command"]

EPILOG = """\b
Examples:
  swinir-deploy demo
  swinir-deploy demo -o /tmp/demo --json
  swinir-deploy demo --overwrite
"""


@click.command("demo", epilog=EPILOG)
@click.option(
    "-o",
    "--output",
    type=click.Path(),
    default="swinir-deploy-demo",
    show_default=True,
    metavar="FOLDER",
    help="Folder for the files.",
)
@overwrite_option
@common_options
def command(out: Output, output: str, overwrite: bool) -> None:
    """Export a built-in model, restore a picture with it, compare and time it.

    It needs no network.
    """
    require("export", "The demo")
    from swinir_deploy.demo import demo_files, run_demo

    if Path(output).is_dir():
        check_outputs(demo_files(output), [], overwrite)
    watch = Stopwatch()
    report = run_demo(output, out.say if out.as_json or out.quiet else click.echo)
    gain = report.restored_psnr_y_db - report.bicubic_psnr_y_db
    out.done(
        {**report.to_dict(), "seconds": watch.seconds},
        f"Demo -> {output} (restored picture {gain:+.2f} dB over bicubic, {report.parity_levels} "
        f"of 255 levels from PyTorch) in {watch}",
    )
