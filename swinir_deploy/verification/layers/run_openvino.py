"""Run an ONNX file in OpenVINO and return every tensor. Polygraphy has no runner for OpenVINO."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from swinir_deploy.artifacts.metadata import coarsest
from swinir_deploy.errors import InferenceError
from swinir_deploy.runtimes.openvino_runtime import (
    answered_precision,
    last_line,
    precision_hint,
    require_device,
)
from swinir_deploy.system.telemetry import without_telemetry
from swinir_deploy.verification.layers.marked import MarkedModel, Tensors, mark

with without_telemetry():
    import openvino

__all__ = ["run_on_openvino"]


def run_on_openvino(
    marked: MarkedModel,
    batch: NDArray[Any],
    *,
    device: str | None = None,
    precision: str | None = None,
) -> Tensors:
    """Compile a model for a device, run it once and return every tensor.

    Args:
        marked: the model.
        batch: the input, in the model's layout.
        device: ``cpu`` (default), ``gpu``, ...
        precision: the requested precision: ``fp32`` (default), ``bf16`` or ``fp16``. OpenVINO may
            use another one; :attr:`Tensors.precision` says which.

    Raises:
        BackendUnavailableError: OpenVINO does not find the device.
        InferenceError: OpenVINO failed.
        UsageError: the device or the precision is unknown.
    """
    name = (device or "cpu").upper()
    properties = {"INFERENCE_PRECISION_HINT": precision_hint(precision)}
    core = openvino.Core()
    require_device(core, name)
    content, visible = mark(marked)
    try:
        compiled = core.compile_model(core.read_model(content), name, properties)
        request = compiled.create_infer_request()
        request.infer([batch])
        # Several tensors that hold the same values may share one output.
        values = {
            visible[tensor]: np.array(request.get_tensor(port).data)
            for port in compiled.outputs
            for tensor in port.get_names()
            if tensor in visible
        }
    except RuntimeError as error:
        raise InferenceError(
            f"{marked.path} with all its tensors as outputs fails on OpenVINO "
            f"{openvino.__version__} ({last_line(error)}). Compare the outputs alone: "
            f"swinir-deploy verify {marked.path} --backend openvino"
        ) from error
    answered = answered_precision(compiled)
    return Tensors(
        values=values,
        ran_on=f"openvino {name.lower()}, {answered}",
        precision=coarsest(marked.metadata.precision, answered),
        residual_scale_log2=marked.metadata.residual_scale_log2,
    )
