"""From what the command line asks for to one model."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from swinir_deploy.errors import UsageError

if TYPE_CHECKING:
    from swinir_deploy.cli.options import ModelRequest
    from swinir_deploy.cli.output import Output
    from swinir_deploy.models.catalog import ModelCard
    from swinir_deploy.models.find import FoundModel

__all__ = ["local_path", "select_model"]


def select_model(request: ModelRequest, out: Output, command: str) -> FoundModel:
    """The model that ``--model``, or ``--task`` and so on, name.

    Args:
        request: from the options.
        out: told when the tiny model was chosen without being named.
        command: for the example in the message: ``export --task sr --scale 4``.

    Raises:
        UsageError: both, neither, or nothing of the catalogue.
        InputError: a file that is not there.
    """
    if request.model is not None and request.wishes:
        raise UsageError(
            f"--model {request.model} names the model; {request.options()} choose one from the "
            "catalogue. Give one or the other."
        )
    if request.model is not None:
        from swinir_deploy.models.find import find_model

        return find_model(request.model)
    if not request.wishes:
        raise UsageError(
            "Which model? Name one with --model, or choose with --task, such as "
            f"'swinir-deploy {command}'. 'swinir-deploy models' lists all."
        )
    from swinir_deploy.models.catalog import load_catalog
    from swinir_deploy.models.find import FoundModel

    card = load_catalog().select(**request.wishes)
    if card.size == "tiny" and request.size is None:
        out.note(_tiny_note(card))
    return FoundModel(card.id, card)


def local_path(model: FoundModel, out: Output) -> str:
    """Return the path of a model's file, downloaded if it must be (and may be)."""
    return os.fspath(model.local(progress=not out.quiet, offline=out.offline).path)


def _tiny_note(card: ModelCard) -> str:
    """That the default is the tiny model, and what the others are called."""
    from swinir_deploy.models.catalog import load_catalog

    others = [
        other.id
        for other in load_catalog().all()
        if (other.task, other.scale, other.noise, other.quality)
        == (card.task, card.scale, card.noise, card.quality)
        and (other.gray, other.real, other.builtin) == (card.gray, card.real, False)
    ]
    named = f" The official ones are larger and better: --model {' or '.join(others)}."
    return f"Using {card.id}, a tiny built-in model.{named if others else ''}"
