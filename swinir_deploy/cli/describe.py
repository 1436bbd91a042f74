"""What an ONNX file or a checkpoint says about itself, as plain values and as text."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from swinir_deploy.artifacts.metadata import ArtifactMetadata
from swinir_deploy.artifacts.onnx_file import damaged_onnx, find_metadata, load_onnx
from swinir_deploy.cli.output import size_text

__all__ = [
    "OnnxFile",
    "Port",
    "describe_checkpoint",
    "describe_model",
    "listing",
    "precision_text",
    "read_onnx",
]


@dataclass(frozen=True)
class Port:
    """An input or output of a graph."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]

    def __str__(self) -> str:
        return f"{self.name}: {self.dtype} [{', '.join(map(str, self.shape))}]"


@dataclass(frozen=True)
class OnnxFile:
    """An ONNX file, whoever made it.

    Attributes:
        path: of the file.
        size_bytes: of the file.
        producer: name and version of what wrote it.
        opset: operator set, if it is known.
        nodes: in the graph; None where only onnxruntime is there to look.
        inputs: of the graph.
        outputs: of the graph.
        metadata: of this package; None for a file that something else made.
    """

    path: Path
    size_bytes: int
    producer: str
    opset: int | None
    nodes: int | None
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    metadata: ArtifactMetadata | None

    def text(self) -> str:
        """For people."""
        meta = self.metadata
        rows = [
            ("file", f"ONNX, {size_text(self.size_bytes)}, by {self.producer or 'unknown'}"),
            ("opset", "unknown" if self.opset is None else str(self.opset)),
            ("nodes", "unknown (onnx is not installed)" if self.nodes is None else str(self.nodes)),
            *(("input", str(port)) for port in self.inputs),
            *(("output", str(port)) for port in self.outputs),
        ]
        if meta is None:
            rows.append(("made by", "not by swinir-deploy: it has none of its metadata"))
            return listing(str(self.path), rows)
        return listing(str(self.path), [*rows, *describe_model(meta)])


def describe_model(meta: ArtifactMetadata) -> list[tuple[str, str]]:
    """What an exported file carries about its model: names and texts."""
    channels = "gray" if meta.in_chans == 1 else "RGB"
    return [
        ("model", meta.model_id or "unknown"),
        ("task", f"{meta.task or 'unknown'} x{meta.scale}, {channels}"),
        ("io", "NCHW float32, 0..1" if meta.io == "tensor" else "NHWC uint8, 0..255"),
        ("window", f"{meta.window_size} px"),
        ("precision", precision_text(meta)),
        ("made for", f"{meta.target}, shape {meta.shape}"),
        ("sha256", f"{meta.source_sha256} (of the checkpoint)"),
        ("parity", _parity(meta.parity)),
        ("tools", ", ".join(f"{name} {version}" for name, version in meta.tools.items())),
    ]


def read_onnx(path: str | os.PathLike[str]) -> OnnxFile:
    """Look into an ONNX file, with onnx or, where that is missing, with onnxruntime.

    Raises:
        ArtifactError: not an ONNX file, or a damaged one.
        ImportError: neither package is here.
    """
    source = Path(path)
    if find_spec("onnx") is None:
        return _read_with_runtime(source)
    return _read_with_onnx(source)


def describe_checkpoint(checkpoint: Any) -> tuple[dict[str, Any], str]:
    """A :class:`~swinir_deploy.models.checkpoint.Checkpoint` without its tensors, and as text."""
    config = checkpoint.config
    parameters = sum(tensor.numel() for tensor in checkpoint.state_dict.values())
    size_bytes = checkpoint.path.stat().st_size
    document = {
        "kind": "checkpoint",
        "path": checkpoint.path,
        "size_bytes": size_bytes,
        "sha256": checkpoint.sha256,
        "key": checkpoint.key,
        "model_id": checkpoint.model_id,
        "catalogue_id": checkpoint.card.id if checkpoint.card else None,
        "parameters": parameters,
        "img_range_source": checkpoint.img_range_source,
        "config": config.to_dict(),
    }
    known = f"{checkpoint.card.id} of the catalogue" if checkpoint.card else "not in the catalogue"
    rows = [
        ("file", f"checkpoint, {size_text(size_bytes)}, weights in {checkpoint.key or 'the root'}"),
        ("model", f"{checkpoint.model_id} ({known})"),
        ("parameters", f"{parameters:,}"),
        ("sha256", checkpoint.sha256),
        *((name, _value(value)) for name, value in config.to_dict().items()),
    ]
    rows = [
        (name, f"{text} (from: {checkpoint.img_range_source})" if name == "img_range" else text)
        for name, text in rows
    ]
    return document, listing(str(checkpoint.path), rows)


def _read_with_onnx(source: Path) -> OnnxFile:
    model = load_onnx(source, weights=False)
    weights = {tensor.name for tensor in model.graph.initializer}
    opsets = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    return OnnxFile(
        path=source,
        size_bytes=source.stat().st_size,
        producer=f"{model.producer_name} {model.producer_version}".strip(),
        opset=opsets[0] if opsets else None,
        nodes=len(model.graph.node),
        inputs=tuple(_port(value) for value in model.graph.input if value.name not in weights),
        outputs=tuple(_port(value) for value in model.graph.output),
        metadata=find_metadata(model, source),
    )


def _read_with_runtime(source: Path) -> OnnxFile:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = onnxruntime.InferenceSession(
            os.fspath(source), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime's exceptions share no public base
        raise damaged_onnx(source, error) from error
    meta = session.get_modelmeta()
    own = ArtifactMetadata.find(meta.custom_metadata_map, str(source))

    def port(value: Any) -> Port:
        kind = value.type.removeprefix("tensor(").removesuffix(")")
        dtype = {"float": "float32", "double": "float64"}.get(kind, kind)
        return Port(value.name, dtype, tuple("?" if d is None else d for d in value.shape))

    return OnnxFile(
        path=source,
        size_bytes=source.stat().st_size,
        producer=meta.producer_name,
        opset=own.opset if own else None,
        nodes=None,
        inputs=tuple(map(port, session.get_inputs())),
        outputs=tuple(map(port, session.get_outputs())),
        metadata=own,
    )


def _port(value: Any) -> Port:
    import onnx

    tensor = value.type.tensor_type
    dtype = onnx.TensorProto.DataType.Name(tensor.elem_type).lower()
    shape = tuple(
        dim.dim_value if dim.HasField("dim_value") else dim.dim_param or "?"
        for dim in tensor.shape.dim
    )
    return Port(value.name, {"float": "float32", "double": "float64"}.get(dtype, dtype), shape)


def precision_text(meta: ArtifactMetadata) -> str:
    """Such as ``fp16, stream times 2**-7, 13 pictures at least 68.8 dB from fp32``."""
    parts: list[str] = [meta.precision]
    if meta.residual_scale_log2:
        parts.append(f"stream times 2**-{meta.residual_scale_log2}")
    calibration = meta.precision_report.get("calibration", {})
    if calibration.get("kept_fp32"):
        parts.append(f"kept in fp32: {' '.join(calibration['kept_fp32'])}")
    proof = meta.precision_report.get("proof")
    if proof:
        worst = min(proof["worst_torch_db"], proof["worst_onnxruntime_db"])
        parts.append(f"proved on {proof['pictures']} pictures, at least {worst:g} dB against fp32")
    return ", ".join(parts)


def _parity(parity: Mapping[str, Any]) -> str:
    if "max_abs" not in parity:
        return "unknown"
    shapes = len(parity.get("shapes", ()))
    unit = f" ({parity['unit']})" if "unit" in parity else ""
    return (
        f"differs by at most {parity['max_abs']:.1e}{unit} from {parity.get('reference', '?')}, "
        f"by {parity.get('backend', '?')} at {shapes} shape{'' if shapes == 1 else 's'}"
    )


def _value(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value))
    return repr(value) if isinstance(value, str) else str(value)


def listing(title: str, rows: Sequence[tuple[str, str]]) -> str:
    """A title, and a line for each name and its text."""
    width = max(len(name) for name, _ in rows)
    return "\n".join([title, *(f"  {name.ljust(width)}  {text}" for name, text in rows)])
