"""Make contenders from models and back ends, and export models where a back end needs it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swinir_deploy.benchmarking.contenders import Contender
from swinir_deploy.errors import BackendUnavailableError
from swinir_deploy.models.find import FoundModel
from swinir_deploy.runtimes import BACKENDS, Backend, backend_for
from swinir_deploy.system.library_names import library_name
from swinir_deploy.system.packages import require

__all__ = ["ContenderOptions", "plan_contenders"]

_COMPILED = "torch-compile"
"""The name of the back end ``torch`` with its option ``compile``."""

_CHOOSES_PRECISION = ("torch", "openvino")
"""Back ends that choose the precision of the arithmetic. The others compute as the file says."""


@dataclass(frozen=True)
class ContenderOptions:
    """Options for every contender whose back end has them. None leaves an option to the back end.

    Attributes:
        device: device, such as ``cpu`` or ``cuda:0``.
        provider: execution provider of ``ort``.
        precision: precision of the arithmetic, or of an exported file.
        kernels: kernels of ``torch``; not given to ``torch-compile``, which makes its own.
    """

    device: str | None = None
    provider: str | None = None
    precision: str | None = None
    kernels: str | None = None

    @property
    def on_cpu(self) -> bool:
        """Return whether ONNX Runtime computes on the CPU."""
        return self.device in (None, "cpu") and self.provider in (None, "cpu")


def plan_contenders(
    models: Sequence[FoundModel],
    backends: Sequence[str | None],
    options: ContenderOptions,
    scratch: Path,
    *,
    progress: bool = True,
    offline: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> list[Contender]:
    """Return a contender for every model on every back end.

    A back end that cannot open a model gets an exported ONNX file of it.

    Args:
        models: the models to time.
        backends: names of back ends, or ``torch-compile``; None chooses by the model's file.
        options: options for all contenders.
        scratch: a folder for exported files.
        progress: True shows progress bars of downloads.
        offline: True never downloads.
        say: called with a line of text for each export.

    Raises:
        BackendUnavailableError: a package or a kernel is missing.
        UsageError: a back end is unknown or cannot open a model.
    """
    contenders = []
    for model in models:
        for name in backends:
            name = name and library_name(name)
            plain = "torch" if name == _COMPILED else name
            backend = BACKENDS.get(plain) if plain is not None else None
            if backend is not None and ".onnx" in backend.opens and not model.is_onnx:
                _require_kernels(backend, options)
                path = _exported(model, backend, options, scratch, progress, offline, say)
            else:
                path = os.fspath(model.local(progress=progress, offline=offline).path)
            selected = backend_for(path, plain)
            own: dict[str, Any] = {}
            if selected.name == "ort" and options.provider is not None:
                own["provider"] = options.provider
            if selected.name in _CHOOSES_PRECISION and options.precision is not None:
                own["precision"] = options.precision
            if name == _COMPILED:
                own["compile"] = True
            elif selected.name == "torch" and options.kernels is not None:
                own["kernels"] = options.kernels
            label = _COMPILED if name == _COMPILED else None
            contenders.append(Contender(path, selected.name, options.device, own, label))
    return contenders


def _require_kernels(backend: Backend, options: ContenderOptions) -> None:
    """Check that the back end can run the model, before an export."""
    if (backend.name, options.precision) == ("ort", "bf16") and options.on_cpu:
        raise BackendUnavailableError(
            "ONNX Runtime has no BF16 kernels on a CPU. Time BF16 with --backend openvino or "
            "torch, or give --precision fp32 or fp16."
        )


def _exported(
    model: FoundModel,
    backend: Backend,
    options: ContenderOptions,
    scratch: Path,
    progress: bool,
    offline: bool,
    say: Callable[[str], None],
) -> str:
    require("export", f"Exporting {model.name} for {backend.name}")
    from swinir_deploy.exporters.onnx.export import export_onnx
    from swinir_deploy.exporters.onnx.recipes import RECIPES
    from swinir_deploy.models.load import load_model

    say(f"Exporting {model.name} for {backend.name} ...")
    loaded = load_model(model.name, progress=progress, offline=offline)
    # The recipe "ort" is for ONNX Runtime's CPU provider only.
    has_recipe = backend.name in RECIPES and (options.on_cpu or backend.name != "ort")
    target = backend.name if has_recipe else "any"
    path = scratch / f"{Path(loaded.model_id).name}.{backend.name}.onnx"
    chooses = backend.name in _CHOOSES_PRECISION or options.precision is None
    typed: dict[str, Any] = {} if chooses else {"precision": options.precision}
    if not path.exists():
        export_onnx(loaded, path, target=target, **typed)
    return str(path)
