"""Tensors as a file describes them: name, shape and dtype are known before the bytes are read.

A checkpoint of a training run holds much more than the network. Only the tensors that are chosen
are read (:mod:`swinir_deploy.models.find_weights` chooses them).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from swinir_deploy.models.inert_pickle import External, Name, PickleDamagedError, Record

__all__ = [
    "Storage",
    "StoredTensor",
    "UnreadableError",
    "dtype_of_storage",
    "mapping_of",
    "number_of",
    "of_array",
    "tensor_of",
]

_MOST_REPEATED = 1 << 20
"""A tensor may have more elements than its storage (stride 0), but no more than this."""

_DTYPES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
}
"""Class of a storage, without its module -> dtype of its elements. Others have none."""

_NUMPY_DTYPES = frozenset(("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"))

_REBUILD = "torch._utils._rebuild_"
_QUANTISED = "a quantised tensor"


class UnreadableError(Exception):
    """The bytes of a tensor cannot be read: the file is damaged."""


@dataclass(frozen=True)
class Storage:
    """The memory that one or several tensors of a file share.

    Attributes:
        key: what the file calls it.
        dtype: dtype of its elements; None for bytes, whose tensors say their dtype themselves.
        count: number of its elements, or of bytes without a dtype.
        read: returns its bytes, of which there may be fewer or more than ``count`` says.
        big_endian: whether the elements begin with their most significant byte.
    """

    key: Hashable
    dtype: torch.dtype | None
    count: int
    read: Callable[[], bytes | memoryview]
    big_endian: bool = False


@dataclass(frozen=True, eq=False)
class StoredTensor:
    """A tensor that is not read yet.

    Attributes:
        shape: its shape.
        dtype: its dtype; None for kinds that are no plain tensors.
        kind: empty for a plain tensor, else what it is instead, such as ``a quantised tensor``.
        identity: equal for tensors that are the same part of the same storage.
        read: returns the tensor in memory of its own.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype | None
    kind: str
    identity: Hashable
    read: Callable[[], Tensor]


def tensor_of(value: Any, storages: Callable[[External], Storage | None]) -> StoredTensor | None:
    """Return the tensor that a part of a pickle describes; None if it is something else.

    Args:
        value: a :class:`Record` of a PyTorch tensor or parameter, or of a NumPy array.
        storages: returns the storage of a persistent id; None if the file does not say one.

    Returns:
        The tensor. Where its description is impossible, its ``kind`` says why.
    """
    if isinstance(value, StoredTensor):
        return value
    if not isinstance(value, Record):
        return None
    path, args = value.maker.path, value.args
    try:
        if path == "torch._tensor._rebuild_from_type_v2" and isinstance(args[0], Name):
            return tensor_of(Record(args[0], tuple(args[2])), storages)
        if path.startswith(_REBUILD):
            return _rebuilt(path.removeprefix(_REBUILD), args, storages)
        if path.endswith(("._reconstruct", "._frombuffer")) and path.startswith("numpy."):
            return _array(value)
    except (IndexError, TypeError, ValueError, UnreadableError) as error:
        return _special((), f"a damaged tensor ({error})")
    return None


def _rebuilt(
    what: str, args: tuple[Any, ...], storages: Callable[[External], Storage | None]
) -> StoredTensor | None:
    """Return the tensor that a function ``torch._utils._rebuild_*`` would make."""
    if what in ("parameter", "parameter_with_state", "device_tensor_from_cpu_tensor"):
        return tensor_of(args[0], storages)
    if what == "device_tensor_from_numpy":
        return tensor_of(args[0], storages)
    if what in ("tensor", "tensor_v2", "tensor_v3"):
        storage = storages(args[0]) if isinstance(args[0], External) else _of_bytes(args[0])
        if storage is None:
            raise ValueError("its storage is not in the file")
        dtype = _dtype_of_name(args[6]) if what == "tensor_v3" else storage.dtype
        return _view(storage, dtype, args[1], args[2], args[3])
    if what == "qtensor":
        return _special(tuple(args[2]), _QUANTISED)
    if what in ("sparse_tensor", "sparse_csr_tensor", "nested_tensor"):
        return _special((), "a sparse tensor")
    if what == "meta_tensor_no_storage":
        return _special(tuple(args[1]), "a tensor without values (device meta)")
    if what == "wrapper_subclass":
        return _special(tuple(args[2]), "a part of a tensor (sharded or wrapped)")
    return None


def _special(shape: tuple[int, ...], kind: str) -> StoredTensor:
    def refuse() -> Tensor:
        raise UnreadableError(f"it is {kind}")

    return StoredTensor(shape, None, kind, object(), refuse)


def _of_bytes(value: Any) -> Storage | None:
    """Return the storage that ``pickle.dump`` writes: a file of ``torch.save`` as bytes."""
    if isinstance(value, Record) and value.maker.path == "torch.storage._load_from_bytes":
        from swinir_deploy.models.legacy_file import storage_in_bytes

        try:
            return storage_in_bytes(value.args[0])
        except PickleDamagedError as error:
            raise UnreadableError(str(error)) from error
    return value if isinstance(value, Storage) else None


def dtype_of_storage(name: Any) -> torch.dtype | None:
    """Return the dtype of a storage by its class; None for ``UntypedStorage`` and others."""
    return _DTYPES.get(name.path.rpartition(".")[2]) if isinstance(name, Name) else None


def _dtype_of_name(name: Any) -> torch.dtype | None:
    if not isinstance(name, Name):
        return None
    found = getattr(torch, name.path.rpartition(".")[2], None)
    return found if isinstance(found, torch.dtype) else None


def _view(
    storage: Storage, dtype: torch.dtype | None, offset: Any, size: Any, stride: Any
) -> StoredTensor:
    """Return a part of a storage as a tensor, with the sizes checked."""
    shape, steps = _sizes(size), _sizes(stride)
    if len(shape) != len(steps) or not _is_size(offset):
        raise ValueError("shape, strides and offset do not fit together")
    if dtype is None:
        return _special(shape, "a tensor of a dtype that this PyTorch does not know")
    width = dtype.itemsize
    count = storage.count if storage.dtype is not None else storage.count // width
    elements = math.prod(shape)
    last = offset + sum((side - 1) * step for side, step in zip(shape, steps, strict=True))
    if elements > max(count, _MOST_REPEATED) or (elements and last >= count):
        raise ValueError(f"it has {elements} elements, its storage {count}")

    def read() -> Tensor:
        if not elements:
            return torch.empty(shape, dtype=dtype)
        content = storage.read()
        if len(content) < (last + 1) * width:
            raise UnreadableError(f"its storage {storage.key!r} has {len(content)} bytes only")
        part = bytearray(content[offset * width : (last + 1) * width])
        if storage.big_endian and width > 1:
            part = bytearray(np.frombuffer(part, np.uint8).reshape(-1, width)[:, ::-1].tobytes())
        return torch.frombuffer(part, dtype=dtype).as_strided(shape, steps, 0)

    return StoredTensor(shape, dtype, "", (storage.key, offset, shape, steps), read)


def _sizes(value: Any) -> tuple[int, ...]:
    if isinstance(value, (list, tuple)) and len(value) <= 16 and all(map(_is_size, value)):
        return tuple(value)
    raise ValueError("a shape is no list of sizes")


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 48


# ----------------------------------------------------------------------------------------- NumPy


def _array(record: Record) -> StoredTensor | None:
    """Return a NumPy array as a tensor; None for one of objects or texts."""
    if record.maker.path.endswith("._frombuffer"):
        raw, described, size = record.args[0], record.args[1], record.args[2]
        in_columns = len(record.args) > 3 and record.args[3] == "F"
    elif isinstance(record.state, tuple) and len(record.state) == 5:
        _, size, described, in_columns, raw = record.state
    else:
        return None
    dtype, shape = _numpy_dtype(described), _sizes(size)
    if dtype is None or not isinstance(raw, (bytes, bytearray, str)):
        return None
    content = raw.encode("latin-1") if isinstance(raw, str) else bytes(raw)
    if len(content) != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"an array of {shape} has {len(content)} bytes")
    return of_array(np.frombuffer(content, dtype).reshape(shape, order="F" if in_columns else "C"))


def of_array(array: NDArray[Any]) -> StoredTensor:
    """Return an array of numbers as a stored tensor."""
    own = array.astype(array.dtype.newbyteorder("="), order="C")
    dtype = torch.from_numpy(np.empty(0, own.dtype)).dtype
    return StoredTensor(own.shape, dtype, "", object(), lambda: torch.from_numpy(own))


def _numpy_dtype(record: Any) -> np.dtype[Any] | None:
    """Return a dtype of numbers from its record; None for any other."""
    if not isinstance(record, Record) or not record.args:
        return None
    text = record.args[0]
    if text not in _NUMPY_DTYPES:
        return None
    order = record.state[1] if isinstance(record.state, tuple) and len(record.state) > 1 else "="
    dtype: np.dtype[Any] = np.dtype(text)
    return dtype.newbyteorder("<" if order == "<" else ">" if order == ">" else "=")


# ------------------------------------------------------------------------------------ plain values


def number_of(value: Any) -> float | None:
    """Return a number: a Python or NumPy scalar, or a value of OmegaConf; else None."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, Record):
        if value.maker.path.endswith(".scalar") and len(value.args) == 2:
            dtype, raw = _numpy_dtype(value.args[0]), value.args[1]
            if dtype is not None and isinstance(raw, bytes) and len(raw) == dtype.itemsize:
                return float(np.frombuffer(raw, dtype)[0])
        if isinstance(value.state, dict) and "_val" in value.state:  # a node of OmegaConf
            return number_of(value.state["_val"])
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return None
    return None


def mapping_of(value: Any) -> Iterator[Mapping[Any, Any]]:
    """Yield the dictionaries in an object: itself, its items, its attributes, its numbered entries.

    A list of pairs of a name and a value, such as ``list(state_dict.items())``, is one, too.
    Objects that were made from a dictionary, such as configurations, have it as an argument.
    """
    if isinstance(value, Mapping):
        yield value
    elif isinstance(value, (list, tuple)):
        pairs = all(
            isinstance(entry, tuple) and len(entry) == 2 and isinstance(entry[0], str)
            for entry in value
        )
        yield dict(value) if pairs else dict(enumerate(value))
    elif isinstance(value, Record):
        if value.items:
            yield value.items
        if value.entries:
            yield dict(enumerate(value.entries))
        parts = value.state if isinstance(value.state, tuple) else (value.state, *value.args)
        for part in parts:
            if isinstance(part, Mapping):
                yield part
