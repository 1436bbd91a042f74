"""Read tensors from ``.pth`` and ``.safetensors`` files, without running code in them.

The result is only known to be named tensors. :mod:`swinir_deploy.models.checkpoint` checks
whether they are a SwinIR.
"""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from pickletools import genops
from typing import Any

import torch
from torch import Tensor

from swinir_deploy.errors import CheckpointError
from swinir_deploy.system.files import sha256_of

__all__ = ["checked_digest", "read_entries"]

_KEYS = ("params_ema", "params", "state_dict", "model")
_PREFIXES = ("module.", "_orig_mod.", "model.", "net_g.", "params_ema.", "params.")
_OBJECT_OPERATIONS = ("GLOBAL", "STACK_GLOBAL", "INST", "OBJ", "REDUCE", "NEWOBJ", "NEWOBJ_EX")


def checked_digest(source: Path, sha256: str | None = None) -> str:
    """Return the SHA-256 of a file that can be read and may be a checkpoint.

    Args:
        source: path of the file.
        sha256: SHA-256 of the file in hex, if it is known already; else it is computed.

    Raises:
        CheckpointError: the file is missing, cannot be read, or is clearly not a checkpoint.
    """
    if source.is_dir():
        raise CheckpointError(f"{source} is a folder. Give a checkpoint file in it.")
    try:
        digest = sha256 or sha256_of(source)
        with open(source, "rb") as handle:
            head = handle.read(64)
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{source} does not exist. Give the path of a .pth or .safetensors file, or a name "
            "that 'swinir-deploy models' lists."
        ) from error
    except OSError as error:
        raise CheckpointError(
            f"Cannot read {source}: {error.strerror or error}. Check its permissions."
        ) from error
    if not head:
        raise CheckpointError(
            f"{source} is empty (0 bytes), not a checkpoint. Download or copy it again."
        )
    if head.startswith(b"version https://git-lfs"):
        raise CheckpointError(
            f"{source} is a Git LFS pointer, not the weights. Run 'git lfs pull' beside it."
        )
    if head.lstrip()[:1] == b"<":
        raise CheckpointError(
            f"{source} is a web page (it begins with {head[:20]!r}), not a checkpoint. Download "
            "the file itself."
        )
    return digest


def read_entries(
    source: Path, key: str | None = None, likely_key: str | None = None
) -> tuple[dict[str, Tensor], str | None, dict[str, str]]:
    """Read the tensors of a file under the network's names, without checking them.

    Args:
        source: path of a file that :func:`checked_digest` accepted.
        key: entry of a pickled file that holds the weights; None takes the usual entries.
        likely_key: entry that is taken before the usual ones, if the file has it.

    Returns:
        Name -> tensor of any shape and dtype; the entry that held them; the metadata of a
        safetensors file.

    Raises:
        CheckpointError: the file is cut short, damaged or unsafe, or has no tensors where they
            should be.
    """
    metadata: dict[str, str] = {}
    if _is_safetensors(source):
        if key is not None:
            raise CheckpointError(
                f"{source} is a safetensors file, which has no entries to choose from; key "
                f"{key!r} was given. Leave the key away."
            )
        tensors, metadata = _read_safetensors(source)
    else:
        tensors, key = _choose_entry(_read_pickle(source), source, key, likely_key)
    return _strip_prefixes(tensors), key, metadata


def _is_safetensors(source: Path) -> bool:
    """Return whether a file is safetensors, by its suffix or content.

    Such a file begins with eight bytes of header length and a JSON object.
    """
    with open(source, "rb") as handle:
        head = handle.read(9)
    return source.suffix.lower() == ".safetensors" or head[8:] == b"{"


def _read_safetensors(source: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(source, framework="pt") as handle:
            names = handle.keys()
            return {name: handle.get_tensor(name) for name in names}, handle.metadata() or {}
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"Cannot read {source} as safetensors: {error}. The file is cut short or damaged; "
            "download or copy it again."
        ) from error


def _read_pickle(source: Path) -> Any:
    """Read what ``torch.save`` wrote, creating only tensors and plain containers."""
    try:
        with warnings.catch_warnings():
            # The result below tells whether the protocol matters, so nobody needs the warning.
            warnings.filterwarnings("ignore", "Detected pickle protocol")
            return torch.load(source, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        name = re.search(r"GLOBAL (\S+)", str(error))
        if name is None and not _builds_objects(source):
            raise _damaged(source, "it is not what torch.save writes") from error
        object_name = f" It needs {name[1]!r}." if name else ""
        raise CheckpointError(
            f"{source} is refused: beside weights it holds Python objects, and loading those can "
            f"run any code on this machine.{object_name} Ask its author for a safetensors file. "
            "Or, if you trust it, load it where it was made and save its state_dict() as "
            "safetensors."
        ) from error
    except MemoryError:
        raise
    except Exception as error:  # A damaged file can make the reader raise anything.
        reason = "it is not what torch.save writes"
        if isinstance(error, RuntimeError):  # The archive reader's message names the reason.
            reason = str(error).split("\n", maxsplit=1)[0]
        raise _damaged(source, reason) from error


def _builds_objects(source: Path) -> bool:
    """Return whether a bare pickle would import or call something, without executing it."""
    with open(source, "rb") as handle:
        if handle.read(1) != pickle.PROTO:
            return False
        handle.seek(0)
        try:
            return any(operation.name in _OBJECT_OPERATIONS for operation, *_ in genops(handle))
        except Exception:  # The file is damaged; up to the damage it creates no object.
            return False


def _damaged(source: Path, reason: str) -> CheckpointError:
    return CheckpointError(
        f"Cannot read {source} as a PyTorch checkpoint: {reason}. The file is cut short, damaged "
        "or not a checkpoint. Download or copy it again, or give another .pth or .safetensors file."
    )


def _choose_entry(
    content: Any, source: Path, key: str | None, likely_key: str | None
) -> tuple[dict[str, Tensor], str | None]:
    """Return the state dict in the loaded content, and the entry that holds it."""
    if not isinstance(content, Mapping):
        raise CheckpointError(
            f"{source} holds a {type(content).__name__}, not a state dict (names -> tensors). "
            "Save the network's state_dict()."
        )
    entries = [name for name, value in content.items() if isinstance(value, Mapping)]
    if key is not None:
        if key not in entries:
            raise CheckpointError(
                f"{source} has no entry {key!r} with weights; it has {entries or 'none at all'}. "
                "Name one of them with --key (in Python, key=...), or none."
            )
        return _names_to_values(content[key], source), key
    for name in (likely_key, *_KEYS):
        if name in entries:
            return _names_to_values(content[name], source), name
    if any(isinstance(value, Tensor) for value in content.values()):
        return _names_to_values(content, source), None
    actual = [str(name) for name in content][:8]
    raise CheckpointError(
        f"{source} is not a SwinIR: it holds the entries {actual}, of which none is called "
        f"{', '.join(_KEYS)}, and no tensors beside them. If one of them holds the weights, name "
        "it with --key NAME."
    )


def _names_to_values(values: Mapping[Any, Any], source: Path) -> dict[str, Tensor]:
    for name, value in values.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise CheckpointError(
                f"{source}: entry {name!r} is a {type(value).__name__}; a state dict has names "
                "and tensors only. Save the network's state_dict()."
            )
    return dict(values)


def _strip_prefixes(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Remove prefixes that wrappers add to every name, such as DataParallel's ``module.``."""
    while tensors and "conv_first.weight" not in tensors:
        first = next(iter(tensors))
        prefix = next((known for known in _PREFIXES if first.startswith(known)), None)
        if prefix is None or not all(name.startswith(prefix) for name in tensors):
            break
        tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
    return tensors
