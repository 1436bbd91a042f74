"""The back end of OpenVINO: it runs an exported ``.onnx`` file on a CPU, a GPU or an NPU.

It needs neither torch nor onnx.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import warnings
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swinir_deploy.artifacts.metadata import METADATA_PREFIX, ArtifactMetadata, Precision, coarsest
from swinir_deploy.artifacts.needed_versions import (
    openvino_gives_wrong_pixels,
    openvino_too_old,
)
from swinir_deploy.artifacts.onnx_file import not_onnx
from swinir_deploy.errors import (
    ArtifactError,
    BackendUnavailableError,
    InferenceError,
    SwinIRDeployWarning,
    UsageError,
)
from swinir_deploy.runtimes.base import Runtime
from swinir_deploy.runtimes.spec import RuntimeSpec
from swinir_deploy.system.cache_folder import CACHE_VARIABLE, cache_folder
from swinir_deploy.system.choices import unknown_choice
from swinir_deploy.system.device import parse_device
from swinir_deploy.system.telemetry import without_telemetry

with without_telemetry():
    import openvino

__all__ = [
    "OpenVinoRuntime",
    "answered_precision",
    "last_line",
    "precision_hint",
    "require_device",
]

_HINTS: dict[str, str] = {"fp32": "f32", "fp16": "f16", "bf16": "bf16"}
_PRECISIONS: dict[str, Precision] = {"f32": "fp32", "f16": "fp16", "bf16": "bf16"}
_ELEMENT_TYPES = {"tensor": "f32", "image": "u8"}


class OpenVinoRuntime(Runtime):
    """An ONNX model that OpenVINO has compiled for one device.

    The precision of the arithmetic is always requested, because OpenVINO would otherwise use BF16
    on a CPU that has it. ``spec.precision`` is the precision that the device reports, or that of
    the file if it is coarser.

    Args:
        model: path of a file that ``swinir-deploy export`` wrote.
        device: ``cpu`` (default), ``gpu``, ``gpu.1`` or ``npu``: OpenVINO's names, in upper or
            lower case.
        precision: ``fp32`` (default), ``bf16`` or ``fp16``. It is a hint: OpenVINO uses another
            precision if the hardware does not have it.
        threads: number of threads on the CPU; None leaves it to OpenVINO.
        throughput: whether to divide the cores among the pictures of a batch, which are then
            computed separately and at the same time. This gives more pictures a second, and each
            picture takes longer.
        cache: whether to keep the compiled model in the cache folder, which halves the time to
            open it.

    Raises:
        ArtifactError: the file is missing, is damaged, or was not made by this package.
        BackendUnavailableError: OpenVINO does not find the device or its driver.
        UsageError: there is no such device or precision.
    """

    def __init__(
        self,
        model: str | os.PathLike[str],
        device: str | None = None,
        *,
        precision: str | None = None,
        threads: int | None = None,
        throughput: bool = False,
        cache: bool = True,
    ) -> None:
        self._path = Path(model)
        self._device = (device or "cpu").upper()
        self._hint = precision_hint(precision)
        if threads is not None and threads < 1:
            raise UsageError(f"threads is {threads}; it must be at least 1.")
        self._threads, self._throughput, self._cache = threads, throughput, cache
        super().__init__()

    def _load(self) -> RuntimeSpec:
        if not self._path.is_file():
            raise ArtifactError(
                f"{self._path}: {'is a folder' if self._path.is_dir() else 'no such file'}. "
                "Export a model first: swinir-deploy export --help"
            )
        core = openvino.Core()
        require_device(core, self._device)
        try:
            model = core.read_model(self._path)
        except RuntimeError as error:
            too_old = openvino_too_old(str(error), openvino.__version__, os.fspath(self._path))
            if too_old is not None:
                raise BackendUnavailableError(too_old) from error
            raise not_onnx(self._path) or ArtifactError(
                f"{self._path}: OpenVINO {openvino.__version__} cannot read it "
                f"({last_line(error)}). The file is damaged or no ONNX model. Export it again."
            ) from error
        metadata = ArtifactMetadata.from_props(_properties(model), str(self._path))
        self._require_match(model, metadata)
        wrong = openvino_gives_wrong_pixels(metadata, openvino.__version__, os.fspath(self._path))
        if wrong is not None:
            raise BackendUnavailableError(wrong)
        if self._device.startswith("NPU"):
            warnings.warn(
                "Swin networks were reported to give wrong pictures on NPUs without any error "
                f"(openvino#37264). Check first: swinir-deploy verify {self._path} "
                f"--backend openvino --device {self._device.lower()}",
                SwinIRDeployWarning,
                stacklevel=4,
            )
        try:
            self._compiled = self._compile(core, model)
        except RuntimeError as error:
            raise BackendUnavailableError(
                f"{self._path}: OpenVINO {openvino.__version__} cannot compile it for "
                f"{self._device} ({last_line(error)}). Try another --device: "
                f"{', '.join(core.available_devices)}."
            ) from error
        self._requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._request_count = 0
        self._max_requests = int(self._compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
        self._counting = threading.Lock()
        return RuntimeSpec.of_artifact(
            metadata,
            "openvino",
            self._device.lower(),
            [dim.get_length() if dim.is_static else None for dim in model.input(0).partial_shape],
            # FP32 arithmetic does not make half-precision weights more precise.
            coarsest(metadata.precision, answered_precision(self._compiled)),
        )

    def _compile(self, core: openvino.Core, model: openvino.Model) -> openvino.CompiledModel:
        """Compile the model with the cache, or without it where the cache cannot be used.

        Raises:
            RuntimeError: OpenVINO cannot compile it either way.
        """
        properties = self._properties()
        if not self._cache:
            return core.compile_model(model, self._device, properties)
        folder = cache_folder() / "openvino"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            cached = {**properties, "CACHE_DIR": str(folder)}
            return core.compile_model(model, self._device, cached)
        except (OSError, RuntimeError) as error:
            compiled = core.compile_model(model, self._device, properties)
            reason = last_line(error) if isinstance(error, RuntimeError) else error.strerror
            warnings.warn(
                f"OpenVINO's cache {folder} cannot be used ({reason}), so that opening a model "
                f"takes longer. Set {CACHE_VARIABLE} to a folder that may be written to.",
                SwinIRDeployWarning,
                stacklevel=5,
            )
            return compiled

    def _properties(self) -> dict[str, Any]:
        properties: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": self._hint,
            "PERFORMANCE_HINT": "THROUGHPUT" if self._throughput else "LATENCY",
        }
        if self._threads is not None:
            properties["INFERENCE_NUM_THREADS"] = self._threads
        return properties

    def _require_match(self, model: openvino.Model, metadata: ArtifactMetadata) -> None:
        """Check that metadata and graph say the same about input and output.

        Raises:
            ArtifactError: they differ.
        """
        ports = [*model.inputs, *model.outputs]
        channel_axis = 1 if metadata.io == "tensor" else 3
        actual = [f"{p.get_element_type().get_type_name()}{p.partial_shape}" for p in ports]
        expected = _ELEMENT_TYPES[metadata.io]
        first = ports[0].partial_shape
        fits = (
            len(model.inputs) == len(model.outputs) == 1
            and all(p.get_element_type().get_type_name() == expected for p in ports)
            and first.rank.is_static
            and len(first) == 4
            and first[channel_axis].is_static
            and first[channel_axis].get_length() == metadata.in_chans
        )
        if not fits:
            raise ArtifactError(
                f"{self._path}: its metadata says io={metadata.io!r} with {metadata.in_chans} "
                f"channels, but the graph has {', '.join(actual)}. The file was changed after its "
                "export. Export it again."
            )

    def _infer(self, batch: NDArray[Any]) -> NDArray[Any]:
        try:
            if self._throughput and len(batch) > 1:
                return self._one_by_one(batch)
            request = self._borrow()
            try:
                request.infer([batch], share_inputs=True)
                return np.array(request.get_output_tensor().data)
            finally:
                self._requests.put(request)
        except RuntimeError as error:
            raise InferenceError(
                f"OpenVINO failed on an input of {list(batch.shape)}: {last_line(error)}."
            ) from error

    def _one_by_one(self, batch: NDArray[Any]) -> NDArray[Any]:
        """Compute each picture in a separate request, as many at a time as the device suggests.

        OpenVINO's AsyncInferQueue is not used: its callbacks run Python in OpenVINO's threads, and
        releasing the model then waited for ever for the lock of the interpreter.
        """
        result = np.empty(self._spec.output_shape(batch.shape), self._spec.dtype)
        running: deque[tuple[int, Any]] = deque()

        def finish() -> Any:
            index, request = running.popleft()
            try:
                request.wait()
                result[index] = request.get_output_tensor().data[0]
            except BaseException:
                self._requests.put(request)
                raise
            return request

        try:
            for index in range(len(batch)):
                # Finish the oldest own request before waiting for one of another thread, so that
                # two threads never wait for each other.
                request = self._borrow(wait=not running) or finish()
                try:
                    request.start_async([batch[index : index + 1]], share_inputs=True)
                except BaseException:
                    self._requests.put(request)
                    raise
                running.append((index, request))
            while running:
                self._requests.put(finish())
        finally:
            for _, request in running:  # only after an error; further errors are not reported
                with contextlib.suppress(RuntimeError):
                    request.wait()
                self._requests.put(request)
        return result

    def _borrow(self, wait: bool = True) -> Any:
        """Return an idle request, or make one while there are fewer than the device suggests.

        Args:
            wait: whether to wait for a request of another thread; otherwise return None.
        """
        try:
            return self._requests.get_nowait()
        except queue.Empty:
            # The lock is held while a request is made, so that no thread waits for one that fails.
            with self._counting:
                if self._request_count < max(1, self._max_requests):
                    request = self._compiled.create_infer_request()
                    self._request_count += 1
                    return request
            return self._requests.get() if wait else None

    def _unload(self) -> None:
        del self._requests, self._compiled


def precision_hint(precision: str | None) -> str:
    """Return OpenVINO's name of a precision; None means ``fp32``.

    Raises:
        UsageError: there is no such precision.
    """
    if (precision or "fp32") not in _HINTS:
        raise UsageError(unknown_choice("precision", precision, _HINTS))
    return _HINTS[precision or "fp32"]


def answered_precision(compiled: openvino.CompiledModel) -> Precision:
    """Return the precision in which the device computes; it may not be the requested one."""
    answered = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    return _PRECISIONS.get(answered, "fp32")


def require_device(core: openvino.Core, device: str) -> None:
    """Check that OpenVINO finds a device.

    Args:
        core: OpenVINO's core.
        device: its name in upper case, such as ``CPU``, ``GPU`` or ``GPU.1``.

    Raises:
        BackendUnavailableError: this machine has no such device, or no driver for it.
        UsageError: the name is not that of a device.
    """
    parse_device(device.lower(), ("cpu", "gpu", "npu"), "cpu, gpu, gpu.1 or npu", "openvino", ".")
    available = core.available_devices
    if not any(name == device or name.partition(".")[0] == device for name in available):
        raise BackendUnavailableError(
            f"OpenVINO {openvino.__version__} finds no {device} here, only "
            f"{', '.join(available)}. Install the driver of the device (for a GPU also its OpenCL "
            "runtime), or take another --device."
        )


def _properties(model: openvino.Model) -> dict[str, str]:
    """Return the ``metadata_props`` of the ONNX file; OpenVINO keeps them under ``framework``."""
    info = dict(model.get_rt_info().items())
    props = info.get("framework", {})
    return {k: str(v.value) for k, v in props.items() if k.startswith(METADATA_PREFIX)}


def last_line(error: RuntimeError) -> str:
    """Return the last line of OpenVINO's message, which has the reason, without the full stop.

    The lines before it name places in OpenVINO's source.
    """
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__).rstrip(".")
