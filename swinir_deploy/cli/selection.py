"""Find the model that the command line asks for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from swinir_deploy.errors import UsageError

if TYPE_CHECKING:
    from swinir_deploy.cli.options import ModelRequest
    from swinir_deploy.cli.output import Output
    from swinir_deploy.models.catalog import ModelCard
    from swinir_deploy.models.find import FoundModel

__all__ = ["local_path", "require_checkpoint", "require_model", "select_model"]


def select_model(request: ModelRequest, out: Output, command: str) -> FoundModel:
    """Return the model that ``--model``, or ``--task`` and so on, select.

    Args:
        request: the model options of the command line.
        out: gets a note if the tiny model was selected without being named, and one that names the
            models for photographs if a model for clean pictures was.
        command: the example in the error message, such as ``export --task sr --scale 4``.

    Raises:
        UsageError: both or neither were given, or the catalogue has no such model.
        InputError: the file is missing.
    """
    if request.model is not None and request.filters:
        raise UsageError(
            f"--model {request.model} names the model; {request.options()} choose one from the "
            "catalogue. Give one or the other."
        )
    if request.model is not None:
        from swinir_deploy.models.find import find_model

        found = find_model(request.model)
        require_checkpoint(found, request.weights)
        return found
    if request.task is not None and "," in request.task:
        raise UsageError(
            f"--task {request.task} runs models one after another, which 'restore' does with "
            "pictures. Give one task."
        )
    require_model(request, command)
    from swinir_deploy.models.catalog import load_catalog
    from swinir_deploy.models.find import FoundModel
    from swinir_deploy.models.weights_cache import downloaded_ids

    cards = load_catalog().all()
    downloaded = downloaded_ids(cards)
    card = load_catalog().select(**request.filters, downloaded=downloaded)
    if card.id in downloaded and request.size is None:
        out.note(_downloaded_note(card))
    if card.size == "tiny" and request.size is None:
        out.note(_tiny_note(card))
    if card.task == "sr" and not card.real and (note := _photograph_note(card)):
        out.note(note)
    return FoundModel(card.id, card)


def require_model(request: ModelRequest, command: str) -> None:
    """Check that a model is named or chosen.

    Args:
        request: the model options of the command line.
        command: the example in the error message, such as ``export --task sr --scale 4``.

    Raises:
        UsageError: neither was given.
    """
    if request.model is None and not request.filters:
        raise UsageError(
            "Missing model. Name one with --model, or choose with --task, such as "
            f"'swinir-deploy {command}'. List all with 'swinir-deploy models'."
        )


def require_checkpoint(found: FoundModel, weights: dict[str, Any]) -> None:
    """Check that ``--key``, ``--img-range`` and so on were given for a checkpoint only.

    Raises:
        UsageError: the model is an exported file or an engine, whose weights are chosen already.
    """
    if weights and (found.is_onnx or found.is_engine):
        from swinir_deploy.cli.options import weight_options_text

        kind = "an ONNX file" if found.is_onnx else "an engine"
        raise UsageError(
            f"{weight_options_text(weights)} cannot be used with {found.name}: it is {kind}, "
            "whose weights were chosen when it was exported. Leave it out, or name the checkpoint."
        )


def local_path(model: FoundModel, out: Output) -> str:
    """Return the path of a model's file, and download it first if needed.

    Raises:
        DownloadError: the download failed, or is needed but ``--offline`` was given.
    """
    return os.fspath(model.local(progress=not out.quiet, offline=out.offline).path)


def _downloaded_note(card: ModelCard) -> str:
    """Return a note that a model is used because it is here, with the way to the built-in one."""
    return (
        f"Using {card.id}, which was downloaded before. --size tiny takes a built-in model, which "
        "is faster and less good."
    )


def _tiny_note(card: ModelCard) -> str:
    """Return a note that the tiny model is used, with the ids of the larger ones."""
    others = [other.id for other in _same_purpose(card, card.real) if not other.builtin]
    named = f" The official ones are larger and better: --model {' or '.join(others)}."
    return f"Using {card.id}, a tiny built-in model.{named if others else ''}"


def _photograph_note(card: ModelCard) -> str:
    """Return a note that names the real-world models of the same scale, empty if there are none."""
    models = _same_purpose(card, real=True)
    if not models:
        return ""
    built_in = [f"{model.id}, built in" for model in models if model.builtin]
    official = [model.id for model in models if not model.builtin]
    named = "; ".join([*built_in, f"official: --model {' or '.join(official)}"])
    return (
        f"{card.id} is for clean pictures. For photographs, which are blurred, noisy and "
        f"compressed, add --real ({named})."
    )


def _same_purpose(card: ModelCard, real: bool) -> list[ModelCard]:
    """List the models of the card's task, amount and channels, without second files of one."""
    from swinir_deploy.models.catalog import load_catalog

    return [
        other
        for other in load_catalog().all()
        if (other.task, other.scale, other.noise, other.quality, other.gray, other.real)
        == (card.task, card.scale, card.noise, card.quality, card.gray, real)
        and not other.id.endswith("-params-and-ema")
    ]
