"""``swinir-deploy bench``."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from swinir_deploy.cli.options import (
    ModelRequest,
    ShapeType,
    common_options,
    given,
    model_options,
    report_option,
)
from swinir_deploy.cli.output import Output, Stopwatch, check_target_file, table
from swinir_deploy.cli.selection import Selection, find_model, select_model
from swinir_deploy.errors import UsageError
from swinir_deploy.extras import require

if TYPE_CHECKING:
    from swinir_deploy.evaluation.benchmark import BenchmarkReport, Contender
    from swinir_deploy.runtimes import Backend

__all__ = ["command"]

EPILOG = """\b
Examples:
  swinir-deploy bench --model tiny-sr-x4.onnx --shape 64x64 --shape 128x128
  swinir-deploy bench --task sr --scale 4 --backend torch,ort --duration 5
  swinir-deploy bench --model a.onnx --against b.onnx --threads 2 -o result.json

Back ends take turns, round by round; 'ratio' is the first one's time divided by this one's. A
back end that needs an ONNX file gets one exported for the occasion.
"""


@click.command("bench", epilog=EPILOG)
@model_options
@click.option(
    "--against", multiple=True, metavar="MODEL", help="Another model to time; can be given again."
)
@click.option("--backend", metavar="A,B,..", help="ort, torch; by default the model decides.")
@click.option("--device", metavar="NAME", help="cpu (default), cuda, cuda:1, ...")
@click.option("--provider", metavar="NAME", help="Execution provider of ort, such as cuda.")
@click.option(
    "--shape",
    "shapes",
    type=ShapeType(),
    multiple=True,
    metavar="HxW",
    help="Of the input; can be given again.  [default: 64x64]",
)
@click.option(
    "--batch", type=click.IntRange(1), metavar="N", help="Pictures in one run.  [default: 1]"
)
@click.option("--runs", type=click.IntRange(1), metavar="N", help="Rounds for each shape.")
@click.option(
    "--duration",
    type=click.FloatRange(0, min_open=True),
    metavar="S",
    help="Seconds for each shape, where --runs is not given.  [default: 3]",
)
@click.option("--threads", type=click.IntRange(1), metavar="N", help="Of one operator on the CPU.")
@report_option
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
    output: str | None,
) -> None:
    """Time models and back ends against each other."""
    if runs is not None and duration is not None:
        raise UsageError(f"--runs {runs} and --duration {duration:g} are two ways. Give one.")
    if output is not None:
        check_target_file(output)
    models = [select_model(request, out, "bench --task sr --scale 4 --backend torch,ort")]
    models += [find_model(name) for name in against]
    watch = Stopwatch()
    with tempfile.TemporaryDirectory(prefix="swinir-deploy-") as scratch:
        contenders = _contenders(models, _backends(backend), device, provider, Path(scratch), out)
        from swinir_deploy.evaluation.benchmark import benchmark

        report = benchmark(
            contenders,
            threads=threads,
            progress=lambda line: out.say(f"Timing {line}"),
            **given(shapes=shapes or None, batch=batch, runs=runs, duration_s=duration),
        )
    out.answer({**report.to_dict(), "seconds": watch.seconds}, _table(report))
    out.say(
        f"{report.machine.get('processor', 'unknown processor')}, "
        f"{report.machine.get('logical_cpus', '?')} CPUs; in {watch}"
    )
    out.save(output)


def _backends(text: str | None) -> list[str | None]:
    if text is None:
        return [None]
    names = [name.strip() for name in text.split(",")]
    if "" in names or len(set(names)) < len(names):
        raise UsageError(f"--backend {text!r} must be different names with commas: ort,torch.")
    return list(names)


def _contenders(
    models: list[Selection],
    backends: list[str | None],
    device: str | None,
    provider: str | None,
    scratch: Path,
    out: Output,
) -> list[Contender]:
    """Every model on every back end; the two must fit, or be brought to fit by an export."""
    from swinir_deploy.evaluation.benchmark import Contender
    from swinir_deploy.runtimes import BACKENDS, backend_for

    contenders = []
    for model in models:
        for name in backends:
            wanted = BACKENDS.get(name) if name is not None else None
            if wanted is not None and ".onnx" in wanted.opens and not model.is_onnx:
                path = _exported(model, wanted, scratch, out)
            else:
                path = model.local(out)
            chosen = backend_for(path, name)
            options = given(provider=provider) if chosen.name == "ort" else {}
            contenders.append(Contender(path, chosen.name, device, options))
    return contenders


def _exported(model: Selection, backend: Backend, scratch: Path, out: Output) -> str:
    require("export", f"Exporting {model.name} for {backend.name}")
    from swinir_deploy.exporters.onnx import export_onnx
    from swinir_deploy.exporters.recipes import RECIPES
    from swinir_deploy.loading import load_model

    out.say(f"Exporting {model.name} for {backend.name} ...")
    loaded = load_model(model.name, progress=not out.quiet, offline=out.offline)
    target = backend.name if backend.name in RECIPES else "any"
    path = scratch / f"{Path(loaded.model_id).name}.{backend.name}.onnx"
    if not path.exists():
        export_onnx(loaded, path, target=target)
    return str(path)


def _table(report: BenchmarkReport) -> str:
    head = ["CONTENDER", "SHAPE", "RUNS", "P50 ms", "P90 ms", "P99 ms", "MPIX/s", "RATIO"]
    rows = [
        [
            row.label,
            f"{row.batch}x{row.height}x{row.width}",
            str(row.runs),
            f"{row.p50_ms:.1f}",
            f"{row.p90_ms:.1f}",
            f"{row.p99_ms:.1f}",
            f"{row.mpix_per_s:.2f}",
            f"{row.ratio:.2f}x",
            f"{row.ratio_low:.2f}-{row.ratio_high:.2f}",
            f"{row.load_ms:.0f}",
            f"{row.first_run_ms:.0f}",
        ]
        for row in report.rows
    ]
    return table([*head, "95 %", "LOAD ms", "FIRST ms"], rows)
