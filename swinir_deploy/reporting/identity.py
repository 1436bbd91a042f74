"""Say which model a report is about, who made the report, on what machine and by which command."""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from swinir_deploy.artifacts.engine import read_engine_metadata
from swinir_deploy.artifacts.info import read_metadata
from swinir_deploy.artifacts.metadata import ArtifactMetadata
from swinir_deploy.benchmarking.machine import describe_machine, package_versions
from swinir_deploy.errors import SwinIRDeployError
from swinir_deploy.models.find import find_model
from swinir_deploy.runtimes import RuntimeSpec
from swinir_deploy.system.files import sha256_of

__all__ = ["IDENTITY_VERSION", "Identity", "ModelIdentity", "identify", "identify_model"]

IDENTITY_VERSION = 1
"""Version of the identity block in JSON reports."""


@dataclass(frozen=True)
class ModelIdentity:
    """One model of a report.

    Attributes:
        name: the file or id, as it was given.
        kind: ``onnx``, ``engine``, ``checkpoint`` or ``catalogue``; empty where it is unknown.
        sha256: SHA-256 of the file in lower-case hex; empty where there is no file.
        size_bytes: size of the file in bytes; None where there is no file.
        checkpoint_sha256: SHA-256 of the checkpoint that it came from; empty if unknown.
        model_id: id of the catalogue, or the checkpoint's file name.
        task: ``sr``, ``denoise``, ``jpeg``, or empty.
        scale: output side divided by input side; None if unknown.
        precision: of weights and activations; empty if unknown.
        residual_scale_log2: k, where the stream is multiplied by 2**-k; None if unknown.
        target: the recipe of an ONNX file, or what an engine was built for; may be empty.
        made_with: package name -> version of what wrote the file.
        precision_report: how half precision was calibrated and proved, as the file says.
    """

    name: str
    kind: str = ""
    sha256: str = ""
    size_bytes: int | None = None
    checkpoint_sha256: str = ""
    model_id: str = ""
    task: str = ""
    scale: int | None = None
    precision: str = ""
    residual_scale_log2: int | None = None
    target: str = ""
    made_with: dict[str, str] = field(default_factory=dict)
    precision_report: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Identity:
    """The identity block of a report.

    Attributes:
        report: what kind of report it is, such as ``verify`` (:data:`~.documents.KINDS`).
        models: the models that it is about.
        made_by: package name -> version of what made the report.
        machine: processor, memory, system and GPUs.
        date: when it was made, in UTC, as ISO 8601.
        command: the command line that makes it again; empty if a program made it.
        version: version of this block.
    """

    report: str
    models: tuple[ModelIdentity, ...] = ()
    made_by: dict[str, str] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)
    date: str = ""
    command: str = ""
    version: int = IDENTITY_VERSION

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


def identify(
    report: str,
    models: Iterable[ModelIdentity],
    arguments: Sequence[str] | None = None,
    machine: Mapping[str, Any] | None = None,
    versions: Mapping[str, str] | None = None,
) -> Identity:
    """Return the identity block of a report that is made now.

    Args:
        report: the kind of the report.
        models: the models that it is about; equal ones are kept once.
        arguments: of the command line, without the program's name; None if there was none.
        machine: as :func:`~swinir_deploy.benchmarking.machine.describe_machine` returns it; None
            asks it.
        versions: as :func:`~swinir_deploy.benchmarking.machine.package_versions` returns them;
            None asks it.
    """
    kept: list[ModelIdentity] = []
    for model in models:
        if model not in kept:
            kept.append(model)
    return Identity(
        report=report,
        models=tuple(kept),
        made_by=dict(package_versions() if versions is None else versions),
        machine=dict(describe_machine() if machine is None else machine),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        command="" if arguments is None else shlex.join(["swinir-deploy", *arguments]),
    )


def identify_model(
    name: str | os.PathLike[str],
    spec: RuntimeSpec | None = None,
    metadata: ArtifactMetadata | None = None,
) -> ModelIdentity:
    """Return what is known of a model by its name, its file and how it ran. Raises nothing.

    Args:
        name: a file, or an id of the catalogue.
        spec: of the runtime that ran it; it wins over what the file says.
        metadata: of an exported file; None reads it.
    """
    try:
        found = find_model(name)
    except SwinIRDeployError:
        return _with_spec(ModelIdentity(os.fspath(name)), spec)
    place, kind = found.place, "catalogue"
    if found.card is None:
        kind = "onnx" if found.is_onnx else "engine" if found.is_engine else "checkpoint"
    known = ModelIdentity(os.fspath(name), kind)
    with contextlib.suppress(OSError):  # a model that has not been downloaded has no file
        known = replace(known, sha256=sha256_of(place), size_bytes=place.stat().st_size)
    card = found.card
    if card is not None:
        known = replace(known, model_id=card.id, task=card.task, scale=card.config.upscale)
    if kind in ("onnx", "engine"):
        known = _with_metadata(known, place, metadata)
    else:
        known = replace(known, checkpoint_sha256=known.sha256)
    return _with_spec(known, spec)


def _with_metadata(
    known: ModelIdentity, place: Path, metadata: ArtifactMetadata | None
) -> ModelIdentity:
    """Add what an exported file or an engine says of itself, if it can be read."""
    target = ""
    try:
        if known.kind == "engine":
            target = read_engine_metadata(place).target
        metadata = metadata or read_metadata(place)
    except SwinIRDeployError:
        return known
    if metadata is None:
        return known
    return replace(
        known,
        checkpoint_sha256=metadata.source_sha256,
        model_id=metadata.model_id,
        task=metadata.task,
        scale=metadata.scale,
        precision=metadata.precision,
        residual_scale_log2=metadata.residual_scale_log2,
        target=target or metadata.target,
        made_with=dict(metadata.tools),
        precision_report=dict(metadata.precision_report),
    )


def _with_spec(known: ModelIdentity, spec: RuntimeSpec | None) -> ModelIdentity:
    if spec is None:
        return known
    return replace(
        known,
        checkpoint_sha256=spec.source_sha256 or known.checkpoint_sha256,
        model_id=spec.model_id or known.model_id,
        task=spec.task or known.task,
        scale=spec.scale,
        precision=spec.precision,
        residual_scale_log2=spec.residual_scale_log2,
    )
