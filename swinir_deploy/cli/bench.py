"""``swinir-deploy bench``."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from swinir_deploy.artifacts.shapes import shape_text
from swinir_deploy.cli.bench_table import changes_text, footer, report_text
from swinir_deploy.cli.options import (
    PRECISIONS,
    ModelRequest,
    NearChoice,
    ShapeType,
    common_options,
    given,
    kernels_option,
    model_options,
    report_option,
)
from swinir_deploy.cli.output import Output, Stopwatch
from swinir_deploy.cli.outputs import check_outputs
from swinir_deploy.cli.pages import identified, page_option, save_page
from swinir_deploy.cli.positional import models_argument
from swinir_deploy.cli.selection import select_model
from swinir_deploy.errors import BackendUnavailableError, CheckFailedError, UsageError
from swinir_deploy.system.files import atomic_output

if TYPE_CHECKING:
    from swinir_deploy.benchmarking.contenders import Contender
    from swinir_deploy.benchmarking.reports import BenchmarkReport, Change
    from swinir_deploy.models.find import FoundModel

__all__ = ["command"]

EPILOG = """\b
Examples:
  swinir-deploy bench tiny-sr-x4.onnx --shape 64x64 --shape 128x128
  swinir-deploy bench tiny-sr-x4 --backend all
  swinir-deploy bench --task sr --scale 4 --backend torch,ort --duration 5
  swinir-deploy bench a.onnx b.onnx --threads 2 -o result.json
  swinir-deploy bench a.onnx --compare result.json

Back ends take turns, round by round. RATIO is the first one's time divided by this one's. If a
back end needs an ONNX file, one is exported. If one of several fails, the others are timed, and the
failure is reported at the end (exit code 1). OF PEAK is the network's rate of operations divided
by the highest rate of a matrix product on this machine. P90 needs 10 runs and P99 needs 100.
MEM MB is the growth of the process's peak memory by opening a contender and by its first run;
libraries that an earlier contender loaded are not counted again. With --isolate, each contender
has a process of its own, and MEM MB is the peak memory of that process. GPU ms is the median by
the GPU's events, without the host's work before and after; torch on CUDA, tensorrt and rtx have
it. All other times are by the host's clock. With --no-transfers, no time includes copies to or
from the GPU. On the CPU there are no copies, and the flag has no effect.
"""


@click.command("bench", epilog=EPILOG)
@model_options
@models_argument
@click.option(
    "--against", multiple=True, metavar="MODEL", help="Another model to time. Can be repeated."
)
@click.option(
    "--backend",
    metavar="A,B,..",
    help="ort, openvino, torch, torch-compile, tensorrt, rtx; or all that are installed and open "
    "the model.  [default: by the model's file]",
)
@click.option("--device", metavar="NAME", help="cpu (default), cuda, cuda:1, ...")
@click.option("--provider", metavar="NAME", help="Execution provider of ort, such as cuda.")
@click.option(
    "--shape",
    "shapes",
    type=ShapeType(),
    multiple=True,
    metavar="HxW",
    help="Height and width of the input. Can be repeated.  [default: 64x64]",
)
@click.option(
    "--batch", type=click.IntRange(1), metavar="N", help="Pictures in one run.  [default: 1]"
)
@click.option(
    "--runs", type=click.IntRange(1), metavar="N", help="Number of rounds for each shape."
)
@click.option(
    "--duration",
    type=click.FloatRange(0, min_open=True),
    metavar="S",
    help="Seconds for each shape, if --runs is not given.  [default: 3]",
)
@click.option(
    "--threads", type=click.IntRange(1), metavar="N", help="CPU threads for one operator."
)
@click.option(
    "--precision",
    type=NearChoice(PRECISIONS),
    help="Precision of torch, openvino and of models exported here.  [default: fp32]",
)
@kernels_option
@click.option(
    "--transfers/--no-transfers",
    default=True,
    help="Count copies to and from the GPU (default), or keep input and output in its memory.",
)
@click.option(
    "--isolate",
    is_flag=True,
    help="Time each contender in a process of its own, so that others do not disturb it.",
)
@click.option(
    "--csv", "csv_file", type=click.Path(), metavar="FILE", help="Also write the rows as CSV."
)
@click.option(
    "--compare",
    "before",
    type=click.Path(),
    metavar="FILE",
    help="Compare with an older report. Exit code 1 if a row is slower by more than the noise.",
)
@report_option
@page_option
@common_options
def command(
    out: Output,
    request: ModelRequest,
    against: tuple[str, ...],
    backend: str | None,
    device: str | None,
    provider: str | None,
    shapes: tuple[tuple[int, int], ...],
    batch: int | None,
    runs: int | None,
    duration: float | None,
    threads: int | None,
    precision: str | None,
    kernels: str | None,
    transfers: bool,
    isolate: bool,
    csv_file: str | None,
    before: str | None,
    output: str | None,
    page: str | None,
    overwrite: bool,
) -> int:
    """Time models and back ends against each other."""
    if runs is not None and duration is not None:
        raise UsageError(f"--runs {runs} and --duration {duration:g} exclude each other. Give one.")
    from swinir_deploy.benchmarking.benchmark import benchmark
    from swinir_deploy.benchmarking.choice import parse_backends, plan_each
    from swinir_deploy.benchmarking.plan import ContenderOptions, plan_contenders
    from swinir_deploy.benchmarking.reports import compare_reports, read_report, require_same_way
    from swinir_deploy.models.find import find_model

    backends = parse_backends(backend)
    check_outputs([output, csv_file, page], [request.model, *against, before], overwrite)
    older = read_report(before) if before is not None else None
    if older is not None:
        require_same_way(older, transfers=transfers, isolated=isolate)
    models = [select_model(request, out, "bench --task sr --scale 4 --backend torch,ort")]
    models += [find_model(name) for name in against]
    check_outputs([output, csv_file, page], models, overwrite)
    backends = _chosen(out, backends, models)
    options = ContenderOptions(device, provider, precision, kernels, request.weights)
    watch = Stopwatch()
    with tempfile.TemporaryDirectory(prefix="swinir-deploy-") as scratch:

        def planned(model: FoundModel, name: str | None) -> list[Contender]:
            return plan_contenders(
                [model],
                [name],
                options,
                Path(scratch),
                progress=not out.quiet,
                offline=out.offline,
                say=out.say,
            )

        contenders, failures = plan_each(models, backends, planned)
        report = benchmark(
            contenders,
            go_on=True,
            threads=threads,
            transfers=transfers,
            isolate=isolate,
            progress=lambda line: out.say(f"Timing {line}"),
            **given(shapes=shapes or None, batch=batch, runs=runs, duration_s=duration),
        )
    report = replace(report, failures=(*failures, *report.failures))
    for note in dict.fromkeys(row.note for row in report.rows if row.note):
        out.note(note)
    changes = compare_reports(report, older) if older is not None else ()
    from swinir_deploy.reporting.identity import identify_model

    document = identified(
        out,
        "bench",
        {**report.to_dict(), "changes": changes, "seconds": watch.seconds},
        lambda: [identify_model(model.name) for model in models],
        output,
        page,
        machine=report.machine,
        versions=report.versions,
    )
    tables = [report_text(report), *([changes_text(changes)] if changes else [])]
    out.answer(document, "\n\n".join(tables))
    out.say(footer(report, watch))
    out.save(output)
    save_page(out, page)
    if csv_file is not None:
        with atomic_output(csv_file) as temporary:
            temporary.write_text(report.to_csv())
    _judge(changes, before)
    return _tell_failures(report, len(models) * len(backends))


def _chosen(
    out: Output, backends: tuple[str | None, ...], models: Sequence[FoundModel]
) -> tuple[str | None, ...]:
    """Return the back ends to time; for ``all``, those that open the models here."""
    from swinir_deploy.benchmarking.choice import ALL, backends_that_open

    if backends != (ALL,):
        return backends
    fitting, left_out = backends_that_open(models)
    for line in left_out:
        out.note(line)
    if not fitting:
        raise BackendUnavailableError(
            "No back end that is installed opens the model. Install one, such as "
            "pip install 'swinir-deploy[ort]'."
        )
    return fitting


def _tell_failures(report: BenchmarkReport, count: int) -> int:
    """Print the contenders that could not be timed, and return the exit code."""
    if not report.failures:
        return 0
    lines = [
        f"  {f.label}{f' at {shape_text(f.shape)}' if f.shape else ''}: {f.error}"
        for f in report.failures
    ]
    failed = len({f.label for f in report.failures})
    head = f"Error: {failed} of {count} could not be timed:"
    click.echo("\n".join([head, *lines]), err=True)
    return 1


def _judge(changes: Sequence[Change], before: str | None) -> None:
    if before is None:
        return
    if not changes:
        raise UsageError(
            f"{before} has no measurement in common with this one. Time the same label, device, "
            "precision, model, batch and shape."
        )
    slower = [c.row.label for c in changes if c.is_regression]
    if slower:
        raise CheckFailedError(
            f"Slower than in {before} by more than the noise: {', '.join(dict.fromkeys(slower))}. "
            "Measure again on an idle machine to confirm it."
        )
