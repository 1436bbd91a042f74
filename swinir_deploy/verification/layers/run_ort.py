"""Run an ONNX file in ONNX Runtime and return every tensor, by Polygraphy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from swinir_deploy.errors import InferenceError, SwinIRDeployError
from swinir_deploy.system.telemetry import without_telemetry
from swinir_deploy.verification.layers.marked import MarkedModel, Tensors, mark, quiet_polygraphy

if TYPE_CHECKING:
    from swinir_deploy.runtimes.providers import Provider

__all__ = ["OptimizationLevel", "effective_settings", "run_on_onnxruntime"]

OptimizationLevel = Literal["none", "basic", "extended", "all"]
"""ONNX Runtime's graph optimisations. Few fusions remain, because every tensor is an output."""

_LEVELS = {
    "none": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all": "ORT_ENABLE_ALL",
}


def effective_settings(
    marked: MarkedModel, provider: str | None, optimization: OptimizationLevel
) -> tuple[Provider, OptimizationLevel]:
    """Return the execution provider and the optimisation level that a model really runs with.

    ONNX Runtime's CPU provider has no half-precision arithmetic. There, a half-precision model
    computes in FP32 and every result is rounded, without graph optimisations.

    Raises:
        BackendUnavailableError: the installed onnxruntime lacks the provider.
    """
    from swinir_deploy.runtimes.providers import find_provider

    selected = find_provider(provider or "cpu")
    rounds = marked.metadata.precision != "fp32" and selected.short == "cpu"
    return selected, "none" if rounds else optimization


def run_on_onnxruntime(
    marked: MarkedModel,
    batch: NDArray[Any],
    *,
    provider: str | None = None,
    optimization: OptimizationLevel = "none",
) -> Tensors:
    """Run a model once, as :func:`effective_settings` says, and return every tensor.

    Raises:
        BackendUnavailableError: the installed onnxruntime lacks the provider, or it cannot start.
        InferenceError: ONNX Runtime failed.
    """
    with without_telemetry():
        import onnxruntime
    from polygraphy.backend.onnxrt import OnnxrtRunner
    from polygraphy.comparator import Comparator

    from swinir_deploy.exporters.onnx.rounding import round_every_result
    from swinir_deploy.runtimes.providers import create_session

    selected, level = effective_settings(marked, provider, optimization)
    rounds = marked.metadata.precision != "fp32" and selected.short == "cpu"
    content, visible = mark(marked, round_every_result(marked.model) if rounds else None)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, _LEVELS[level])
    with quiet_polygraphy():
        try:
            # Polygraphy's own session would silently fall back from a failed provider to the CPU.
            session = create_session(content, selected, options=options)
            results = Comparator.run(
                [OnnxrtRunner(session, name="runner")], data_loader=[{marked.input_name: batch}]
            )
        except SwinIRDeployError:
            raise
        except Exception as error:  # Polygraphy and ONNX Runtime raise many kinds
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise InferenceError(
                f"{marked.path} with all its tensors as outputs fails on {selected.name} "
                f"({lines[0]}). Compare the outputs alone: swinir-deploy verify {marked.path}"
            ) from error
    values = results["runner"][0]
    return Tensors(
        values={node: np.asarray(values[name]) for name, node in visible.items()},
        ran_on=f"ort {selected.short}, {marked.metadata.precision}",
        precision=marked.metadata.precision,
        residual_scale_log2=marked.metadata.residual_scale_log2,
    )
