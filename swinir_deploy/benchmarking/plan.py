"""Make contenders from models and back ends, and export models where a back end needs it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from swinir_deploy.adoption.adopt import adopt_onnx
from swinir_deploy.artifacts.info import read_metadata
from swinir_deploy.artifacts.metadata import Precision
from swinir_deploy.benchmarking.contenders import Contender
from swinir_deploy.exports.kept import kept_export, recipe_for
from swinir_deploy.exports.open import opens_onnx, require_kernels
from swinir_deploy.models.find import FoundModel
from swinir_deploy.runtimes import backend_for
from swinir_deploy.system.library_names import library_name

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
        weights: ``key``, ``prefix``, ``img_range`` and ``mean`` of checkpoints, as
            :func:`swinir_deploy.load_model` takes them.
    """

    device: str | None = None
    provider: str | None = None
    precision: str | None = None
    kernels: str | None = None
    weights: dict[str, Any] = field(default_factory=dict)

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

    A back end that cannot open a model gets an exported ONNX file of it, which is kept in the
    cache. An ONNX file that another program wrote is adopted.

    Args:
        models: the models to time.
        backends: names of back ends, or ``torch-compile``; None chooses by the model's file.
        options: options for all contenders.
        scratch: a folder for adopted files.
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
            loading = {"progress": progress, "offline": offline, "say": say}
            path = _opened_file(model, plain, options, scratch, loading)
            selected = backend_for(path, plain)
            own: dict[str, Any] = dict(options.weights) if selected.name == "torch" else {}
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


def _opened_file(
    model: FoundModel,
    backend: str | None,
    options: ContenderOptions,
    scratch: Path,
    loading: dict[str, Any],
) -> str:
    """Return the path of the file that the back end opens, exported or adopted if need be."""
    if model.is_onnx:
        return _adopted(model, scratch, loading["say"])
    if backend is None or not opens_onnx(backend):
        del loading["say"]
        return os.fspath(model.local(**loading).path)
    require_kernels(
        backend, options.device, {"provider": options.provider, "precision": options.precision}
    )
    chooses = backend in _CHOOSES_PRECISION or options.precision is None
    precision = "fp32" if chooses else cast("Precision", options.precision)
    target = recipe_for(backend, options.on_cpu)
    return os.fspath(
        kept_export(
            model, target, precision, load_options=options.weights, ready_made=False, **loading
        )
    )


def _adopted(model: FoundModel, scratch: Path, say: Callable[[str], None]) -> str:
    """Return an ONNX file; one by another program is adopted into the scratch folder."""
    if read_metadata(model.name) is not None:
        return model.name
    path = scratch / f"{len(list(scratch.iterdir()))}-{Path(model.name).name}"
    report = adopt_onnx(model.name, path, say=say)
    for note in report.notes:
        say(f"{model.name}: {note}")
    return os.fspath(path)
