"""What an engine and its sidecar say, as plain values and as text."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from swinir_deploy.artifacts.engine import EngineMetadata, read_engine_metadata, sidecar_path
from swinir_deploy.artifacts.shapes import ShapeProfile
from swinir_deploy.cli.describe import describe_model, listing
from swinir_deploy.cli.output import size_text
from swinir_deploy.nvidia.tensorrt_library import FLAVOURS

__all__ = ["describe_engine"]

_ALSO_ON = {
    "none": "",
    "same-cc": ", and others of its compute capability",
    "ampere+": ", and others from Ampere on",
}


def describe_engine(path: str | os.PathLike[str]) -> tuple[dict[str, Any], str]:
    """What is known of an engine without the library or a GPU; the whole plan is read.

    Raises:
        ArtifactError: plan or sidecar is missing or damaged, or they do not belong together.
    """
    metadata = read_engine_metadata(path, check_hash=True)
    document = {
        "kind": "engine",
        "path": Path(path),
        "sidecar": sidecar_path(path),
        **metadata.to_dict(),
        "target": metadata.target,
    }
    library = f"{FLAVOURS[metadata.flavour].title} {metadata.library_version}"
    cuda = f" for CUDA {metadata.cuda_major}" if metadata.cuda_major else ""
    memory = metadata.activation_bytes
    rows = [
        ("file", f"engine, {size_text(metadata.plan_bytes)}, by {library}{cuda}"),
        ("built from", f"{metadata.onnx_name}, SHA-256 {metadata.onnx_sha256}"),
        ("target", f"{metadata.target}, {metadata.system} {metadata.machine}"),
        ("runs on", _runs_on(metadata)),
        *(("takes", _shapes(profile)) for profile in metadata.profiles),
        ("activations", size_text(memory) if memory else "unknown"),
        ("options", _options(metadata)),
        ("plan", f"SHA-256 {metadata.plan_sha256}"),
        *describe_model(metadata.model),
    ]
    return document, listing(os.fspath(path), rows)


def _runs_on(metadata: EngineMetadata) -> str:
    if metadata.architectures:
        return f"{', '.join(metadata.architectures)} (compiled ahead of time)"
    capability = metadata.gpu_capability or "unknown"
    name = metadata.gpu_name or "unknown GPU"
    return f"{name}, compute capability {capability}{_ALSO_ON[metadata.compat]}"


def _shapes(profile: ShapeProfile) -> str:
    """Such as ``1..8x3x256x256, tuned for 4x3x256x256``."""
    ranges = (
        f"{low}" if low == high else f"{low}..{high}"
        for low, high in zip(profile.min, profile.max, strict=True)
    )
    return f"{'x'.join(ranges)}, tuned for {'x'.join(map(str, profile.opt))}"


def _options(metadata: EngineMetadata) -> str:
    set_ones = [
        f"{name} {value}"
        for name, value in metadata.options.items()
        if value not in (None, 0, False, "none")
    ]
    return ", ".join(set_ones) or "the library's defaults"
