"""An ONNX model with its intermediate tensors as outputs, for every back end."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from swinir_deploy.artifacts.metadata import ArtifactMetadata, Precision
from swinir_deploy.artifacts.onnx_file import load_onnx, metadata_of

if TYPE_CHECKING:
    import onnx

__all__ = ["MarkedModel", "Tensors", "mark", "quiet_polygraphy", "visible_tensors"]


@dataclass(frozen=True)
class Tensors:
    """The tensors of one run of one side.

    Attributes:
        values: name of a node -> its tensor.
        ran_on: back end, device and precision, such as ``openvino cpu, bf16``.
        precision: the coarser of the weights' precision and the arithmetic's.
        residual_scale_log2: k, where the residual stream is multiplied by 2**-k.
        of_modules: True if the values are outputs of PyTorch modules. The graph's tensor may have
            the shape from before the module's last reshape.
    """

    values: dict[str, NDArray[Any]]
    ran_on: str
    precision: Precision
    residual_scale_log2: int
    of_modules: bool = False


@dataclass(frozen=True)
class MarkedModel:
    """An ONNX model, read for a comparison.

    Attributes:
        path: path of the file.
        model: the ONNX model.
        metadata: this package's metadata of the model.
        tensors: name of a tensor -> name of its node in reports.
        positions: name of a node in reports -> index of the node in the graph, from 0.
        op_types: name of a node in reports -> operator of the node.
    """

    path: Path
    model: onnx.ModelProto
    metadata: ArtifactMetadata
    tensors: dict[str, str]
    positions: dict[str, int]
    op_types: dict[str, str]

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> MarkedModel:
        """Read an ONNX file.

        Raises:
            ArtifactError: the file is missing or no ONNX file, or this package did not export it.
        """
        model = load_onnx(path)
        metadata = metadata_of(model, path)
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

    @property
    def input_name(self) -> str:
        """Return the name of the model's only input."""
        name: str = self.model.graph.input[0].name
        return name


def mark(marked: MarkedModel, model: onnx.ModelProto | None = None) -> tuple[bytes, dict[str, str]]:
    """Return the model with every tensor of :attr:`MarkedModel.tensors` as an output.

    Args:
        marked: the model.
        model: a graph with the same tensors that replaces the model's own; None does not.

    Returns:
        The bytes of the ONNX file, and name of an output -> name of its node in reports.
    """
    from polygraphy.backend.onnx import BytesFromOnnx, ModifyOutputs

    typed, visible = visible_tensors(marked, model)
    with quiet_polygraphy():
        content: bytes = BytesFromOnnx(ModifyOutputs(typed, outputs=list(visible)))()
    return content, visible


def visible_tensors(
    marked: MarkedModel, model: onnx.ModelProto | None = None, *, floating_only: bool = False
) -> tuple[onnx.ModelProto, dict[str, str]]:
    """Return a copy of the model with inferred types, and the tensors to compare.

    NumPy has no BF16, so a cast to FP32 is added behind such tensors.

    Args:
        marked: the model.
        model: as in :func:`mark`.
        floating_only: leave out integers and booleans inside the graph, which are sizes and masks.

    Returns:
        The copy, and name of a tensor in the copy -> name of its node in reports.
    """
    import onnx

    typed = onnx.shape_inference.infer_shapes(marked.model if model is None else model)
    values = [*typed.graph.value_info, *typed.graph.output]
    types = {value.name: value.type.tensor_type.elem_type for value in values}
    floating = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16)
    interface = {value.name for value in typed.graph.output}
    visible: dict[str, str] = {}
    for node in list(typed.graph.node):
        for tensor in node.output:
            if tensor not in marked.tensors:
                continue
            name = tensor
            if types.get(tensor) == onnx.TensorProto.BFLOAT16:
                name = f"{tensor}/as_fp32"
                cast = onnx.helper.make_node(
                    "Cast", [tensor], [name], name=name, to=onnx.TensorProto.FLOAT
                )
                typed.graph.node.append(cast)
            elif floating_only and not (tensor in interface or types.get(tensor) in floating):
                continue
            visible[name] = marked.tensors[tensor]
    return typed, visible


@contextlib.contextmanager
def quiet_polygraphy() -> Iterator[None]:
    """Silence Polygraphy's own output during the block."""
    from polygraphy.logger import G_LOGGER

    with G_LOGGER.verbosity(G_LOGGER.CRITICAL):
        yield
