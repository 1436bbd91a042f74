"""Read what an exported file or an engine contains, without running it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from swinir_deploy.artifacts.cuda_engine import read_cuda_engine
from swinir_deploy.artifacts.engine import (
    ENGINE_SUFFIX,
    EngineMetadata,
    read_engine_metadata,
    sidecar_path,
)
from swinir_deploy.artifacts.metadata import ArtifactMetadata
from swinir_deploy.artifacts.needed_versions import ort_too_old
from swinir_deploy.artifacts.onnx_file import damaged_onnx, find_metadata, load_onnx
from swinir_deploy.errors import BackendUnavailableError
from swinir_deploy.system.packages import is_importable, naming_the_extra
from swinir_deploy.system.telemetry import without_telemetry

__all__ = ["EngineInfo", "OnnxInfo", "Port", "read_engine", "read_metadata", "read_onnx"]

_DTYPES = {"float": "float32", "double": "float64"}


@dataclass(frozen=True)
class Port:
    """An input or output of a graph.

    Attributes:
        name: name of the tensor.
        dtype: element type, such as ``float32`` or ``uint8``.
        shape: sides; the name of the axis (or ``?``) where a side is dynamic.
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...]

    def __str__(self) -> str:
        return f"{self.name}: {self.dtype} [{', '.join(map(str, self.shape))}]"


@dataclass(frozen=True)
class OnnxInfo:
    """The contents of an ONNX file, whether or not this package wrote it.

    Attributes:
        path: path of the file.
        size_bytes: size of the file in bytes, without external data.
        producer: name and version of the program that wrote it.
        opset: version of the ONNX operator set; None if unknown.
        nodes: number of nodes in the graph; None if the onnx package is not installed.
        inputs: inputs of the graph.
        outputs: outputs of the graph.
        metadata: this package's metadata; None if another program wrote the file.
    """

    path: Path
    size_bytes: int
    producer: str
    opset: int | None
    nodes: int | None
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    metadata: ArtifactMetadata | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {"kind": "onnx", **asdict(self), "path": os.fspath(self.path)}


@dataclass(frozen=True)
class EngineInfo:
    """The description of an engine, read from its sidecar.

    Attributes:
        path: path of the plan.
        sidecar: path of the description.
        metadata: the contents of the description.
        kernels: of an engine for ``cuda``, architecture -> its kernels, with ``name``,
            ``registers``, ``spill_bytes``, ``shared_bytes`` and ``warps``.
    """

    path: Path
    sidecar: Path
    metadata: EngineMetadata
    kernels: Mapping[str, tuple[Mapping[str, Any], ...]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "kind": "engine",
            "path": os.fspath(self.path),
            "sidecar": os.fspath(self.sidecar),
            **self.metadata.to_dict(),
            "target": self.metadata.target,
            **({"kernels": self.kernels} if self.kernels else {}),
        }


def read_engine(path: str | os.PathLike[str]) -> EngineInfo:
    """Read an engine's description and check the SHA-256 of its plan. No GPU is needed.

    An engine for ``cuda`` is checked completely.

    Raises:
        ArtifactError: plan or sidecar is missing or damaged, or they do not belong together.
    """
    metadata = read_engine_metadata(path, check_hash=True)
    kernels: dict[str, tuple[Mapping[str, Any], ...]] = {}
    if metadata.flavour == "cuda":
        names = ("name", "registers", "spill_bytes", "shared_bytes", "warps")
        kernels = {
            architecture: tuple({name: getattr(k, name) for name in names} for k in code.kernels)
            for architecture, code in read_cuda_engine(path).architectures.items()
        }
    return EngineInfo(Path(path), sidecar_path(path), metadata, kernels)


def read_onnx(path: str | os.PathLike[str]) -> OnnxInfo:
    """Read the contents of an ONNX file with onnx, or with onnxruntime if onnx is not installed.

    Raises:
        ArtifactError: the file is missing, damaged or no ONNX file.
        BackendUnavailableError: neither package is installed.
    """
    source = Path(path)
    return _read_with_onnx(source) if is_importable("onnx") else _read_with_runtime(source)


def read_metadata(path: str | os.PathLike[str]) -> ArtifactMetadata | None:
    """Return the metadata of an exported file or engine; None for any other file.

    Raises:
        ArtifactError: the file or an engine's sidecar is missing or damaged.
        BackendUnavailableError: it is an ONNX file, and neither onnx nor onnxruntime is installed.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ENGINE_SUFFIX:
        return read_engine_metadata(path).model
    return read_onnx(path).metadata if suffix == ".onnx" else None


def _read_with_onnx(source: Path) -> OnnxInfo:
    model = load_onnx(source, weights=False)
    weights = {tensor.name for tensor in model.graph.initializer}
    opsets = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    return OnnxInfo(
        path=source,
        size_bytes=source.stat().st_size,
        producer=f"{model.producer_name} {model.producer_version}".strip(),
        opset=opsets[0] if opsets else None,
        nodes=len(model.graph.node),
        inputs=tuple(_port(value) for value in model.graph.input if value.name not in weights),
        outputs=tuple(_port(value) for value in model.graph.output),
        metadata=find_metadata(model, source),
    )


def _port(value: Any) -> Port:
    import onnx

    tensor = value.type.tensor_type
    dtype = onnx.TensorProto.DataType.Name(tensor.elem_type).lower()
    shape = tuple(
        dim.dim_value if dim.HasField("dim_value") else dim.dim_param or "?"
        for dim in tensor.shape.dim
    )
    return Port(value.name, _DTYPES.get(dtype, dtype), shape)


def _read_with_runtime(source: Path) -> OnnxInfo:
    with naming_the_extra(), without_telemetry():
        import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = onnxruntime.InferenceSession(
            os.fspath(source), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime's exceptions share no public base
        too_old = ort_too_old(str(error), onnxruntime.__version__, os.fspath(source))
        if too_old is not None:
            raise BackendUnavailableError(too_old) from error
        raise damaged_onnx(source, error) from error
    meta = session.get_modelmeta()
    own = ArtifactMetadata.find(meta.custom_metadata_map, str(source))

    def port(value: Any) -> Port:
        dtype = value.type.removeprefix("tensor(").removesuffix(")")
        shape = tuple("?" if side is None else side for side in value.shape)
        return Port(value.name, _DTYPES.get(dtype, dtype), shape)

    return OnnxInfo(
        path=source,
        size_bytes=source.stat().st_size,
        producer=meta.producer_name,
        opset=own.opset if own else None,
        nodes=None,
        inputs=tuple(map(port, session.get_inputs())),
        outputs=tuple(map(port, session.get_outputs())),
        metadata=own,
    )
