"""An ONNX model with every intermediate tensor as an output, run by Polygraphy."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from swinir_deploy.artifact import ArtifactMetadata
from swinir_deploy.errors import ArtifactError, InferenceError, SwinIRDeployError

if TYPE_CHECKING:
    import onnx

    from swinir_deploy.runtimes.providers import Provider

__all__ = [
    "MarkedModel",
    "OptimizationLevel",
    "effective_settings",
    "quiet_polygraphy",
    "run_marked",
]

OptimizationLevel = Literal["none", "basic", "extended", "all"]
"""ONNX Runtime's graph optimisations. Marked tensors must exist, so few fusions are left."""

_LEVELS = {
    "none": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all": "ORT_ENABLE_ALL",
}


@dataclass(frozen=True)
class MarkedModel:
    """A model that was read for a comparison.

    Attributes:
        path: of the file.
        model: what was read.
        metadata: of this package.
        tensors: tensor's name -> the name under which its node is known.
        positions: that name -> the node's number in the graph.
        op_types: that name -> the node's operator.
    """

    path: Path
    model: onnx.ModelProto
    metadata: ArtifactMetadata
    tensors: dict[str, str]
    positions: dict[str, int]
    op_types: dict[str, str]

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> MarkedModel:
        """Read a file.

        Raises:
            ArtifactError: it is not there, no ONNX file, or not of this package.
        """
        import onnx

        try:
            model = onnx.load(os.fspath(path))
        except Exception as error:  # protobuf's exceptions share no public base
            raise ArtifactError(
                f"{os.fspath(path)}: cannot be read as ONNX ({str(error).splitlines()[0]}). "
                "Export it again."
            ) from error
        props = {prop.key: prop.value for prop in model.metadata_props}
        metadata = ArtifactMetadata.from_props(props, os.fspath(path))
        tensors: dict[str, str] = {}
        positions: dict[str, int] = {}
        op_types: dict[str, str] = {}
        for number, node in enumerate(model.graph.node):
            for index, tensor in enumerate(node.output):
                if not tensor:
                    continue
                name = node.name or tensor
                name = f"{name}:{index}" if index else name
                tensors[tensor] = name
                positions[name] = number
                op_types[name] = node.op_type
        return cls(Path(path), model, metadata, tensors, positions, op_types)


def effective_settings(
    marked: MarkedModel, provider: str | None, optimization: OptimizationLevel
) -> tuple[Provider, OptimizationLevel]:
    """What a model really runs on, and at which optimisation level.

    ONNX Runtime's CPU provider has no half-precision arithmetic. There, a half-precision model
    computes in FP32 and every result is rounded, without graph optimisations.

    Raises:
        BackendUnavailableError: this onnxruntime lacks the provider.
    """
    from swinir_deploy.runtimes.providers import find_provider

    chosen = find_provider(provider or "cpu")
    rounds = marked.metadata.precision != "fp32" and chosen.short == "cpu"
    return chosen, "none" if rounds else optimization


def run_marked(
    marked: MarkedModel,
    batch: NDArray[Any],
    *,
    provider: str | None,
    optimization: OptimizationLevel,
) -> dict[str, NDArray[Any]]:
    """Run a model once on ONNX Runtime and give every tensor by its node's name.

    It runs as :func:`effective_settings` says.

    Raises:
        BackendUnavailableError: this onnxruntime lacks the provider, or it cannot start.
        InferenceError: ONNX Runtime failed.
    """
    import onnxruntime
    from polygraphy.backend.onnx import BytesFromOnnx, ModifyOutputs
    from polygraphy.backend.onnxrt import OnnxrtRunner
    from polygraphy.comparator import Comparator

    from swinir_deploy.exporters.rounding import round_every_result
    from swinir_deploy.runtimes.providers import create_session

    chosen, level = effective_settings(marked, provider, optimization)
    model = marked.model
    if marked.metadata.precision != "fp32" and chosen.short == "cpu":
        model = round_every_result(model)
    model, visible = _visible(model, marked.tensors)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, _LEVELS[level])
    with quiet_polygraphy():
        try:
            # Not Polygraphy's own session: ONNX Runtime would replace a provider by the CPU.
            content = BytesFromOnnx(ModifyOutputs(model, outputs=list(visible)))()
            session = create_session(content, chosen, options=options)
            results = Comparator.run(
                [OnnxrtRunner(session, name="runner")],
                data_loader=[{marked.model.graph.input[0].name: batch}],
            )
        except SwinIRDeployError:
            raise
        except Exception as error:  # Polygraphy and ONNX Runtime raise many kinds
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise InferenceError(
                f"{marked.path} with all its tensors as outputs fails on {chosen.name}: {lines[0]}."
            ) from error
    values = results["runner"][0]
    return {marked.tensors[visible[name]]: np.asarray(values[name]) for name in visible}


def _visible(
    model: onnx.ModelProto, tensors: Mapping[str, str]
) -> tuple[onnx.ModelProto, dict[str, str]]:
    """A copy, and the tensors to look at: name in the copy -> name in the model.

    NumPy knows no BF16: such tensors are looked at behind a cast to FP32.
    """
    import onnx

    typed = onnx.shape_inference.infer_shapes(model)
    values = [*typed.graph.value_info, *typed.graph.output]
    types = {value.name: value.type.tensor_type.elem_type for value in values}
    visible: dict[str, str] = {}
    for node in list(typed.graph.node):
        for tensor in node.output:
            if tensor not in tensors:
                continue
            if types.get(tensor) != onnx.TensorProto.BFLOAT16:
                visible[tensor] = tensor
                continue
            name = f"{tensor}/as_fp32"
            cast = onnx.helper.make_node(
                "Cast", [tensor], [name], name=name, to=onnx.TensorProto.FLOAT
            )
            typed.graph.node.append(cast)
            visible[name] = tensor
    return typed, visible


@contextlib.contextmanager
def quiet_polygraphy() -> Iterator[None]:
    """Keep Polygraphy's own report off the terminal for the time of the block."""
    from polygraphy.logger import G_LOGGER

    with G_LOGGER.verbosity(G_LOGGER.CRITICAL):
        yield
