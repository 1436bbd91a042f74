"""Engines on disk: a bare plan ``NAME.engine`` and what it is in ``NAME.engine.json`` beside it.

The plan has nothing in front of it, so that trtexec and Triton read it. What a runtime must know
stands in the sidecar: the model's own metadata, the library, the GPU, the shapes and the options
that the engine was built with.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

from swinir_deploy.artifacts.metadata import ArtifactMetadata
from swinir_deploy.artifacts.shapes import ShapeProfile, shape_text
from swinir_deploy.errors import ArtifactError
from swinir_deploy.nvidia.gpu import Gpu
from swinir_deploy.nvidia.tensorrt_library import FLAVOURS, FlavourName, Library
from swinir_deploy.system.files import atomic_output, sha256_of
from swinir_deploy.system.records import read_object, record_of

__all__ = [
    "ENGINE_SCHEMA_VERSION",
    "ENGINE_SUFFIX",
    "EngineMetadata",
    "mismatches",
    "read_engine_metadata",
    "read_plan",
    "rebuild_command",
    "sidecar_path",
    "write_engine",
]

ENGINE_SCHEMA_VERSION = 1
ENGINE_SUFFIX = ".engine"

_COMPATIBILITY = ("none", "same-cc", "ampere+")


@dataclass(frozen=True)
class EngineMetadata:
    """Everything about an engine that its plan does not tell.

    Attributes:
        model: the metadata of the ONNX model that it was built from.
        onnx_name: file name of that model.
        onnx_sha256: of that model, with its external data if it has any.
        flavour: ``tensorrt`` or ``rtx``.
        library_version: all parts, such as ``10.13.0.35``.
        cuda_major: of the library's wheels; 0 if unknown.
        system: operating system it was built on, such as ``Linux``.
        machine: processor it was built on, such as ``x86_64``.
        gpu_name: it was built on; empty if it was built without one.
        gpu_capability: of that GPU, such as ``8.9``; empty if it was built without one.
        architectures: GPUs it was compiled for without having one, such as ``sm89``; sorted.
        input_name: of the model's only input.
        profiles: the ranges of shapes that it takes, in the order of the engine's numbers.
        options: of the builder: ``compat`` (none, same-cc, ampere+), ``opt_level``,
            ``workspace_bytes`` (0: the library's default), ``strip_weights``.
        plugins: SHA-256 of every plug-in library that was loaded; this package needs none.
        plan_bytes: size of the plan.
        plan_sha256: of the plan.
        activation_bytes: of device memory for one execution context; 0 if unknown.
        tools: name -> version of what built it.
        schema_version: of this record.
    """

    model: ArtifactMetadata
    onnx_name: str
    onnx_sha256: str
    flavour: FlavourName
    library_version: str
    profiles: tuple[ShapeProfile, ...]
    cuda_major: int = 0
    system: str = field(default_factory=platform.system)
    machine: str = field(default_factory=platform.machine)
    gpu_name: str = ""
    gpu_capability: str = ""
    architectures: tuple[str, ...] = ()
    input_name: str = "input"
    options: dict[str, Any] = field(default_factory=dict)
    plugins: tuple[str, ...] = ()
    plan_bytes: int = 0
    plan_sha256: str = ""
    activation_bytes: int = 0
    tools: dict[str, str] = field(default_factory=dict)
    schema_version: int = ENGINE_SCHEMA_VERSION

    @property
    def compat(self) -> str:
        """Hardware-compatibility level: ``none``, ``same-cc`` or ``ampere+``."""
        return str(self.options.get("compat", "none"))

    @property
    def target(self) -> str:
        """What ``build --target`` was given: ``tensorrt``, ``rtx`` or ``rtx:sm86,sm89``."""
        return ":".join(filter(None, (self.flavour, ",".join(self.architectures))))

    def cache_key(self) -> str:
        """SHA-256 over everything that decides what the plan holds and where it runs.

        Two builds with the same key may share one plan; what was found out by the build (sizes,
        hashes of the plan) and names that change nothing are left out.
        """
        gpu: dict[str, Any] = {"architectures": sorted(self.architectures)}
        if not self.architectures:
            gpu["capability"] = "" if self.compat == "ampere+" else self.gpu_capability
            gpu["name"] = self.gpu_name if self.compat == "none" else ""
        parts = {
            "schema": [self.schema_version, self.model.schema_version],
            "exporter": self.tools.get("swinir-deploy", ""),
            "onnx": self.onnx_sha256,
            "library": [self.flavour, self.library_version, self.cuda_major],
            "system": [self.system, self.machine],
            "gpu": gpu,
            "profiles": sorted(json.dumps(asdict(profile)) for profile in self.profiles),
            "options": self.options,
            "plugins": sorted(self.plugins),
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the sidecar."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Any, source: str) -> EngineMetadata:
        """Read what :meth:`to_dict` wrote; ``source`` is named in messages.

        Raises:
            ArtifactError: not such a record, a newer schema, or a value that makes no sense.
        """

        def require(ok: bool, name: str, wanted: str) -> None:
            if not ok:
                raise ArtifactError(
                    f"{source}: {name} is {values.get(name)!r}; it must be {wanted}. "
                    "Build the engine again."
                )

        if not isinstance(values, Mapping) or not isinstance(values.get("model"), Mapping):
            raise ArtifactError(
                f"{source}: not a description of an engine by swinir-deploy. Build the engine "
                "again with 'swinir-deploy build'."
            )
        version = values.get("schema_version")
        if type(version) is not int or not 1 <= version <= ENGINE_SCHEMA_VERSION:
            raise ArtifactError(
                f"{source}: engine schema {version!r}; this version reads 1 to "
                f"{ENGINE_SCHEMA_VERSION}. Update swinir-deploy or build the engine again."
            )
        require(values.get("flavour") in get_args(FlavourName), "flavour", f"one of {[*FLAVOURS]}")
        ArtifactMetadata.from_dict(values["model"], source)  # says more than a record's check
        complete = {"onnx_name": "MODEL.onnx", **values}
        advice = "Build the engine again."
        record = record_of(complete, cls, f"{source}: ", advice, ArtifactError)
        for name in ("onnx_sha256", "library_version", "profiles"):
            require(bool(getattr(record, name)), name, "given")
        require(record.compat in _COMPATIBILITY, "options", f"with compat one of {_COMPATIBILITY}")
        return record


def sidecar_path(engine: str | os.PathLike[str]) -> Path:
    """Where the description of an engine lies: ``x4.engine`` -> ``x4.engine.json``."""
    path = Path(engine)
    return path.with_name(path.name + ".json")


def write_engine(
    engine: str | os.PathLike[str], plan: Any, metadata: EngineMetadata
) -> EngineMetadata:
    """Write plan and sidecar, each atomically, the sidecar last.

    Args:
        engine: the file to write; its folder must exist.
        plan: bytes, or any buffer.
        metadata: sizes and hashes of the plan are filled in here.

    Returns:
        The metadata as it was written.

    Raises:
        InputError: the files cannot be written.
    """
    view = memoryview(plan).cast("B")
    complete = replace(
        metadata, plan_bytes=view.nbytes, plan_sha256=hashlib.sha256(view).hexdigest()
    )
    with (
        atomic_output(sidecar_path(engine)) as sidecar,
        atomic_output(engine) as temporary,
    ):
        temporary.write_bytes(view)
        sidecar.write_text(json.dumps(complete.to_dict(), indent=2) + "\n", encoding="utf-8")
    return complete


def read_engine_metadata(
    engine: str | os.PathLike[str], *, check_hash: bool = False
) -> EngineMetadata:
    """What the sidecar says about an engine.

    Args:
        engine: path of the plan.
        check_hash: read the whole plan, too, and compare its SHA-256; else its size only.

    Raises:
        ArtifactError: plan or sidecar is missing or damaged, or they do not belong together.
    """
    path, sidecar = Path(engine), sidecar_path(engine)
    if not path.is_file():
        raise ArtifactError(f"There is no engine {path}. Build it with 'swinir-deploy build'.")
    if not sidecar.is_file():
        raise ArtifactError(
            f"{path} has no description {sidecar.name} beside it, so nothing tells what it takes. "
            "Copy that file along with the engine, or build it again with 'swinir-deploy build'."
        )
    what, advice = "the description of an engine", "Build the engine again."
    values = read_object(sidecar, what, advice, ArtifactError)
    metadata = EngineMetadata.from_dict(values, str(sidecar))
    if path.stat().st_size != metadata.plan_bytes or (
        check_hash and sha256_of(path) != metadata.plan_sha256
    ):
        raise _another_plan(path, metadata)
    return metadata


def read_plan(engine: str | os.PathLike[str], metadata: EngineMetadata) -> bytes:
    """Return an engine's plan, read once and compared with its description.

    Raises:
        ArtifactError: it cannot be read, or is another one than the sidecar describes.
    """
    path = Path(engine)
    try:
        plan = path.read_bytes()
    except OSError as error:
        raise ArtifactError(
            f"Cannot read {path}: {error.strerror or error}. Check its permissions."
        ) from error
    if hashlib.sha256(plan).hexdigest() != metadata.plan_sha256:
        raise _another_plan(path, metadata)
    return plan


def _another_plan(path: Path, metadata: EngineMetadata) -> ArtifactError:
    return ArtifactError(
        f"{path} ({path.stat().st_size:,} bytes) is not the plan that {sidecar_path(path).name} "
        f"describes ({metadata.plan_bytes:,} bytes, SHA-256 {metadata.plan_sha256[:12]}). Copy "
        "both files again, or build the engine again."
    )


def mismatches(
    metadata: EngineMetadata,
    library: Library,
    gpu: Gpu | None,
    *,
    onnx_sha256: str | None = None,
) -> list[str]:
    """The parts in which an engine does not fit what is here, in words; empty if it fits.

    Args:
        metadata: of the engine.
        library: that shall open it.
        gpu: that it shall run on; None leaves the GPU out.
        onnx_sha256: of the model that the engine should come from; None leaves that out.
    """
    found: list[str] = []

    def compare(part: str, built: Any, here: Any) -> None:
        if built != here:
            found.append(f"{part}: built with {built}, here is {here}")

    compare("library", FLAVOURS[metadata.flavour].title, library.flavour.title)
    if metadata.flavour == library.flavour.name:
        compare(f"{library.flavour.title} version", metadata.library_version, library.version)
        if metadata.cuda_major and library.cuda_major:
            compare("CUDA version of the library", metadata.cuda_major, library.cuda_major)
    if not metadata.architectures:  # compiled ahead of time, it runs on Windows and Linux alike
        compare("operating system", metadata.system, platform.system())
        compare("processor", metadata.machine, platform.machine())
    if gpu is not None:
        found += _gpu_mismatches(metadata, gpu)
    if onnx_sha256 is not None and onnx_sha256 != metadata.onnx_sha256:
        found.append(
            f"model: built from one with SHA-256 {metadata.onnx_sha256[:12]}, here is "
            f"{onnx_sha256[:12]}"
        )
    return found


def _gpu_mismatches(metadata: EngineMetadata, gpu: Gpu) -> list[str]:
    here = f"{gpu.name} ({gpu.architecture})"
    if metadata.architectures:
        if gpu.architecture in metadata.architectures:
            return []
        return [f"GPU: compiled for {', '.join(metadata.architectures)}, here is {here}"]
    if metadata.compat == "ampere+":
        if int(gpu.capability.split(".")[0]) >= 8:
            return []
        return [f"GPU: built for Ampere (sm80) and newer, here is {here}"]
    if gpu.capability != metadata.gpu_capability:
        built = f"{metadata.gpu_name} (sm{metadata.gpu_capability.replace('.', '')})"
        return [f"GPU: built on {built}, here is {here}"]
    if metadata.compat == "none" and gpu.name != metadata.gpu_name:
        return [f"GPU: built on {metadata.gpu_name}, here is {gpu.name}"]
    return []


def rebuild_command(
    metadata: EngineMetadata, engine: str | os.PathLike[str], device: int = 0
) -> str:
    """The command line that builds the engine again, as it was asked for the last time.

    Args:
        metadata: of the engine.
        engine: its path.
        device: number of the GPU that it shall run on.
    """
    words = ["swinir-deploy", "build", metadata.onnx_name, "--target", metadata.target]
    for profile in metadata.profiles:
        for name in ("min", "opt", "max"):
            shape = getattr(profile, name)
            if metadata.model.io == "image":  # the option takes NxCxHxW for every layout
                shape = (shape[0], shape[3], shape[1], shape[2])
            words += [f"--{name}-shape", shape_text(shape)]
    options = metadata.options
    if metadata.compat != "none":
        words += ["--compat", metadata.compat]
    if options.get("workspace_bytes"):
        kib = -(-options["workspace_bytes"] // 2**10)
        words += ["--workspace", f"{kib}KiB" if kib % 2**10 else f"{kib // 2**10}MiB"]
    if options.get("opt_level") is not None:
        words += ["--opt-level", str(options["opt_level"])]
    if options.get("strip_weights"):
        words += ["--strip-weights"]
    if metadata.model.target != "tensorrt":
        words += ["--any-graph"]
    if device and not metadata.architectures:
        words += ["--device", str(device)]
    return shlex.join([*words, "-o", os.fspath(engine)])
