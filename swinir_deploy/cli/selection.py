"""From what the command line asks for to one model."""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from swinir_deploy.artifacts.engine import ENGINE_SUFFIX
from swinir_deploy.errors import CatalogError, InputError, UsageError

if TYPE_CHECKING:
    from swinir_deploy.cli.options import ModelRequest
    from swinir_deploy.cli.output import Output
    from swinir_deploy.models.catalog import ModelCard

__all__ = ["Selection", "find_model", "select_model"]

_SUFFIXES = (".onnx", ENGINE_SUFFIX, ".pth", ".pt", ".ckpt", ".bin", ".safetensors")


@dataclass(frozen=True)
class Selection:
    """One model.

    Attributes:
        name: an id of the catalogue, or the path of a file that exists.
        card: of the catalogue, when it was chosen by id or task.
    """

    name: str
    card: ModelCard | None = None

    @property
    def is_onnx(self) -> bool:
        """An exported file rather than a checkpoint."""
        return self.card is None and Path(self.name).suffix.lower() == ".onnx"

    @property
    def is_engine(self) -> bool:
        """An engine of TensorRT."""
        return self.card is None and Path(self.name).suffix.lower() == ENGINE_SUFFIX

    @property
    def checkpoint(self) -> str:
        """The name, if it is that of a checkpoint.

        Raises:
            InputError: it is an exported file or an engine.
        """
        if self.is_onnx or self.is_engine:
            kind = "an ONNX file" if self.is_onnx else "an engine"
            raise InputError(
                f"{self.name} is {kind}; wanted is the checkpoint or id that it came from. "
                f"'swinir-deploy info {self.name}' names it."
            )
        return self.name

    def local(self, out: Output) -> str:
        """Path of its file, downloaded if it must be (and may be)."""
        if self.card is None:
            return self.name
        from swinir_deploy.models.weights_cache import ensure_local

        return os.fspath(ensure_local(self.card, progress=not out.quiet, offline=out.offline))


def select_model(request: ModelRequest, out: Output, command: str) -> Selection:
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
        return find_model(request.model)
    if not request.wishes:
        raise UsageError(
            "Which model? Name one with --model, or choose with --task, such as "
            f"'swinir-deploy {command}'. 'swinir-deploy models' lists all."
        )
    from swinir_deploy.models.catalog import load_catalog

    card = load_catalog().select(**request.wishes)
    if card.size == "tiny" and request.size is None:
        out.note(_tiny_note(card))
    return Selection(card.id, card)


def find_model(name: str) -> Selection:
    """A file that exists, else the catalogue's model of that name.

    Raises:
        CatalogError: no such id.
        InputError: it looks like a file, and there is none.
    """
    path = Path(name).expanduser()
    if path.is_file():
        return Selection(os.fspath(path))
    from swinir_deploy.models.catalog import load_catalog

    try:
        card = load_catalog().get(name)
    except CatalogError as error:
        if path.is_dir():
            raise InputError(
                f"{name} is a folder. Give a checkpoint or ONNX file in it."
            ) from error
        if path.name == name and not path.suffix:
            raise
        raise InputError(_no_file(path)) from error
    return Selection(card.id, card)


def _no_file(path: Path) -> str:
    siblings: list[str] = []
    if path.parent.is_dir():
        siblings = [entry.name for entry in path.parent.iterdir() if entry.suffix in _SUFFIXES]
    near = difflib.get_close_matches(path.name, siblings, n=1)
    hint = f" Did you mean '{path.parent / near[0]}'?" if near else ""
    return (
        f"There is no file {path}.{hint} Give the path of a checkpoint or ONNX file, or a name "
        "that 'swinir-deploy models' lists."
    )


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
