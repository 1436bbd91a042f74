"""The network that a model was exported from, which ``verify`` and ``eval`` compare it with."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swinir_deploy.artifacts.engine import ENGINE_SUFFIX
from swinir_deploy.artifacts.info import read_metadata
from swinir_deploy.artifacts.metadata import ArtifactMetadata
from swinir_deploy.errors import CatalogError, CheckFailedError, UsageError
from swinir_deploy.models.catalog import load_catalog
from swinir_deploy.models.find import find_model
from swinir_deploy.models.origin import find_checkpoint
from swinir_deploy.runtimes import Runtime, RuntimeSpec
from swinir_deploy.system.files import sha256_of
from swinir_deploy.system.packages import require

if TYPE_CHECKING:
    from swinir_deploy.models.load import LoadedModel

__all__ = [
    "RecordedWeights",
    "catalogue_id",
    "load_reference",
    "open_reference",
    "recorded_weights",
    "require_same_kind",
    "require_same_source",
    "source_of",
]


def source_of(model: str | os.PathLike[str]) -> str:
    """Return the catalogue's id of the model that a file was exported from, or its checkpoint.

    A checkpoint that is not in the catalogue is known if it was exported on this machine.

    Raises:
        UsageError: the metadata name no model, or one that is not in the catalogue.
        ArtifactError: the file is damaged.
    """
    metadata = read_metadata(model)
    sha256 = "" if metadata is None else metadata.source_sha256
    known = find_checkpoint(sha256)
    if known is not None and load_catalog().by_sha256(sha256) is None:
        return os.fspath(known)
    return catalogue_id("" if metadata is None else metadata.model_id, os.fspath(model))


def catalogue_id(model_id: str, name: str, option: str = "--model") -> str:
    """Return a model's id if it is in the catalogue.

    Args:
        model_id: the id in a file's metadata; empty if they name none.
        name: name of that file, for the error message.
        option: the option that names a checkpoint instead, for the error message.

    Raises:
        UsageError: the id is empty or unknown.
    """
    if not model_id:
        raise UsageError(
            f"The model that {name} was exported from is unknown. Name it: {option} ID or "
            f"{option} FILE."
        )
    try:
        return load_catalog().get(model_id).id
    except CatalogError as error:
        raise UsageError(
            f"{name} was exported from {model_id!r}, which is not in the catalogue. Name the "
            f"checkpoint: {option} FILE."
        ) from error


@dataclass(frozen=True)
class RecordedWeights:
    """How an export read the weights of its checkpoint.

    Attributes:
        source_sha256: SHA-256 of the checkpoint.
        options: ``key``, ``prefix``, ``img_range`` and ``mean``, as
            :func:`swinir_deploy.load_model` takes them.
    """

    source_sha256: str
    options: dict[str, Any]

    @classmethod
    def of(cls, exported: ArtifactMetadata | RuntimeSpec) -> RecordedWeights:
        """Return what the metadata of an exported file, or an open one, says."""
        config = exported.config
        options: dict[str, Any] = {
            name: config[name] for name in ("img_range", "mean") if config.get(name) is not None
        }
        options |= {n: v for n, v in exported.weights.items() if n in ("key", "prefix")}
        return cls(exported.source_sha256, options)


def recorded_weights(exported: str | os.PathLike[str]) -> RecordedWeights | None:
    """Return how the weights of an exported file were read; None for another kind of file.

    Raises:
        ArtifactError: the file is damaged.
    """
    if Path(exported).suffix.lower() not in (".onnx", ENGINE_SUFFIX):
        return None
    metadata = read_metadata(exported)
    return None if metadata is None else RecordedWeights.of(metadata)


def load_reference(
    reference: LoadedModel | str | os.PathLike[str],
    *,
    recorded: RecordedWeights | None = None,
    progress: bool = True,
    offline: bool = False,
    **weights: Any,
) -> LoadedModel:
    """Load the network to compare with.

    Args:
        reference: a checkpoint, an id, or a loaded model.
        recorded: how the exported file read its weights. If ``reference`` is the same file, it is
            read in the same way.
        progress: as in :func:`swinir_deploy.load_model`.
        offline: as in :func:`swinir_deploy.load_model`.
        **weights: ``key``, ``prefix``, ``img_range`` and ``mean`` as in
            :func:`swinir_deploy.load_model`; they take precedence over ``recorded``.

    Raises:
        BackendUnavailableError: PyTorch is not installed.
        InputError: the file is an exported one, or no checkpoint.
        CatalogError: there is no such id.
    """
    require("export", "Comparing with PyTorch")
    from swinir_deploy.models.load import LoadedModel, load_model

    if isinstance(reference, LoadedModel):
        return reference
    found = find_model(reference)
    name = found.checkpoint
    if recorded is not None:
        path, digest = found.local(progress=progress, offline=offline)
        if recorded.source_sha256 == (digest or sha256_of(path)):
            # Key and prefix belong together: one of the caller's is for another set of weights.
            chosen = {"key", "prefix"} if {"key", "prefix"} & weights.keys() else set()
            kept = {n: v for n, v in recorded.options.items() if n not in chosen}
            weights = {**kept, **weights}
    return load_model(name, progress=progress, offline=offline, **weights)


def open_reference(loaded: LoadedModel) -> Runtime:
    """Open a loaded model in PyTorch on the CPU, without the rewrites of an export."""
    from swinir_deploy.runtimes.torch_runtime import TorchRuntime

    return TorchRuntime(loaded, as_trained=True)


def require_same_source(name: str | Path, source_sha256: str, loaded: LoadedModel) -> None:
    """Check that a file was exported from this network.

    Args:
        name: name of the file.
        source_sha256: SHA-256 of the file's checkpoint; empty if unknown, which passes the check.
        loaded: the network.

    Raises:
        UsageError: the SHA-256 values differ.
    """
    if source_sha256 and loaded.source_sha256 != source_sha256:
        raise UsageError(
            f"{name} was exported from a checkpoint with SHA-256 {source_sha256}, but "
            f"{loaded.model_id} has {loaded.source_sha256}. Name the right checkpoint with "
            "--model, or export this one."
        )


def require_same_kind(name: str, spec: RuntimeSpec, reference: RuntimeSpec) -> None:
    """Check that a model and its reference have the same scale, channels and window.

    Raises:
        CheckFailedError: one of these values differs.
    """
    actual = (spec.scale, spec.in_chans, spec.window_size)
    expected = (reference.scale, reference.in_chans, reference.window_size)
    if actual != expected:
        raise CheckFailedError(
            f"{name} has scale, channels and window {actual}; the reference has {expected}. "
            "They are not the same model. Give the checkpoint that it was exported from."
        )
