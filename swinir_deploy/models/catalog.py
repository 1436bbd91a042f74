"""The catalogue of models: ``models.yaml`` as typed cards, found by name, file, hash or task.

This module does not import torch or the network. It reads the file on first use only.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePath
from typing import Any, Literal, get_args

from swinir_deploy.errors import CatalogError, UsageError
from swinir_deploy.network.config import SwinIRConfig

__all__ = ["Catalog", "Figure", "ModelCard", "Size", "Task", "load_catalog"]

Task = Literal["sr", "denoise", "jpeg"]
Size = Literal["tiny", "light", "medium", "large"]

_SIZES: tuple[str, ...] = get_args(Size)
_NEXT_STEP = "Run 'swinir-deploy models' for the list."


@dataclass(frozen=True)
class Figure:
    """One number about a model's quality.

    Attributes:
        dataset: name of the data set, such as ``Set5``.
        metric: ``psnr_*`` and ``psnr_b_*`` in dB, ``ssim_*`` from 0 to 1; ``*_y`` on the Y channel,
            ``*_rgb`` on all channels, ``*_gray`` on gray pictures.
        value: value of the metric, averaged over the data set.
        source: who measured it, and by which protocol.
        baseline: value without the model, measured in the same way: of bicubic interpolation, of
            the noisy picture or of the JPEG. None where it was not measured.
    """

    dataset: str
    metric: str
    value: float
    source: str
    baseline: float | None = None


@dataclass(frozen=True)
class ModelCard:
    """What the catalogue knows about one model.

    Attributes:
        id: name in the catalogue, such as ``medium-sr-x4``.
        summary: description in one line.
        file: name of the checkpoint file.
        builtin: whether the file is part of this package.
        url: address from which the file is downloaded; None for built-in models.
        task: ``sr`` (super-resolution), ``denoise`` or ``jpeg`` (artefact removal).
        size: ``tiny``, ``light``, ``medium`` or ``large``.
        noise: sigma of the noise on 0..255 that a ``denoise`` model removes, else None.
        quality: JPEG quality that a ``jpeg`` model was trained for, else None.
        real: whether it was trained on real-world degradations instead of bicubic downscaling.
        config: the network's hyper-parameters.
        parameters: number of parameters of the network; None while a model is being trained.
        state_dict_key: entry of the file that holds the weights; None for a bare state dict.
        training_set: the pictures that it was trained on; None where nobody published it.
        patch_size: side of the training patches in pixels, on the network's input.
        licence: SPDX identifier for the weights.
        size_bytes: size of the file in bytes; None where nobody published it.
        sha256: SHA-256 of the file in lower-case hex; None where nobody published it.
        published: figures that others published for this checkpoint.
        measured: figures that this project measured.
    """

    id: str
    summary: str
    file: str
    builtin: bool
    url: str | None
    task: Task
    size: Size
    noise: int | None
    quality: int | None
    real: bool
    config: SwinIRConfig
    parameters: int | None
    state_dict_key: str | None
    training_set: str | None
    patch_size: int | None
    licence: str
    size_bytes: int | None
    sha256: str | None
    published: tuple[Figure, ...] = ()
    measured: tuple[Figure, ...] = ()

    @property
    def scale(self) -> int:
        """Output side divided by input side."""
        return self.config.upscale

    @property
    def gray(self) -> bool:
        """Whether input and output have one channel instead of three."""
        return self.config.in_chans == 1

    @property
    def aliases(self) -> tuple[str, ...]:
        """Other names of this model: its file name with and without the suffix."""
        names = (self.file, PurePath(self.file).stem)
        return tuple(name for name in names if name != self.id)

    @property
    def purpose(self) -> str:
        """Short description of the task, such as ``sr x4`` or ``denoise 25, gray``."""
        amount = {"sr": f"x{self.scale}", "denoise": self.noise, "jpeg": self.quality}[self.task]
        extras = (", real-world" if self.real else "") + (", gray" if self.gray else "")
        return f"{self.task} {amount}{extras}"

    @property
    def use(self) -> str:
        """What kind of picture the model is for, in one line for users."""
        if self.task == "denoise":
            return "pictures with noise, and no other damage: low light, high ISO, film grain"
        if self.task == "jpeg":
            return "JPEG files with visible blocks, kept at their size"
        if self.real:
            return "photographs as they are: blurred, noisy, compressed; from a phone or the web"
        return "clean pictures that are too small: sharp, neither noisy nor compressed"

    def describe(self) -> str:
        """Describe purpose, architecture, file, licence, training and figures in a few lines."""
        lines = [f"  {name:<10}  {text}" for name, text in self.facts()]
        return "\n".join([f"{self.id}: {self.summary}", *lines])

    def facts(self) -> list[tuple[str, str]]:
        """Return the names and texts of the lines of :meth:`describe`, without its title."""
        config, unknown = self.config, "not published"
        count = f"{self.parameters:,} parameters, " if self.parameters else ""
        size = f"{self.size_bytes:,} bytes" if self.size_bytes else f"size {unknown}"
        patch = f", patches of {self.patch_size} px" if self.patch_size else ""
        rows = [
            ("task", self.purpose),
            ("for", self.use),
            (
                "network",
                f"{self.size}, {count}{config.embed_dim} channels, {config.num_blocks} blocks, "
                f"window {config.window_size}, head {config.upsampler or 'none'!r}",
            ),
            ("file", f"{self.file} ({size})"),
            ("sha256", self.sha256 or unknown),
            ("from", self.url or "built in"),
            ("licence", self.licence),
            ("trained on", f"{self.training_set or 'not stated'}{patch}"),
        ]
        rows += [("published", line) for line in _figure_lines(self.published)]
        return rows + [("measured", line) for line in _figure_lines(self.measured)]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, with the derived scale, gray and aliases."""
        derived = {
            "scale": self.scale,
            "gray": self.gray,
            "aliases": list(self.aliases),
            "use": self.use,
        }
        return {**asdict(self), "config": self.config.to_dict(), **derived}


class Catalog:
    """All model cards, in the order of ``models.yaml``."""

    def __init__(self, cards: Iterable[ModelCard]) -> None:
        """Index the cards.

        Raises:
            CatalogError: two cards share an id or an alias.
        """
        self._cards = tuple(cards)
        self._by_name: dict[str, ModelCard] = {}
        for card in self._cards:
            for name in {card.id.lower(), *(alias.lower() for alias in card.aliases)}:
                if name in self._by_name:
                    raise CatalogError(
                        f"The catalogue has the name {name!r} for both {self._by_name[name].id} "
                        f"and {card.id}; names must be unique. Rename one in models.yaml."
                    )
                self._by_name[name] = card
        self._by_sha256 = {card.sha256: card for card in self._cards if card.sha256}

    def all(self) -> tuple[ModelCard, ...]:
        """Return all cards in the order of the file: built-in first, then by task."""
        return self._cards

    def get(self, name: str) -> ModelCard:
        """Return the model with this id or alias, in upper or lower case.

        Raises:
            CatalogError: no model has this name; the message suggests the nearest ones.
        """
        card = self._by_name.get(name.lower())
        if card is None:
            raise CatalogError(
                f"The catalogue has no model {name!r}.{self.did_you_mean(name)} {_NEXT_STEP}"
            )
        return card

    def did_you_mean(self, name: str) -> str:
        """Return `` Did you mean 'tiny-sr-x4'?`` for a name that is near one, else ``""``."""
        near = difflib.get_close_matches(name.lower(), self._by_name, n=3, cutoff=0.6)
        ids = list(dict.fromkeys(self._by_name[match].id for match in near))
        return f" Did you mean {' or '.join(map(repr, ids))}?" if ids else ""

    def by_file(self, name: str) -> ModelCard | None:
        """Return the model whose checkpoint has this file name, or None; folders are ignored."""
        card = self._by_name.get(PurePath(name).name.lower())
        return card if card is not None and PurePath(name).suffix else None

    def by_sha256(self, digest: str) -> ModelCard | None:
        """Return the model whose file has this SHA-256 (hex, any case), or None."""
        return self._by_sha256.get(digest.lower())

    def select(
        self,
        *,
        task: str | None = None,
        scale: int | None = None,
        noise: int | None = None,
        quality: int | None = None,
        gray: bool | None = None,
        real: bool | None = None,
        size: str | None = None,
        downloaded: Collection[str] = (),
    ) -> ModelCard:
        """Return the model that fits a request best.

        An argument of None allows every value. Among the models that fit, those for clean
        pictures come before those for real-world pictures, colour before gray, those that were
        downloaded already before built-in ones, built-in ones before those to download, and small
        before large.

        Args:
            task: ``sr``, ``denoise`` or ``jpeg``.
            scale: output side divided by input side.
            noise: sigma of the noise on 0..255.
            quality: JPEG quality.
            gray: whether the model takes one channel.
            real: whether the model is for real-world degradations.
            size: ``tiny``, ``light``, ``medium`` or ``large``.
            downloaded: ids of the models whose file is on this machine.

        Raises:
            CatalogError: no model fits (the message lists what is possible), or models of
                several tasks, scales, noise levels or qualities fit and none was named.
        """
        requested = {
            "task": task,
            "scale": scale,
            "noise": noise,
            "quality": quality,
            "gray": gray,
            "real": real,
            "size": size,
        }
        given = {name: value for name, value in requested.items() if value is not None}
        fitting = [
            card
            for card in self._cards
            if all(getattr(card, name) == value for name, value in given.items())
        ]
        if not fitting:
            same_task = [card for card in self._cards if card.task == task]
            request = ", ".join(f"{name} {value}" for name, value in given.items())
            raise CatalogError(
                f"No model has {request}. Possible: {_possible(same_task or self._cards)}. "
                f"{_NEXT_STEP}"
            )
        for name in ("task", "scale", "noise", "quality"):
            values = sorted({getattr(card, name) for card in fitting} - {None})
            if requested[name] is None and len(values) > 1:
                choices = " or ".join(f"--{name} {value}" for value in values)
                raise CatalogError(
                    f"Models of several {name} values fit: {', '.join(map(str, values))}. Choose "
                    f"{choices} (in Python, {name}={values[0]!r}). {_NEXT_STEP}"
                )

        def order(card: ModelCard) -> tuple[bool, bool, int, int]:
            reach = 0 if card.id in downloaded else 1 if card.builtin else 2
            return card.real, card.gray, reach, _SIZES.index(card.size)

        return min(fitting, key=order)


def load_catalog() -> Catalog:
    """Return the catalogue of this package, which is read once and then shared.

    Raises:
        CatalogError: ``models.yaml`` is damaged; the message names the model and the reason.

    Example:
        >>> from swinir_deploy import load_catalog
        >>> catalog = load_catalog()
        >>> catalog.get("tiny-sr-x4").scale
        4
        >>> catalog.select(task="sr", scale=4, size="tiny").id
        'tiny-sr-x4'
    """
    return _read_catalog(Path(__file__).with_name("models.yaml"))


@functools.cache
def _read_catalog(path: Path) -> Catalog:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        document = yaml.load(path.read_bytes(), loader)
        release = document["official_release"]
        entries = document["models"].items()
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise CatalogError(
            f"Cannot read the catalogue {path}: {error!r}. Install swinir-deploy again."
        ) from error
    cards = []
    for model_id, entry in entries:
        try:
            cards.append(_card(model_id, entry, release))
        except (KeyError, TypeError, ValueError, UsageError) as error:
            raise CatalogError(
                f"{path}: model {model_id!r} is not well described: {error!r}. "
                "Compare it with the fields at the top of the file."
            ) from error
    return Catalog(cards)


def _card(model_id: str, entry: Mapping[str, Any], release: str) -> ModelCard:
    values = dict(entry)
    builtin = values.pop("builtin", False)
    for name, choices in (("task", get_args(Task)), ("size", _SIZES)):
        if values[name] not in choices:
            raise ValueError(f"{name} is {values[name]!r}; it must be one of {choices}")
    return ModelCard(
        id=model_id,
        builtin=builtin,
        url=None if builtin else release + values["file"],
        config=SwinIRConfig.from_dict(values.pop("config")),
        noise=values.pop("noise", None),
        quality=values.pop("quality", None),
        real=values.pop("real", False),
        published=tuple(_published(values.pop("published", ()))),
        measured=tuple(
            Figure(**figure) for figure in values.pop("measured", ()) if figure["value"] is not None
        ),
        **values,
    )


def _published(groups: Iterable[Mapping[str, Any]]) -> Iterable[Figure]:
    """Yield the figures of groups of the form ``{source, metric: {dataset: value}}``."""
    for group in groups:
        for metric, values in group.items():
            if metric != "source":
                for dataset, value in values.items():
                    yield Figure(dataset, metric, value, group["source"])


def _figure_lines(figures: Iterable[Figure]) -> list[str]:
    """Format a line for each metric and source: ``psnr_y: Set5 32.92, ... (source)``."""
    lines: dict[tuple[str, str], list[str]] = {}
    for figure in figures:
        before = "" if figure.baseline is None else f" (without the model {figure.baseline:g})"
        text = f"{figure.dataset} {figure.value:g}{before}"
        lines.setdefault((figure.metric, figure.source), []).append(text)
    return [f"{metric}: {', '.join(texts)} ({source})" for (metric, source), texts in lines.items()]


def _possible(cards: Iterable[ModelCard]) -> str:
    """List purposes and sizes: ``sr x4 (tiny, light); sr x4, real-world (medium, large); ...``."""
    sizes: dict[str, list[str]] = {}
    for card in cards:
        listed = sizes.setdefault(card.purpose, [])
        if card.size not in listed:
            listed.append(card.size)
    return "; ".join(
        f"{purpose} ({', '.join(sorted(listed, key=_SIZES.index))})"
        for purpose, listed in sizes.items()
    )
