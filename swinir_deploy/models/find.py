"""Find the file or the model of the catalogue for a name, without loading it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from swinir_deploy.artifacts.engine import ENGINE_SUFFIX
from swinir_deploy.errors import CatalogError, InputError
from swinir_deploy.models.catalog import ModelCard, load_catalog
from swinir_deploy.system.choices import near_match

if TYPE_CHECKING:
    from swinir_deploy.models.weights_cache import LocalFile

__all__ = ["FoundModel", "find_model"]

_SUFFIXES = (".onnx", ENGINE_SUFFIX, ".pth", ".pt", ".ckpt", ".bin", ".safetensors")


@dataclass(frozen=True)
class FoundModel:
    """The file or the model of the catalogue that a name stands for.

    Attributes:
        name: an id of the catalogue, or the path of a file that exists.
        card: card of the catalogue, if the name is an id; else None.
    """

    name: str
    card: ModelCard | None = None

    @property
    def is_onnx(self) -> bool:
        """Whether the name is that of an exported ONNX file."""
        return self.card is None and Path(self.name).suffix.lower() == ".onnx"

    @property
    def is_engine(self) -> bool:
        """Whether the name is that of a TensorRT engine."""
        return self.card is None and Path(self.name).suffix.lower() == ENGINE_SUFFIX

    @property
    def checkpoint(self) -> str:
        """The name, if it is that of a checkpoint or of a model of the catalogue.

        Raises:
            InputError: the name is that of an exported file or an engine.
        """
        if self.is_onnx or self.is_engine:
            kind = "an ONNX file" if self.is_onnx else "an engine"
            raise InputError(
                f"{self.name} is {kind}, not a checkpoint. Give the checkpoint or id that it was "
                f"made from; 'swinir-deploy info {self.name}' names it."
            )
        return self.name

    @property
    def place(self) -> Path:
        """The path of the file, which is not there if the model has not been downloaded yet."""
        from swinir_deploy.models.weights_cache import place_of

        return Path(self.name) if self.card is None else place_of(self.card)

    def local(
        self,
        cache_dir: str | os.PathLike[str] | None = None,
        progress: bool = True,
        offline: bool = False,
    ) -> LocalFile:
        """Return the file, after a download if it is needed.

        Arguments and errors as in :func:`~swinir_deploy.models.weights_cache.ensure_local`.
        """
        from swinir_deploy.models.weights_cache import LocalFile, local_file

        if self.card is None:
            return LocalFile(Path(self.name))
        return local_file(self.card, cache_dir, progress, offline)


def find_model(name: str | os.PathLike[str]) -> FoundModel:
    """Return the file with this name if it exists, else the model of the catalogue.

    Raises:
        CatalogError: the catalogue has no such id; the message suggests near ones.
        InputError: the name looks like a path, but there is no file; or it is a folder.
    """
    text = os.fspath(name)
    path = Path(text).expanduser()
    if path.is_file():
        return FoundModel(os.fspath(path))
    try:
        card = load_catalog().get(text)
    except CatalogError as error:
        if path.is_dir():
            raise InputError(
                f"{path} is a folder. Give a checkpoint or ONNX file in it."
            ) from error
        if path.name == text and not path.suffix:
            raise
        raise InputError(_no_file(path)) from error
    return FoundModel(card.id, card)


def _no_file(path: Path) -> str:
    siblings: list[str] = []
    if path.parent.is_dir():
        siblings = [entry.name for entry in path.parent.iterdir() if entry.suffix in _SUFFIXES]
    near = near_match(path.name, siblings)
    hint = (
        f" Did you mean '{path.parent / near}'?"
        if near is not None
        else load_catalog().did_you_mean(path.name)
    )
    return (
        f"There is no file {path}.{hint} Give the path of a checkpoint or ONNX file, or a name "
        "that 'swinir-deploy models' lists."
    )
