"""``swinir-deploy inspect``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from swinir_deploy.artifacts.shapes import shape_text
from swinir_deploy.cli.engine_options import engine_options
from swinir_deploy.cli.options import common_options, report_option
from swinir_deploy.cli.output import Output, size_text, table
from swinir_deploy.errors import UsageError

if TYPE_CHECKING:
    from swinir_deploy.exporters.tensorrt.inspect import EngineInspection
    from swinir_deploy.exporters.tensorrt.shapes import ShapeRequest

__all__ = ["command"]

EPILOG = """\b
Examples:
  swinir-deploy inspect x4.onnx --target rtx:sm89
  swinir-deploy inspect x4.onnx --target rtx:sm120 --min-shape 64x64 --max-shape 256x256 --json
  swinir-deploy inspect --compare before.json x4.onnx --target rtx:sm89
"""


@click.command("inspect", epilog=EPILOG)
@click.argument("model", metavar="[MODEL.onnx]", type=click.Path(), required=False)
@click.option(
    "--target",
    default="rtx:sm89",
    show_default=True,
    metavar="TARGET",
    help="One GPU of TensorRT for RTX.",
)
@engine_options
@click.option(
    "--compare",
    nargs=2,
    type=click.Path(),
    metavar="A B",
    help="Two models, or reports of an earlier 'inspect --json', side by side.",
)
@report_option
@common_options
def command(
    out: Output,
    model: str | None,
    target: str,
    shapes: ShapeRequest,
    builder: dict[str, Any],
    compare: tuple[str, str] | None,
    output: str | None,
) -> None:
    """Compile a model without a GPU and say what came out.

    Kernels by kind, fused attentions against blocks, device memory, the kernels of each block and
    the largest activations. By default a single tile of 256 x 256 pixels.
    """
    from swinir_deploy.exporters.tensorrt.inspect import inspect_model, read_inspection
    from swinir_deploy.exporters.tensorrt.options import BuildOptions

    if (model is None) == (compare is None):
        raise UsageError("Give one MODEL.onnx, or two with --compare.")
    asked: dict[str, Any] = {
        "shapes": shapes,
        "options": BuildOptions(**builder),
        "progress": out.progress,
    }
    if model is not None:
        found = inspect_model(model, target, **asked)
        out.answer(found.to_dict(), describe(found))
    elif compare is not None:
        both = [read_inspection(path, target, **asked) for path in compare]
        document = {"a": both[0].to_dict(), "b": both[1].to_dict()}
        out.answer(document, table(["", "A", "B"], list(_side_by_side(*both))))
    out.save(output)


def describe(found: EngineInspection) -> str:
    """For people."""
    shapes = "; ".join(
        f"{shape_text(profile.min)} to {shape_text(profile.max)}"
        if profile.min != profile.max
        else shape_text(profile.max)
        for profile in found.profiles
    )
    rows = [*_facts(found).items()]
    lines = [f"{found.model} for {found.target} ({found.library}), {found.precision}, {shapes}"]
    lines += [f"  {name:<22}  {value}" for name, value in rows]
    lines += ["", "Kernels of a block:"]
    groups: dict[tuple[str, ...], list[str]] = {}
    for block, names in found.kernels_per_block.items():
        groups.setdefault(tuple(_without_number(name) for name in names), []).append(block)
    for kernels, blocks in groups.items():
        others = f" and {len(blocks) - 1} more" if len(blocks) > 1 else ""
        lines.append(f"  {blocks[0]}{others}: {len(kernels)}")
        lines += [f"    {name}" for name in kernels]
    lines += ["", "Largest activations:"]
    for entry in found.largest:
        others = f" and {entry.count - 1} more" if entry.count > 1 else ""
        text = f"{shape_text(entry.shape)} {entry.dtype}, by {entry.kernel}{others}"
        lines.append(f"  {size_text(entry.size_bytes):>9}  {text}")
    return "\n".join(lines)


def _facts(found: EngineInspection) -> dict[str, str]:
    counts = [len(names) for names in found.kernels_per_block.values()]
    per_block = f"{min(counts)} to {max(counts)}" if counts else "-"
    return {
        "kernels": str(found.kernels),
        **{f"  {kind}": str(count) for kind, count in found.kinds.items()},
        "fused attentions": f"{found.fused_attentions} in {found.blocks} blocks",
        "kernels of a block": per_block,
        "casts": str(found.casts),
        "activations": size_text(found.activation_bytes),
        "weights": size_text(found.weight_bytes),
        "engine": size_text(found.plan_bytes),
        "compiled in": f"{found.seconds:.1f} s",
    }


def _side_by_side(a: EngineInspection, b: EngineInspection) -> list[list[str]]:
    left, right = _facts(a), _facts(b)
    names = [*left, *(name for name in right if name not in left)]
    rows = [[name, left.get(name, "-"), right.get(name, "-")] for name in names]
    return [["model", a.model, b.model], ["target", a.target, b.target], *rows]


def _without_number(name: str) -> str:
    """Kernels of the same make differ in the number at the end: ``.._myl0_17``."""
    return name.rpartition("_myl")[0] or name
