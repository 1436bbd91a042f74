"""One interface over every back end; each is imported only when it is asked for.

``open_runtime("model.onnx")`` gives a :class:`~swinir_deploy.runtimes.base.Runtime` whose ``run``
takes and gives arrays. The same input gives the same output on every back end, within the
tolerance of its precision.
"""

from __future__ import annotations

import importlib
import inspect
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swinir_deploy.artifacts.engine import ENGINE_SUFFIX, EngineMetadata, read_engine_metadata
from swinir_deploy.errors import BackendUnavailableError, UsageError
from swinir_deploy.nvidia.tensorrt_library import FLAVOURS, FlavourName
from swinir_deploy.runtimes.base import Runtime, RuntimeStats
from swinir_deploy.runtimes.spec import RuntimeSpec
from swinir_deploy.system.choices import unknown_choice
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
        name: what ``--backend`` takes.
        factory: ``module:class`` of its :class:`Runtime`.
        requires: import names that it needs.
        extra: of this distribution, which installs them.
        opens: file suffixes; empty for checkpoints and catalogue ids.
        summary: one line.
        flavour: of TensorRT, for back ends of engines; their sidecars name it.
    """

    name: str
    factory: str
    requires: tuple[str, ...]
    extra: str
    opens: tuple[str, ...]
    summary: str
    flavour: FlavourName | None = None

    def missing(self) -> str | None:
        """Why it cannot be used here, with the remedy, or None."""
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
            "trt",
            "swinir_deploy.runtimes.tensorrt.runtime:TensorRtRuntime",
            ("tensorrt", "cuda.core", "cuda.bindings"),
            "trt",
            (ENGINE_SUFFIX,),
            "TensorRT 10.x or 11.x: an engine of 'swinir-deploy build', on an NVIDIA GPU",
            flavour="tensorrt",
        ),
        Backend(
            "trt-rtx",
            "swinir_deploy.runtimes.tensorrt.runtime:TensorRtRuntime",
            ("tensorrt_rtx", "cuda.core", "cuda.bindings"),
            "trt-rtx",
            (ENGINE_SUFFIX,),
            "TensorRT for RTX: an engine of 'swinir-deploy build --target rtx', on an RTX GPU",
            flavour="rtx",
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
"""Name -> back end, in the order in which they are tried."""


def available_backends() -> dict[str, str | None]:
    """Every back end's name -> None if its packages are here, else what is missing."""
    return {name: backend.missing() for name, backend in BACKENDS.items()}


def backend_for(model: str | os.PathLike[str], backend: str | None = None) -> Backend:
    """The back end that opens ``model``: the one named, else the one its suffix asks for.

    Which TensorRT an engine was built by stands in its sidecar.

    Raises:
        ArtifactError: an engine that is missing, or has no sidecar beside it.
        UsageError: no back end of that name, or it does not open such a file.
    """
    suffix = Path(model).suffix.lower()
    if _reads_sidecar(model, backend):
        return _backend_for_engine(model, backend, read_engine_metadata(model))
    if backend is None:
        by_suffix = (b for b in BACKENDS.values() if suffix in b.opens)
        return next(by_suffix, BACKENDS["torch"])
    if backend not in BACKENDS:
        raise UsageError(unknown_choice("back end", backend, BACKENDS))
    chosen = BACKENDS[backend]
    if chosen.opens and suffix not in chosen.opens:
        raise UsageError(
            f"The back end {backend!r} opens {' and '.join(chosen.opens)} files, not "
            f"{os.fspath(model)!r}. {_how_to_make(chosen, model)}"
        )
    taken = [b for b in BACKENDS.values() if suffix in b.opens]
    if not chosen.opens and taken:
        raise UsageError(
            f"The back end {backend!r} opens checkpoints and catalogue ids, not "
            f"{os.fspath(model)!r}. Use --backend {taken[0].name}, or name the checkpoint."
        )
    return chosen


def _how_to_make(backend: Backend, model: str | os.PathLike[str]) -> str:
    """The command that makes a file which ``backend`` opens, from another one."""
    if backend.flavour is None:
        return f"Export the model first: swinir-deploy export --model {os.fspath(model)}"
    source = os.fspath(model) if Path(model).suffix.lower() == ".onnx" else "MODEL.onnx"
    return f"Build an engine first: swinir-deploy build {source} --target {backend.flavour}"


_ENGINE_BACKENDS = {b.name: b for b in BACKENDS.values() if b.flavour is not None}


def _reads_sidecar(model: str | os.PathLike[str], backend: str | None) -> bool:
    """Whether the sidecar of ``model`` decides which back end opens it."""
    is_engine = Path(model).suffix.lower() == ENGINE_SUFFIX
    return is_engine and (backend is None or backend in _ENGINE_BACKENDS)


def _backend_for_engine(
    model: str | os.PathLike[str], backend: str | None, sidecar: EngineMetadata
) -> Backend:
    flavour = sidecar.flavour
    fitting = next(b for b in _ENGINE_BACKENDS.values() if b.flavour == flavour)
    if backend not in (None, fitting.name):
        raise UsageError(
            f"{os.fspath(model)} was built by {FLAVOURS[flavour].title}, which the back end "
            f"{backend!r} is not. Use --backend {fitting.name}, or build it with --target "
            f"{_ENGINE_BACKENDS[backend].flavour}."
        )
    return fitting


def open_runtime(
    model: str | os.PathLike[str],
    backend: str | None = None,
    device: str | None = None,
    **options: Any,
) -> Runtime:
    """Open a model on a back end; use it in a ``with`` block or close it.

    Args:
        model: an exported file; for ``torch`` a checkpoint or a catalogue id.
        backend: a name from :data:`BACKENDS`; None chooses by the file's suffix.
        device: such as ``cpu`` or ``cuda:0``; None is the back end's default.
        options: of the back end's class, such as ``threads=2``.

    Raises:
        BackendUnavailableError: its packages, driver or device are missing.
        InputError: the file is damaged or was not made by this package.
        UsageError: no such back end or option, or a file that it does not open.
    """
    read: dict[str, EngineMetadata] = {}
    if _reads_sidecar(model, backend):
        read["sidecar"] = read_engine_metadata(model)
        chosen = _backend_for_engine(model, backend, read["sidecar"])
    else:
        chosen = backend_for(model, backend)
    reason = chosen.missing()
    if reason is not None:
        raise BackendUnavailableError(f"Cannot open {os.fspath(model)}: {reason}.")
    module, _, name = chosen.factory.partition(":")
    factory: type[Runtime] = getattr(importlib.import_module(module), name)
    own = ("model", "device", "sidecar")
    known = [name for name in inspect.signature(factory).parameters if name not in own]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise UsageError(
            f"The back end {chosen.name!r} has no option {', '.join(unknown)}; "
            f"it has {', '.join(known)}."
        )
    return factory(model, device=device, **options, **read)  # type: ignore[call-arg]
