"""Load a network that is ready to run or to export, by name or from a file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

from swinir_deploy.errors import CheckpointError, InputError, UsageError
from swinir_deploy.models.catalog import ModelCard, Task
from swinir_deploy.models.checkpoint import load_checkpoint
from swinir_deploy.models.find import find_model
from swinir_deploy.network.config import SwinIRConfig
from swinir_deploy.network.swinir import SwinIR
from swinir_deploy.system.choices import unknown_choice

__all__ = ["LoadedModel", "load_model"]


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A network with its weights, and the file that they come from.

    Attributes:
        network: the network in eval mode, float32, on the CPU; its parameters need no gradient.
        config: hyper-parameters of the network.
        card: card of the catalogue, if the checkpoint is one of its models; else None.
        model_id: the id saved in the file, else the catalogue's id, else the file's name without
            suffix.
        task: ``sr``, ``denoise`` or ``jpeg``; empty where it is not known.
        path: path of the checkpoint file.
        source_sha256: SHA-256 of that file in lower-case hex.
        weights: ``key`` and ``prefix`` that choose the same weights again; empty for a file with
            one network.
    """

    network: SwinIR
    config: SwinIRConfig
    card: ModelCard | None
    model_id: str
    task: str
    path: Path
    source_sha256: str
    weights: dict[str, str] = field(default_factory=dict)


def load_model(
    name_or_path: str | os.PathLike[str],
    *,
    img_range: float | None = None,
    mean: Sequence[float] | None = None,
    key: str | None = None,
    prefix: str | None = None,
    task: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    progress: bool = True,
    offline: bool = False,
) -> LoadedModel:
    """Load a checkpoint file or a model of the catalogue, which is downloaded if needed.

    Args:
        name_or_path: path of a file that exists; else an id such as ``tiny-sr-x4`` or the name
            of an official file.
        img_range: factor on the input; None finds it as
            :func:`~swinir_deploy.models.checkpoint.load_checkpoint` describes.
        mean: mean of each input channel in 0..1; None takes the file's, else the official one.
        key: entry of the file that holds the weights; None finds them.
        prefix: what stands before the official names of the weights; None finds it.
        task: ``sr``, ``denoise`` or ``jpeg``; None takes it from the catalogue or the scale.
        cache_dir: folder for downloads; None takes the usual one
            (:func:`~swinir_deploy.system.cache_folder.cache_folder`).
        progress: show a progress bar during a download.
        offline: never download.

    Raises:
        CatalogError: the catalogue has no such name; the message suggests near ones.
        CheckpointError: the file is missing, damaged, unsafe or not a SwinIR.
        DownloadError: a checkpoint is not in the cache and cannot be downloaded.
        UsageError: ``task`` is unknown, or ``img_range`` is not positive.

    Example:
        >>> import torch
        >>> from swinir_deploy import load_model
        >>> model = load_model("tiny-sr-x4")
        >>> model.task, model.config.upscale
        ('sr', 4)
        >>> with torch.inference_mode():
        ...     restored = model.network(torch.zeros(1, 3, 16, 24))
        >>> list(restored.shape)
        [1, 3, 64, 96]
    """
    if task is not None and task not in get_args(Task):
        raise UsageError(unknown_choice("task", task, get_args(Task)))
    try:
        path, sha256 = find_model(name_or_path).local(cache_dir, progress, offline)
    except InputError as error:
        raise CheckpointError(str(error)) from error
    checkpoint = load_checkpoint(
        path, img_range=img_range, mean=mean, key=key, prefix=prefix, sha256=sha256
    )
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
        weights=checkpoint.choice,
    )
