"""The back end of ONNX Runtime: it runs an exported ``.onnx`` file.

It needs neither torch nor onnx.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swinir_deploy.artifacts.metadata import ArtifactMetadata
from swinir_deploy.artifacts.needed_versions import ort_too_old
from swinir_deploy.artifacts.onnx_file import not_onnx
from swinir_deploy.errors import (
    ArtifactError,
    BackendUnavailableError,
    InferenceError,
    UsageError,
)
from swinir_deploy.runtimes.base import Runtime
from swinir_deploy.runtimes.providers import Provider, create_session, find_provider, first_line
from swinir_deploy.runtimes.spec import RuntimeSpec
from swinir_deploy.system.device import parse_device
from swinir_deploy.system.telemetry import without_telemetry

with without_telemetry():
    import onnxruntime

__all__ = ["OnnxRuntime"]

_ELEMENT_TYPES = {"tensor": "tensor(float)", "image": "tensor(uint8)"}


class OnnxRuntime(Runtime):
    """An ONNX model in an ``onnxruntime.InferenceSession``.

    Args:
        model: path of a file that ``swinir-deploy export`` wrote.
        device: ``cpu`` (default), ``cuda`` or ``cuda:N``.
        provider: the execution provider: ``cpu``, ``cuda``, ``tensorrt``, ``rtx``, or
            ONNX Runtime's own name. None means the provider of the device.
        provider_options: options of the provider. Keys such as ``ep.context_enable`` are options
            of the session (see :func:`swinir_deploy.runtimes.providers.create_session`).
        threads: number of threads for one operator; None leaves it to ONNX Runtime.

    Raises:
        ArtifactError: the file is missing, is damaged, or was not made by this package.
        BackendUnavailableError: this onnxruntime does not have the provider, or it cannot start.
            The CPU never replaces it.
        UsageError: there is no such device, or it is not that of the provider.
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
        self._provider, self._device_index = _provider(device, provider)
        self._provider_options = dict(provider_options or {})
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
            session = create_session(
                os.fspath(self._path),
                self._provider,
                device_index=self._device_index,
                options=options,
                provider_options=self._provider_options,
            )
        except (BackendUnavailableError, UsageError):
            raise
        except Exception as error:  # onnxruntime's exceptions have no public base class
            too_old = ort_too_old(str(error), onnxruntime.__version__, os.fspath(self._path))
            if too_old is not None:
                raise BackendUnavailableError(too_old) from error
            if "NOT_IMPLEMENTED" in str(error):
                raise BackendUnavailableError(
                    f"{self._path}: ONNX Runtime {onnxruntime.__version__} has no kernel for a "
                    f"node of it on {self._provider.short} ({first_line(error)}). Run a BF16 model "
                    "with --backend openvino or on a GPU, or export it in fp32 or fp16."
                ) from error
            raise not_onnx(self._path) or ArtifactError(
                f"{self._path}: ONNX Runtime {onnxruntime.__version__} cannot load it "
                f"({first_line(error)}). The file is damaged or no ONNX model. Export it again."
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
        expected = _ELEMENT_TYPES[metadata.io]
        channel_axis = 1 if metadata.io == "tensor" else 3
        fits = (
            len(inputs) == len(outputs) == 1
            and inputs[0].type == outputs[0].type == expected
            and len(inputs[0].shape) == 4
            and inputs[0].shape[channel_axis] == metadata.in_chans
        )
        if not fits:
            actual = [f"{value.type}{value.shape}" for value in (*inputs, *outputs)]
            raise ArtifactError(
                f"{self._path}: its metadata says io={metadata.io!r} with {metadata.in_chans} "
                f"channels, but the graph has {', '.join(actual)}. The file was changed after its "
                "export. Export it again."
            )
        kind = self._provider.device or self._provider.short
        device = f"{kind}:{self._device_index}" if kind == "cuda" else kind
        spec = RuntimeSpec.of_artifact(metadata, "ort", device, inputs[0].shape)
        return replace(spec, provider=session.get_providers()[0])

    def _infer(self, batch: NDArray[Any]) -> NDArray[Any]:
        try:
            result = self._session.run([self._output_name], {self._input_name: batch})[0]
        except Exception as error:
            raise InferenceError(
                f"ONNX Runtime failed on an input of {list(batch.shape)}: {first_line(error)}."
            ) from error
        return np.asarray(result)

    def _unload(self) -> None:
        del self._session


def _provider(device: str | None, provider: str | None) -> tuple[Provider, int]:
    """Return the execution provider and the number of the device.

    Raises:
        BackendUnavailableError: this onnxruntime does not have the provider.
        UsageError: there is no such device, or it is not that of the provider.
    """
    if device is None:
        return find_provider(provider or "cpu"), 0
    kind, index = parse_device(
        device, ("cpu", "cuda"), "cpu, cuda or cuda:0, or --provider", owner="ort"
    )
    selected = find_provider(provider or kind)
    if selected.device != kind:
        raise UsageError(
            f"The provider {selected.name} computes on "
            f"{selected.device or 'a device of its own'}, not on {device}. Give one of the two."
        )
    return selected, index
