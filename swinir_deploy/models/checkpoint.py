"""Read and write checkpoint files: checked weights and their hyper-parameters.

A file is either read completely and found to be a SwinIR, tensor by tensor, or refused with a
:class:`~swinir_deploy.errors.CheckpointError` that names what is wrong. No file can run code
(:mod:`swinir_deploy.models.inert_pickle`).
"""

from __future__ import annotations

import functools
import json
import math
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from swinir_deploy.errors import CheckpointError, SwinIRDeployWarning, UsageError
from swinir_deploy.models.catalog import ModelCard, load_catalog
from swinir_deploy.models.checkpoint_file import (
    CheckpointFile,
    checked_digest,
    open_checkpoint_file,
)
from swinir_deploy.models.find_weights import (
    WeightSet,
    choose_weights,
    find_weight_sets,
    numbers_called,
    own_tensors,
)
from swinir_deploy.models.hyperparameters import config_from_shapes, is_buffer
from swinir_deploy.models.other_files import no_weights, refuse_changed
from swinir_deploy.models.stored import StoredTensor, UnreadableError
from swinir_deploy.network.config import SwinIRConfig
from swinir_deploy.network.swinir import SwinIR
from swinir_deploy.system.files import atomic_output

__all__ = ["Checkpoint", "ImgRangeSource", "load_checkpoint", "save_checkpoint"]

ImgRangeSource = Literal["caller", "file", "catalogue", "window-7 rule", "default"]

_CONFIG_KEY = "swinir_deploy.config"
_MODEL_ID_KEY = "swinir_deploy.model_id"

_STATED = ("img_range", "upscale", "scale", "unshuffle_scale", "img_size")
"""Hyper-parameters, as training tools store them beside the weights."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The checked weights of one SwinIR.

    Attributes:
        path: path of the file.
        sha256: SHA-256 of the file in lower-case hex.
        key: entry of the file that held the weights, such as ``params_ema`` or
            ``model.state_dict``; None for a bare state dict.
        prefix: what stood before every official name in that entry, such as ``generator.``.
        state_dict: official names -> contiguous float32 CPU tensors, all finite; no buffers.
        config: hyper-parameters that these tensors fit.
        img_range_source: where ``config.img_range`` comes from: the caller; the file, if it
            states it; the catalogue; the rule that networks with window 7 and scale 1 (the JPEG
            models) were trained with 255; or the default 1.0, which fits nearly all SwinIRs.
        card: card of the catalogue, if the hash is that of one of its models, or the file name is,
            where nobody published a hash.
        model_id: the id saved in the file, else the card's id, else the file's name without
            suffix.
        choice: ``key`` and ``prefix`` that choose the same weights again; empty for a file with
            one network.
        notes: sentences for the user about what was chosen or guessed. They were given as
            warnings, too.
    """

    path: Path
    sha256: str
    key: str | None
    prefix: str
    state_dict: dict[str, Tensor]
    config: SwinIRConfig
    img_range_source: ImgRangeSource
    card: ModelCard | None
    model_id: str
    choice: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def load_checkpoint(
    path: str | os.PathLike[str],
    *,
    img_range: float | None = None,
    mean: Sequence[float] | None = None,
    key: str | None = None,
    prefix: str | None = None,
    sha256: str | None = None,
) -> Checkpoint:
    """Read and check a ``.pth``, ``.pt``, ``.ckpt`` or ``.safetensors`` file.

    The weights are found in any entry, at any depth and under any prefix, as long as exactly one
    set of tensors makes a SwinIR. Where there is a moving average beside the weights, it is taken.
    Half and double precision become float32. Stored masks and index tables of any size are
    ignored; a stored ``mean`` is used.

    Args:
        path: path of the file.
        img_range: takes precedence over the file, the catalogue and the rules.
        mean: mean of each input channel in 0..1; takes precedence over the file.
        key: entry of the file that holds the weights, such as ``params``.
        prefix: what stands before the official names, such as ``generator.``.
        sha256: SHA-256 of the file in hex, if the caller has just computed it.

    Raises:
        CheckpointError: the file is missing, empty, cut short, unsafe or not a SwinIR, several
            networks could be meant, or one of its tensors is missing, extra, misshapen, not of a
            float type or not finite.
        UsageError: ``img_range`` is not positive, or ``mean`` does not fit the channels.

    Warns:
        SwinIRDeployWarning: something was chosen or guessed that the file does not say.
    """
    source = Path(path)
    digest = checked_digest(source, sha256)
    card, notes = _card(source, digest)
    file = open_checkpoint_file(source)
    try:
        sets = find_weight_sets(file)
        if not sets:
            raise no_weights(file)
        likely_key = card.state_dict_key if card is not None else None
        chosen, note = choose_weights(file, sets, key, prefix, likely_key)
        chosen = own_tensors(chosen)
        refuse_changed(file, chosen)
        hints = _stated(file)
        shapes = {name: tensor.shape for name, tensor in chosen.tensors.items()}
        config = config_from_shapes(shapes, str(source), hints=hints)
        state_dict = _checked_weights(chosen.tensors, config, source)
        stored_mean = _stored_mean(chosen, config, source)
    except UnreadableError as error:
        raise CheckpointError(
            f"Cannot read {source}: {error}. The file is cut short or damaged. Download or copy it "
            "again."
        ) from error
    stored = _stored_config(file.metadata, config, source)
    card = card if card is not None and _fits(card.config, config) else None
    config, img_range_source = _with_img_range(config, img_range, stored, card, hints)
    config = _with_mean(config, mean, None if stored is not None else stored_mean)
    notes += [note] if note is not None else []
    notes += _guesses(source, config, img_range_source, chosen, mean, hints)
    for text in notes:
        warnings.warn(text, SwinIRDeployWarning, stacklevel=2)
    default_id = card.id if card is not None else source.stem
    return Checkpoint(
        path=source,
        sha256=digest,
        key=chosen.key or None,
        prefix=chosen.prefix,
        state_dict=state_dict,
        config=config,
        img_range_source=img_range_source,
        card=card,
        model_id=file.metadata.get(_MODEL_ID_KEY) or default_id,
        choice=chosen.options if len(sets) > 1 else {},
        notes=tuple(notes),
    )


def _card(source: Path, digest: str) -> tuple[ModelCard | None, list[str]]:
    """Return the card of an official file, and a note if only the name is that of one.

    A name alone proves nothing: people keep it for what they trained further. It counts where
    nobody published a hash.
    """
    catalog = load_catalog()
    named = catalog.by_file(source.name)
    card = catalog.by_sha256(digest)
    if card is not None or named is None:
        return card, []
    if named.sha256 is None:
        return named, []
    return None, [
        f"{source} has the name of {named.id}, but is another file (its SHA-256 is "
        f"{digest[:12]}..., published is {named.sha256[:12]}...). It is taken as a checkpoint of "
        "its own."
    ]


def _stated(file: CheckpointFile) -> dict[str, float]:
    """Return the hyper-parameters that a file states beside the weights, where it is of one mind.

    traiNNer-redux stores them as JSON in the metadata of safetensors, others as a configuration.
    """
    embedded = [file]
    for text in (file.metadata.get("metadata"), file.metadata.get("config")):
        try:
            embedded.append(replace(file, content=json.loads(text) if text else None))
        except (ValueError, RecursionError):
            continue
    embedded.append(replace(file, content=dict(file.metadata)))
    stated: dict[str, set[float]] = {name: set() for name in _STATED}
    for one in embedded:
        for name, numbers in numbers_called(one, _STATED).items():
            stated[name] |= {number for number in numbers if 0 < number < math.inf}
    return {name: numbers.pop() for name, numbers in stated.items() if len(numbers) == 1}


def _stored_mean(chosen: WeightSet, config: SwinIRConfig, source: Path) -> tuple[float, ...] | None:
    """Return the mean that a file stores as a buffer, one number for each input channel."""
    tensor = chosen.tensors.get("mean")
    if tensor is None:
        return None
    if math.prod(tensor.shape) not in (1, config.in_chans):
        raise CheckpointError(
            f"{source}: tensor 'mean' has shape {list(tensor.shape)}; expected {config.in_chans} "
            "numbers, one for each channel. Give them with --mean."
        )
    values = [float(value) for value in tensor.read().flatten()]
    if not all(0 <= value <= 1 for value in values):
        raise CheckpointError(
            f"{source}: tensor 'mean' holds {values}; it must be in 0..1, before img_range is "
            "multiplied. Give the mean with --mean."
        )
    # As numbers are written: float32 0.4488 is 0.44879999...
    rounded = tuple(float(f"{value:.7g}") for value in values)
    return rounded * config.in_chans if len(rounded) == 1 else rounded


def _with_mean(
    config: SwinIRConfig, requested: Sequence[float] | None, stored: tuple[float, ...] | None
) -> SwinIRConfig:
    if requested is None:
        return config if stored is None else replace(config, mean=stored)
    values = tuple(map(float, requested))
    return replace(config, mean=values * config.in_chans if len(values) == 1 else values)


def _guesses(
    source: Path,
    config: SwinIRConfig,
    img_range_source: ImgRangeSource,
    chosen: WeightSet,
    mean: Sequence[float] | None,
    hints: Mapping[str, float],
) -> list[str]:
    """Return a sentence for each hyper-parameter that neither shapes nor file say."""
    notes = []
    if img_range_source in ("default", "window-7 rule"):
        why = (
            "as for the JPEG models, the only ones with windows of 7 pixels"
            if img_range_source == "window-7 rule"
            else "as for nearly all SwinIRs"
        )
        other = 1 if config.img_range == 255 else 255
        notes.append(
            f"{source} does not state its img_range; {config.img_range:g} is taken, {why}. If the "
            f"pictures come out wrong, give --img-range {other}."
        )
    if (
        config.channels_out != config.in_chans == 3
        and mean is None
        and "mean" not in chosen.tensors
    ):
        notes.append(
            f"{source} takes RGB and gives {config.channels_out} channels, and does not state its "
            "mean; 0 is taken. If the pictures come out wrong, give --mean."
        )
    has_masks = any(name.endswith("attn_mask") for name in chosen.tensors)
    if config.shift_size == 0 and not has_masks and "img_size" not in hints and not config.ape:
        notes.append(
            f"{source} stores no attention mask, as the official network does where its img_size "
            "is one window; so no window is shifted."
        )
    return notes


def save_checkpoint(
    path: str | os.PathLike[str],
    state_dict: Mapping[str, Tensor],
    config: SwinIRConfig,
    model_id: str = "",
) -> Path:
    """Write weights as safetensors together with their hyper-parameters, ``img_range`` included.

    Args:
        path: file to write, ending in ``.safetensors``. An existing file is replaced only once
            the new one is complete.
        state_dict: official names -> tensors. They are converted to float32; buffers are left
            out.
        config: hyper-parameters that the tensors must fit.
        model_id: id of the model, which is stored in the file.

    Returns:
        The path of the file.

    Raises:
        CheckpointError: the tensors do not fit the config, or are not finite floats.
        UsageError: ``path`` has another suffix.
        InputError: the file cannot be written.
    """
    from safetensors.torch import save

    target = Path(path)
    if target.suffix != ".safetensors":
        raise UsageError(
            f"Cannot save {target}: its name does not end in .safetensors. Give it that suffix."
        )
    weights = _checked_weights(dict(state_dict), config, target)
    metadata = {
        "format": "pt",
        _CONFIG_KEY: json.dumps(config.to_dict()),
        _MODEL_ID_KEY: model_id,
    }
    with atomic_output(target) as temporary:
        temporary.write_bytes(save(weights, metadata=metadata))
    return target


@functools.lru_cache(maxsize=8)
def _expected_shapes(config: SwinIRConfig) -> dict[str, tuple[int, ...]]:
    """Return name -> shape of every parameter of the network."""
    with torch.device("meta"):
        network = SwinIR(config)
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def _checked_weights(
    tensors: Mapping[str, Tensor | StoredTensor], config: SwinIRConfig, source: Path
) -> dict[str, Tensor]:
    """Return all parameters in the network's order, as float32.

    Raises:
        CheckpointError: a tensor is missing, extra or not usable.
    """
    expected = _expected_shapes(config)
    actual = {name: tensor for name, tensor in tensors.items() if not is_buffer(name)}
    missing = [name for name in expected if name not in actual]
    extra = [name for name in actual if name not in expected]
    if missing or extra:
        raise CheckpointError(_name_problem(source, missing, extra, actual, expected))
    return {name: _checked_tensor(name, actual[name], expected[name], source) for name in expected}


def _name_problem(
    source: Path,
    missing: list[str],
    extra: list[str],
    actual: Mapping[str, Any],
    expected: Mapping[str, tuple[int, ...]],
) -> str:
    parts = []
    if missing:
        shape = list(expected[missing[0]])
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        parts.append(f"tensor {missing[0]!r} of shape {shape}{more} is missing")
    if extra:
        shape = list(actual[extra[0]].shape)
        more = f" (and {len(extra) - 1} more)" if len(extra) > 1 else ""
        parts.append(f"tensor {extra[0]!r} of shape {shape}{more} is not part of SwinIR")
    return (
        f"{source}: {'; '.join(parts)}. The file has {len(actual)} tensors; the network has "
        f"{len(expected)}. The file is incomplete, or was trained with a changed network. Give a "
        "checkpoint of the official network."
    )


def _checked_tensor(
    name: str, stored: Tensor | StoredTensor, expected_shape: tuple[int, ...], source: Path
) -> Tensor:
    def refuse(actual: str, expected: str) -> CheckpointError:
        return CheckpointError(
            f"{source}: tensor {name!r} {actual}; expected {expected}. The file is damaged, or was "
            "made for another network. Download or copy it again."
        )

    if tuple(stored.shape) != expected_shape:
        sharded = " (sharded by ZeRO stage 3?)" if 0 in stored.shape else ""
        raise refuse(f"has shape {list(stored.shape)}{sharded}", f"{list(expected_shape)}")
    if stored.dtype is None or not stored.dtype.is_floating_point:
        kind = str(stored.dtype).removeprefix("torch.")
        raise refuse(f"is {kind}", "a plain tensor of float32, float16, float64 or bfloat16")
    tensor = stored.read() if isinstance(stored, StoredTensor) else stored
    weights = tensor.detach().to("cpu", torch.float32, copy=True).contiguous()
    # NumPy, because hundreds of small parallel reductions are slow on a busy machine.
    bad = weights.numel() - int(np.count_nonzero(np.isfinite(weights.numpy())))
    if bad:
        raise refuse(f"holds NaN or Inf in {bad} of {weights.numel()} places", "finite numbers")
    return weights


def _fits(known: SwinIRConfig, actual: SwinIRConfig) -> bool:
    return not _differences(known, actual)


def _differences(known: SwinIRConfig, actual: SwinIRConfig) -> list[str]:
    """Return the fields in which two configs differ, among those that the tensors show."""
    names = ["upscale", "in_chans", "window_size", "depths", "embed_dim", "num_heads"]
    names += ["mlp_hidden_dim", "upsampler", "resi_connection", "ape", "patch_norm", "qkv_bias"]
    names += ["out_chans", "unshuffle"]
    if actual.ape:
        names.append("img_size")
    if actual.upsampler in ("pixelshuffle", "nearest+conv"):
        names.append("num_feat")
    return [name for name in names if getattr(known, name) != getattr(actual, name)]


def _stored_config(
    metadata: Mapping[str, str], actual: SwinIRConfig, source: Path
) -> SwinIRConfig | None:
    """Return the config that :func:`save_checkpoint` stored; None for other files.

    Raises:
        CheckpointError: the stored config does not fit the tensors.
    """
    text = metadata.get(_CONFIG_KEY)
    if text is None:
        return None
    try:
        stored = SwinIRConfig.from_dict(json.loads(text))
    except (ValueError, TypeError, UsageError) as error:
        raise CheckpointError(
            f"{source}: its metadata {_CONFIG_KEY!r} is not valid: {str(error).rstrip('.')}. Save "
            "it again with save_checkpoint()."
        ) from error
    for name in _differences(stored, actual):
        raise CheckpointError(
            f"{source}: its metadata say {name} {getattr(stored, name)!r}, its tensors "
            f"{getattr(actual, name)!r}. Save it again with save_checkpoint()."
        )
    return stored


def _with_img_range(
    config: SwinIRConfig,
    requested: float | None,
    stored: SwinIRConfig | None,
    card: ModelCard | None,
    hints: Mapping[str, float],
) -> tuple[SwinIRConfig, ImgRangeSource]:
    """Return the config with ``img_range``, which shapes do not show, and where it comes from."""
    values = config.to_dict()
    source: ImgRangeSource
    if stored is not None:
        values, source = stored.to_dict(), "file"
    elif card is not None:
        values["img_range"], source = card.config.img_range, "catalogue"
    elif "img_range" in hints:
        values["img_range"], source = hints["img_range"], "file"
    elif config.window_size == 7 and config.upscale == 1:
        values["img_range"], source = 255.0, "window-7 rule"
    else:
        values["img_range"], source = 1.0, "default"
    if requested is not None:
        values["img_range"], source = float(requested), "caller"
    return SwinIRConfig.from_dict(values), source
