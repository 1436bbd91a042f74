"""From a name or a file to a network that is ready to run or to export."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from swinir_deploy.errors import CheckpointError, InputError, UsageError
from swinir_deploy.models.catalog import ModelCard, Task
from swinir_deploy.models.checkpoint import load_checkpoint
from swinir_deploy.models.find import find_model
from swinir_deploy.network.config import SwinIRConfig
from swinir_deploy.network.swinir import SwinIR

__all__ = ["LoadedModel", "load_model"]


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A network with its weights, and where they came from.

    Attributes:
        network: in eval mode, float32, on the CPU; its parameters ask for no gradient.
        config: its hyper-parameters.
        card: of the catalogue, if the checkpoint is one of its models.
        model_id: the catalogue's id, the id saved in the file, or the file's name.
        task: ``sr``, ``denoise`` or ``jpeg``; empty where nothing says which.
        path: of the checkpoint file.
        source_sha256: of that file, lower-case hex.
    """

    network: SwinIR
    config: SwinIRConfig
    card: ModelCard | None
    model_id: str
    task: str
    path: Path
    source_sha256: str


def load_model(
    name_or_path: str | os.PathLike[str],
    *,
    img_range: float | None = None,
    key: str | None = None,
    task: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    progress: bool = True,
    offline: bool = False,
) -> LoadedModel:
    """Load a model of the catalogue, downloading it if need be, or a checkpoint file.

    Args:
        name_or_path: a file that exists; else an id such as ``tiny-sr-x4`` or the name of an
            official file.
        img_range: see :func:`~swinir_deploy.models.checkpoint.load_checkpoint`.
        key: entry of a pickled file that holds the weights.
        task: what the model is for, where neither catalogue nor scale say so.
        cache_dir: see :func:`~swinir_deploy.system.cache_folder.cache_folder`.
        progress: show a bar while downloading.
        offline: never download.

    Raises:
        CatalogError: no such name; the message suggests near ones.
        CheckpointError: no such file, or one that is damaged, unsafe or not a SwinIR.
        DownloadError: an official checkpoint is not here and cannot be had.
        UsageError: ``task`` or ``img_range`` makes no sense.
    """
    if task is not None and task not in get_args(Task):
        raise UsageError(f"task is {task!r}; it must be one of {', '.join(get_args(Task))}.")
    try:
        path, sha256 = find_model(name_or_path).local(cache_dir, progress, offline)
    except InputError as error:
        raise CheckpointError(str(error)) from error
    checkpoint = load_checkpoint(path, img_range=img_range, key=key, sha256=sha256)
    network = SwinIR.from_state_dict(checkpoint.config, checkpoint.state_dict)
    card = checkpoint.card
    return LoadedModel(
        network=network.eval().requires_grad_(False),
        config=checkpoint.config,
        card=card,
        model_id=checkpoint.model_id,
        task=task or (card.task if card else "sr" if checkpoint.config.upscale > 1 else ""),
        path=path,
        source_sha256=checkpoint.sha256,
    )
