"""Engines on disk: the bare plan ``NAME.engine`` and its description ``NAME.engine.json``.

The plan has no prefix of our own, so trtexec and Triton can read it. The sidecar holds what a
runtime must know: the model's metadata, the library, the GPU, the shapes and the options that
the engine was built with.
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
from typing import Any, Literal, get_args

from swinir_deploy.artifacts.metadata import ArtifactMetadata
from swinir_deploy.artifacts.shapes import ShapeProfile, shape_text
from swinir_deploy.errors import ArtifactError, UsageError
from swinir_deploy.nvidia.gpu import Gpu
from swinir_deploy.nvidia.tensorrt_library import FLAVOURS, FlavourName, Library
from swinir_deploy.system.files import atomic_output, sha256_of
from swinir_deploy.system.records import read_object, record_of

__all__ = [
    "ENGINE_SCHEMA_VERSION",
    "ENGINE_SUFFIX",
    "EngineFlavour",
    "EngineMetadata",
    "flavour_title",
    "mismatches",
    "read_engine_metadata",
    "read_plan",
    "rebuild_command",
    "sidecar_path",
    "write_engine",
]

ENGINE_SCHEMA_VERSION = 1
ENGINE_SUFFIX = ".engine"

EngineFlavour = Literal["tensorrt", "rtx", "cuda"]
"""What made an engine and runs it: one of the two TensorRT, or this project's own kernels."""

_COMPATIBILITY = ("none", "same-cc", "ampere+")


@dataclass(frozen=True)
class EngineMetadata:
    """The description of an engine, which its plan does not contain.

    Attributes:
        model: the metadata of the ONNX model that the engine was built from.
        onnx_name: file name of that model, or of the checkpoint that it was exported from for this
            engine; the id of a model of the catalogue that was.
        onnx_sha256: SHA-256 of that model, including its external data if it has any; of an engine
            for ``cuda``, that of the checkpoint.
        flavour: ``tensorrt``, ``rtx`` or ``cuda``.
        library_version: full version of the library, such as ``10.13.0.35``; of an engine for
            ``cuda``, that of the compiler.
        cuda_major: major CUDA version of the library's wheels; 0 if unknown.
        system: operating system that the engine was built on, such as ``Linux``.
        machine: processor that the engine was built on, such as ``x86_64``.
        gpu_name: name of the GPU that the engine was built on; empty if there was none.
        gpu_capability: compute capability of that GPU, such as ``8.9``; empty if there was none.
        architectures: GPU architectures that the engine was compiled for ahead of time, such as
            ``sm89``; sorted. Empty if it was built on a GPU.
        input_name: name of the model's only input.
        profiles: the ranges of input shapes, in the order of the engine's profile numbers.
        options: options of the builder: ``compat`` (none, same-cc, ampere+), ``opt_level``,
            ``workspace_bytes`` (0: the library's default), ``strip_weights``.
        plugins: SHA-256 of every plug-in library that was loaded; this package needs none.
        plan_bytes: size of the plan in bytes.
        plan_sha256: SHA-256 of the plan.
        activation_bytes: device memory in bytes for one execution context; 0 if unknown.
        tools: package name -> version of the packages that built the engine.
        schema_version: version of this record.
    """

    model: ArtifactMetadata
    onnx_name: str
    onnx_sha256: str
    flavour: EngineFlavour
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
        """Return the hardware-compatibility level: ``none``, ``same-cc`` or ``ampere+``."""
        return str(self.options.get("compat", "none"))

    @property
    def target(self) -> str:
        """Return the target as ``build --target`` takes it: ``tensorrt``, ``rtx``, ``rtx:sm86``."""
        return ":".join(filter(None, (self.flavour, ",".join(self.architectures))))

    @property
    def tensorrt(self) -> FlavourName:
        """Return which TensorRT runs the engine.

        Raises:
            UsageError: none does; it is an engine for the back end ``cuda``.
        """
        if self.flavour == "cuda":
            raise UsageError(
                f"{self.onnx_name} was built for the back end 'cuda', which TensorRT does not "
                "run. Use --backend cuda."
            )
        return self.flavour

    def cache_key(self) -> str:
        """Return the SHA-256 over everything that decides what the plan holds and where it runs.

        Two builds with the same key can share one plan. The key leaves out results of the build
        (size and hash of the plan) and names that have no effect.
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
        """Return plain values for the JSON sidecar."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Any, source: str) -> EngineMetadata:
        """Read what :meth:`to_dict` wrote.

        Args:
            values: the parsed JSON document.
            source: the name of the file, for error messages.

        Raises:
            ArtifactError: the values are no such record, have a newer schema, or one is invalid.
        """

        def require(ok: bool, name: str, expected: str) -> None:
            if not ok:
                raise ArtifactError(
                    f"{source}: {name} is {values.get(name)!r}; it must be {expected}. "
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
        flavours = get_args(EngineFlavour)
        require(values.get("flavour") in flavours, "flavour", f"one of {[*flavours]}")
        ArtifactMetadata.from_dict(values["model"], source)  # its messages are more exact
        complete = {"onnx_name": "MODEL.onnx", **values}
        advice = "Build the engine again."
        record = record_of(complete, cls, f"{source}: ", advice, ArtifactError)
        for name in ("onnx_sha256", "library_version", "profiles"):
            require(bool(getattr(record, name)), name, "given")
        require(record.compat in _COMPATIBILITY, "options", f"with compat one of {_COMPATIBILITY}")
        return record


def flavour_title(flavour: EngineFlavour) -> str:
    """Return the name of what makes and runs an engine, for messages."""
    return "the CUDA kernels of swinir-deploy" if flavour == "cuda" else FLAVOURS[flavour].title


def sidecar_path(engine: str | os.PathLike[str]) -> Path:
    """Return the path of an engine's description: ``x4.engine`` -> ``x4.engine.json``."""
    path = Path(engine)
    return path.with_name(path.name + ".json")


def write_engine(
    engine: str | os.PathLike[str], plan: Any, metadata: EngineMetadata
) -> EngineMetadata:
    """Write the plan and its sidecar. Each file appears atomically, the sidecar last.

    Args:
        engine: the file to write; its folder must exist.
        plan: the serialized engine, as bytes or another buffer.
        metadata: the description; this function fills in the plan's size and SHA-256.

    Returns:
        The metadata as it was written.

    Raises:
        InputError: a file cannot be written.
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
    """Read an engine's description from its sidecar.

    Args:
        engine: path of the plan.
        check_hash: True also reads the whole plan and compares its SHA-256. False compares only
            its size.

    Raises:
        ArtifactError: plan or sidecar is missing or damaged, or they do not belong together.
    """
    path, sidecar = Path(engine), sidecar_path(engine)
    if not path.is_file():
        raise ArtifactError(f"Missing engine {path}. Build it with 'swinir-deploy build'.")
    if not sidecar.is_file():
        raise ArtifactError(
            f"{path} has no description {sidecar.name} beside it. "
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
    """Read an engine's plan and compare its SHA-256 with the description.

    Raises:
        ArtifactError: the plan cannot be read, or it is not the one that the sidecar describes.
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
    """Return a sentence for each way in which an engine does not fit this machine.

    Args:
        metadata: the description of the engine.
        library: the library that would open the engine.
        gpu: the GPU that it would run on; None skips the checks of the GPU.
        onnx_sha256: SHA-256 of the expected ONNX model; None skips this check.

    Returns:
        The differences; empty if the engine fits.
    """
    differences: list[str] = []

    def compare(part: str, built: Any, local: Any) -> None:
        if built != local:
            differences.append(f"{part}: built with {built}, here is {local}")

    compare("library", flavour_title(metadata.flavour), library.flavour.title)
    if metadata.flavour == library.flavour.name:
        compare(f"{library.flavour.title} version", metadata.library_version, library.version)
        if metadata.cuda_major and library.cuda_major:
            compare("CUDA version of the library", metadata.cuda_major, library.cuda_major)
    if not metadata.architectures:  # an engine compiled ahead of time runs on Windows and Linux
        compare("operating system", metadata.system, platform.system())
        compare("processor", metadata.machine, platform.machine())
    if gpu is not None:
        differences += _gpu_mismatches(metadata, gpu)
    if onnx_sha256 is not None and onnx_sha256 != metadata.onnx_sha256:
        differences.append(
            f"model: built from one with SHA-256 {metadata.onnx_sha256[:12]}, here is "
            f"{onnx_sha256[:12]}"
        )
    return differences


def _gpu_mismatches(metadata: EngineMetadata, gpu: Gpu) -> list[str]:
    local = f"{gpu.name} ({gpu.architecture})"
    if metadata.architectures:
        if gpu.architecture in metadata.architectures:
            return []
        return [f"GPU: compiled for {', '.join(metadata.architectures)}, here is {local}"]
    if metadata.compat == "ampere+":
        if int(gpu.capability.split(".")[0]) >= 8:
            return []
        return [f"GPU: built for Ampere (sm80) and newer, here is {local}"]
    if gpu.capability != metadata.gpu_capability:
        built = f"{metadata.gpu_name} (sm{metadata.gpu_capability.replace('.', '')})"
        return [f"GPU: built on {built}, here is {local}"]
    if metadata.compat == "none" and gpu.name != metadata.gpu_name:
        return [f"GPU: built on {metadata.gpu_name}, here is {gpu.name}"]
    return []


def rebuild_command(
    metadata: EngineMetadata, engine: str | os.PathLike[str], device: int = 0
) -> str:
    """Return the command line that builds the engine again with the same options.

    Args:
        metadata: the description of the engine.
        engine: the path of the engine.
        device: number of the GPU that the engine will run on, from 0.
    """
    words = ["swinir-deploy", "build", metadata.onnx_name, "--target", metadata.target]
    if metadata.flavour == "cuda":
        words += ["--precision", metadata.model.precision, "--io", metadata.model.io]
        return shlex.join([*words, "-o", os.fspath(engine)])
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
    if not metadata.onnx_name.lower().endswith(".onnx"):  # a checkpoint, or an id
        words += ["--precision", metadata.model.precision]
        words += ["--io", "image"] if metadata.model.io == "image" else []
    elif metadata.model.target != "tensorrt":
        words += ["--any-graph"]
    if device and not metadata.architectures:
        words += ["--device", str(device)]
    return shlex.join([*words, "-o", os.fspath(engine)])
