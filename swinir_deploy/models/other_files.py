"""Say what a file of a training run is that holds no weights of a SwinIR, or changed ones."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from swinir_deploy.errors import CheckpointError
from swinir_deploy.models.checkpoint_file import CheckpointFile
from swinir_deploy.models.find_weights import WeightSet, walk
from swinir_deploy.models.inert_pickle import Record
from swinir_deploy.models.stored import tensor_of

__all__ = ["no_weights", "refuse_changed"]

_OTHER_NETWORKS = (
    (r"(^|\.)swin2sr\.|\.cpb_mlp\.|\.logit_scale", "a Swin2SR"),
    (r"\.overlap_attn\.|\.conv_block\.cab\.", "a HAT"),
    (r"(^|\.)RRDB_trunk\.|\.rdb1\.|\.RDB1\.", "an ESRGAN (RRDB)"),
    (r"(^|\.)encoder_level1\.|\.refinement\.", "a Restormer"),
)
"""Names of tensors -> the network that has them, which people take for a SwinIR."""


class _Change(NamedTuple):
    """A change of weights that an export cannot follow.

    Attributes:
        pattern: of the names of its tensors.
        what: the change in words.
        way_out: what to do where the network was trained, as a sentence.
    """

    pattern: str
    what: str
    way_out: str


_SAVE = "and save its state_dict() again"

_CHANGES = (
    _Change(
        r".+_mask",
        "pruned (torch.nn.utils.prune: weight_orig and weight_mask)",
        f"Make the pruning permanent first: prune.remove(module, 'weight') on each, {_SAVE}.",
    ),
    _Change(
        r".*(\.lora_|\.base_layer\.|\.lora\.|\.loha_|\.lokr_|\.hada_|\.dora_|\.ia3_|_lora\.).*",
        "adapted by LoRA or a relative of it (low-rank weights beside the layers)",
        f"Merge the adapter first: merge_and_unload() of PEFT, or W + scale * B @ A, {_SAVE}.",
    ),
    _Change(
        r".+(\.weight_u|\._u|\.weight_v_?norm)|.+\.parametrizations\.\w+\.0\._[uv]",
        "under spectral norm",
        f"Remove it first: torch.nn.utils.remove_spectral_norm(module), or "
        f"parametrize.remove_parametrizations(module, 'weight'), {_SAVE}.",
    ),
    _Change(
        r".+\.weight_[gv]|.+\.parametrizations\.\w+\.original[01]",
        "under weight norm",
        "Remove it first: torch.nn.utils.remove_weight_norm(module), or "
        f"parametrize.remove_parametrizations(module, 'weight'), {_SAVE}.",
    ),
    _Change(
        r".+\.parametrizations\..+",
        "under a parametrization of torch.nn.utils.parametrize",
        f"Remove it first: remove_parametrizations(module, 'weight'), {_SAVE}.",
    ),
    _Change(
        r".*(_packed_params|\.zero_point|\.weight_scale|\.weight_zero_point|\.qweight|\.SCB"
        r"|\.weight_format|\.absmax|\.quant_state\b|activation_post_process|fake_quant).*",
        "quantised (to 8 bits or fewer)",
        "Give the checkpoint in float that it was made from. For half precision, export that one "
        "with --precision fp16.",
    ),
)

_QUANTISED = _CHANGES[-1]


def refuse_changed(file: CheckpointFile, chosen: WeightSet) -> None:
    """Refuse weights that were pruned, adapted, reparametrised or quantised, by the change's name.

    Raises:
        CheckpointError: the weights are of such a kind.
    """
    for change in _CHANGES:
        for name in (*chosen.tensors, *chosen.odd):
            if re.fullmatch(change.pattern, name) and not name.endswith("attn_mask"):
                raise _changed(file, name, change)
    for name, tensor in chosen.tensors.items():
        if "quantised" in tensor.kind:
            raise _changed(file, name, _QUANTISED)
        if tensor.kind:
            raise CheckpointError(
                f"{file.path}: {name!r} is {tensor.kind}, not a plain tensor. Save the whole "
                "network's state_dict() on the CPU, joined from all its parts."
            )
        if tensor.dtype is not None and tensor.dtype.itemsize == 1 and _is_whole(tensor.dtype):
            raise _changed(file, name, _QUANTISED)


def _is_whole(dtype: Any) -> bool:
    return not dtype.is_floating_point and str(dtype) != "torch.bool"


def _changed(file: CheckpointFile, name: str, change: _Change) -> CheckpointError:
    return CheckpointError(f"{file.path} is {change.what}: it has {name!r}. {change.way_out}")


def no_weights(file: CheckpointFile) -> CheckpointError:
    """Return the error for a file without a ``conv_first``: what it is, as far as it shows."""
    top = _keys(file.content)
    names: dict[str, None] = {}
    networks = []
    for path, mapping in walk(file):
        if isinstance(mapping.get("_modules"), (dict, Record)):
            networks.append(".".join(path) or "the root")
        for name, value in mapping.items():
            if tensor_of(value, file.storage) is not None:
                names[name] = None
    what, advice = _what(file, top, names, networks)
    return CheckpointError(f"{file.path} {what} {advice}")


def _keys(content: Any) -> list[str]:
    return [str(key) for key in content] if isinstance(content, dict) else []


def _what(
    file: CheckpointFile, top: list[str], names: dict[str, None], networks: list[str]
) -> tuple[str, str]:
    if networks:
        maker = f" ({file.content.maker.path})" if isinstance(file.content, Record) else ""
        return (
            f"is refused: it is a whole network{maker}, pickled with its code, not its weights.",
            "Load it where it was made, and save its state_dict(): "
            "torch.save(network.state_dict(), 'weights.pth')",
        )
    if {"param_groups", "state"} <= set(top):
        return "is the state of an optimizer, not a checkpoint of the network.", _BESIDE
    if {"optimizers", "schedulers"} & set(top):
        return (
            "is the state of a training run (optimizers and schedulers), not a checkpoint of the "
            "network.",
            _BESIDE,
        )
    for key, kind in (
        ("last_epoch", "a learning-rate scheduler"),
        ("growth_factor", "a gradient scaler"),
        ("random_state", "random-number generators"),
        ("torch_rng_state", "random-number generators"),
        ("optimizer_state_dict", "an optimizer"),
    ):
        if key in top:
            return f"is the state of {kind}, not a checkpoint of the network.", _BESIDE
    if any(re.fullmatch(_CHANGES[1].pattern, name) for name in names):
        return (
            "is an adapter (LoRA) without the network that it belongs to.",
            f"{_CHANGES[1].way_out}",
        )
    for pattern, network in _OTHER_NETWORKS:
        if any(re.search(pattern, name) for name in names):
            return f"is {network}, not a SwinIR ({_first(names)}).", _GIVE
    if any("discriminator" in name for name in names):
        return f"is a discriminator, not a SwinIR ({_first(names)}).", _GIVE
    if not names:
        held = f"the entries {top[:8]}" if top else _kind(file)
        return f"is not a SwinIR: it holds {held}, and no tensors with names.", _GIVE
    return (
        f"is not a SwinIR: it has no tensor 'conv_first.weight' among its {len(names)} tensors "
        f"({_first(names)}).",
        "Give a checkpoint that was trained with the official network.",
    )


def _kind(file: CheckpointFile) -> str:
    """Return what a file holds that has no entries."""
    content = file.content
    if tensor_of(content, file.storage) is not None:
        return "one tensor without a name"
    if isinstance(content, dict):
        return "the entries []"
    if isinstance(content, Record):
        return f"an object of {content.maker.path}"
    kinds = {list: "a list", tuple: "a list", str: "a text", type(None): "nothing"}
    return kinds.get(type(content), "a number")


_BESIDE = (
    "The weights lie in another file of the same run, such as net_g_latest.pth or 500000_G.pth."
)
_GIVE = "Give a SwinIR checkpoint."


def _first(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:3]) + (", ..." if len(listed) > 3 else "")
