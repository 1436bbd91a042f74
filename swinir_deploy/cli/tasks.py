"""The tasks of ``restore``: one or several in a row, at the level that the pictures need."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swinir_deploy.cli.options import ModelRequest
from swinir_deploy.cli.output import Output
from swinir_deploy.errors import UsageError

if TYPE_CHECKING:
    from swinir_deploy.models.catalog import ModelCard
    from swinir_deploy.restoration.degradation import Estimate

__all__ = ["requests_in_a_row", "with_level"]

_LEVEL_OF = {"jpeg": "quality", "denoise": "noise"}
"""Task -> the option with the level that its models are made for."""

_HARDLY_ANY_NOISE = 5.0
"""Sigma below which what looks like noise may be the texture of a clean photograph."""

_HARDLY_COMPRESSED = 70
"""JPEG quality from which there are few blocks to remove."""


def requests_in_a_row(request: ModelRequest) -> list[ModelRequest]:
    """Return a request for each task of ``--task jpeg,sr``.

    ``--quality`` belongs to ``jpeg``, ``--noise`` to ``denoise``, ``--scale`` and ``--real`` to
    ``sr``; ``--gray``, ``--color`` and ``--size`` to all.

    Raises:
        UsageError: a task is repeated, or none of the tasks has a given option.
    """
    tasks = (request.task or "").split(",")
    if len(tasks) == 1:
        return [request]
    if len(set(tasks)) < len(tasks):
        raise UsageError(f"--task {request.task} has a task twice. Give each one once.")
    own: dict[str, tuple[str, ...]] = {
        "sr": ("scale", "real"),
        "denoise": ("noise",),
        "jpeg": ("quality",),
    }
    for task, names in own.items():
        for name in names:
            if getattr(request, name) is not None and task not in tasks:
                raise UsageError(
                    f"--{name} is for the task {task}, which --task {request.task} does not have. "
                    "Leave it out, or add the task."
                )
    every = [name for names in own.values() for name in names]

    def only(task: str) -> ModelRequest:
        others: dict[str, Any] = {name: None for name in every if name not in own[task]}
        return replace(request, task=task, **others)

    return [only(task) for task in tasks]


def with_level(request: ModelRequest, source: Path, target: Path, out: Output) -> ModelRequest:
    """Return the request with the quality or noise that the pictures have, if it is not given.

    Args:
        request: the request for one task.
        source: a picture, or a folder of pictures.
        target: the result, which may be a folder in ``source``.
        out: gets a note about what was found, and what was chosen.

    Raises:
        UsageError: no picture tells it, and models of several levels fit.
    """
    level = _LEVEL_OF.get(request.task or "")
    if level is None or request.model is not None or getattr(request, level) is not None:
        return request
    from swinir_deploy.models.catalog import load_catalog
    from swinir_deploy.models.weights_cache import downloaded_ids
    from swinir_deploy.restoration.degradation import estimate_degradation

    cards = [
        card
        for card in load_catalog().all()
        if all(getattr(card, name) == value for name, value in request.filters.items())
    ]
    downloaded = downloaded_ids(cards)
    here = [card for card in cards if card.builtin or card.id in downloaded] or cards
    if len({getattr(card, level) for card in cards}) < 2:
        return request  # there is nothing to choose, or no model at all
    found = estimate_degradation(request.task or "", source, target if source.is_dir() else None)
    if found is None:
        values = sorted({getattr(card, level) for card in cards})
        why = "is no JPEG file" if level == "quality" else "cannot be read"
        what = f"no picture in {source}" if source.is_dir() else f"{source} {why}, so it"
        raise UsageError(
            f"--task {request.task} needs a level: {what} tells the {level}. Choose "
            f"{' or '.join(f'--{level} {value}' for value in values)}."
        )
    chosen = _nearest(here, level, found.value)
    out.note(_note(request.task or "", level, found, source, chosen, cards))
    found_level: dict[str, Any] = {level: chosen}
    return replace(request, **found_level)


def _nearest(cards: list[ModelCard], level: str, value: float) -> int:
    levels = sorted({int(getattr(card, level)) for card in cards})
    return min(levels, key=lambda known: abs(known - value))


def _note(
    task: str, level: str, found: Estimate, source: Path, chosen: int, cards: list[ModelCard]
) -> str:
    what, how = {
        "quality": ("JPEG quality", "by its quantisation tables"),
        "noise": ("Noise", "estimated from the finest details"),
    }[level]
    value = f"{'sigma ' if level == 'noise' else ''}{found.value:.0f}"
    if found.pictures > 1:
        how = f"the median of {found.measured} pictures, {found.lowest:.0f} to {found.highest:.0f}"
    parts = [f"{what} of {source}: {value} ({how}); using --{level} {chosen}."]
    nearest = _nearest(cards, level, found.value)
    if nearest != chosen:
        ids: list[Any] = [card.id for card in cards if getattr(card, level) == nearest]
        parts.append(f"An official model is nearer: --{level} {nearest} ({ids[0]}).")
    if task == "denoise" and found.value < _HARDLY_ANY_NOISE:
        parts.append("That is hardly more than fine texture: look whether the result is too soft.")
    if task == "jpeg" and found.value >= _HARDLY_COMPRESSED:
        parts.append("There is little to remove: look whether the result is too soft.")
    return " ".join(parts)
