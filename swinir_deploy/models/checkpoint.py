"""Checkpoint files in, checked weights and their hyper-parameters out.

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
    """The weights of one SwinIR, checked.

    Attributes:
        path: of the file.
        sha256: of the file, lower-case hex.
        key: entry of the file that held the weights; None for a bare state dict or safetensors.
        state_dict: official names -> contiguous float32 CPU tensors, all finite; no buffers.
        config: hyper-parameters that these tensors fit.
        img_range_source: who said what ``config.img_range`` is: the caller, this package when it
            saved the file, the catalogue, the rule that networks with window 7 (the JPEG models)
            were trained with 255, or nobody (then it is 1.0, as in nearly all SwinIRs).
        card: of the catalogue, where hash or file name say that this is one of its models.
        model_id: as saved in the file, else the card's id, else the file's name without suffix.
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

    Official, BasicSR and KAIR files are understood, and what training tools wrap around them: the
    entries ``params_ema``, ``params``, ``state_dict`` and ``model`` (the first of them that is
    there, for a catalogue's file the one named there), and prefixes such as ``module.``. Half
    and double precision become float32. Stored masks and index tables of any size are ignored.

    Args:
        path: of the file.
        img_range: overrules what file, catalogue and rules say.
        key: entry of a pickled file to take the weights from.
        sha256: of the file, where the caller has just computed it.

    Raises:
        CheckpointError: missing, empty, cut short, unsafe, not a SwinIR, or with a missing, extra,
            misshapen, non-float or non-finite tensor.
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
        path: ends in ``.safetensors``; replaced only once the new file is complete.
        state_dict: official names; converted to float32, buffers are left out.
        config: that the tensors must fit.
        model_id: written into the file.

    Raises:
        CheckpointError: the tensors do not fit the config, or are not finite floats.
        UsageError: another suffix.
        InputError: the file cannot be written.
    """
    from safetensors.torch import save

    target = Path(path)
    if target.suffix != ".safetensors":
        raise UsageError(f"Cannot save {target}: its name must end in .safetensors.")
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
    """Name -> shape of every parameter, from the network itself."""
    with torch.device("meta"):
        network = SwinIR(config)
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def _checked_weights(
    tensors: dict[str, Any], config: SwinIRConfig, source: Path
) -> dict[str, Tensor]:
    """All parameters in the network's order, as float32; anything unexpected is an error."""
    expected = _expected_shapes(config)
    found = {name: tensor for name, tensor in tensors.items() if not is_buffer(name)}
    missing = [name for name in expected if name not in found]
    extra = [name for name in found if name not in expected]
    if missing or extra:
        raise CheckpointError(_name_problem(source, missing, extra, found, expected))
    return {name: _checked_tensor(name, found[name], expected[name], source) for name in expected}


def _name_problem(
    source: Path,
    missing: list[str],
    extra: list[str],
    found: Mapping[str, Any],
    expected: Mapping[str, tuple[int, ...]],
) -> str:
    parts = []
    if missing:
        shape = list(expected[missing[0]])
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        parts.append(f"tensor {missing[0]!r} of shape {shape}{more} is wanted and missing")
    if extra:
        shape = list(found[extra[0]].shape)
        more = f" (and {len(extra) - 1} more)" if len(extra) > 1 else ""
        parts.append(f"tensor {extra[0]!r} of shape {shape}{more} is there and not part of SwinIR")
    return (
        f"{source}: {'; '.join(parts)}. Found are {len(found)} tensors, wanted {len(expected)}. "
        "The file is incomplete, or was trained with a changed network."
    )


def _checked_tensor(name: str, tensor: Tensor, wanted: tuple[int, ...], source: Path) -> Tensor:
    def refuse(found: str, want: str) -> CheckpointError:
        return CheckpointError(
            f"{source}: tensor {name!r} {found}; wanted {want}. The file is damaged, or was made "
            "for something else."
        )

    if tuple(tensor.shape) != wanted:
        raise refuse(f"has shape {list(tensor.shape)}", f"is {list(wanted)}")
    is_plain = tensor.layout == torch.strided and tensor.device.type == "cpu"
    if tensor.dtype not in _FLOATS or not is_plain:
        kind = str(tensor.dtype).removeprefix("torch.")
        where = "" if is_plain else f", {tensor.layout} on {tensor.device.type}"
        raise refuse(f"is {kind}{where}", "are plain numbers of type float32, 16, 64 or bfloat16")
    weights = tensor.detach().to(torch.float32, copy=True).contiguous()
    # NumPy, because hundreds of small parallel reductions are slow on a busy machine.
    bad = weights.numel() - int(np.count_nonzero(np.isfinite(weights.numpy())))
    if bad:
        raise refuse(f"holds NaN or Inf in {bad} of {weights.numel()} places", "are finite numbers")
    return weights


def _fits(known: SwinIRConfig, found: SwinIRConfig) -> bool:
    return not _differences(known, found)


def _differences(known: SwinIRConfig, found: SwinIRConfig) -> list[str]:
    """Names of the fields in which two configs differ that show in the tensors."""
    names = ["upscale", "in_chans", "window_size", "depths", "embed_dim", "num_heads"]
    names += ["mlp_hidden_dim", "upsampler", "resi_connection", "ape", "patch_norm", "qkv_bias"]
    if found.ape:
        names.append("img_size")
    if found.upsampler in ("pixelshuffle", "nearest+conv"):
        names.append("num_feat")
    return [name for name in names if getattr(known, name) != getattr(found, name)]


def _stored_config(
    metadata: Mapping[str, str], found: SwinIRConfig, source: Path
) -> SwinIRConfig | None:
    """What :func:`save_checkpoint` wrote, checked against the tensors; None for other files."""
    text = metadata.get(_CONFIG_KEY)
    if text is None:
        return None
    try:
        stored = SwinIRConfig.from_dict(json.loads(text))
    except (ValueError, TypeError, UsageError) as error:
        raise CheckpointError(
            f"{source}: its metadata {_CONFIG_KEY!r} makes no sense: {error}. Save it again with "
            "save_checkpoint()."
        ) from error
    for name in _differences(stored, found):
        raise CheckpointError(
            f"{source}: its metadata say {name} {getattr(stored, name)!r}, its tensors "
            f"{getattr(found, name)!r}. Save it again with save_checkpoint()."
        )
    return stored


def _with_img_range(
    config: SwinIRConfig,
    asked: float | None,
    stored: SwinIRConfig | None,
    card: ModelCard | None,
) -> tuple[SwinIRConfig, ImgRangeSource]:
    """The complete config: what shapes cannot tell comes from whoever knows best."""
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
    if asked is not None:
        values["img_range"], source = float(asked), "caller"
    return SwinIRConfig.from_dict(values), source
