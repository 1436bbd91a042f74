"""What does the GPU do? Verdict and sections of ``inspect``, of engines and of fused kernels."""

from __future__ import annotations

import itertools

from swinir_deploy.reporting.documents import (
    ComparisonDocument,
    InspectDocument,
    KernelsDocument,
)
from swinir_deploy.reporting.plots import Axis, bar_plot
from swinir_deploy.reporting.sections.parts import Section, Table, Verdict, plural
from swinir_deploy.reporting.words import quantity, shape, size

__all__ = [
    "comparison_sections",
    "comparison_verdict",
    "inspect_sections",
    "inspect_verdict",
    "kernels_sections",
    "kernels_verdict",
]


def inspect_verdict(found: InspectDocument) -> Verdict:
    """Return the number of kernels and the memory of an engine."""
    said = (
        f"{found.model} was compiled for {found.target} in {found.precision} by {found.library}. "
        "No GPU ran it."
    )
    figure = (
        f"{plural(found.kernels, 'kernel')}, {found.fused_attentions} fused attentions in "
        f"{plural(found.blocks, 'block')}; {size(found.activation_bytes)} for activations, "
        f"{size(found.weight_bytes)} for weights"
    )
    return Verdict("plain", "Compiled", said, figure)


def inspect_sections(found: InspectDocument) -> list[Section]:
    """Return the kernels by kind and by block, and the memory."""
    kinds = found.kinds
    kernels = Section(
        f"Kernels for {found.target}",
        [f"The engine takes {size(found.plan_bytes)}; compiling took {found.seconds:.1f} s."],
        [
            bar_plot(
                "Kernels by kind",
                [*kinds],
                [float(count) for count in kinds.values()],
                Axis("kernels"),
                f"{plural(found.kernels, 'kernel')} in all. The table has the counts.",
            )
        ]
        if kinds
        else [],
        [
            Table("By kind", ("Kind", "Kernels"), [(k, str(v)) for k, v in kinds.items()], True),
            _blocks(found),
        ],
    )
    largest = found.largest
    memory = Section(
        "Memory",
        [
            f"One execution context takes {size(found.activation_bytes)} for activations; the "
            f"weights take {size(found.weight_bytes)}."
        ],
        [
            bar_plot(
                "The largest activations",
                [f"{shape(entry.shape)} {entry.dtype}" for entry in largest],
                [entry.size_bytes / 1e6 for entry in largest],
                Axis("MB each"),
                f"The largest takes {size(largest[0].size_bytes)}.",
            )
        ]
        if largest
        else [],
        [
            Table(
                "The largest activations",
                ("Size", "Count", "Shape", "Type", "First written by"),
                [
                    (size(e.size_bytes), str(e.count), shape(e.shape), e.dtype, e.kernel)
                    for e in largest
                ],
                folded=True,
            )
        ],
    )
    return [kernels, memory]


def kernels_verdict(found: KernelsDocument) -> Verdict:
    """Return the kernels of a block, and how many architectures they were compiled for."""
    spilled = sum(k.spill_bytes > 0 for kernels in found.architectures.values() for k in kernels)
    said = (
        f"The fused kernels of {found.model} were compiled in {found.precision} by Triton "
        f"{found.triton} for {', '.join(found.architectures)}. No GPU ran them."
    )
    figure = (
        f"{plural(found.kernels_per_block, 'kernel')} for a block; "
        f"{plural(spilled, 'kernel')} spill registers"
    )
    return Verdict("plain", "Compiled", said, figure)


def kernels_sections(found: KernelsDocument) -> list[Section]:
    """Return registers, spilled bytes and shared memory of each kernel."""
    head = ("GPU", "Kernel", "Part", "Launches", "Warps", "Registers", "Spilled B", "Shared B")
    rows = [
        (name, k.kernel, k.part, str(k.launches), str(k.warps), str(k.registers),
         str(k.spill_bytes), f"{k.shared_bytes:,}")
        for name, kernels in found.architectures.items()
        for k in kernels
    ]  # fmt: skip
    plots = [
        bar_plot(
            f"Shared memory of each kernel, {name}",
            [f"{k.part} {k.kernel}" for k in kernels],
            [k.shared_bytes / 1e3 for k in kernels],
            Axis("KB"),
            f"The most is {max(k.shared_bytes for k in kernels):,} bytes.",
        )
        for name, kernels in found.architectures.items()
        if kernels
    ]
    return [Section("Fused kernels", (), plots, [Table("All kernels", head, rows)])]


def comparison_verdict(found: ComparisonDocument) -> Verdict:
    """Return both numbers of kernels and both memories."""
    a, b = found.a, found.b
    return Verdict(
        "plain",
        "Compared",
        f"A is {a.model} for {a.target}, B is {b.model} for {b.target}. No GPU ran them.",
        f"A {plural(a.kernels, 'kernel')}, B {b.kernels}; activations A "
        f"{size(a.activation_bytes)}, B {size(b.activation_bytes)}",
    )


def comparison_sections(found: ComparisonDocument) -> list[Section]:
    """Return the facts of both engines beside each other."""
    left, right = _facts(found.a), _facts(found.b)
    names = [*left, *(name for name in right if name not in left)]
    rows = [(name, left.get(name, "-"), right.get(name, "-")) for name in names]
    return [Section("Two engines", (), (), [Table("Side by side", ("", "A", "B"), rows)])]


def _facts(found: InspectDocument) -> dict[str, str]:
    return {
        "model": found.model,
        "target": found.target,
        "precision": found.precision,
        "kernels": str(found.kernels),
        **{f"of these {kind}": str(count) for kind, count in found.kinds.items()},
        "casts": str(found.casts),
        "activations": size(found.activation_bytes),
        "weights": size(found.weight_bytes),
        "engine": size(found.plan_bytes),
        "compiled in": quantity(found.seconds, 1, " s"),
    }


def _blocks(found: InspectDocument) -> Table:
    """Return a table with one row for all blocks that have the same kinds of kernels in order."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for block, names in found.kernels_per_block.items():
        groups.setdefault(tuple(found.kinds_per_block.get(block, names)), []).append(block)
    rows = [
        (
            str(len(blocks)),
            blocks[0],
            str(len(kinds)),
            ", ".join(
                f"{kind} \u00d7 {count}" if (count := len(list(same))) > 1 else kind
                for kind, same in itertools.groupby(kinds)
            ),
        )
        for kinds, blocks in groups.items()
    ]
    return Table("Kernels of a block", ("Blocks", "First", "Kernels", "In this order"), rows)
