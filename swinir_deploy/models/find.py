"""From a name to a file or to a model of the catalogue; nothing is loaded."""

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
    """One model.

    Attributes:
        name: an id of the catalogue, or the path of a file that exists.
        card: of the catalogue, where the name is an id.
    """

    name: str
    card: ModelCard | None = None

    @property
    def is_onnx(self) -> bool:
        """Whether it is an exported file."""
        return self.card is None and Path(self.name).suffix.lower() == ".onnx"

    @property
    def is_engine(self) -> bool:
        """Whether it is an engine of TensorRT."""
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

    def local(
        self,
        cache_dir: str | os.PathLike[str] | None = None,
        progress: bool = True,
        offline: bool = False,
    ) -> LocalFile:
        """Return its file, downloaded if need be.

        Arguments and errors as in :func:`~swinir_deploy.models.weights_cache.ensure_local`.
        """
        from swinir_deploy.models.weights_cache import LocalFile, local_file

        if self.card is None:
            return LocalFile(Path(self.name))
        return local_file(self.card, cache_dir, progress, offline)


def find_model(name: str | os.PathLike[str]) -> FoundModel:
    """Return a file that exists, else the catalogue's model of that name.

    Raises:
        CatalogError: there is no such id; the message suggests near ones.
        InputError: it looks like a file, and there is none; or it is a folder.
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
