"""ONNX Runtime: an exported ``.onnx`` file and nothing else; no torch, no onnx."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from swinir_deploy.artifact import ArtifactMetadata
from swinir_deploy.errors import (
    ArtifactError,
    BackendUnavailableError,
    DeviceMemoryError,
    InferenceError,
    UsageError,
)
from swinir_deploy.runtimes.base import Runtime, RuntimeSpec

__all__ = ["OnnxRuntime"]

_PROVIDERS_OF_DEVICE = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
}

_ELEMENT_TYPES = {"tensor": "tensor(float)", "image": "tensor(uint8)"}

_OUT_OF_MEMORY = ("failed to allocate memory", "bad_alloc", "out of memory", "bfcarena")


class OnnxRuntime(Runtime):
    """An ONNX model in an ``onnxruntime.InferenceSession``.

    Args:
        model: path of a file that ``swinir-deploy export`` wrote.
        device: ``cpu`` (default), ``cuda`` or ``cuda:N``; what ``provider`` names is used first.
        provider: an execution provider, as ``CUDAExecutionProvider`` or short ``cuda``.
        provider_options: passed through to the provider.
        threads: of one operator; None leaves it to ONNX Runtime.

    Raises:
        ArtifactError: the file is missing, damaged, or was not made by this package.
        BackendUnavailableError: this build of onnxruntime lacks the provider.
    """

    def __init__(
        self,
        model: str | os.PathLike[str],
        device: str | None = None,
        *,
        provider: str | None = None,
        provider_options: dict[str, Any] | None = None,
        threads: int | None = None,
    ) -> None:
        self._path = Path(model)
        self._device = device or "cpu"
        self._provider, self._provider_options = _provider(self._device, provider)
        self._provider_options |= provider_options or {}
        if threads is not None and threads < 1:
            raise UsageError(f"threads is {threads}; it must be at least 1.")
        self._threads = threads
        super().__init__()

    def _load(self) -> RuntimeSpec:
        if not self._path.is_file():
            raise ArtifactError(
                f"{self._path}: {'is a folder' if self._path.is_dir() else 'no such file'}. "
                "Export a model first: swinir-deploy export --help"
            )
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        if self._threads is not None:
            options.intra_op_num_threads = self._threads
        try:
            session = onnxruntime.InferenceSession(
                os.fspath(self._path),
                options,
                providers=[(self._provider, self._provider_options)],
            )
        except Exception as error:  # onnxruntime's exceptions share no public base
            raise ArtifactError(
                f"{self._path}: ONNX Runtime {onnxruntime.__version__} cannot load it "
                f"({_first_line(error)}). The file is damaged or no ONNX model; export it again."
            ) from error
        metadata = ArtifactMetadata.from_props(
            session.get_modelmeta().custom_metadata_map, str(self._path)
        )
        spec = self._describe(session, metadata)
        self._session = session
        self._input_name = session.get_inputs()[0].name
        self._output_name = session.get_outputs()[0].name
        return spec

    def _describe(
        self, session: onnxruntime.InferenceSession, metadata: ArtifactMetadata
    ) -> RuntimeSpec:
        inputs, outputs = session.get_inputs(), session.get_outputs()
        wanted = _ELEMENT_TYPES[metadata.io]
        channel_axis = 1 if metadata.io == "tensor" else 3
        fits = (
            len(inputs) == len(outputs) == 1
            and inputs[0].type == outputs[0].type == wanted
            and len(inputs[0].shape) == 4
            and inputs[0].shape[channel_axis] == metadata.in_chans
        )
        if not fits:
            found = [f"{value.type}{value.shape}" for value in (*inputs, *outputs)]
            raise ArtifactError(
                f"{self._path}: its metadata says io={metadata.io!r} with {metadata.in_chans} "
                f"channels, but the graph has {', '.join(found)}. The file was changed after its "
                "export; export it again."
            )
        running = session.get_providers()[0]
        device = "cpu" if running == "CPUExecutionProvider" else self._device
        return RuntimeSpec.of_artifact(metadata, "ort", device, inputs[0].shape)

    def _infer(self, batch: NDArray[Any]) -> NDArray[Any]:
        try:
            result = self._session.run([self._output_name], {self._input_name: batch})[0]
        except Exception as error:
            text = str(error).lower()
            if any(mark in text for mark in _OUT_OF_MEMORY):
                raise DeviceMemoryError(
                    f"ONNX Runtime ran out of memory on an input of {list(batch.shape)}. "
                    "Use smaller tiles (--tile) or batches."
                ) from error
            raise InferenceError(
                f"ONNX Runtime failed on an input of {list(batch.shape)}: {_first_line(error)}."
            ) from error
        return np.asarray(result)

    def _unload(self) -> None:
        del self._session


def _provider(device: str, provider: str | None) -> tuple[str, dict[str, Any]]:
    """Execution provider and its options for a device or an explicit provider name."""
    kind, _, index = device.partition(":")
    if kind not in _PROVIDERS_OF_DEVICE or (index and not index.isdigit()):
        raise UsageError(f"No device {device!r} for ort; give cpu, cuda or cuda:0, or --provider.")
    available: list[str] = onnxruntime.get_available_providers()
    if provider is None:
        name = _PROVIDERS_OF_DEVICE[kind]
    else:
        by_short = {n.removesuffix("ExecutionProvider").lower(): n for n in available}
        name = by_short.get(provider.lower(), provider)
    if name not in available:
        remedy = (
            "pip install 'swinir-deploy[ort-gpu]' (and remove onnxruntime first)"
            if "CUDA" in name or "Tensorrt" in name
            else "give one of those"
        )
        raise BackendUnavailableError(
            f"This onnxruntime {onnxruntime.__version__} has no {name}; it has "
            f"{', '.join(available)}. Next step: {remedy}."
        )
    options: dict[str, Any] = {"device_id": index} if index and kind != "cpu" else {}
    return name, options


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__).rstrip(".")
