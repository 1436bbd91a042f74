"""What a checkpoint, an exported file, an engine or a model of the catalogue is."""

from __future__ import annotations

import os
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
        path: of the file.
        size_bytes: of the file.
        sha256: of the file, lower-case hex.
        key: entry of the file that holds the weights; None for a bare state dict.
        model_id: as saved in the file, else the card's id, else the file's name.
        catalogue_id: id of the catalogue's model that it is; None for any other.
        parameters: how many numbers the network learned.
        img_range_source: who said what ``img_range`` is.
        config: the network's hyper-parameters.
    """

    path: Path
    size_bytes: int
    sha256: str
    key: str | None
    model_id: str
    catalogue_id: str | None
    parameters: int
    img_range_source: str
    config: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {"kind": "checkpoint", **vars(self), "path": os.fspath(self.path)}


def info(
    model: str | os.PathLike[str], *, key: str | None = None, img_range: float | None = None
) -> ModelCard | OnnxInfo | EngineInfo | CheckpointInfo:
    """Say what a file or a model of the catalogue is, without running it.

    Args:
        model: a checkpoint, an exported file, an engine, or an id of the catalogue.
        key: entry of a pickled checkpoint that holds the weights.
        img_range: of a checkpoint that does not say; see
            :func:`~swinir_deploy.models.checkpoint.load_checkpoint`.

    Returns:
        The catalogue's card for an id; for a file what it holds. Each has ``to_dict()``.

    Raises:
        CatalogError: there is no such id.
        InputError: a file that is missing, damaged, or none of these.
        BackendUnavailableError: a package that reads such files is not installed.
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

    checkpoint = load_checkpoint(found.name, img_range=img_range, key=key)
    return CheckpointInfo(
        path=checkpoint.path,
        size_bytes=checkpoint.path.stat().st_size,
        sha256=checkpoint.sha256,
        key=checkpoint.key,
        model_id=checkpoint.model_id,
        catalogue_id=checkpoint.card.id if checkpoint.card else None,
        parameters=sum(tensor.numel() for tensor in checkpoint.state_dict.values()),
        img_range_source=checkpoint.img_range_source,
        config=checkpoint.config.to_dict(),
    )
