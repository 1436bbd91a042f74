"""Open a checkpoint file of any kind: what it holds, as plain values and tensors not read yet."""

from __future__ import annotations

import functools
import io
import json
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch

from swinir_deploy.artifacts.wrong_file import what_file_is
from swinir_deploy.errors import CheckpointError
from swinir_deploy.models.inert_pickle import External, Pickle, PickleDamagedError, read_pickle
from swinir_deploy.models.legacy_file import LEGACY_MAGIC, LegacyFile
from swinir_deploy.models.stored import (
    Storage,
    StoredTensor,
    UnreadableError,
    dtype_of_storage,
    of_array,
)
from swinir_deploy.system.files import sha256_of

__all__ = ["CheckpointFile", "checked_digest", "open_checkpoint_file"]

_LARGEST_PICKLE = 1 << 28
"""Largest pickle in bytes; that of a network with its optimizer has about a million."""

_SAFETENSORS_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}

_CLEAN = "Ask its author for a safetensors file. Or, if you trust it, load it where it was made and"


@dataclass(frozen=True)
class CheckpointFile:
    """The content of a file.

    Attributes:
        path: path of the file.
        content: names -> values and further dictionaries, lists and records.
        metadata: metadata of a safetensors file; empty for others.
        storage: returns the storage of a persistent id in ``content``; None if there is none.
    """

    path: Path
    content: Any
    metadata: Mapping[str, str] = field(default_factory=dict)
    storage: Callable[[External], Storage | None] = lambda _: None


def checked_digest(source: Path, sha256: str | None = None) -> str:
    """Return the SHA-256 of a file that can be read and may be a checkpoint.

    Args:
        source: path of the file.
        sha256: SHA-256 of the file in hex, if it is known already; else it is computed.

    Raises:
        CheckpointError: the file is missing, cannot be read, or is clearly not a checkpoint.
    """
    if source.is_dir():
        raise CheckpointError(f"{source} is a folder{_folder_advice(source)}")
    try:
        found = what_file_is(source)
        if found is not None and found.kind != "checkpoint":
            what = found.what if found.kind == "other" else f"{found.what}, not a checkpoint"
            raise CheckpointError(f"{source} is {what}. {found.advice}")
        return sha256 or sha256_of(source)
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{source} does not exist. Give the path of a .pth or .safetensors file, or a name "
            "that 'swinir-deploy models' lists."
        ) from error
    except OSError as error:
        raise CheckpointError(
            f"Cannot read {source}: {error.strerror or error}. Check its permissions."
        ) from error


def _folder_advice(folder: Path) -> str:
    names = {entry.name for entry in folder.iterdir()}
    if ".metadata" in names:
        return (
            " with the parts of a distributed checkpoint. Join them first: python -m "
            f"torch.distributed.checkpoint.format_utils dcp_to_torch {folder} joined.pth"
        )
    if "zero_to_fp32.py" in names:
        return (
            " with the parts of a DeepSpeed checkpoint. Join them first: python "
            f"{folder / 'zero_to_fp32.py'} {folder} joined"
        )
    return ". Give a checkpoint file in it."


def open_checkpoint_file(source: Path) -> CheckpointFile:
    """Open a file that :func:`checked_digest` accepted.

    Reads files of ``torch.save`` in both formats, plain pickles, safetensors, an index of
    safetensors parts (``*.index.json``), and ``.npz`` and ``.npy`` files of NumPy. No file can run
    code: pickles are read opcode by opcode (:mod:`swinir_deploy.models.inert_pickle`).

    Raises:
        CheckpointError: the file is cut short, damaged, unsafe or of another kind.
    """
    with open(source, "rb") as handle:
        head = handle.read(64)
    try:
        if head.startswith(b"PK"):
            return _open_zip(source)
        if source.suffix.lower() == ".safetensors" or head[8:9] == b"{":
            return _open_safetensors(source)
        if head.lstrip()[:1] == b"{":
            return _open_index(source)
        if head.startswith(b"\x93NUMPY"):
            return CheckpointFile(source, {"array": of_array(np.load(source, allow_pickle=False))})
        if LEGACY_MAGIC in head[:32]:
            legacy = LegacyFile.open(source)
            _refuse_code(source, legacy.pickle)
            return CheckpointFile(source, legacy.pickle.value, storage=legacy.storage)
        with open(source, "rb") as handle:
            pickle = read_pickle(io.BytesIO(handle.read(_LARGEST_PICKLE)))
        _refuse_code(source, pickle)
        return CheckpointFile(source, pickle.value)
    except PickleDamagedError as error:
        raise _damaged(source, f"it is not what torch.save writes ({error})") from error
    except UnreadableError as error:
        raise _damaged(source, str(error)) from error
    except (OSError, ValueError, EOFError) as error:
        raise _damaged(source, str(error)) from error


def _damaged(source: Path, reason: str) -> CheckpointError:
    reason = " ".join(reason.split())[:200]
    return CheckpointError(
        f"Cannot read {source} as a checkpoint: {reason}. The file is cut short, damaged or not a "
        "checkpoint. Download or copy it again, or give another .pth or .safetensors file."
    )


def _refuse_code(source: Path, pickle: Pickle) -> None:
    """Refuse a pickle that would call more than what makes plain data.

    Nothing is called here in any case; but a file that runs code wherever else it is opened should
    not be handed on.
    """
    calls = pickle.foreign_calls
    if not calls:
        return
    more = f" and {len(calls) - 1} more" if len(calls) > 1 else ""
    raise CheckpointError(
        f"{source} is refused: beside weights it holds Python objects, and loading those can run "
        f"any code on this machine. It calls {calls[0]!r}{more}. {_CLEAN} save its state_dict() as "
        "safetensors."
    )


# ------------------------------------------------------------------------------------ zip archives


def _open_zip(source: Path) -> CheckpointFile:
    try:
        archive = zipfile.ZipFile(source)
    except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError) as error:
        raise _damaged(source, f"its list of entries is missing ({error})") from error
    names = archive.namelist()
    folder = next((name[: -len("data.pkl")] for name in names if name.endswith("data.pkl")), None)
    if folder is None or f"{folder}constants.pkl" in names or f"{folder}code/" in names:
        arrays = [name for name in names if name.endswith(".npy")]
        if folder is None and names and len(arrays) == len(names):
            return _open_npz(source)
        _refuse_zip(source, names)
    try:
        if archive.getinfo(f"{folder}data.pkl").file_size > _LARGEST_PICKLE:
            raise _damaged(source, "its pickle is too large")
        pickle = read_pickle(io.BytesIO(archive.read(f"{folder}data.pkl")))
    except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError) as error:
        raise _damaged(source, str(error)) from error
    _refuse_code(source, pickle)
    big = f"{folder}byteorder" in names and archive.read(f"{folder}byteorder").strip() == b"big"

    @functools.lru_cache(maxsize=1)  # Neighbouring tensors may share a storage.
    def read(key: str) -> bytes:
        try:
            return archive.read(f"{folder}data/{key}")
        except KeyError as error:
            raise UnreadableError(f"its storage {key!r} is missing") from error
        except (zipfile.BadZipFile, zlib.error, RuntimeError, OSError, EOFError) as error:
            raise UnreadableError(f"its storage {key!r} is damaged ({error})") from error

    def storage(external: External) -> Storage | None:
        key = external.key
        if not (isinstance(key, tuple) and len(key) >= 5 and key[0] == "storage"):
            return None
        name, count = key[2], key[4]
        if not isinstance(name, str) or not isinstance(count, int):
            return None
        return Storage(name, dtype_of_storage(key[1]), count, lambda: read(name), big)

    return CheckpointFile(source, pickle.value, storage=storage)


def _refuse_zip(source: Path, names: list[str]) -> NoReturn:
    def has(ending: str) -> bool:
        return any(name.endswith(ending) for name in names)

    if has("constants.pkl") or any("/code/" in name for name in names):
        what = "a TorchScript program, not a checkpoint"
        advice = (
            "Give the checkpoint that it was made from. Or save its weights where you trust it: "
            "torch.save(torch.jit.load('...').state_dict(), 'weights.pth')"
        )
    elif has("archive_format") or has("archive_version"):
        what = "a program of torch.export (.pt2), not a checkpoint"
        advice = "Give the checkpoint that it was made from."
    elif has("model.weights.h5") or has("keras_metadata.pb"):
        what, advice = "a Keras model", "Give a checkpoint of PyTorch."
    else:
        inside = [name for name in names if name.endswith((".pth", ".pt", ".ckpt", ".safetensors"))]
        listed = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "") or "nothing"
        what = f"a zip archive of other files ({listed}), not a checkpoint"
        advice = (
            f"Unpack it, and give {inside[0]}." if inside else "Give a .pth or .safetensors file."
        )
    raise CheckpointError(f"Cannot read {source}: it is {what}. {advice}")


def _open_npz(source: Path) -> CheckpointFile:
    try:
        with np.load(source, allow_pickle=False) as arrays:
            read = {name: arrays[name] for name in arrays.files}
    except (ValueError, OSError, zipfile.BadZipFile, KeyError) as error:
        raise _damaged(source, str(error)) from error
    tensors = {name: of_array(array) for name, array in read.items() if array.dtype.kind in "fiub"}
    return CheckpointFile(source, tensors)


# ------------------------------------------------------------------------------------- safetensors


def _open_safetensors(source: Path) -> CheckpointFile:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(source, framework="pt") as handle:
            metadata, names = handle.metadata() or {}, handle.keys()
            tensors = {name: _lazy(source, name, handle.get_slice(name)) for name in names}
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"Cannot read {source} as safetensors: {error}. The file is cut short or damaged; "
            "download or copy it again."
        ) from error
    return CheckpointFile(source, tensors, metadata)


def _lazy(source: Path, name: str, part: Any) -> StoredTensor:
    def read() -> torch.Tensor:
        from safetensors import safe_open

        with safe_open(source, framework="pt") as handle:
            tensor: torch.Tensor = handle.get_tensor(name)
            return tensor

    dtype = _SAFETENSORS_DTYPES.get(part.get_dtype())
    kind = "" if dtype is not None else f"a tensor of {part.get_dtype()}"
    return StoredTensor(tuple(part.get_shape()), dtype, kind, (source, name), read)


def _open_index(source: Path) -> CheckpointFile:
    """Open the parts that an index of ``save_pretrained`` names."""
    try:
        index = json.loads(source.read_text(encoding="utf-8"))
        parts = sorted(set(index["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(
            f"{source} is a text in JSON, not a checkpoint. Give a .pth or .safetensors file."
        ) from error
    tensors: dict[str, Any] = {}
    metadata: dict[str, str] = {}
    for part in parts:
        place = source.parent / Path(str(part)).name
        checked_digest(place)
        opened = open_checkpoint_file(place)
        if not isinstance(opened.content, Mapping) or opened.path.suffix == source.suffix:
            raise CheckpointError(f"{place} is no part of {source}. Copy all parts beside it.")
        tensors |= _with_storage(opened)
        metadata |= opened.metadata
    return CheckpointFile(source, tensors, metadata)


def _with_storage(part: CheckpointFile) -> dict[str, Any]:
    """Return the tensors of one part, which do not depend on its file of pickles any more."""
    from swinir_deploy.models.stored import tensor_of

    return {str(k): tensor_of(v, part.storage) or v for k, v in dict(part.content).items()}
