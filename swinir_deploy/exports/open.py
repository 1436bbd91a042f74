"""Open a model on a back end by its name, whatever kind of file the back end needs."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, cast

from swinir_deploy.artifacts.metadata import Precision
from swinir_deploy.errors import BackendUnavailableError, UsageError
from swinir_deploy.exports.kept import can_export, kept_export, recipe_for
from swinir_deploy.models.find import FoundModel, find_model
from swinir_deploy.models.weights_cache import builtin_onnx
from swinir_deploy.runtimes import BACKENDS, Runtime, backend_for, open_runtime

__all__ = ["open_model", "opens_onnx", "require_kernels"]


def open_model(
    model: FoundModel | str | os.PathLike[str],
    backend: str | None = None,
    device: str | None = None,
    *,
    prefers: str = "ort",
    load_options: Mapping[str, Any] | None = None,
    progress: bool = True,
    offline: bool = False,
    say: Callable[[str], None] = lambda line: None,
    **options: Any,
) -> Runtime:
    """Open a file or a model of the catalogue on a back end; use the result in a ``with`` block.

    A back end that opens ONNX files gets the export of a checkpoint or of a model of the catalogue
    (:func:`~swinir_deploy.exports.kept.kept_export`). Without ``backend``, a file is opened by its
    suffix, and a checkpoint or a model of the catalogue in ONNX Runtime on the CPU, or in PyTorch
    where the request is for a GPU, for half precision or for fused kernels.

    Args:
        model: an exported file, a checkpoint or a catalogue id.
        backend: name of the back end, as in :func:`swinir_deploy.open_runtime`.
        device: the device, as in :func:`swinir_deploy.open_runtime`.
        prefers: the back end of checkpoints and ids if none is given: ``ort`` or ``torch``.
        load_options: further arguments of :func:`swinir_deploy.load_model`, for checkpoints.
        progress: True shows a progress bar of a download.
        offline: True never downloads.
        say: called with a line of text before an export.
        **options: options of the back end. ``precision`` is for every back end here: with ``ort``,
            that of the export.

    Raises:
        BackendUnavailableError: packages, a device or kernels are missing.
        UsageError: there is no such back end or option, or the back end does not open the file.
        InputError: the file is damaged or was not made by this package.
        CheckFailedError: an export differs from the network.
    """
    found = model if isinstance(model, FoundModel) else find_model(model)
    if found.is_onnx or found.is_engine:
        _require_own_precision(found, backend, options)
        return open_runtime(found.name, backend, device, **options)
    selected = backend or _default_backend(found, device, prefers, options)
    if not opens_onnx(selected):
        path = found.local(progress=progress, offline=offline).path
        return open_runtime(path, selected, device, **_loading(load_options, options))
    require_kernels(selected, device, options)
    precision: Precision = "fp32"
    if selected == "ort":  # OpenVINO computes any file in the precision that it is told
        precision = cast("Precision", options.pop("precision", "fp32"))
    on_cpu = device in (None, "cpu") and options.get("provider") in (None, "cpu")
    path = kept_export(
        found,
        recipe_for(selected, on_cpu),
        precision,
        load_options=load_options,
        progress=progress,
        offline=offline,
        say=say,
    )
    return open_runtime(path, selected, device, **options)


def opens_onnx(backend: str) -> bool:
    """Return whether a back end with this name exists and opens ONNX files."""
    return backend in BACKENDS and ".onnx" in BACKENDS[backend].opens


def require_kernels(backend: str, device: str | None, options: Mapping[str, Any]) -> None:
    """Check that a back end can compute in the requested precision, before an export.

    Raises:
        BackendUnavailableError: ONNX Runtime has no BF16 kernels on a CPU.
    """
    on_cpu = device in (None, "cpu") and options.get("provider") in (None, "cpu")
    if (backend, options.get("precision")) == ("ort", "bf16") and on_cpu:
        raise BackendUnavailableError(
            "ONNX Runtime has no BF16 kernels on a CPU. Take BF16 with --backend openvino or "
            "torch, or give --precision fp32 or fp16."
        )


def _default_backend(
    found: FoundModel, device: str | None, prefers: str, options: Mapping[str, Any]
) -> str:
    """Return the back end of a checkpoint or id that was named without one."""
    if prefers == "torch":
        return "torch"
    if options.get("provider") or options.get("provider_options"):
        return "ort"
    is_plain = device in (None, "cpu") and options.get("kernels") is None
    if not is_plain or options.get("precision", "fp32") != "fp32":
        return "torch"
    if BACKENDS["ort"].missing() is not None:
        return "torch"
    has_torch = BACKENDS["torch"].missing() is None
    return "ort" if builtin_onnx(found.card) or can_export() or not has_torch else "torch"


def _loading(load_options: Mapping[str, Any] | None, options: dict[str, Any]) -> dict[str, Any]:
    return {**options, **(load_options or {})}


def _require_own_precision(
    found: FoundModel, backend: str | None, options: Mapping[str, Any]
) -> None:
    """Check that ``precision`` is not given to a back end that computes as the file says.

    Raises:
        UsageError: it is.
    """
    if options.get("precision") is None:
        return
    selected = backend_for(found.name, backend)
    if selected.name in ("openvino", "torch"):
        return
    other = "" if found.is_engine else ", or run this file in another one with --backend openvino"
    raise UsageError(
        f"{found.name} computes in its own precision with {selected.name}; --precision "
        f"{options['precision']} has no effect on it. Name the checkpoint instead, which is "
        f"exported in that precision{other}."
    )
