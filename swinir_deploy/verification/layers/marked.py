"""An ONNX model with its intermediate tensors as outputs, whichever back end runs it."""

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
    """What one run of one side gave.

    Attributes:
        values: node's name -> its tensor.
        ran_on: back end, device and precision, such as ``openvino cpu, bf16``.
        precision: the coarsest at work: of the weights or of the arithmetic.
        residual_scale_log2: k of the stream's factor 2**-k.
        of_modules: these are outputs of PyTorch modules. In the graph, they may stand in the shape
            that they had before the module's last reshape.
    """

    values: dict[str, NDArray[Any]]
    ran_on: str
    precision: Precision
    residual_scale_log2: int
    of_modules: bool = False


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
        """Of its only input."""
        name: str = self.model.graph.input[0].name
        return name


def mark(marked: MarkedModel, model: onnx.ModelProto | None = None) -> tuple[bytes, dict[str, str]]:
    """The model with every tensor of :attr:`MarkedModel.tensors` as an output, by Polygraphy.

    Args:
        marked: the model.
        model: a graph with the same tensors that takes its place; None is the model's own.

    Returns:
        The file's bytes, and output's name -> the name under which its node is known.
    """
    from polygraphy.backend.onnx import BytesFromOnnx, ModifyOutputs

    typed, visible = visible_tensors(marked, model)
    with quiet_polygraphy():
        content: bytes = BytesFromOnnx(ModifyOutputs(typed, outputs=list(visible)))()
    return content, visible


def visible_tensors(
    marked: MarkedModel, model: onnx.ModelProto | None = None, *, floating_only: bool = False
) -> tuple[onnx.ModelProto, dict[str, str]]:
    """A copy with types, and the tensors to look at: name in the copy -> name of the node.

    NumPy knows no BF16: such tensors are looked at behind a cast to FP32.

    Args:
        marked: the model.
        model: as in :func:`mark`.
        floating_only: leave whole numbers and truth values inside the graph out: they are sizes
            and masks.
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
    """Keep Polygraphy's own report off the terminal for the time of the block."""
    from polygraphy.logger import G_LOGGER

    with G_LOGGER.verbosity(G_LOGGER.CRITICAL):
        yield
