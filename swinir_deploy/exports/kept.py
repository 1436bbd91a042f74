"""The export of a named model that a back end runs: from the wheel, the cache, or made now."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from swinir_deploy._version import __version__
from swinir_deploy.artifacts.export_cache import ExportCache, KeptExport, export_key
from swinir_deploy.artifacts.metadata import Precision
from swinir_deploy.artifacts.needed_versions import ORT_FOR_OPSET, ort_version
from swinir_deploy.errors import SwinIRDeployWarning
from swinir_deploy.exporters.onnx.recipes import RECIPES, check_request
from swinir_deploy.models.find import FoundModel
from swinir_deploy.models.weights_cache import builtin_onnx
from swinir_deploy.system.files import sha256_of
from swinir_deploy.system.packages import require

__all__ = ["can_export", "kept_export", "recipe_for"]


def recipe_for(backend: str, on_cpu: bool = True) -> str:
    """Return the recipe whose exports a back end runs fastest.

    Args:
        backend: name of a back end that opens ONNX files.
        on_cpu: whether it computes on the CPU. The recipe ``ort`` is for ONNX Runtime's CPU
            provider, and its operator Attention needs a new ONNX Runtime.
    """
    if backend == "ort":
        own = ort_version()
        is_new = own is None or own >= ORT_FOR_OPSET[RECIPES["ort"].default_opset("fp32")]
        return "ort" if on_cpu and is_new else "any"
    return backend if backend in RECIPES else "any"


def can_export() -> bool:
    """Return whether the packages that an export needs are installed."""
    try:
        require("export", "")
    except Exception:
        return False
    return True


def kept_export(
    model: FoundModel,
    target: str = "any",
    precision: Precision = "fp32",
    *,
    load_options: Mapping[str, Any] | None = None,
    ready_made: bool = True,
    cache: ExportCache | None = None,
    progress: bool = True,
    offline: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> Path:
    """Return an ONNX file of a checkpoint or of a model of the catalogue.

    The wheel has one of each built-in model, in FP32. All others are exported, with the checks of
    :func:`swinir_deploy.export_onnx`, when they are first needed, and kept in the cache folder. The
    key of a kept file covers the checkpoint's hash, how it was loaded, recipe, precision and the
    version of this package. Two processes that need the same file make it once.

    Args:
        model: the model, which is no exported file.
        target: recipe of the export.
        precision: precision of the export.
        load_options: further arguments of :func:`swinir_deploy.load_model`.
        ready_made: whether the wheel's file may be returned, whose recipe is ``any``; if False,
            only where nothing can be exported.
        cache: the cache; None is that of the program.
        progress: True shows a progress bar of a download.
        offline: True never downloads.
        say: called with a line of text before an export, and while another process makes it.

    Returns:
        Path of a complete file. Treat it as read-only.

    Raises:
        UsageError: the recipe or precision is unknown.
        BackendUnavailableError: an export is needed, and its packages are not installed.
        CheckFailedError: the export differs from the network.
        InputError: the checkpoint is damaged or no SwinIR.
        DownloadError: the checkpoint cannot be downloaded.
    """
    check_request(target=target, precision=precision)
    built_in = builtin_onnx(model.card) if precision == "fp32" and not load_options else None
    if built_in is not None and (ready_made or not can_export()):
        return built_in
    path, sha256 = model.local(progress=progress, offline=offline)
    record = KeptExport(
        model_id=model.card.id if model.card is not None else path.stem,
        source_sha256=sha256 or sha256_of(path),
        target=target,
        precision=precision,
        version=__version__,
    )
    key = export_key(record, load_options=dict(load_options or {}))
    cache = cache or ExportCache()
    found = cache.get(key)
    if found is not None:
        return _told(found, cache)

    def waiting() -> None:
        say(f"Another process exports {record.model_id}; waiting for it ...")

    with cache.lock(key, waiting):
        found = cache.get(key)  # another process may have made it meanwhile
        if found is not None:
            return _told(found, cache)
        say(
            f"Exporting {record.model_id} ({target}, {precision}); it is kept for the next time ..."
        )
        return _made(model, path, record, cache, key, load_options or {})


def _told(path: Path, cache: ExportCache) -> Path:
    """Warn again of what was guessed when the checkpoint was loaded, and return the path."""
    for note in cache.notes(path):
        warnings.warn(note, SwinIRDeployWarning, stacklevel=3)
    return path


def _made(
    model: FoundModel,
    path: Path,
    record: KeptExport,
    cache: ExportCache,
    key: str,
    load_options: Mapping[str, Any],
) -> Path:
    require("export", f"Exporting {record.model_id}")
    from swinir_deploy.exporters.onnx.export import export_onnx
    from swinir_deploy.models.load import load_model

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", SwinIRDeployWarning)
        loaded = load_model(path, **load_options)
    for warning in caught:
        warnings.warn(warning.message, warning.category, stacklevel=2)
    told = [w.message for w in caught if issubclass(w.category, SwinIRDeployWarning)]
    record = replace(record, notes=tuple(map(str, told)))
    config = loaded.config
    # A position embedding for one size of pictures fixes the sides.
    side = str(config.img_size) if config.ape else None
    shape = f"Nx{config.in_chans}x{side}x{side}" if side else f"Nx{config.in_chans}xHxW"
    folder = tempfile.TemporaryDirectory(prefix="swinir-deploy-")
    try:
        file = Path(folder.name) / f"{record.model_id.replace('/', '_')}.onnx"
        export_onnx(
            loaded,
            file,
            target=record.target,
            precision=cast("Precision", record.precision),
            shape=shape,
        )
        kept = cache.put(key, file, record)
        if kept == file:  # the cache cannot be written: the file stays until the process ends
            _unkept.append(folder)
        return kept
    finally:
        if folder not in _unkept:
            folder.cleanup()


_unkept: list[tempfile.TemporaryDirectory[str]] = []
