"""The file format of an engine for the back end ``cuda``: weights, machine code and launches.

One file has everything that a GPU needs: the packed weights, the compiled kernels for each GPU
architecture, and for each architecture the :class:`~.launch_program.Program` that says what is
launched for a shape. docs/cuda_engine.md describes the format for readers in other languages.

This module only reads and writes; it needs neither a GPU nor a compiler. What it reads is checked
completely: sizes, hashes, types, and every expression of the programs.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from swinir_deploy.artifacts.launch_program import (
    INPUTS,
    OPERATORS,
    Argument,
    Definitions,
    Expression,
    LaunchStep,
    Number,
    Place,
    Program,
    Repeat,
    Step,
    Weight,
    check_number,
)
from swinir_deploy.errors import ArtifactError
from swinir_deploy.system.records import record_of

__all__ = [
    "CUDA_ENGINE_MAGIC",
    "CUDA_ENGINE_VERSION",
    "Architecture",
    "CudaEngine",
    "DType",
    "Half",
    "Io",
    "Kernel",
    "Kind",
    "PackedTensor",
    "Parameter",
    "is_cuda_engine",
    "read_cuda_engine",
    "write_cuda_engine",
]

CUDA_ENGINE_MAGIC = b"SWINIRCU"
CUDA_ENGINE_VERSION = 1

_HEADER = struct.Struct("<8sIIQ32s8x")
"""Magic, version, size of the header, size of the manifest, SHA-256 of the manifest; 64 bytes."""

_ALIGNMENT = 256
"""Of the manifest's end, every section and every tensor, in bytes."""

_MANIFEST_LIMIT = 64 << 20
_ELEMENT_BYTES = {"fp16": 2, "bf16": 2, "fp32": 4}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
_ADVICE = "Copy the file again, or build the engine again with 'swinir-deploy build'."
_CUBIN_MACHINE = 190
"""EM_CUDA of the ELF header."""

Io = Literal["tensor", "image"]
Half = Literal["fp16", "bf16"]
Kind = Literal["pointer", "i32", "f32"]
DType = Literal["fp16", "bf16", "fp32"]


@dataclass(frozen=True)
class _Section:
    """A range of bytes behind the manifest.

    Attributes:
        offset: of the first byte, from the beginning of the file.
        size: in bytes.
        sha256: of the bytes.
    """

    offset: int
    size: int
    sha256: str


@dataclass(frozen=True)
class Parameter:
    """A parameter of a kernel, in the order of the machine code's arguments.

    Attributes:
        name: in messages and tests.
        kind: a device address (8 bytes), or a number of 4 bytes.
    """

    name: str
    kind: Kind


@dataclass(frozen=True)
class Kernel:
    """A compiled kernel.

    Attributes:
        name: of the kernel's source.
        entry: of the function in the machine code.
        constants: that were compiled in.
        parameters: of the function. Two null pointers follow them, which Triton adds.
        warps: of a program: 32 threads each.
        shared_bytes: of dynamic shared memory for a program.
        registers: of a thread.
        spill_bytes: of a thread.
        cubin: the machine code, an ELF file.
    """

    name: str
    entry: str
    constants: Mapping[str, int]
    parameters: tuple[Parameter, ...]
    warps: int
    shared_bytes: int
    registers: int
    spill_bytes: int
    cubin: bytes = field(repr=False)


@dataclass(frozen=True)
class Architecture:
    """What runs on GPUs of one architecture.

    Attributes:
        kernels: each with its own machine code.
        program: the launches; their ``kernel`` is a number in ``kernels``, as text.
    """

    kernels: tuple[Kernel, ...]
    program: Program


@dataclass(frozen=True)
class PackedTensor:
    """A weight in the section of the weights.

    Attributes:
        name: such as ``layers.0.conv.weight``.
        dtype: ``fp16``, ``bf16`` or ``fp32``.
        shape: sides.
        offset: of the first byte in the section, a multiple of 256.
    """

    name: str
    dtype: DType
    shape: tuple[int, ...]
    offset: int

    @property
    def size(self) -> int:
        """Return the size in bytes."""
        return math.prod(self.shape) * _ELEMENT_BYTES[self.dtype]


@dataclass(frozen=True)
class CudaEngine:
    """The content of a file.

    Attributes:
        io: ``tensor``: [B, C, H, W] float32, 0..1, in and out; ``image``: [B, H, W, C] uint8.
        half: the type of stream and products, ``fp16`` or ``bf16``; the arena is in it.
        tensors: the weights.
        weights: bytes of the section with the weights.
        architectures: by names such as ``sm90``.
        compiler: what compiled the kernels, such as ``Triton 3.6.0``.
    """

    io: Io
    half: Half
    tensors: tuple[PackedTensor, ...]
    weights: bytes = field(repr=False)
    architectures: Mapping[str, Architecture]
    compiler: str = ""

    def architecture_for(self, capability: str) -> str | None:
        """Return the architecture whose machine code runs on a GPU, or None.

        Code for sm80 runs on every 8.x from 8.0 on; code for another major version never does.

        Args:
            capability: compute capability of the GPU, such as ``8.9``.
        """
        major, _, minor = capability.partition(".")
        fitting = [
            number
            for number in map(_architecture_number, self.architectures)
            if number // 10 == int(major) and number % 10 <= int(minor)
        ]
        return f"sm{max(fitting)}" if fitting else None


def is_cuda_engine(path: str | os.PathLike[str]) -> bool:
    """Return whether a file begins as an engine of this format does."""
    try:
        with open(path, "rb") as file:
            return file.read(len(CUDA_ENGINE_MAGIC)) == CUDA_ENGINE_MAGIC
    except OSError:
        return False


# ------------------------------------------------------------------------------------------ writing


def write_cuda_engine(engine: CudaEngine) -> bytes:
    """Return the bytes of the file."""
    sections: list[bytes] = []
    places: list[dict[str, Any]] = []

    def section(content: bytes) -> dict[str, Any]:
        place: dict[str, Any] = {"offset": 0, "size": len(content)}
        place["sha256"] = hashlib.sha256(content).hexdigest()
        sections.append(content)
        places.append(place)
        return place

    names = {tensor.name: number for number, tensor in enumerate(engine.tensors)}
    manifest = {
        "io": engine.io,
        "half": engine.half,
        "compiler": engine.compiler,
        "weights": section(engine.weights),
        "tensors": [asdict(tensor) for tensor in engine.tensors],
        "architectures": {
            name: {
                "kernels": [
                    {
                        **{
                            key: value
                            for key, value in vars(kernel).items()
                            if key not in ("cubin", "parameters", "constants")
                        },
                        "constants": {key: int(v) for key, v in kernel.constants.items()},
                        "parameters": [[p.name, p.kind] for p in kernel.parameters],
                        "cubin": section(kernel.cubin),
                    }
                    for kernel in architecture.kernels
                ],
                "program": _program_to_plain(architecture, names),
            }
            for name, architecture in engine.architectures.items()
        },
    }
    # The places depend on the size of the manifest, which has their digits: so give it room.
    room = len(json.dumps(manifest)) + 24 * len(places)
    offset = _aligned(_HEADER.size + room)
    first = offset
    for place in places:
        place["offset"] = offset
        offset = _aligned(offset + place["size"])
    text = json.dumps(manifest).encode().ljust(first - _HEADER.size, b" ")
    header = _HEADER.pack(
        CUDA_ENGINE_MAGIC,
        CUDA_ENGINE_VERSION,
        _HEADER.size,
        len(text),
        hashlib.sha256(text).digest(),
    )
    content = bytearray(header + text)
    for place, part in zip(places, sections, strict=True):
        content += bytes(place["offset"] - len(content)) + part
    return bytes(content)


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def _plain_number(number: Number) -> int | list[int | str]:
    return list(number.tokens) if isinstance(number, Expression) else int(number)


def _plain_definitions(definitions: Definitions) -> list[list[Any]]:
    return [[name, _plain_number(number)] for name, number in definitions]


def _program_to_plain(architecture: Architecture, names: Mapping[str, int]) -> dict[str, Any]:
    def launch(step: LaunchStep) -> dict[str, Any]:
        kernel = architecture.kernels[int(step.kernel)]
        arguments = [step.arguments[parameter.name] for parameter in kernel.parameters]
        return {
            "kernel": int(step.kernel),
            "part": step.part,
            "grid": [_plain_number(programs) for programs in step.grid],
            "arguments": [
                _plain_argument(value, parameter.kind, names)
                for value, parameter in zip(arguments, kernel.parameters, strict=True)
            ],
        }

    steps: list[dict[str, Any]] = []
    for step in architecture.program.steps:
        if isinstance(step, LaunchStep):
            steps.append(launch(step))
            continue
        steps.append(
            {
                "repeat": _plain_number(step.count),
                "index": step.index,
                "definitions": _plain_definitions(step.definitions),
                "steps": [launch(inside) for inside in step.steps],
            }
        )
    return {
        "definitions": _plain_definitions(architecture.program.definitions),
        "arena_elements": _plain_number(architecture.program.arena_elements),
        "output_shape": [_plain_number(side) for side in architecture.program.output_shape],
        "steps": steps,
    }


def _plain_argument(value: Argument, kind: Kind, names: Mapping[str, int]) -> list[Any]:
    if isinstance(value, Weight):
        return ["weight", names[value.name]]
    if isinstance(value, Place):
        return ["arena", _plain_number(value.offset)] if value.name == "arena" else [value.name]
    if kind == "f32":
        assert isinstance(value, int | float)
        return ["f32", float(value)]
    assert not isinstance(value, float)
    return ["i32", _plain_number(value)]


# ------------------------------------------------------------------------------------------ reading


@dataclass(frozen=True)
class _KernelRecord:
    name: str
    entry: str
    constants: dict[str, int]
    parameters: list[tuple[str, Kind]]
    warps: int
    shared_bytes: int
    registers: int
    spill_bytes: int
    cubin: _Section


@dataclass(frozen=True)
class _ProgramRecord:
    definitions: list[tuple[str, Any]]
    arena_elements: Any
    output_shape: tuple[Any, Any, Any, Any]
    steps: list[dict[str, Any]]


@dataclass(frozen=True)
class _ArchitectureRecord:
    kernels: list[_KernelRecord]
    program: _ProgramRecord


@dataclass(frozen=True)
class _Manifest:
    io: Io
    half: Half
    weights: _Section
    tensors: list[PackedTensor]
    architectures: dict[str, _ArchitectureRecord]
    compiler: str = ""


def read_cuda_engine(source: str | os.PathLike[str] | bytes, name: str = "") -> CudaEngine:
    """Read an engine and check all of it.

    Args:
        source: path of the file, or its bytes.
        name: of the file for messages, where ``source`` is bytes.

    Raises:
        ArtifactError: the file cannot be read, is no such engine, is damaged, or is of a newer
            version.
    """
    if isinstance(source, bytes):
        content, name = source, name or "the engine"
    else:
        name = os.fspath(source)
        try:
            content = Path(source).read_bytes()
        except OSError as error:
            raise ArtifactError(
                f"Cannot read {name}: {error.strerror or error}. Check its path and permissions."
            ) from error
    return _Reader(content, name).read()


class _Reader:
    def __init__(self, content: bytes, name: str) -> None:
        self.content = content
        self.name = name

    def fail(self, what: str) -> ArtifactError:
        return ArtifactError(f"{self.name} is damaged: {what}. {_ADVICE}")

    def read(self) -> CudaEngine:
        manifest = record_of(
            self._manifest(), _Manifest, f"{self.name} is damaged: ", _ADVICE, ArtifactError
        )
        weights = self._section(manifest.weights, "the weights")
        self._check_tensors(manifest.tensors, len(weights))
        if not manifest.architectures:
            raise self.fail("it has machine code for no architecture")
        architectures = {}
        for name, record in manifest.architectures.items():
            if re.fullmatch(r"sm[1-9]\d{1,2}", name) is None:
                raise self.fail(f"{name!r} is no architecture")
            kernels = tuple(self._kernel(kernel, name) for kernel in record.kernels)
            try:
                program = _Parser(kernels, manifest.tensors).program(record.program)
            except (ValueError, TypeError, KeyError, IndexError, RecursionError) as error:
                raise self.fail(f"the program for {name}: {error}") from error
            architectures[name] = Architecture(kernels, program)
        return CudaEngine(
            io=manifest.io,
            half=manifest.half,
            tensors=tuple(manifest.tensors),
            weights=weights,
            architectures=architectures,
            compiler=manifest.compiler,
        )

    def _manifest(self) -> dict[str, Any]:
        size = len(self.content)
        if size < _HEADER.size or not self.content.startswith(CUDA_ENGINE_MAGIC):
            raise ArtifactError(
                f"{self.name} is not an engine of 'swinir-deploy build --target cuda'. {_ADVICE}"
            )
        _, version, header_size, length, digest = _HEADER.unpack_from(self.content)
        if version != CUDA_ENGINE_VERSION:
            raise ArtifactError(
                f"{self.name} has version {version} of the format; this program reads version "
                f"{CUDA_ENGINE_VERSION}. Update swinir-deploy, or build the engine again."
            )
        if header_size != _HEADER.size or length > min(_MANIFEST_LIMIT, size - _HEADER.size):
            raise self.fail(f"its {size:,} bytes end before its manifest does")
        text = self.content[_HEADER.size : _HEADER.size + length]
        if hashlib.sha256(text).digest() != digest:
            raise self.fail("its manifest has another SHA-256 than its header says")
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise self.fail("its manifest is not JSON") from error
        if not isinstance(values, dict):
            raise self.fail("its manifest is not an object")
        self._end_of_manifest = _HEADER.size + length
        return values

    def _section(self, section: _Section, what: str) -> bytes:
        begin, end = section.offset, section.offset + section.size
        if section.size < 0 or begin < self._end_of_manifest or end > len(self.content):
            raise self.fail(f"{what} lie outside of its {len(self.content):,} bytes")
        if begin % _ALIGNMENT:
            raise self.fail(f"{what} begin at {begin}, which is no multiple of {_ALIGNMENT}")
        content = self.content[begin:end]
        if hashlib.sha256(content).hexdigest() != section.sha256:
            raise self.fail(f"{what} have another SHA-256 than its manifest says")
        return content

    def _check_tensors(self, tensors: Sequence[PackedTensor], size: int) -> None:
        names = set()
        for tensor in tensors:
            fits = tensor.offset >= 0 and tensor.offset + tensor.size <= size
            if not tensor.shape or min(tensor.shape) < 1 or tensor.offset % _ALIGNMENT or not fits:
                raise self.fail(f"the weight {tensor.name!r:.80} does not lie within the weights")
            if tensor.name in names:
                raise self.fail(f"there are two weights {tensor.name!r:.80}")
            names.add(tensor.name)

    def _kernel(self, record: _KernelRecord, architecture: str) -> Kernel:
        what = f"the kernel {record.name!r:.80} for {architecture}"
        cubin = self._section(record.cubin, f"the code of {what}")
        if cubin[:4] != b"\x7fELF" or cubin[18:20] != _CUBIN_MACHINE.to_bytes(2, "little"):
            raise self.fail(f"{what} has no machine code for NVIDIA GPUs")
        if record.warps not in (1, 2, 4, 8, 16, 32) or not 0 <= record.shared_bytes <= 232448:
            raise self.fail(f"{what} asks for {record.warps} warps, {record.shared_bytes} bytes")
        if _NAME.fullmatch(record.entry) is None or record.entry.encode() not in cubin:
            raise self.fail(f"{what} has no function {record.entry!r:.80}")
        names = [name for name, _ in record.parameters]
        if len(set(names)) < len(names):
            raise self.fail(f"{what} has two parameters of one name")
        return Kernel(
            name=record.name,
            entry=record.entry,
            constants=record.constants,
            parameters=tuple(Parameter(*entry) for entry in record.parameters),
            warps=record.warps,
            shared_bytes=record.shared_bytes,
            registers=record.registers,
            spill_bytes=record.spill_bytes,
            cubin=cubin,
        )


class _Parser:
    """Reads the program of an architecture. Everything wrong raises ValueError or its kin."""

    def __init__(self, kernels: Sequence[Kernel], tensors: Sequence[PackedTensor]) -> None:
        self.kernels = kernels
        self.tensors = tensors

    def program(self, record: _ProgramRecord) -> Program:
        names = set(INPUTS)
        definitions = self._definitions(record.definitions, names)
        return Program(
            definitions=definitions,
            steps=tuple(self._step(step, names) for step in record.steps),
            arena_elements=self._number(record.arena_elements, names),
            output_shape=(
                self._number(record.output_shape[0], names),
                self._number(record.output_shape[1], names),
                self._number(record.output_shape[2], names),
                self._number(record.output_shape[3], names),
            ),
        )

    def _definitions(self, entries: Sequence[Any], names: set[str]) -> Definitions:
        """Read definitions, and add their names to ``names``."""
        result = []
        for name, value in entries:
            result.append((self._new_name(name, names), self._number(value, names)))
            names.add(name)
        return tuple(result)

    def _new_name(self, name: Any, names: set[str]) -> str:
        usable = isinstance(name, str) and _NAME.fullmatch(name) is not None
        if not usable or name in names or name in OPERATORS:
            raise ValueError(f"{name!r:.80} cannot be a new name")
        return str(name)

    def _step(self, step: Any, names: set[str]) -> Step:
        if "repeat" not in step:
            return self._launch(step, names)
        inner = {*names, self._new_name(step["index"], names)}
        definitions = self._definitions(step["definitions"], inner)
        return Repeat(
            count=self._number(step["repeat"], names),
            index=step["index"],
            definitions=definitions,
            steps=tuple(self._launch(inside, inner) for inside in step["steps"]),
        )

    def _launch(self, step: Any, names: set[str]) -> LaunchStep:
        number = step["kernel"]
        if type(number) is not int or not 0 <= number < len(self.kernels):
            raise ValueError(f"there is no kernel {number!r:.80}")
        kernel = self.kernels[number]
        grid = tuple(self._number(programs, names) for programs in step["grid"])
        if not 1 <= len(grid) <= 3:
            raise ValueError(f"a grid has {len(grid)} axes")
        given = step["arguments"]
        if not isinstance(given, list) or len(given) != len(kernel.parameters):
            raise ValueError(f"{kernel.name} takes {len(kernel.parameters)} arguments")
        arguments = {
            parameter.name: self._argument(value, parameter, names)
            for value, parameter in zip(given, kernel.parameters, strict=True)
        }
        return LaunchStep(str(number), grid, arguments, kernel.constants, str(step["part"]))

    def _argument(self, value: Any, parameter: Parameter, names: set[str]) -> Argument:
        kind, rest = value[0], value[1:]
        if parameter.kind == "pointer":
            if kind == "weight" and type(rest[0]) is int and 0 <= rest[0] < len(self.tensors):
                return Weight(self.tensors[rest[0]].name)
            if kind == "arena":
                return Place("arena", self._number(rest[0], names))
            if kind in ("input", "output"):
                return Place(kind)
        elif kind == parameter.kind == "i32":
            return self._number(rest[0], names)
        elif kind == parameter.kind == "f32" and isinstance(rest[0], float):
            return rest[0]
        raise ValueError(f"{value!r:.80} cannot be the argument {parameter.name!r:.80}")

    @staticmethod
    def _number(value: Any, names: set[str]) -> Number:
        if type(value) is int and -(2**62) <= value <= 2**62:
            return value
        if not isinstance(value, list) or not all(type(token) in (int, str) for token in value):
            raise ValueError(f"{value!r:.80} is no number")
        number = Expression(*value)
        check_number(number, names)
        return number


def _architecture_number(name: str) -> int:
    return int(name.removeprefix("sm"))
