"""Read and write checkpoint files: checked weights and their hyper-parameters.

A file is either read completely and found to be a SwinIR, tensor by tensor, or refused with a
:class:`~swinir_deploy.errors.CheckpointError` that names the tensor. Pickles are read with
``weights_only=True``, so that no file can run code.
"""

from __future__ import annotations

import functools
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from swinir_deploy.errors import CheckpointError, UsageError
from swinir_deploy.models.catalog import ModelCard, load_catalog
from swinir_deploy.models.hyperparameters import config_from_shapes, is_buffer
from swinir_deploy.models.state_dict import checked_digest, read_entries
from swinir_deploy.network.config import SwinIRConfig
from swinir_deploy.network.swinir import SwinIR
from swinir_deploy.system.files import atomic_output

__all__ = ["Checkpoint", "ImgRangeSource", "load_checkpoint", "save_checkpoint"]

ImgRangeSource = Literal["caller", "file", "catalogue", "window-7 rule", "default"]

_CONFIG_KEY = "swinir_deploy.config"
_MODEL_ID_KEY = "swinir_deploy.model_id"

_FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The checked weights of one SwinIR.

    Attributes:
        path: path of the file.
        sha256: SHA-256 of the file in lower-case hex.
        key: entry of the file that held the weights; None for a bare state dict or safetensors.
        state_dict: official names -> contiguous float32 CPU tensors, all finite; no buffers.
        config: hyper-parameters that these tensors fit.
        img_range_source: where ``config.img_range`` comes from: the caller; the file, if this
            package saved it; the catalogue; the rule that networks with window 7 (the JPEG
            models) were trained with 255; or the default 1.0, which fits nearly all SwinIRs.
        card: card of the catalogue, if the hash or file name is that of one of its models.
        model_id: the id saved in the file, else the card's id, else the file's name without
            suffix.
    """

    path: Path
    sha256: str
    key: str | None
    state_dict: dict[str, Tensor]
    config: SwinIRConfig
    img_range_source: ImgRangeSource
    card: ModelCard | None
    model_id: str


def load_checkpoint(
    path: str | os.PathLike[str],
    *,
    img_range: float | None = None,
    key: str | None = None,
    sha256: str | None = None,
) -> Checkpoint:
    """Read and check a ``.pth``, ``.pt``, ``.ckpt`` or ``.safetensors`` file.

    The function reads official, BasicSR and KAIR files and the usual wrappers of training tools:
    the entries ``params_ema``, ``params``, ``state_dict`` and ``model`` (it takes the first that
    exists, or for a file of the catalogue the entry named there), and prefixes such as
    ``module.``. Half and double precision become float32. Stored masks and index tables of any
    size are ignored.

    Args:
        path: path of the file.
        img_range: takes precedence over the file, the catalogue and the rules.
        key: entry of a pickled file that holds the weights.
        sha256: SHA-256 of the file in hex, if the caller has just computed it.

    Raises:
        CheckpointError: the file is missing, empty, cut short, unsafe or not a SwinIR, or one of
            its tensors is missing, extra, misshapen, not of a float type or not finite.
        UsageError: ``img_range`` is not positive.
    """
    source = Path(path)
    digest = checked_digest(source, sha256)
    card = load_catalog().by_sha256(digest) or load_catalog().by_file(source.name)
    likely_key = card.state_dict_key if card is not None else None
    tensors, key, metadata = read_entries(source, key, likely_key)
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    config = config_from_shapes(shapes, str(source))
    state_dict = _checked_weights(tensors, config, source)
    stored = _stored_config(metadata, config, source)
    card = card if card is not None and _fits(card.config, config) else None
    if card is not None and card.sha256 not in (None, digest):
        _log.warning(
            "%s has the name of %s, but its SHA-256 is %s; published is %s.",
            *(source, card.id, digest, card.sha256),
        )
    config, img_range_source = _with_img_range(config, img_range, stored, card)
    default_id = card.id if card is not None else source.stem
    return Checkpoint(
        path=source,
        sha256=digest,
        key=key,
        state_dict=state_dict,
        config=config,
        img_range_source=img_range_source,
        card=card,
        model_id=metadata.get(_MODEL_ID_KEY) or default_id,
    )


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
    tensors: dict[str, Any], config: SwinIRConfig, source: Path
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
    name: str, tensor: Tensor, expected_shape: tuple[int, ...], source: Path
) -> Tensor:
    def refuse(actual: str, expected: str) -> CheckpointError:
        return CheckpointError(
            f"{source}: tensor {name!r} {actual}; expected {expected}. The file is damaged, or was "
            "made for another network. Download or copy it again."
        )

    if tuple(tensor.shape) != expected_shape:
        raise refuse(f"has shape {list(tensor.shape)}", f"{list(expected_shape)}")
    is_plain = tensor.layout == torch.strided and tensor.device.type == "cpu"
    if tensor.dtype not in _FLOATS or not is_plain:
        kind = str(tensor.dtype).removeprefix("torch.")
        where = "" if is_plain else f", {tensor.layout} on {tensor.device.type}"
        raise refuse(f"is {kind}{where}", "a plain tensor of float32, float16, float64 or bfloat16")
    weights = tensor.detach().to(torch.float32, copy=True).contiguous()
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
) -> tuple[SwinIRConfig, ImgRangeSource]:
    """Return the config with ``img_range``, which shapes do not show, and where it comes from."""
    values = config.to_dict()
    source: ImgRangeSource
    if stored is not None:
        values, source = stored.to_dict(), "file"
    elif card is not None:
        values["img_range"], source = card.config.img_range, "catalogue"
    elif config.window_size == 7:
        values["img_range"], source = 255.0, "window-7 rule"
    else:
        values["img_range"], source = 1.0, "default"
    if requested is not None:
        values["img_range"], source = float(requested), "caller"
    return SwinIRConfig.from_dict(values), source
