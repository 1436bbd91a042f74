"""The cache of exports that commands make by themselves, for models that are named."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from swinir_deploy.artifacts.kept_files import KeptFiles, limit_from_environment
from swinir_deploy.errors import ArtifactError, InputError
from swinir_deploy.system.cache_folder import cache_folder
from swinir_deploy.system.files import atomic_output, sha256_of
from swinir_deploy.system.records import read_object, record_of

__all__ = ["EXPORT_LIMIT_VARIABLE", "ExportCache", "KeptExport", "export_key"]

EXPORT_LIMIT_VARIABLE = "SWINIR_DEPLOY_EXPORT_CACHE_GB"
"""Environment variable: the maximum size of all kept exports in gigabytes."""

_DEFAULT_LIMIT_GB = 5.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class KeptExport:
    """The sidecar of a kept export.

    Attributes:
        model_id: catalogue id, or the checkpoint's file name.
        source_sha256: SHA-256 of the checkpoint.
        target: recipe of the export.
        precision: precision of the export.
        version: version of this package that made it.
        sha256: SHA-256 of the ONNX file.
        size_bytes: size of the ONNX file.
        notes: what the user was told when the checkpoint was loaded, such as a guess.
    """

    model_id: str
    source_sha256: str
    target: str
    precision: str
    version: str
    sha256: str = ""
    size_bytes: int = 0
    notes: tuple[str, ...] = ()


def export_key(record: KeptExport, **further: Any) -> str:
    """Return the key of an export: a SHA-256 as 64 hexadecimal digits.

    Args:
        record: the source's hash, recipe, precision and version count; its name does not.
        further: what else decides the contents, such as the options that load the checkpoint.
    """
    parts = {**asdict(record), **further}
    for name in ("model_id", "sha256", "size_bytes", "notes"):
        del parts[name]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


class ExportCache(KeptFiles[KeptExport]):
    """A cache of exported ONNX files in one folder.

    Example:
        >>> import tempfile
        >>> from swinir_deploy.artifacts.export_cache import ExportCache
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     ExportCache(folder).entries()
        []
    """

    suffix = ".onnx"
    what = "export"

    def __init__(
        self, folder: str | os.PathLike[str] | None = None, limit_bytes: int | None = None
    ) -> None:
        """Remember the folder and the limit. This reads and creates nothing.

        Args:
            folder: the folder of the cache; None is ``exports`` in the program's cache folder.
            limit_bytes: maximum size of all entries in bytes; None takes the environment variable
                :data:`EXPORT_LIMIT_VARIABLE`, or 5 GB if it is not set.

        Raises:
            UsageError: the value of the environment variable is not a number.
        """
        super().__init__(
            Path(folder) if folder is not None else cache_folder() / "exports",
            limit_from_environment(EXPORT_LIMIT_VARIABLE, _DEFAULT_LIMIT_GB)
            if limit_bytes is None
            else limit_bytes,
        )

    def _read(self, path: Path, check_hash: bool = False) -> KeptExport:
        sidecar = path.with_name(path.name + ".json")
        advice = "Remove both: they are made again."
        values = read_object(sidecar, "the description of an export", advice, ArtifactError)
        record = record_of(values, KeptExport, f"{sidecar}: ", advice, ArtifactError)
        if path.stat().st_size != record.size_bytes:
            raise ArtifactError(f"{path} is not what {sidecar} describes. {advice}")
        if check_hash and sha256_of(path) != record.sha256:
            raise ArtifactError(f"{path} is not what {sidecar} describes. {advice}")
        return record

    def notes(self, path: Path) -> tuple[str, ...]:
        """Return the notes of a kept file; none if it was removed meanwhile."""
        try:
            return self._read(path).notes
        except (ArtifactError, OSError):
            return ()

    def put(self, key: str, file: Path, record: KeptExport) -> Path:
        """Copy a finished export into the cache, and return its path there.

        The least recently used ones are removed if the limit is exceeded; this one stays, because
        it is about to be opened. If the cache cannot be written, a warning is logged and ``file``
        is returned.
        """
        path = self._path(key)
        complete = KeptExport(
            **{
                **asdict(record),
                "sha256": sha256_of(file),
                "size_bytes": file.stat().st_size,
            }
        )
        try:
            with (
                atomic_output(path.with_name(path.name + ".json")) as sidecar,
                atomic_output(path) as temporary,
            ):
                temporary.write_bytes(file.read_bytes())
                sidecar.write_text(json.dumps(asdict(complete), indent=2) + "\n", encoding="utf-8")
            self._shrink(keep=key)
        except (InputError, OSError) as error:
            _log.warning("The export is not kept in the cache %s: %s", self.folder, error)
            return file
        return path
