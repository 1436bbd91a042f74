"""Find the weights of a SwinIR in what a checkpoint holds: in any entry, under any prefix.

Wherever the tensors lie, their names end as in the official network. So all tensors of a file are
listed with their whole path, and every path that ends in ``conv_first.weight`` begins a
:class:`WeightSet`. One set is taken; where the choice is not clear, the error lists the sets.
"""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from swinir_deploy.errors import CheckpointError
from swinir_deploy.models.checkpoint_file import CheckpointFile
from swinir_deploy.models.inert_pickle import Record
from swinir_deploy.models.stored import StoredTensor, mapping_of, number_of, tensor_of

__all__ = [
    "WeightSet",
    "choose_weights",
    "find_weight_sets",
    "numbers_called",
    "own_tensors",
    "walk",
]

_ROOT = "."
"""What ``--key`` calls the root of a file, where it holds weights beside other entries."""

_DEEPEST = 24
"""Entries are searched to this depth."""

_FIRST = re.compile(r"(?P<prefix>.*?)(?<![A-Za-z0-9])conv_first\.(?P<rest>.+)", re.DOTALL)
_BLOCK = "layers.0.residual_group.blocks.0."

_USUAL = ("params", "state_dict", "model", "model_state_dict", "net", "network", "generator")
"""Entries that training tools use for the network itself, the most telling one first."""

_EMA = re.compile(
    r"(?<![a-z])(ema|shadow|averaged?|avg|swa|polyak)(?![a-z])|(ema|averaged)_?model|model_?ema",
    re.IGNORECASE,
)
"""How training tools call the exponential moving average of the weights."""

_WRAPPERS = re.compile(
    r"(?<![^.])(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module|module)\."
)
"""Parts of names that wrappers of modules add, wherever they wrap; SwinIR has no such parts."""

_BESIDE = re.compile(
    r"(?:.*[._])?(loss|losses|loss_fn|criterion|criteria|metrics?|psnr|ssim|lpips|dists|fid|vgg\d*"
    r"|perceptual|percep|discriminator|disc|net_?d|gan|ema|ema_model|model_ema|averaged_model"
    r"|teacher|aug|augment|transform|normalize|logvar)(?:[._].*|\d*)"
    r"|(global_|current_)?(epochs?|iters?|iterations?|steps?|step_counter)|best_?\w*|initted"
    r"|num_updates|decay|n_averaged|lr|seed|(.*\.)?total_(ops|params)",
    re.IGNORECASE,
)
"""Tensors beside a network's own in one module: of losses, metrics, other networks, counters."""


@dataclass(frozen=True)
class WeightSet:
    """The tensors of one network in a file.

    Attributes:
        key: entry that holds them, such as ``params_ema`` or ``model.state_dict``; empty for the
            root.
        prefix: what stands before every official name in that entry, such as ``generator.``.
        tensors: names without prefix and wrappers -> tensors.
        odd: names without prefix -> values of the entry that are no plain tensors.
    """

    key: str
    prefix: str
    tensors: Mapping[str, StoredTensor]
    odd: Mapping[str, Any]

    @property
    def label(self) -> str:
        """What to call the set in a message."""
        parts = [part for part in (self.key, self.prefix.rstrip(".")) if part]
        return ".".join(parts) or "the root"

    @property
    def is_average(self) -> bool:
        """Whether its name is that of a moving average of the weights."""
        return bool(_EMA.search(self.label))

    @property
    def seems_swinir(self) -> bool:
        """Whether there is a Swin block, too, as in no other network with a ``conv_first``."""
        return any(name.startswith(_BLOCK) for name in self.tensors)

    @property
    def options(self) -> dict[str, str]:
        """The arguments of ``load_checkpoint`` that choose this set."""
        return {"key": self.key or _ROOT, "prefix": self.prefix}

    def matches(self, key: str | None, prefix: str | None) -> bool:
        """Return whether ``--key`` and ``--prefix`` mean this set.

        A key is an entry, or one of the entries that hold it, or the first part of the prefix.
        """
        if key == _ROOT:
            return not self.key and (prefix or "") == self.prefix
        whole = f"{self.key}." * bool(self.key) + self.prefix
        own = {self.key, self.label, *self.key.split(".")}
        if key is not None and key not in own and not f".{whole}".startswith(f".{key}."):
            return False
        return prefix is None or prefix.rstrip(".") in (
            self.prefix.rstrip("."),
            whole.rstrip("."),
        )

    def identities(self) -> frozenset[tuple[str, Any]]:
        """Return what is equal for two sets that share their tensors."""
        return frozenset((name, tensor.identity) for name, tensor in self.tensors.items())


def walk(
    file: CheckpointFile, repeated: list[tuple[str, str]] | None = None
) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """Yield every dictionary of a file with its path, the outer ones first.

    The attributes of objects, the items of lists and so on are dictionaries here, too.

    Args:
        file: the file.
        repeated: gets the paths of what lies at several places, and where it was yielded.
    """
    seen: dict[int, str] = {}
    kept: list[Any] = []  # so that no two objects have the same id
    pending: deque[tuple[tuple[str, ...], Any]] = deque([((), file.content)])
    while pending:
        path, value = pending.popleft()
        if len(path) > _DEEPEST:
            continue
        if id(value) in seen:
            if repeated is not None and isinstance(value, Mapping):
                repeated.append((".".join(path), seen[id(value)]))
            continue
        seen[id(value)] = ".".join(path)
        kept.append(value)
        if tensor_of(value, file.storage) is not None:
            continue
        for mapping in mapping_of(value):
            named = {str(name): entry for name, entry in mapping.items()}
            yield path, named
            for name, entry in named.items():
                if isinstance(entry, (Mapping, list, tuple, Record)):
                    pending.append(((*path, name), entry))


def find_weight_sets(file: CheckpointFile) -> list[WeightSet]:
    """Return all sets of tensors with a ``conv_first``, the outer entries first."""
    sets: list[WeightSet] = []
    repeated: list[tuple[str, str]] = []
    for path, mapping in walk(file, repeated):
        flat = _joined(mapping)
        prefixes = _prefixes(flat)
        for prefix in prefixes:
            tensors: dict[str, StoredTensor] = {}
            odd: dict[str, Any] = {}
            inner = tuple(p for p in prefixes if p != prefix and p.startswith(prefix))
            for name, value in flat.items():
                if not name.startswith(prefix) or name.startswith(inner):
                    continue
                own = _WRAPPERS.sub("", name.removeprefix(prefix))
                tensor = tensor_of(value, file.storage)
                if tensor is not None:
                    tensors[own] = tensor
                else:
                    odd[own] = value
            if tensors:
                sets.append(WeightSet(".".join(path), prefix, tensors, odd))
    sets += [*_nested(file, sets)]
    for again, first in repeated:
        sets += [
            replace(one, key=again + one.key.removeprefix(first))
            for one in sets
            if one.key == first or one.key.startswith(f"{first}.")
        ]
    return sets


def _joined(mapping: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a dictionary of a network with the official names, if it writes them differently.

    ``{"conv_first": {"weight": ...}, ...}`` (a dictionary for each module) and
    ``{"conv_first/weight": ...}`` become ``{"conv_first.weight": ...}``.
    """
    if any("conv_first/" in name for name in mapping):
        return {name.replace("/", "."): value for name, value in mapping.items()}
    if not any(
        isinstance(value, Mapping) and name.rpartition(".")[2] == "conv_first"
        for name, value in mapping.items()
    ):
        return mapping
    flat: dict[str, Any] = {}
    pending: deque[tuple[str, Any]] = deque(mapping.items())
    while pending:
        name, value = pending.popleft()
        if isinstance(value, Mapping) and name.count(".") < _DEEPEST:
            pending.extend((f"{name}.{inner}", entry) for inner, entry in value.items())
        else:
            flat[name] = value
    return flat


def _prefixes(names: Mapping[str, Any]) -> list[str]:
    """Return what stands before ``conv_first.`` in some name, each once."""
    found: dict[str, None] = {}
    for name in names:
        match = _FIRST.fullmatch(name)
        if match and match["rest"].rpartition(".")[2].startswith(("weight", "original", "lora")):
            found[match["prefix"]] = None
    return list(found)


def _without_copies(sets: list[WeightSet]) -> list[WeightSet]:
    """Leave out sets that share every tensor with one before them."""
    kept: dict[frozenset[tuple[str, Any]], WeightSet] = {}
    for one in sets:
        kept.setdefault(one.identities(), one)
    return list(kept.values())


def _nested(file: CheckpointFile, sets: list[WeightSet]) -> Iterator[WeightSet]:
    """Yield averages that were saved without the official names.

    ``LitEma`` of latent diffusion takes the dots out of the names; ``torch-ema`` keeps a list of
    tensors in the order of the network's parameters.
    """
    known = next((one for one in sets if one.seems_swinir), None)
    if known is None:
        return
    known = own_tensors(known)
    buffers = ("attn_mask", "relative_position_index")
    names = [n for n in known.tensors if not n.endswith(buffers) and n != "mean"]
    dotless = {name.replace(".", ""): name for name in names}
    for path, mapping in walk(file):
        for full in [n for n in mapping if n.endswith("conv_firstweight")]:
            prefix = full.removesuffix("conv_firstweight")
            tensors = {
                name: tensor
                for short, name in dotless.items()
                if (tensor := tensor_of(mapping.get(prefix + short), file.storage)) is not None
            }
            if len(tensors) == len(names):
                yield WeightSet(".".join(path), prefix, tensors, {})
        is_list = list(mapping) == [str(i) for i in range(len(names))]
        if is_list and path and _EMA.search(path[-1]):
            listed = [tensor_of(value, file.storage) for value in mapping.values()]
            shapes = [None if tensor is None else tensor.shape for tensor in listed]
            if shapes == [known.tensors[name].shape for name in names]:
                pairs = {n: t for n, t in zip(names, listed, strict=True) if t is not None}
                yield WeightSet(".".join(path), "", pairs, {})


def choose_weights(
    file: CheckpointFile,
    sets: list[WeightSet],
    key: str | None,
    prefix: str | None,
    likely_key: str | None,
) -> tuple[WeightSet, str | None]:
    """Return the set that is meant, and a sentence for the user if there was a choice.

    Args:
        file: the file, for messages.
        sets: from :func:`find_weight_sets`; at least one.
        key: entry that the user asks for.
        prefix: prefix of the names that the user asks for.
        likely_key: entry that the catalogue names for this file.

    Raises:
        CheckpointError: none of the sets is meant, or several could be.
    """
    networks = [one for one in sets if one.seems_swinir] or sets
    if key is not None or prefix is not None:
        meant = [one for one in networks if one.matches(key, prefix)]
        if not meant:
            asked = " and ".join(
                f"{option} {value!r}"
                for option, value in (("--key", key), ("--prefix", prefix))
                if value is not None
            )
            raise CheckpointError(
                f"{file.path} has no entry with weights for {asked}. Choose one of its networks: "
                f"{_list(networks)}."
            )
        networks = [one for one in meant if one.key == key] or meant
    networks = _without_copies(networks)
    if len(networks) == 1:
        return networks[0], None
    if likely_key is not None:
        for one in networks:
            if one.key == likely_key:
                return one, None
    averages = [one for one in networks if one.is_average]
    if averages:
        chosen = _only(file, _most_usual(averages))
        others = [one for one in networks if one is not chosen]
        return chosen, (
            f"{file.path} holds {len(networks)} sets of weights. The moving average "
            f"({chosen.label!r}) is taken; for another one, give {_list(others)}."
        )
    usual = _most_usual(networks)
    if len(usual) == 1:
        others = [one for one in networks if one is not usual[0]]
        return usual[0], (
            f"{file.path} holds {len(networks)} sets of weights. {usual[0].label!r} is taken; for "
            f"another one, give {_list(others)}."
        )
    return _only(file, usual), None


def _most_usual(sets: list[WeightSet]) -> list[WeightSet]:
    """Return the sets of the most usual entry; all of them if no entry is usual."""

    def rank(one: WeightSet) -> int:
        if not one.key and not one.prefix:
            return 0
        first = re.sub(r"[_-]?(ema|averaged)[_-]?", "", one.key, flags=re.IGNORECASE)
        return _USUAL.index(first) if first in _USUAL else len(_USUAL)

    best = min(map(rank, sets))
    return [one for one in sets if rank(one) == best]


def _only(file: CheckpointFile, sets: list[WeightSet]) -> WeightSet:
    if len(sets) == 1 or _all_equal(sets):
        return sets[0]
    raise CheckpointError(
        f"{file.path} holds {len(sets)} networks that are a SwinIR, and nothing says which one is "
        f"meant. Give one of: {_list(sets)}."
    )


def _all_equal(sets: list[WeightSet]) -> bool:
    """Return whether all sets hold the same values."""
    first, *others = sets
    for other in others:
        if set(other.tensors) != set(first.tensors):
            return False
        for name, tensor in first.tensors.items():
            same = other.tensors[name]
            if tensor.kind or same.kind or tensor.shape != same.shape:
                return False
            if tensor.identity != same.identity and not torch.equal(tensor.read(), same.read()):
                return False
    return True


def _list(sets: list[WeightSet]) -> str:
    """Return the options of the command line that choose each of the sets."""
    listed = []
    for one in sets:
        parts = [f"--key {one.key}"] if one.key else []
        is_alone = [other.key for other in sets].count(one.key) == 1
        if one.prefix or not (is_alone or not one.key):
            parts.append(f"--prefix {one.prefix}" if one.prefix else '--prefix ""')
        listed.append(" ".join(parts) or f"--key {_ROOT}")
    return "; ".join(listed[:6]) + ("; ..." if len(listed) > 6 else "")


def own_tensors(chosen: WeightSet) -> WeightSet:
    """Return a set without what lies beside the network: losses, metrics, counters, other networks.

    Only names outside the network's own modules are left out. A tensor that could be a part of a
    changed network stays, and is refused later.
    """
    kept = {}
    for name, tensor in chosen.tensors.items():
        if name.endswith(_COUNTERS):
            continue
        is_count = tensor.dtype is not None and not tensor.dtype.is_floating_point
        is_count = is_count and math.prod(tensor.shape) <= 1
        if _is_own(name) or not (is_count or _BESIDE.fullmatch(name)):
            kept[name] = tensor
    odd = {name: value for name, value in chosen.odd.items() if _is_own(name)}
    return replace(chosen, tensors=kept, odd=odd)


_COUNTERS = (".total_ops", ".total_params")
"""What the profiler thop leaves in every module."""

_OWN = (
    "conv_first.",
    "patch_embed.",
    "absolute_pos_embed",
    "layers.",
    "norm.",
    "conv_after_body.",
    "conv_before_upsample.",
    "upsample.",
    "conv_up",
    "conv_hr.",
    "conv_last.",
    "mean",
)


def _is_own(name: str) -> bool:
    return name.startswith(_OWN)


def numbers_called(file: CheckpointFile, names: Iterable[str]) -> dict[str, set[float]]:
    """Return the different numbers that a file stores under each name, such as ``img_range``."""
    found: dict[str, set[float]] = {name: set() for name in names}
    for _, mapping in walk(file):
        for name in found.keys() & mapping.keys():
            number = number_of(mapping[name])
            if number is not None:
                found[name].add(number)
    return found
