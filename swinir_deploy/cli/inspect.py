"""``swinir-deploy inspect``."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import click

from swinir_deploy.artifacts.shapes import shape_text
from swinir_deploy.cli.build import check_sources
from swinir_deploy.cli.engine_options import engine_options
from swinir_deploy.cli.options import (
    PRECISIONS,
    NearChoice,
    common_options,
    given,
    report_option,
    weight_options,
)
from swinir_deploy.cli.output import Output, size_text, table
from swinir_deploy.cli.outputs import check_outputs
from swinir_deploy.cli.pages import identified, page_option, save_page
from swinir_deploy.cli.selection import require_checkpoint
from swinir_deploy.cli.tables import facts
from swinir_deploy.errors import UsageError

if TYPE_CHECKING:
    from swinir_deploy.exporters.tensorrt.inspect import EngineInspection
    from swinir_deploy.exporters.tensorrt.shapes import ShapeRequest
    from swinir_deploy.kernels.inspect import KernelInspection

__all__ = ["command"]

EPILOG = """\b
Examples:
  swinir-deploy inspect x4.onnx --target rtx:sm89
  swinir-deploy inspect finetuned.pth --target rtx:sm89 --precision fp16
  swinir-deploy inspect x4.onnx --target rtx:sm120 --min-shape 64x64 --max-shape 256x256 --json
  swinir-deploy inspect --compare before.json x4.onnx --target rtx:sm89
  swinir-deploy inspect light-sr-x4 --target cuda:sm80,sm90
"""


@click.command("inspect", epilog=EPILOG)
@click.argument("model", metavar="[MODEL]", type=click.Path(), required=False)
@click.option(
    "--target",
    default="rtx:sm89",
    show_default=True,
    metavar="TARGET",
    help="One GPU architecture of TensorRT for RTX, or several for the fused kernels of torch: "
    "cuda:sm80,sm90.",
)
@click.option(
    "--precision",
    type=NearChoice(PRECISIONS),
    help="Precision of a checkpoint's engine or fused kernels; an ONNX file has its own.  "
    "[default: fp16]",
)
@weight_options
@engine_options
@click.option(
    "--compare",
    nargs=2,
    type=click.Path(),
    metavar="A B",
    help="Compare two models, or two reports of 'inspect --json'.",
)
@report_option
@page_option
@common_options
def command(
    out: Output,
    model: str | None,
    target: str,
    precision: str | None,
    weights: dict[str, Any],
    shapes: ShapeRequest,
    builder: dict[str, Any],
    compare: tuple[str, str] | None,
    output: str | None,
    page: str | None,
    overwrite: bool,
) -> None:
    """Compile a model without a GPU and describe the engine.

    Prints the kernels by kind, the number of fused attentions and of blocks, the device memory, the
    kernels of each block and the largest activations. By default, the shape is one tile of
    256 x 256 pixels. A checkpoint or an id is exported first.

    With a target cuda:..., for a checkpoint or an id, prints the registers, spilled bytes and
    shared memory of each fused kernel of torch. It needs Triton: pip install 'swinir-deploy[cuda]'
    """
    check_outputs([output, page], [model, *(compare or ())], overwrite)
    if target.strip().lower().partition(":")[0] == "cuda":
        others = [compare, *vars(shapes).values(), *builder.values()]
        if model is None or any(others):
            raise UsageError(
                f"The target {target!r} takes one checkpoint or id, --precision and --json; its "
                "kernels are for all shapes. Leave the other options out."
            )
        kernels = _inspect_kernels(out, model, target, precision, weights)
        document = _identified(out, "kernels", kernels.to_dict(), [model], output, page)
        out.answer(document, describe_kernels(kernels))
        out.save(output)
        save_page(out, page)
        return
    from swinir_deploy.exporters.tensorrt.inspect import read_inspection
    from swinir_deploy.exporters.tensorrt.options import BuildOptions

    if (model is None) == (compare is None):
        wrong = "Missing model" if model is None else f"{model} and --compare exclude each other"
        raise UsageError(f"{wrong}. Give one MODEL, or two ONNX files with --compare.")
    options: dict[str, Any] = {
        "shapes": shapes,
        "options": BuildOptions(**builder),
        "progress": out.progress,
    }
    if model is not None:
        inspection = _inspect(out, model, target, precision, weights, options)
        document = _identified(out, "inspect", inspection.to_dict(), [model], output, page)
        out.answer(document, describe(inspection))
    elif compare is not None:
        if precision is not None or weights:
            raise UsageError(
                "--precision and the options of weights are for a checkpoint. Leave them out with "
                "--compare."
            )
        both = [read_inspection(path, target, **options) for path in compare]
        document = {"a": both[0].to_dict(), "b": both[1].to_dict()}
        names = [inspection.model for inspection in both]
        document = _identified(out, "comparison", document, names, output, page)
        out.answer(document, table(["", "A", "B"], list(_side_by_side(*both))))
    out.save(output)
    save_page(out, page)


def _identified(
    out: Output, report: str, document: dict[str, Any], models: list[str], *files: str | None
) -> dict[str, Any]:
    from swinir_deploy.reporting.identity import identify_model

    return identified(out, report, document, lambda: map(identify_model, models), *files)


def _inspect(
    out: Output,
    model: str,
    target: str,
    precision: str | None,
    weights: dict[str, Any],
    options: dict[str, Any],
) -> EngineInspection:
    from swinir_deploy.exporters.tensorrt.from_checkpoint import exported_for_tensorrt
    from swinir_deploy.exporters.tensorrt.inspect import check_inspection, inspect_model
    from swinir_deploy.models.find import find_model

    found = find_model(model)
    exporting: dict[str, Any] = given(precision=precision)
    check_sources(found, exporting)
    require_checkpoint(found, weights)
    if found.is_onnx:
        return inspect_model(found.name, target, **options)
    check_inspection(target, options["options"])
    with exported_for_tensorrt(
        found,
        **exporting,
        load_options=weights,
        shapes=options["shapes"],
        progress=not out.quiet,
        offline=out.offline,
        say=out.say,
        bar=out.progress,
    ) as path:
        return inspect_model(path, target, **options, named=model)


def _inspect_kernels(
    out: Output, model: str, target: str, precision: str | None, weights: dict[str, Any]
) -> KernelInspection:
    from swinir_deploy.kernels.inspect import inspect_kernels, parse_target
    from swinir_deploy.models.find import find_model

    parse_target(target)
    if precision == "fp32":
        raise UsageError(
            "--precision fp32: fused kernels compute in half precision. Give fp16 or bf16."
        )
    found = find_model(model)
    if found.is_onnx:
        raise UsageError(
            f"{model} is an ONNX file; the target {target!r} compiles fused kernels of a "
            f"checkpoint. Give the checkpoint or id that it came from ('swinir-deploy info "
            f"{model}' names it), or --target rtx:sm89."
        )
    check_sources(found, {})
    return inspect_kernels(model, target, say=out.say, **given(precision=precision), **weights)


def describe_kernels(found: KernelInspection) -> str:
    """Return a table with one row for each kernel of each architecture."""
    rows = [
        [
            architecture,
            kernel.kernel,
            kernel.part,
            str(kernel.launches),
            str(kernel.warps),
            str(kernel.registers),
            str(kernel.spill_bytes),
            str(kernel.shared_bytes),
        ]
        for architecture, kernels in found.kernels.items()
        for kernel in kernels
    ]
    head = ["GPU", "KERNEL", "PART", "LAUNCHES", "WARPS", "REGISTERS", "SPILL B", "SHARED B"]
    title = (
        f"{found.model} in {found.precision}, by Triton {found.triton}: kernels of a block: "
        f"{found.kernels_per_block}; compiled in {found.seconds:.1f} s"
    )
    return f"{title}\n{table(head, rows)}"


def describe(inspection: EngineInspection) -> str:
    """Return an inspection as text."""
    shapes = "; ".join(
        f"{shape_text(profile.min)} to {shape_text(profile.max)}"
        if profile.min != profile.max
        else shape_text(profile.max)
        for profile in inspection.profiles
    )
    title = (
        f"{inspection.model} for {inspection.target} ({inspection.library}), "
        f"{inspection.precision}, {shapes}"
    )
    largest = [
        [
            size_text(entry.size_bytes),
            str(entry.count),
            shape_text(entry.shape),
            entry.dtype,
            _without_number(entry.kernel),
        ]
        for entry in inspection.largest
    ]
    parts = [
        "\n".join([title, *facts([*_facts(inspection).items()])]),
        "Kernels of a block (--json has their names):\n" + _blocks(inspection),
        "Largest activations:\n"
        + table(["SIZE", "COUNT", "SHAPE", "TYPE", "FIRST WRITTEN BY"], largest, keys=5),
    ]
    return "\n\n".join(parts)


def _blocks(inspection: EngineInspection) -> str:
    """Return a table with one row for all blocks that have the same kinds of kernels in order."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for block, names in inspection.kernels_per_block.items():
        kinds = inspection.kinds_per_block.get(block, [_without_number(name) for name in names])
        groups.setdefault(tuple(kinds), []).append(block)
    rows = [
        [
            str(len(blocks)),
            blocks[0],
            str(len(kinds)),
            ", ".join(
                f"{kind} x{count}" if (count := len(list(same))) > 1 else kind
                for kind, same in itertools.groupby(kinds)
            ),
        ]
        for kinds, blocks in groups.items()
    ]
    return table(["BLOCKS", "FIRST", "KERNELS", "IN THIS ORDER"], rows, keys=4)


def _facts(inspection: EngineInspection) -> dict[str, str]:
    counts = [len(names) for names in inspection.kernels_per_block.values()]
    per_block = f"{min(counts)} to {max(counts)}" if counts else "-"
    return {
        "kernels": str(inspection.kernels),
        **{f"- {kind}": str(count) for kind, count in inspection.kinds.items()},
        "fused attentions": f"{inspection.fused_attentions} in {inspection.blocks} blocks",
        "kernels of a block": per_block,
        "casts": str(inspection.casts),
        "activations": size_text(inspection.activation_bytes),
        "weights": size_text(inspection.weight_bytes),
        "engine": size_text(inspection.plan_bytes),
        "compiled in": f"{inspection.seconds:.1f} s",
    }


def _side_by_side(a: EngineInspection, b: EngineInspection) -> list[list[str]]:
    left, right = _facts(a), _facts(b)
    names = [*left, *(name for name in right if name not in left)]
    rows = [[name, left.get(name, "-"), right.get(name, "-")] for name in names]
    return [["model", a.model, b.model], ["target", a.target, b.target], *rows]


def _without_number(name: str) -> str:
    """Return a kernel's name without the number at its end: ``.._myl0_17`` -> ``..``."""
    return name.rpartition("_myl")[0] or name
