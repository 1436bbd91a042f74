"""The list of back ends, and the function that opens a model on one of them.

A back end is imported when it is opened, so its packages may be missing until then.
"""

from __future__ import annotations

import importlib
import inspect
import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swinir_deploy.artifacts.engine import (
    ENGINE_SUFFIX,
    EngineFlavour,
    EngineMetadata,
    flavour_title,
    read_engine_metadata,
)
from swinir_deploy.errors import BackendUnavailableError, UsageError
from swinir_deploy.runtimes.base import Runtime, RuntimeStats
from swinir_deploy.runtimes.spec import RuntimeSpec
from swinir_deploy.system.choices import unknown_choice
from swinir_deploy.system.library_names import library_name
from swinir_deploy.system.packages import missing_packages

__all__ = [
    "BACKENDS",
    "Backend",
    "Runtime",
    "RuntimeSpec",
    "RuntimeStats",
    "available_backends",
    "backend_for",
    "open_runtime",
]


@dataclass(frozen=True)
class Backend:
    """One entry of :data:`BACKENDS`.

    Attributes:
        name: its name for ``--backend``.
        factory: module and class of its :class:`Runtime`, as ``module:class``.
        requires: import names of the packages that it needs.
        extra: the extra of this distribution that installs them.
        opens: suffixes of the files that it opens; empty for checkpoints and catalogue ids.
        summary: one line about it.
        flavour: what made its engines; None for back ends that open no engines.
    """

    name: str
    factory: str
    requires: tuple[str, ...]
    extra: str
    opens: tuple[str, ...]
    summary: str
    flavour: EngineFlavour | None = None

    def missing(self) -> str | None:
        """Return which packages are missing and how to install them, or None if none are."""
        return missing_packages(self.requires, self.extra, f"the back end {self.name!r}")


BACKENDS: dict[str, Backend] = {
    backend.name: backend
    for backend in (
        Backend(
            "ort",
            "swinir_deploy.runtimes.ort_runtime:OnnxRuntime",
            ("onnxruntime",),
            "ort",
            (".onnx",),
            "ONNX Runtime: an exported .onnx file, without torch",
        ),
        Backend(
            "openvino",
            "swinir_deploy.runtimes.openvino_runtime:OpenVinoRuntime",
            ("openvino",),
            "openvino",
            (".onnx",),
            "OpenVINO: an exported .onnx file on a CPU, GPU or NPU, without torch",
        ),
        Backend(
            "tensorrt",
            "swinir_deploy.runtimes.tensorrt.runtime:TensorRtRuntime",
            ("tensorrt", "cuda.core", "cuda.bindings"),
            "tensorrt",
            (ENGINE_SUFFIX,),
            "TensorRT 10.x or 11.x: an engine of 'swinir-deploy build', on an NVIDIA GPU",
            flavour="tensorrt",
        ),
        Backend(
            "rtx",
            "swinir_deploy.runtimes.tensorrt.runtime:TensorRtRuntime",
            ("tensorrt_rtx", "cuda.core", "cuda.bindings"),
            "rtx",
            (ENGINE_SUFFIX,),
            "TensorRT for RTX: an engine of 'swinir-deploy build --target rtx', on an RTX GPU",
            flavour="rtx",
        ),
        Backend(
            "cuda",
            "swinir_deploy.runtimes.cuda.runtime:CudaRuntime",
            ("cuda.core", "cuda.bindings"),
            "cuda-run",
            (ENGINE_SUFFIX,),
            "CUDA: an engine of 'swinir-deploy build --target cuda', on an NVIDIA GPU",
            flavour="cuda",
        ),
        Backend(
            "torch",
            "swinir_deploy.runtimes.torch_runtime:TorchRuntime",
            ("torch", "safetensors"),
            "export",
            (),
            "PyTorch: a checkpoint or catalogue id; the reference of every comparison",
        ),
    )
}
"""The back ends by name. If several open a file, the first one in this order is used."""


def available_backends() -> dict[str, str | None]:
    """Return, for each back end, None if its packages are installed, else what is missing."""
    return {name: backend.missing() for name, backend in BACKENDS.items()}


def backend_for(model: str | os.PathLike[str], backend: str | None = None) -> Backend:
    """Return the back end that opens a model.

    Args:
        model: an exported file, a checkpoint or a catalogue id.
        backend: name of the back end; None selects it by the suffix of the file. For an engine,
            the sidecar says what has built it.

    Raises:
        ArtifactError: the engine or its sidecar is missing or damaged.
        UsageError: there is no such back end, or it does not open such a file.
    """
    backend = _known_as(backend)
    suffix = Path(model).suffix.lower()
    if _reads_sidecar(model, backend):
        return _backend_for_engine(model, backend, read_engine_metadata(model))
    if backend is None:
        by_suffix = (b for b in BACKENDS.values() if suffix in b.opens)
        return next(by_suffix, BACKENDS["torch"])
    if backend not in BACKENDS:
        raise UsageError(unknown_choice("back end", backend, BACKENDS))
    selected = BACKENDS[backend]
    if selected.opens and suffix not in selected.opens:
        raise UsageError(
            f"The back end {backend!r} opens {' and '.join(selected.opens)} files, not "
            f"{os.fspath(model)!r}. {_how_to_make(selected, model)}"
        )
    others = [b for b in BACKENDS.values() if suffix in b.opens]
    if not selected.opens and others:
        raise UsageError(
            f"The back end {backend!r} opens checkpoints and catalogue ids, not "
            f"{os.fspath(model)!r}. Use --backend {others[0].name}, or name the checkpoint."
        )
    return selected


def _known_as(backend: str | None) -> str | None:
    return None if backend is None else library_name(backend)


def _how_to_make(backend: Backend, model: str | os.PathLike[str]) -> str:
    """Return a sentence with the command that makes a file for this back end from a model."""
    name = shlex.quote(os.fspath(model))
    if Path(model).suffix.lower() == ENGINE_SUFFIX:
        return "Give the ONNX file or the checkpoint that the engine was built from."
    if backend.flavour is None:
        return f"Export the model first: swinir-deploy export {name}"
    if backend.flavour == "cuda" and Path(model).suffix.lower() == ".onnx":
        name = "MODEL"  # the checkpoint that it was exported from
    return f"Build an engine first: swinir-deploy build {name} --target {backend.flavour}"


_ENGINE_BACKENDS = {b.name: b for b in BACKENDS.values() if b.flavour is not None}


def _reads_sidecar(model: str | os.PathLike[str], backend: str | None) -> bool:
    """Return whether the sidecar of ``model`` decides which back end opens it."""
    is_engine = Path(model).suffix.lower() == ENGINE_SUFFIX
    return is_engine and (backend is None or backend in _ENGINE_BACKENDS)


def _backend_for_engine(
    model: str | os.PathLike[str], backend: str | None, sidecar: EngineMetadata
) -> Backend:
    flavour = sidecar.flavour
    fitting = next(b for b in _ENGINE_BACKENDS.values() if b.flavour == flavour)
    if backend not in (None, fitting.name):
        raise UsageError(
            f"{os.fspath(model)} was built by {flavour_title(flavour)}, which the back end "
            f"{backend!r} does not use. Use --backend {fitting.name}, or build it with --target "
            f"{_ENGINE_BACKENDS[backend].flavour}."
        )
    return fitting


def open_runtime(
    model: str | os.PathLike[str],
    backend: str | None = None,
    device: str | None = None,
    **options: Any,
) -> Runtime:
    """Open a model on a back end. Use the result in a ``with`` block, or close it.

    Args:
        model: an exported file; for ``torch`` a checkpoint or a catalogue id.
        backend: ``ort``, ``openvino``, ``tensorrt``, ``rtx``, ``cuda`` or ``torch``; None selects
            it by the suffix of the file.
        device: such as ``cpu`` or ``cuda:0``; None is the default of the back end.
        options: options of the class of the back end, such as ``threads=2``.

    Returns:
        An open runtime; ``spec`` says which arrays it takes.

    Raises:
        BackendUnavailableError: the packages, the driver or the device are missing.
        InputError: the file is damaged or was not made by this package.
        UsageError: there is no such back end or option, or the back end does not open such a file.

    Example:
        >>> import numpy as np
        >>> from swinir_deploy import open_runtime
        >>> with open_runtime("tiny-sr-x4") as runtime:
        ...     runtime.run(np.zeros((1, 3, 16, 24), np.float32)).shape
        (1, 3, 64, 96)
    """
    backend = _known_as(backend)
    read: dict[str, EngineMetadata] = {}
    if _reads_sidecar(model, backend):
        read["sidecar"] = read_engine_metadata(model)
        selected = _backend_for_engine(model, backend, read["sidecar"])
    else:
        selected = backend_for(model, backend)
    reason = selected.missing()
    if reason is not None:
        raise BackendUnavailableError(f"Cannot open {os.fspath(model)}: {reason}.")
    module, _, name = selected.factory.partition(":")
    factory: type[Runtime] = getattr(importlib.import_module(module), name)
    own = ("model", "device", "sidecar")
    known = [name for name in inspect.signature(factory).parameters if name not in own]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise UsageError(
            f"The back end {selected.name!r} has no option {', '.join(unknown)}; "
            f"it has {', '.join(known)}."
        )
    return factory(model, device=device, **options, **read)  # type: ignore[call-arg]
