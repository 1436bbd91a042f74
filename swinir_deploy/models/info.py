"""Describe a checkpoint, an exported file, an engine or a model of the catalogue."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swinir_deploy.artifacts.info import EngineInfo, OnnxInfo, read_engine, read_onnx
from swinir_deploy.models.catalog import ModelCard
from swinir_deploy.models.find import find_model
from swinir_deploy.system.packages import require

__all__ = ["CheckpointInfo", "info"]


@dataclass(frozen=True)
class CheckpointInfo:
    """What a checkpoint holds.

    Attributes:
        path: path of the file.
        size_bytes: size of the file in bytes.
        sha256: SHA-256 of the file in lower-case hex.
        key: entry of the file that holds the weights; None for a bare state dict.
        prefix: what stands before the official names in that entry; empty for nothing.
        model_id: the id saved in the file, else the card's id, else the file's name without
            suffix.
        catalogue_id: id of the model in the catalogue; None if the catalogue does not have it.
        parameters: number of parameters of the network.
        img_range_source: where ``img_range`` comes from; see
            :class:`~swinir_deploy.models.checkpoint.Checkpoint`.
        config: the network's hyper-parameters as plain values.
    """

    path: Path
    size_bytes: int
    sha256: str
    key: str | None
    prefix: str
    model_id: str
    catalogue_id: str | None
    parameters: int
    img_range_source: str
    config: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {"kind": "checkpoint", **vars(self), "path": os.fspath(self.path)}


def info(
    model: str | os.PathLike[str],
    *,
    key: str | None = None,
    prefix: str | None = None,
    img_range: float | None = None,
    mean: Sequence[float] | None = None,
) -> ModelCard | OnnxInfo | EngineInfo | CheckpointInfo:
    """Describe a file or a model of the catalogue, without running it.

    Args:
        model: a checkpoint, an exported file, an engine, or an id of the catalogue.
        key: entry of a checkpoint that holds the weights.
        prefix: what stands before the official names of the weights.
        img_range: takes precedence over the ``img_range`` that a checkpoint or the catalogue
            states; see :func:`~swinir_deploy.models.checkpoint.load_checkpoint`.
        mean: takes precedence over the mean that a checkpoint states.

    Returns:
        The catalogue's card for an id, or the description of a file. Each has ``to_dict()``.

    Raises:
        CatalogError: the catalogue has no such id.
        InputError: the file is missing, damaged, or none of these.
        BackendUnavailableError: a package that reads such files is not installed.

    Example:
        >>> from swinir_deploy import info
        >>> card = info("tiny-sr-x4")
        >>> card.purpose
        'sr x4'
        >>> card.config.window_size
        8
    """
    found = find_model(model)
    if found.card is not None:
        return found.card
    if found.is_onnx:
        return read_onnx(found.name)
    if found.is_engine:
        return read_engine(found.name)
    require("export", "Looking into a checkpoint")
    from swinir_deploy.models.checkpoint import load_checkpoint

    checkpoint = load_checkpoint(found.name, img_range=img_range, mean=mean, key=key, prefix=prefix)
    return CheckpointInfo(
        path=checkpoint.path,
        size_bytes=checkpoint.path.stat().st_size,
        sha256=checkpoint.sha256,
        key=checkpoint.key,
        prefix=checkpoint.prefix,
        model_id=checkpoint.model_id,
        catalogue_id=checkpoint.card.id if checkpoint.card else None,
        parameters=sum(tensor.numel() for tensor in checkpoint.state_dict.values()),
        img_range_source=checkpoint.img_range_source,
        config=checkpoint.config.to_dict(),
    )
