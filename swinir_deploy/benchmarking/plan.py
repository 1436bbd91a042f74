"""From models and back ends to contenders; what a back end cannot open is exported for it."""

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
from swinir_deploy.system.packages import require

__all__ = ["ContenderOptions", "plan_contenders"]

_COMPILED = "torch-compile"
"""A name for the back end ``torch`` with its option ``compile``."""

_CHOOSES_PRECISION = ("torch", "openvino")
"""Back ends that take any file and choose the arithmetic; others do what the file says."""


@dataclass(frozen=True)
class ContenderOptions:
    """What every contender gets as far as its back end knows it; None where nothing is asked.

    Attributes:
        device: such as ``cpu`` or ``cuda:0``.
        provider: of ``ort``.
        precision: of the arithmetic, or of what is exported.
    """

    device: str | None = None
    provider: str | None = None
    precision: str | None = None

    @property
    def on_cpu(self) -> bool:
        """Whether ONNX Runtime would compute on the CPU."""
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
    """Return every model on every back end, exporting where the two do not fit.

    Args:
        models: what to time.
        backends: names of back ends, or ``torch-compile``; None lets the model's file decide.
        options: for all of them.
        scratch: a folder for what is exported.
        progress: show bars of downloads.
        offline: never download.
        say: told in a line what is exported.

    Raises:
        BackendUnavailableError: a package or a kernel is missing.
        UsageError: a back end that does not exist or does not open a model.
    """
    contenders = []
    for model in models:
        for name in backends:
            plain = "torch" if name == _COMPILED else name
            backend = BACKENDS.get(plain) if plain is not None else None
            if backend is not None and ".onnx" in backend.opens and not model.is_onnx:
                _require_kernels(backend, options)
                path = _exported(model, backend, options, scratch, progress, offline, say)
            else:
                path = os.fspath(model.local(progress=progress, offline=offline).path)
            chosen = backend_for(path, plain)
            own: dict[str, Any] = {}
            if chosen.name == "ort" and options.provider is not None:
                own["provider"] = options.provider
            if chosen.name in _CHOOSES_PRECISION and options.precision is not None:
                own["precision"] = options.precision
            if name == _COMPILED:
                own["compile"] = True
            label = _COMPILED if name == _COMPILED else None
            contenders.append(Contender(path, chosen.name, options.device, own, label))
    return contenders


def _require_kernels(backend: Backend, options: ContenderOptions) -> None:
    """Refuse what would be exported for nothing."""
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
    # The recipe "ort" is for its CPU provider.
    has_recipe = backend.name in RECIPES and (options.on_cpu or backend.name != "ort")
    target = backend.name if has_recipe else "any"
    path = scratch / f"{Path(loaded.model_id).name}.{backend.name}.onnx"
    chooses = backend.name in _CHOOSES_PRECISION or options.precision is None
    typed: dict[str, Any] = {} if chooses else {"precision": options.precision}
    if not path.exists():
        export_onnx(loaded, path, target=target, **typed)
    return str(path)
