"""Write the folder: model, sidecar, headers, an example, licences and checksums."""

from __future__ import annotations

import os
import shlex
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from string import Template

from swinir_deploy._version import __version__
from swinir_deploy.artifacts.engine import read_engine_metadata, sidecar_path
from swinir_deploy.artifacts.metadata import ArtifactMetadata, channels_text
from swinir_deploy.artifacts.onnx_file import load_onnx, metadata_of
from swinir_deploy.errors import CatalogError, InputError, UsageError
from swinir_deploy.models.catalog import load_catalog
from swinir_deploy.runtimes import open_runtime
from swinir_deploy.system.choices import unknown_choice
from swinir_deploy.system.files import sha256_of
from swinir_deploy.system.library_names import library_name
from swinir_deploy.system.packages import is_importable

__all__ = ["TARGETS", "BundleReport", "make_bundle"]

_HERE = Path(__file__).resolve().parent
_REPOSITORY = _HERE.parents[1]


@dataclass(frozen=True)
class _Platform:
    """A platform: a back end of libswinir and the library that it needs.

    Attributes:
        backend: name of the back end, whose plug-in is ``libswinir_<backend>.so``.
        suffix: suffix of the model files that it opens.
        library: file name of the library that the plug-in loads.
        runtime_files: the libraries to ship, as text for the README.
    """

    backend: str
    suffix: str
    library: str
    runtime_files: str


TARGETS = {
    "ort": _Platform("ort", ".onnx", "libonnxruntime.so.1", "ONNX Runtime's `libonnxruntime.so.1`"),
    "openvino": _Platform(
        "openvino",
        ".onnx",
        "libopenvino_c.so",
        "OpenVINO's `libopenvino_c`, `libopenvino`, `libopenvino_onnx_frontend`, "
        "`libopenvino_intel_cpu_plugin` and `libtbb`",
    ),
    "tensorrt": _Platform(
        "tensorrt",
        ".engine",
        "libnvinfer.so",
        "TensorRT's `libnvinfer` and `libcudart` (part of JetPack on a Jetson)",
    ),
    "rtx": _Platform(
        "tensorrt_rtx",
        ".engine",
        "libtensorrt_rtx.so",
        "TensorRT for RTX's `libtensorrt_rtx` and `libcudart`",
    ),
    "cuda": _Platform(
        "cuda",
        ".engine",
        "libcuda.so.1",
        "nothing else: `libcuda.so.1` comes with the NVIDIA driver",
    ),
}
"""Value of ``--target`` -> the platform that it names."""


@dataclass(frozen=True)
class BundleReport:
    """The result of :func:`make_bundle`.

    Attributes:
        folder: the folder that was written.
        target: name of the platform, from :data:`TARGETS`.
        files: paths of the files relative to the folder, sorted, without ``SHA256SUMS``.
        total_bytes: size of these files in bytes.
        notes: what remains to be done, as sentences.
    """

    folder: Path
    target: str
    files: tuple[str, ...]
    total_bytes: int
    notes: tuple[str, ...]


def make_bundle(
    model: str | os.PathLike[str], folder: str | os.PathLike[str], target: str | None = None
) -> BundleReport:
    """Write a folder to ship with a C or C++ program. It appears only when it is complete.

    Args:
        model: an exported ``.onnx`` file, or an ``.engine`` with its sidecar beside it.
        folder: the folder to write; it must not exist, or it must be empty.
        target: name of the platform, from :data:`TARGETS`. None is ``ort`` for ONNX (``openvino``
            for BF16 and for a graph that was exported for it); for an engine, it is the library
            that built it.

    Returns:
        The files that were written, and what remains to be done.

    Raises:
        UsageError: the target is unknown, or it cannot open this file.
        InputError: the model is missing or damaged, or this package did not export it; the folder
            is not empty or cannot be written.
        BackendUnavailableError: onnxruntime, which checks the ONNX file, is not installed.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from swinir_deploy import export_onnx, make_bundle
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     exported = export_onnx("tiny-sr-x4", Path(folder) / "tiny.onnx")
        ...     bundle = make_bundle(exported.path, Path(folder) / "bundle")
        >>> bundle.target, "include/swinir.h" in bundle.files
        ('ort', True)
    """
    source, destination = Path(model), Path(folder)
    target = None if target is None else library_name(target)
    if target is not None and target not in TARGETS:
        raise UsageError(unknown_choice("target", target, TARGETS))
    metadata, built_for = _read(source)
    selected = target or built_for
    fits = selected == built_for or {selected, built_for} <= {"ort", "openvino"}
    if not fits:
        raise UsageError(
            f"{source} is for {built_for}, not for {selected}. Export or build the model for "
            f"{selected} first; it opens {TARGETS[selected].suffix} files of its own."
        )
    if selected == "ort" and metadata.precision == "bf16":
        raise UsageError(
            f"{source} computes in BF16, for which ONNX Runtime has no kernels on a CPU. Give "
            "--target openvino, or export the model with --precision fp32 or fp16."
        )
    if destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
        raise InputError(
            f"Cannot write {destination}: it exists and is not empty. Give another name."
        )
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            prefix=f".{destination.name}-", dir=destination.parent
        ) as name:
            whole = Path(name) / destination.name
            notes = _fill(whole, source, metadata, selected)
            unknown = _weights_licence(metadata)[1]  # the user has to fill that file in
            files = _write_checksums(whole, leave_out=_WEIGHTS_LICENCE if unknown else "")
            whole.replace(destination)
    except OSError as error:
        raise InputError(
            f"Cannot write {destination}: {error.strerror or error}. Give a folder that can be "
            "written."
        ) from error
    total = sum((destination / file).stat().st_size for file in files)
    return BundleReport(destination, selected, files, total, notes)


def _read(source: Path) -> tuple[ArtifactMetadata, str]:
    """Return the metadata of a model, and the name of its default platform."""
    if source.suffix.lower() == ".engine":
        engine = read_engine_metadata(source, check_hash=True)
        return engine.model, engine.flavour
    if source.suffix.lower() != ".onnx":
        raise UsageError(
            f"{source} is neither an .onnx nor an .engine file. Export the model first: "
            f"swinir-deploy export {shlex.quote(str(source))}"
        )
    metadata = _onnx_metadata(source)
    prefers_openvino = metadata.target == "openvino" or metadata.precision == "bf16"
    return metadata, "openvino" if prefers_openvino else "ort"


def _onnx_metadata(source: Path) -> ArtifactMetadata:
    """Return the metadata of an ONNX file, and open it once to check that it is complete.

    A BF16 file is not opened, because ONNX Runtime has no kernels for it on a CPU.
    """
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
        out_chans=spec.out_chans,
    )


def _fill(whole: Path, source: Path, metadata: ArtifactMetadata, target: str) -> tuple[str, ...]:
    """Write every file except the checksums.

    Returns:
        What remains to be done, as sentences.
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
    (whole / _WEIGHTS_LICENCE).write_text(licence + "\n", encoding="utf-8")
    facts = {
        "artefact": source.name,
        "sidecar": ", its `.json`" if source.suffix.lower() == ".engine" else "",
        "model_id": metadata.model_id or source.stem,
        "scale": metadata.scale,
        "channels": channels_text(metadata.in_chans, metadata.channels_out),
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
            f"{source.name} was exported for TensorRT and is slower on other back ends. Export it "
            f"with --for {target}, or build an engine from it and bundle that.",
        )
    return notes


_WEIGHTS_LICENCE = "LICENSES/weights.txt"


def _shipped(name: str, in_repository: str) -> Path:
    """Return the path of a file that is beside this module in a wheel, but not in a checkout."""
    installed = _HERE / name
    return installed if installed.exists() else _REPOSITORY / in_repository


def _weights_licence(metadata: ArtifactMetadata) -> tuple[str, tuple[str, ...]]:
    """Return a sentence with the licence of the weights, and what remains to be done."""
    catalog = load_catalog()
    card = catalog.by_sha256(metadata.source_sha256)
    if card is None:
        with suppress(CatalogError):
            same_id = catalog.get(metadata.model_id)
            card = same_id if same_id.sha256 is None else None
    if card is not None:
        return f"The weights of {card.id} ({card.file}): {card.licence}.", ()
    source = f"{metadata.model_id or 'unknown'} (SHA-256 {metadata.source_sha256 or 'unknown'})"
    return (
        f"The weights come from {source}, whose licence swinir-deploy does not know. "
        "Put it here before you ship them; this file has no checksum.",
        (
            f"The licence of the weights is unknown. Put it into {_WEIGHTS_LICENCE}, which has no "
            "checksum for that reason.",
        ),
    )


def _write_checksums(whole: Path, leave_out: str) -> tuple[str, ...]:
    """Write ``SHA256SUMS`` in the format of sha256sum.

    Args:
        whole: the folder.
        leave_out: path of a file that will be changed and gets no checksum; empty for none.

    Returns:
        The paths of all files, sorted.
    """
    files = tuple(
        sorted(path.relative_to(whole).as_posix() for path in whole.rglob("*") if path.is_file())
    )
    lines = [f"{sha256_of(whole / file)}  {file}\n" for file in files if file != leave_out]
    (whole / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")
    return files
