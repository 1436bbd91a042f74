"""Read an ONNX file by another program: its ports, its precision, and what cannot be adopted."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnx.inliner
import onnx.version_converter
from onnx import TensorProto

from swinir_deploy.artifacts.metadata import Precision
from swinir_deploy.artifacts.onnx_file import find_metadata, load_onnx, sha256_of_onnx
from swinir_deploy.errors import InputError, UsageError

__all__ = ["ForeignModel", "ForeignPort", "read_foreign", "subgraphs"]

_DTYPES: dict[int, str] = {
    TensorProto.FLOAT: "float32",
    TensorProto.FLOAT16: "float16",
    TensorProto.DOUBLE: "float64",
    TensorProto.UINT8: "uint8",
}
"""Element types that an adopted model's ports may have."""

_OLDEST_OPSET = 11
"""The first operator set in which the padding and clamping around a model can be written."""

_CONVERTED_OPSET = 17
"""The operator set that older models are converted to."""

_QUANTISED = ("QLinear", "QuantizeLinear", "DequantizeLinear", "DynamicQuantize", "Integer")

_PRECISIONS: dict[int, Precision] = {
    TensorProto.FLOAT: "fp32",
    TensorProto.DOUBLE: "fp32",
    TensorProto.FLOAT16: "fp16",
    TensorProto.BFLOAT16: "bf16",
}


@dataclass(frozen=True)
class ForeignPort:
    """An input or output of a foreign graph.

    Attributes:
        name: name of the tensor.
        dtype: NumPy's name of its element type.
        dims: its four sides; None where a side is dynamic.
    """

    name: str
    dtype: str
    dims: tuple[int | None, int | None, int | None, int | None]

    def __str__(self) -> str:
        return f"{self.name}: {self.dtype} {_shown(self.dims)}"


@dataclass(frozen=True, eq=False)
class ForeignModel:
    """An ONNX file by another program.

    Attributes:
        path: path of the file.
        model: the model with its weights, of operator set 11 or newer, without local functions.
            Its graph has one input; initialisers are no inputs.
        sha256: SHA-256 of the file and its external data, in lower-case hex.
        input: the input.
        outputs: the outputs that can hold pictures, in their order.
        precision: precision of most of the weights.
        opset: operator set of the model.
        notes: sentences for the user about what was changed in reading.
    """

    path: Path
    model: onnx.ModelProto
    sha256: str
    input: ForeignPort
    outputs: tuple[ForeignPort, ...]
    precision: Precision
    opset: int
    notes: tuple[str, ...]


def read_foreign(path: str | os.PathLike[str]) -> ForeignModel:
    """Read an ONNX file and check that its ports may be those of a restoration model.

    Raises:
        ArtifactError: the file or its external data is missing or damaged.
        InputError: the model cannot be adopted; the message says why.
        UsageError: this package wrote the file.
    """
    file = Path(path)
    model = load_onnx(file)
    if find_metadata(model, file) is not None:
        raise UsageError(
            f"{file} carries swinir-deploy's metadata already. Use it as it is: swinir-deploy "
            f"restore IN OUT --model {file}"
        )
    _require_floats(file, model)
    notes: list[str] = []
    if model.functions:
        model = onnx.inliner.inline_local_functions(model)
    model, opset = _of_known_opset(file, model, notes)
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    return ForeignModel(
        path=file,
        model=model,
        sha256=_sha256(file),
        input=_only_input(file, inputs),
        outputs=_pictures(file, model),
        precision=_precision(model),
        opset=opset,
        notes=tuple(notes),
    )


def subgraphs(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    """Return the graphs inside a node, such as the branches of ``If``."""
    found = [a.g for a in node.attribute if a.type == onnx.AttributeProto.GRAPH]
    for attribute in node.attribute:
        found.extend(attribute.graphs)
    return found


def _sha256(file: Path) -> str:
    content = file.read_bytes()
    return sha256_of_onnx(content, onnx.load_model_from_string(content), file.parent)


def _require_floats(file: Path, model: onnx.ModelProto) -> None:
    quantised = [n.op_type for n in model.graph.node if any(q in n.op_type for q in _QUANTISED)]
    if quantised:
        raise InputError(
            f"{file} is quantised to integers ({quantised[0]} and {len(quantised) - 1} more such "
            "nodes). Only fp32, fp16 and bf16 models can be adopted. Give the file that it was "
            "quantised from."
        )


def _of_known_opset(
    file: Path, model: onnx.ModelProto, notes: list[str]
) -> tuple[onnx.ModelProto, int]:
    """Return the model with operator set 11 or newer, and that number."""
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    others = sorted(domain for domain in opsets if domain not in ("", "ai.onnx"))
    used = {node.domain for node in model.graph.node}
    foreign = [domain for domain in others if domain in used and domain != "ai.onnx.ml"]
    if foreign:
        notes.append(
            f"It has operators of {', '.join(foreign)}, which only the runtimes that define them "
            "can compute."
        )
    opset = opsets.get("", opsets.get("ai.onnx", 1))
    if opset >= _OLDEST_OPSET:
        return model, opset
    try:
        converted = onnx.version_converter.convert_version(model, _CONVERTED_OPSET)
    except Exception as error:  # the converter raises RuntimeError and its own classes
        raise InputError(
            f"{file} has opset {opset}, which onnx cannot convert to {_CONVERTED_OPSET} "
            f"({' '.join(str(error).split())[:120]}). Export it with opset {_OLDEST_OPSET} or "
            "newer."
        ) from error
    notes.append(f"Its opset {opset} was converted to {_CONVERTED_OPSET}.")
    return converted, _CONVERTED_OPSET


def _only_input(file: Path, inputs: list[onnx.ValueInfoProto]) -> ForeignPort:
    if len(inputs) != 1:
        named = ", ".join(_described(value) for value in inputs) or "none"
        raise InputError(
            f"{file} has {len(inputs)} inputs ({named}); a model that restores one picture has "
            "one. Export it with the other inputs as constants."
        )
    port = _port(inputs[0])
    if port is None:
        raise InputError(
            f"{file} takes {_described(inputs[0])}, which is no batch of pictures. It must be "
            f"[batch, channels, height, width] or [batch, height, width, channels] of "
            f"{', '.join(sorted(set(_DTYPES.values())))}. Export it so."
        )
    return port


def _pictures(file: Path, model: onnx.ModelProto) -> tuple[ForeignPort, ...]:
    ports = [_port(value) for value in model.graph.output]
    found = tuple(port for port in ports if port is not None)
    if not found:
        named = ", ".join(_described(value) for value in model.graph.output)
        raise InputError(
            f"{file} gives {named}, which is no picture: it does not restore pictures, and cannot "
            "be adopted. Give a model whose output is a picture."
        )
    return found


def _port(value: onnx.ValueInfoProto) -> ForeignPort | None:
    """Return the port if it can be a batch of pictures, else None."""
    tensor = value.type.tensor_type
    dtype = _DTYPES.get(tensor.elem_type)
    if not value.type.HasField("tensor_type") or dtype is None:
        return None
    if not tensor.HasField("shape"):
        return ForeignPort(value.name, dtype, (None, None, None, None))
    dims = tuple(dim.dim_value if dim.dim_value > 0 else None for dim in tensor.shape.dim)
    return ForeignPort(value.name, dtype, dims) if len(dims) == 4 else None


def _described(value: onnx.ValueInfoProto) -> str:
    kind = value.type.WhichOneof("value") or "unknown"
    if kind != "tensor_type":
        return f"{value.name}: {kind.removesuffix('_type')}"
    tensor = value.type.tensor_type
    dtype = TensorProto.DataType.Name(tensor.elem_type).lower()
    return f"{value.name}: {dtype} {_shown([dim.dim_value or None for dim in tensor.shape.dim])}"


def _shown(dims: Iterable[int | None]) -> str:
    return f"[{', '.join(str(side or '?') for side in dims)}]"


def _precision(model: onnx.ModelProto) -> Precision:
    """Return the precision of most of the numbers in weights and constants."""
    counts: Counter[int] = Counter()
    tensors = list(model.graph.initializer)
    for node in model.graph.node:
        tensors += [a.t for a in node.attribute if a.type == onnx.AttributeProto.TENSOR]
    for tensor in tensors:
        if tensor.data_type in _PRECISIONS:
            size = 1
            for side in tensor.dims:
                size *= side
            counts[tensor.data_type] += size
    return _PRECISIONS[counts.most_common(1)[0][0]] if counts else "fp32"
