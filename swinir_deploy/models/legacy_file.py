"""Read files of ``torch.save`` before PyTorch 1.6: several pickles, then the storages."""

from __future__ import annotations

import io
import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swinir_deploy.models.inert_pickle import External, Pickle, PickleDamagedError, read_pickle
from swinir_deploy.models.stored import Storage, UnreadableError, dtype_of_storage

__all__ = ["LEGACY_MAGIC", "LegacyFile", "storage_in_bytes"]

LEGACY_MAGIC = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
"""What the first pickle holds behind its protocol (``torch.serialization.MAGIC_NUMBER``)."""


@dataclass(frozen=True)
class LegacyFile:
    """The main pickle of such a file, and its storages.

    Attributes:
        pickle: the content.
        storages: key of a storage -> first byte and number of bytes in the file.
        content: all bytes of the file.
        big_endian: whether numbers begin with their most significant byte.
    """

    pickle: Pickle
    storages: dict[str, tuple[int, int]]
    content: bytes | mmap.mmap
    big_endian: bool

    @classmethod
    def open(cls, path: Path) -> LegacyFile:
        """Read the pickles of a file; its storages stay on the disk until they are needed.

        Raises:
            PickleDamagedError: the file is damaged or of another kind.
            UnreadableError: it is cut short.
        """
        with open(path, "rb") as handle:
            return cls.read(mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ))

    @classmethod
    def read(cls, content: bytes | mmap.mmap) -> LegacyFile:
        """Read such a file from memory; errors as in :meth:`open`."""
        stream: Any = io.BytesIO(content) if isinstance(content, bytes) else content
        for _ in range(2):  # the magic number and the version of the protocol
            read_pickle(stream)
        system = read_pickle(stream).value
        pickle, keys = read_pickle(stream), read_pickle(stream).value
        little = not isinstance(system, dict) or system.get("little_endian", True)
        if not isinstance(keys, list):
            raise PickleDamagedError("its list of storages is missing")
        order = "<" if little else ">"
        widths = _widths(pickle.value)
        storages: dict[str, tuple[int, int]] = {}
        place = stream.tell()
        for key in keys:
            head = content[place : place + 8]
            if len(head) < 8:
                raise UnreadableError(f"it ends before its storage {key!r}")
            count = struct.unpack(f"{order}q", head)[0]
            size = count * widths.get(key, 1)
            if count < 0 or place + 8 + size > len(content):
                raise UnreadableError(f"it ends inside its storage {key!r}")
            storages[key] = (place + 8, size)
            place += 8 + size
        return cls(pickle, storages, content, not little)

    def storage(self, external: External) -> Storage | None:
        """Return the storage of a persistent id; None if the file does not have it."""
        key = external.key
        if not (isinstance(key, tuple) and len(key) >= 5 and key[0] == "storage"):
            return None
        place = self.storages.get(key[2])
        dtype = dtype_of_storage(key[1])
        if place is None or not isinstance(key[4], int):
            return None
        first, size = place
        if len(key) > 5 and isinstance(key[5], tuple) and len(key[5]) == 3 and dtype is not None:
            _, offset, count = key[5]  # a part of another storage
            if not isinstance(offset, int) or not isinstance(count, int) or offset < 0 or count < 0:
                return None
            first, size = first + offset * dtype.itemsize, count * dtype.itemsize
        count = size // dtype.itemsize if dtype is not None else size
        return Storage(
            (key[2], first),
            dtype,
            count,
            lambda: memoryview(self.content)[first : first + size],
            self.big_endian,
        )


def _widths(value: Any) -> dict[str, int]:
    """Return key of a storage -> bytes of one element, from the persistent ids in a pickle."""
    widths: dict[str, int] = {}
    seen: set[int] = set()
    pending = [value]
    while pending:
        part = pending.pop()
        if isinstance(part, External):
            key = part.key
            if isinstance(key, tuple) and len(key) >= 3 and isinstance(key[2], str):
                dtype = dtype_of_storage(key[1])
                widths[key[2]] = dtype.itemsize if dtype is not None else 1
            continue
        if id(part) in seen or isinstance(part, (str, bytes, int, float)):
            continue
        seen.add(id(part))
        if isinstance(part, dict):
            pending.extend(part.values())
        elif isinstance(part, (list, tuple)):
            pending.extend(part)
        else:
            for name in ("args", "state", "items", "entries"):
                pending.append(getattr(part, name, None))
    return widths


def storage_in_bytes(content: Any) -> Storage | None:
    """Return the one storage that a legacy file in memory holds; None if it is something else."""
    if not isinstance(content, (bytes, bytearray)):
        return None
    file = LegacyFile.read(bytes(content))
    value = file.pickle.value
    return file.storage(value) if isinstance(value, External) else None
