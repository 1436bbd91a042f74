"""Writes the folder: artefact, sidecar, headers, an example, licences and checksums."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from string import Template

from swinir_deploy._version import __version__
from swinir_deploy.artifacts.engine import read_engine_metadata, sidecar_path
from swinir_deploy.artifacts.metadata import ArtifactMetadata
from swinir_deploy.artifacts.onnx_file import load_onnx, metadata_of
from swinir_deploy.errors import CatalogError, InputError, UsageError
from swinir_deploy.models.catalog import load_catalog
from swinir_deploy.runtimes import open_runtime
from swinir_deploy.system.choices import unknown_choice
from swinir_deploy.system.files import sha256_of
from swinir_deploy.system.packages import is_importable

__all__ = ["TARGETS", "BundleReport", "make_bundle"]

_HERE = Path(__file__).resolve().parent
_REPOSITORY = _HERE.parents[1]


@dataclass(frozen=True)
class _Target:
    """A back end of libswinir.

    Attributes:
        backend: its plug-in is ``libswinir_<backend>.so``.
        suffix: of the files that it opens.
        library: that the plug-in looks for.
        runtime_files: what to ship for it, in words.
    """

    backend: str
    suffix: str
    library: str
    runtime_files: str


TARGETS = {
    "ort": _Target("ort", ".onnx", "libonnxruntime.so.1", "ONNX Runtime's `libonnxruntime.so.1`"),
    "openvino": _Target(
        "openvino",
        ".onnx",
        "libopenvino_c.so",
        "OpenVINO's `libopenvino_c`, `libopenvino`, `libopenvino_onnx_frontend`, "
        "`libopenvino_intel_cpu_plugin` and `libtbb`",
    ),
    "tensorrt": _Target(
        "tensorrt",
        ".engine",
        "libnvinfer.so",
        "TensorRT's `libnvinfer` and `libcudart` (part of JetPack on a Jetson)",
    ),
    "rtx": _Target(
        "tensorrt_rtx",
        ".engine",
        "libtensorrt_rtx.so",
        "TensorRT for RTX's `libtensorrt_rtx` and `libcudart`",
    ),
}
"""What ``--target`` takes -> the back end of libswinir that it means."""


@dataclass(frozen=True)
class BundleReport:
    """What was written.

    Attributes:
        folder: that holds it all.
        target: a name from :data:`TARGETS`.
        files: relative to the folder, sorted; without the checksums' own.
        total_bytes: of those files.
        notes: what is left to do, as sentences.
    """

    folder: Path
    target: str
    files: tuple[str, ...]
    total_bytes: int
    notes: tuple[str, ...]


def make_bundle(
    model: str | os.PathLike[str], folder: str | os.PathLike[str], target: str | None = None
) -> BundleReport:
    """Write a folder to ship; it is whole or not there.

    Args:
        model: an exported ``.onnx`` file, or an ``.engine`` with its sidecar beside it.
        folder: to make; it must not exist, or be empty.
        target: a name from :data:`TARGETS`; None is ``ort`` for ONNX (``openvino`` for BF16 and
            for a graph exported for it), and for an engine the library that built it.

    Raises:
        UsageError: no such target, or it does not open such a file.
        InputError: a model that is missing, damaged or not by this package; a folder that holds
            something or cannot be written.
        BackendUnavailableError: onnxruntime, which opens the ONNX file once, is not installed.
    """
    source, goal = Path(model), Path(folder)
    if target is not None and target not in TARGETS:
        raise UsageError(unknown_choice("target", target, TARGETS))
    metadata, built_for = _read(source)
    chosen = target or built_for
    fits = chosen == built_for or {chosen, built_for} <= {"ort", "openvino"}
    if not fits:
        raise UsageError(
            f"{source} is for {built_for}, not for {chosen}, which opens {TARGETS[chosen].suffix} "
            "files of its own. Export or build the model for that target first."
        )
    if chosen == "ort" and metadata.precision == "bf16":
        raise UsageError(
            f"{source} computes in BF16, for which ONNX Runtime has no kernels on a CPU. Take "
            "--target openvino, or export it with --precision fp32 or fp16."
        )
    if goal.exists() and (not goal.is_dir() or any(goal.iterdir())):
        raise InputError(f"Cannot write {goal}: it is there and not empty. Give a new name.")
    try:
        goal.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{goal.name}-", dir=goal.parent) as name:
            whole = Path(name) / goal.name
            notes = _fill(whole, source, metadata, chosen)
            files = _write_checksums(whole)
            whole.replace(goal)
    except OSError as error:
        raise InputError(f"Cannot write {goal}: {error.strerror or error}.") from error
    total = sum((goal / file).stat().st_size for file in files)
    return BundleReport(goal, chosen, files, total, notes)


def _read(source: Path) -> tuple[ArtifactMetadata, str]:
    """What the file says about itself, and the target that it is for."""
    if source.suffix.lower() == ".engine":
        engine = read_engine_metadata(source, check_hash=True)
        return engine.model, engine.flavour
    if source.suffix.lower() != ".onnx":
        raise UsageError(
            f"{source} is no .onnx and no .engine file. Export the model first: "
            "swinir-deploy export --help"
        )
    metadata = _onnx_metadata(source)
    prefers_openvino = metadata.target == "openvino" or metadata.precision == "bf16"
    return metadata, "openvino" if prefers_openvino else "ort"


def _onnx_metadata(source: Path) -> ArtifactMetadata:
    """Opens the file once, if ONNX Runtime can: what is shipped should be whole."""
    metadata = None
    if source.is_file() and is_importable("onnx"):
        metadata = metadata_of(load_onnx(source, weights=False), source)
    if metadata is not None and metadata.precision == "bf16":
        return metadata
    with open_runtime(source, "ort") as runtime:
        spec = runtime.spec
    return metadata or ArtifactMetadata(
        spec.io,
        spec.scale,
        spec.in_chans,
        spec.window_size,
        spec.precision,
        model_id=spec.model_id,
        source_sha256=spec.source_sha256,
        target=spec.target,
    )


def _fill(whole: Path, source: Path, metadata: ArtifactMetadata, target: str) -> tuple[str, ...]:
    """Everything but the checksums.

    Returns:
        What is left to do, as sentences.
    """
    (whole / "include").mkdir(parents=True)
    (whole / "LICENSES").mkdir()
    shutil.copyfile(source, whole / source.name)
    if source.suffix.lower() == ".engine":
        shutil.copyfile(sidecar_path(source), whole / sidecar_path(source).name)
    for header in ("swinir.h", "swinir.hpp"):
        shutil.copyfile(_shipped("include", "cpp/include") / header, whole / "include" / header)
    shutil.copyfile(_shipped("LICENSE", "LICENSE"), whole / "LICENSES/libswinir.txt")
    licence, notes = _weights_licence(metadata)
    (whole / "LICENSES/weights.txt").write_text(licence + "\n", encoding="utf-8")
    facts = {
        "artefact": source.name,
        "sidecar": ", its `.json`" if source.suffix.lower() == ".engine" else "",
        "model_id": metadata.model_id or source.stem,
        "scale": metadata.scale,
        "channels": "colour" if metadata.in_chans == 3 else "gray",
        "precision": metadata.precision,
        "version": ".".join(__version__.split(".")[:2]),
        "backend": TARGETS[target].backend,
        "library": TARGETS[target].library,
        "runtime_files": TARGETS[target].runtime_files,
    }
    for template in sorted((_HERE / "templates").iterdir()):
        text = Template(template.read_text(encoding="utf-8")).substitute(facts)
        (whole / template.name).write_text(text, encoding="utf-8")
    if source.suffix.lower() == ".onnx" and metadata.target == "tensorrt":
        notes += (
            f"{source.name} was exported for TensorRT and is slower elsewhere: export it with "
            f"--for {target}, or build an engine of it and bundle that.",
        )
    return notes


def _shipped(name: str, in_repository: str) -> Path:
    """What a wheel holds beside this module, and a checkout elsewhere."""
    installed = _HERE / name
    return installed if installed.exists() else _REPOSITORY / in_repository


def _weights_licence(metadata: ArtifactMetadata) -> tuple[str, tuple[str, ...]]:
    """A sentence for the weights, and what is left to do about it."""
    catalog = load_catalog()
    card = catalog.by_sha256(metadata.source_sha256)
    if card is None:
        with suppress(CatalogError):
            named = catalog.get(metadata.model_id)
            card = named if named.sha256 is None else None
    if card is not None:
        return f"The weights of {card.id} ({card.file}): {card.licence}.", ()
    source = f"{metadata.model_id or 'unknown'} (SHA-256 {metadata.source_sha256 or 'unknown'})"
    return (
        f"The weights come from {source}, whose licence swinir-deploy does not know. "
        "Put it here before you ship them.",
        ("The licence of the weights is not known: put it into LICENSES/weights.txt.",),
    )


def _write_checksums(whole: Path) -> tuple[str, ...]:
    """SHA256SUMS in the format of sha256sum.

    Returns:
        The files in it.
    """
    files = tuple(
        sorted(path.relative_to(whole).as_posix() for path in whole.rglob("*") if path.is_file())
    )
    lines = [f"{sha256_of(whole / file)}  {file}\n" for file in files]
    (whole / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")
    return files
