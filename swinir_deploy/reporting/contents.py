"""From reports to what a page says: a verdict, the identity and the sections of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from swinir_deploy.reporting.documents import (
    BenchDocument,
    ComparisonDocument,
    Document,
    EvalDocument,
    ExportDocument,
    InspectDocument,
    KernelsDocument,
    LayersDocument,
    Values,
    VerifyDocument,
)
from swinir_deploy.reporting.identity import Identity, ModelIdentity
from swinir_deploy.reporting.sections import bench, evaluation, kernels, parity
from swinir_deploy.reporting.sections.half_precision import half_precision_sections
from swinir_deploy.reporting.sections.parts import Section, Verdict
from swinir_deploy.reporting.words import quantity, size

__all__ = ["Entry", "Row", "contents_of", "mixed_models", "verdict_of"]


@dataclass(frozen=True)
class Row:
    """A fact of the identity.

    Attributes:
        name: what it is.
        text: the fact.
        is_code: True for hashes and commands, which are copied letter by letter.
    """

    name: str
    text: str
    is_code: bool = False


@dataclass(frozen=True)
class Entry:
    """A report on a page.

    Attributes:
        name: the command that made it.
        about: the model, for the title of the page.
        verdict: what it proves.
        sections: below the identity.
        facts: who made it, when, on which machine and how.
        notes: remarks, as sentences.
    """

    name: str
    about: str
    verdict: Verdict
    sections: Sequence[Section]
    facts: Sequence[Row]
    notes: Sequence[str] = field(default_factory=tuple)


def contents_of(documents: Sequence[Document]) -> tuple[list[Entry], list[list[Row]]]:
    """Return an entry for each report, and the facts of each model that they are about."""
    entries = []
    told: list[ModelIdentity] = []
    for document in documents:
        models = _models(document)
        sections = _sections(document.values)
        for model in models:
            if model not in told:
                sections += half_precision_sections(model)
                told.append(model)
        entries.append(
            Entry(
                name=_NAMES[document.kind],
                about=_about(models) or document.source,
                verdict=verdict_of(document.values),
                sections=sections,
                facts=_facts(document),
                notes=document.notes,
            )
        )
    return entries, [_model_facts(model) for model in told]


_NAMES = {
    "verify": "verify",
    "layers": "verify --layers",
    "export": "export",
    "eval": "eval",
    "bench": "bench",
    "inspect": "inspect",
    "kernels": "inspect",
    "comparison": "inspect --compare",
}


def mixed_models(documents: Sequence[Document]) -> str:
    """Return a sentence if reports are of different checkpoints; empty if they may be of one."""
    checkpoints: dict[str, str] = {}
    for document in documents:
        for model in _models(document):
            if model.checkpoint_sha256:
                checkpoints.setdefault(model.checkpoint_sha256, model.model_id or model.name)
    if len(checkpoints) < 2:
        return ""
    named = ", ".join(f"{name} ({digest[:12]})" for digest, name in checkpoints.items())
    return (
        f"These reports are of {len(checkpoints)} different checkpoints: {named}. What one of them "
        "proves does not hold for the others."
    )


def verdict_of(values: Values) -> Verdict:
    """Return what a report proves."""
    match values:
        case VerifyDocument():
            return parity.verify_verdict(values)
        case LayersDocument():
            return parity.layers_verdict(values)
        case ExportDocument():
            return parity.export_verdict(values)
        case EvalDocument():
            return evaluation.eval_verdict(values)
        case BenchDocument():
            return bench.bench_verdict(values)
        case InspectDocument():
            return kernels.inspect_verdict(values)
        case KernelsDocument():
            return kernels.kernels_verdict(values)
        case ComparisonDocument():
            return kernels.comparison_verdict(values)


def _sections(values: Values) -> list[Section]:
    match values:
        case VerifyDocument():
            return parity.verify_sections(values)
        case LayersDocument():
            return parity.layers_sections(values)
        case ExportDocument():
            return parity.export_sections(values)
        case EvalDocument():
            return evaluation.eval_sections(values)
        case BenchDocument():
            return bench.bench_sections(values)
        case InspectDocument():
            return kernels.inspect_sections(values)
        case KernelsDocument():
            return kernels.kernels_sections(values)
        case ComparisonDocument():
            return kernels.comparison_sections(values)


# ---------------------------------------------------------------------------------------- identity


def _models(document: Document) -> tuple[ModelIdentity, ...]:
    """Return the models of a report; for one without an identity block, what it says itself."""
    if document.identity is not None:
        return document.identity.models
    values = document.values
    match values:
        case VerifyDocument() | EvalDocument():
            spec = values.spec
            model = ModelIdentity(
                values.model,
                checkpoint_sha256=spec.source_sha256,
                model_id=spec.model_id,
                task=spec.task,
                scale=spec.scale,
                precision=spec.precision,
                residual_scale_log2=spec.residual_scale_log2,
            )
            return (model,)
        case ExportDocument():
            meta = values.metadata
            model = ModelIdentity(
                values.path,
                "onnx",
                size_bytes=values.size_bytes,
                checkpoint_sha256=meta.source_sha256,
                model_id=meta.model_id,
                task=meta.task,
                scale=meta.scale,
                precision=meta.precision,
                residual_scale_log2=meta.residual_scale_log2,
                target=meta.target,
                made_with=meta.tools,
                precision_report=meta.precision_report,
            )
            return (model,)
        case BenchDocument():
            models = [
                ModelIdentity(
                    row.model_id,
                    sha256=row.model_sha256,
                    checkpoint_sha256=row.source_sha256,
                    model_id=row.model_id,
                    precision=row.precision,
                    target=row.target,
                )
                for row in values.rows
            ]
            return tuple(_unique(models))
        case ComparisonDocument():
            return (ModelIdentity(values.a.model), ModelIdentity(values.b.model))
        case LayersDocument():
            return (ModelIdentity(values.model),)
        case _:
            return (ModelIdentity(values.model, precision=values.precision),)


def _unique(models: list[ModelIdentity]) -> list[ModelIdentity]:
    kept: list[ModelIdentity] = []
    for model in models:
        if model not in kept:
            kept.append(model)
    return kept


def _about(models: Sequence[ModelIdentity]) -> str:
    return ", ".join(dict.fromkeys(m.model_id or PurePath(m.name).name for m in models))


def _model_facts(model: ModelIdentity) -> list[Row]:
    """Return the facts of a model that are known."""
    k = model.residual_scale_log2
    made = ", ".join(f"{name} {version}" for name, version in model.made_with.items())
    is_checkpoint = model.kind in ("checkpoint", "catalogue")
    label = {"onnx": "ONNX file", "engine": "engine"}.get(model.kind, "file")
    scaled = f"{k} (the stream is multiplied by 2^-{k})" if k else "0 (the stream is as it was)"
    rows = [
        Row("Model", model.name),
        Row("Id", model.model_id if model.model_id != model.name else ""),
        Row(
            "Task", {"sr": "super-resolution", "jpeg": "JPEG artefacts"}.get(model.task, model.task)
        ),
        Row("Scale", f"x{model.scale}" if model.scale else ""),
        Row("Precision", model.precision),
        Row("k", scaled if k is not None and model.precision != "fp32" else ""),
        Row("Made for", model.target),
        Row(f"SHA-256 of the {label}", "" if is_checkpoint else model.sha256, True),
        Row("SHA-256 of the checkpoint", model.checkpoint_sha256, True),
        Row("Size", size(model.size_bytes) if model.size_bytes else ""),
        Row("Made with", made),
    ]
    return [row for row in rows if row.text]


def _facts(document: Document) -> list[Row]:
    """Return who made a report, when, where and how."""
    identity = document.identity
    rows = []
    if identity is None:
        rows.append(Row("Identity", f"not in {document.source}: an older version wrote it"))
        if isinstance(document.values, BenchDocument):
            values = document.values
            rows += _machine_facts(Identity("bench", (), values.versions, values.machine))
    else:
        rows.append(Row("Date", identity.date.replace("T", " ").replace("+00:00", " UTC")))
        rows.append(Row("Command", identity.command, True))
        rows += _machine_facts(identity)
    return [row for row in rows if row.text]


def _machine_facts(identity: Identity) -> list[Row]:
    machine = identity.machine
    made = ", ".join(f"{name} {version}" for name, version in identity.made_by.items())
    clock = machine.get("cpu_mhz")
    is_clock = isinstance(clock, (int, float)) and not isinstance(clock, bool)
    cpus = machine.get("usable_cpus")
    processor = [
        _text(machine.get("processor")),
        f"{cpus} CPUs" if cpus else "",
        f"{quantity(clock, 0)} MHz" if is_clock else "",
        _text(machine.get("cpu_flags")),
    ]
    memory = machine.get("memory_gb")
    gpus = machine.get("gpus")
    return [
        Row("Made by", made),
        Row("Processor", ", ".join(filter(None, processor))),
        Row("Memory", f"{_text(memory)} GB" if memory else ""),
        Row("GPU", "; ".join(map(_text, gpus)) if isinstance(gpus, list) else ""),
        Row("System", " ".join(filter(None, map(_text, map(machine.get, _SYSTEM))))),
    ]


_SYSTEM = ("system", "architecture")


def _text(value: Any) -> str:
    """Return a fact of the machine as text; lists and objects with their parts in a row."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {entry}" for name, entry in value.items())
    if isinstance(value, list):
        return " ".join(map(str, value))
    return "" if value is None else str(value)
