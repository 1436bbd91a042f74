"""The results of :func:`swinir_deploy.info` as text."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from swinir_deploy.artifacts.engine import EngineMetadata, flavour_title
from swinir_deploy.artifacts.info import EngineInfo, OnnxInfo
from swinir_deploy.artifacts.metadata import ArtifactMetadata, channels_text
from swinir_deploy.cli.output import size_text
from swinir_deploy.cli.tables import facts
from swinir_deploy.models.catalog import ModelCard

if TYPE_CHECKING:
    from swinir_deploy.models.info import CheckpointInfo

__all__ = ["describe", "precision_text"]

_ALSO_ON = {
    "none": "",
    "same-cc": ", and others of its compute capability",
    "ampere+": ", and others from Ampere on",
}


def describe(
    thing: ModelCard | OnnxInfo | EngineInfo | CheckpointInfo,
    more: Sequence[tuple[str, str]] = (),
) -> str:
    """Return a title, one line for each property, and one for each pair in ``more``."""
    if isinstance(thing, ModelCard):
        return "\n".join([f"{thing.id}: {thing.summary}", *facts([*thing.facts(), *more])])
    rows = (
        _onnx_rows(thing)
        if isinstance(thing, OnnxInfo)
        else _engine_rows(thing)
        if isinstance(thing, EngineInfo)
        else _checkpoint_rows(thing)
    )
    return "\n".join([os.fspath(thing.path), *facts([*rows, *more])])


def _onnx_rows(onnx: OnnxInfo) -> list[tuple[str, str]]:
    meta = onnx.metadata
    rows = [
        ("file", f"ONNX, {size_text(onnx.size_bytes)}, by {onnx.producer or 'unknown'}"),
        ("opset", "unknown" if onnx.opset is None else str(onnx.opset)),
        ("nodes", "unknown (onnx is not installed)" if onnx.nodes is None else str(onnx.nodes)),
        *(("input", str(port)) for port in onnx.inputs),
        *(("output", str(port)) for port in onnx.outputs),
    ]
    if meta is None:
        return [*rows, ("made by", "not by swinir-deploy: it has none of its metadata")]
    return [*rows, *_model_rows(meta)]


def _engine_rows(engine: EngineInfo) -> list[tuple[str, str]]:
    metadata = engine.metadata
    library = f"{flavour_title(metadata.flavour)} {metadata.library_version}"
    cuda = f" for CUDA {metadata.cuda_major}" if metadata.cuda_major else ""
    memory = metadata.activation_bytes
    return [
        ("file", f"engine, {size_text(metadata.plan_bytes)}, by {library}{cuda}"),
        ("built from", f"{metadata.onnx_name}, SHA-256 {metadata.onnx_sha256}"),
        ("target", f"{metadata.target}, {metadata.system} {metadata.machine}"),
        ("runs on", _runs_on(metadata)),
        *(("takes", profile.describe()) for profile in metadata.profiles),
        *(("kernels", _kernels(name, kernels)) for name, kernels in engine.kernels.items()),
        *(
            [("activations", size_text(memory) if memory else "unknown")]
            if metadata.flavour != "cuda"
            else []
        ),
        ("options", _options(metadata)),
        ("plan", f"SHA-256 {metadata.plan_sha256}"),
        *_model_rows(metadata.model),
    ]


def _checkpoint_rows(checkpoint: CheckpointInfo) -> list[tuple[str, str]]:
    card = checkpoint.catalogue_id
    size, key = size_text(checkpoint.size_bytes), checkpoint.key or "the root"
    if checkpoint.prefix:
        key += f", names after {checkpoint.prefix!r}"
    known = f"{card} of the catalogue" if card else "not in the catalogue"
    rows = [
        ("file", f"checkpoint, {size}, weights in {key}"),
        ("model", f"{checkpoint.model_id} ({known})"),
        ("parameters", f"{checkpoint.parameters:,}"),
        ("sha256", checkpoint.sha256),
        *((name, _value(value)) for name, value in checkpoint.config.items()),
    ]
    return [
        (name, f"{text} (from: {checkpoint.img_range_source})" if name == "img_range" else text)
        for name, text in rows
    ]


def _model_rows(meta: ArtifactMetadata) -> list[tuple[str, str]]:
    """Return the rows of an exported file's metadata."""
    channels = channels_text(meta.in_chans, meta.channels_out)
    return [
        ("model", meta.model_id or "unknown"),
        ("task", f"{meta.task or 'unknown'} x{meta.scale}, {channels}"),
        ("io", "NCHW float32, 0..1" if meta.io == "tensor" else "NHWC uint8, 0..255"),
        ("window", f"{meta.window_size} px"),
        ("precision", precision_text(meta)),
        ("made for", f"{meta.target}, shape {meta.shape}" if meta.shape else meta.target),
        ("sha256", f"{meta.source_sha256} (of the checkpoint)"),
        ("parity", _parity(meta.parity)),
        ("tools", ", ".join(f"{name} {version}" for name, version in meta.tools.items())),
    ]


def precision_text(meta: ArtifactMetadata) -> str:
    """Return the precision as text, such as ``fp16, stream times 2**-7, proved on 13 pictures``."""
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
    plural = "" if shapes == 1 else "s"
    if "psnr_db" in parity:  # half precision, whose proof is in dB, too
        return (
            f"at least {parity['psnr_db']:g} dB against {parity.get('reference', '?')}, by "
            f"{parity.get('backend', '?')} at {shapes} shape{plural}"
        )
    unit = f" ({parity['unit']})" if "unit" in parity else ""
    return (
        f"differs by at most {parity['max_abs']:.1e}{unit} from {parity.get('reference', '?')}, "
        f"by {parity.get('backend', '?')} at {shapes} shape{plural}"
    )


def _value(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value))
    return repr(value) if isinstance(value, str) else str(value)


def _runs_on(metadata: EngineMetadata) -> str:
    if metadata.architectures:
        return f"{', '.join(metadata.architectures)} (compiled ahead of time)"
    capability = metadata.gpu_capability or "unknown"
    name = metadata.gpu_name or "unknown GPU"
    return f"{name}, compute capability {capability}{_ALSO_ON[metadata.compat]}"


def _kernels(architecture: str, kernels: Sequence[Mapping[str, Any]]) -> str:
    most = {
        name: max(kernel[name] for kernel in kernels)
        for name in ("registers", "spill_bytes", "shared_bytes")
    }
    return (
        f"{architecture}: {len(kernels)}, with up to {most['registers']} registers, "
        f"{most['spill_bytes']} bytes spilled and {size_text(most['shared_bytes'])} shared"
    )


def _options(metadata: EngineMetadata) -> str:
    set_ones = [
        f"{name} {value}"
        for name, value in metadata.options.items()
        if value not in (None, 0, False, "none")
    ]
    return ", ".join(set_ones) or "the library's defaults"
