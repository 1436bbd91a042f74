"""Compile the kernels of a network for architectures that need not be here, and read the result."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from swinir_deploy.artifacts.cuda_engine import Kind, Parameter
from swinir_deploy.artifacts.launch_program import (
    Expression,
    LaunchStep,
    Place,
    Plan,
    Program,
    Weight,
)
from swinir_deploy.errors import InferenceError, UsageError
from swinir_deploy.kernels.plan import make_program, usual_numbers
from swinir_deploy.kernels.settings import SHARED_BYTES, Settings, settings_for
from swinir_deploy.kernels.widths import stored_channels
from swinir_deploy.network.config import SwinIRConfig

__all__ = [
    "CompiledKernel",
    "MachineCode",
    "compile_kernels",
    "compile_launch",
    "distinct_launches",
    "kernels_per_block",
    "parse_architecture",
]


@dataclass(frozen=True)
class MachineCode:
    """One kernel for one architecture.

    Attributes:
        entry: name of the function.
        cubin: an ELF file that holds it.
        parameters: of the function, without those that Triton adds.
        registers: of a thread.
        spill_bytes: of a thread: local memory that stands in for registers.
        shared_bytes: of a program.
        warps: of a program.
    """

    entry: str
    cubin: bytes
    parameters: tuple[Parameter, ...]
    registers: int
    spill_bytes: int
    shared_bytes: int
    warps: int


@dataclass(frozen=True)
class CompiledKernel:
    """What the compiler made of one kernel.

    Attributes:
        kernel: its name.
        architecture: such as ``sm90``.
        part: of the network, see :class:`~swinir_deploy.artifacts.launch_program.Launch`.
        constants: that it was compiled with.
        registers: of a thread.
        spill_bytes: of a thread: local memory that stands in for registers.
        shared_bytes: of a program.
        warps: of a program.
        launches: of it in a forward pass.
    """

    kernel: str
    architecture: str
    part: str
    constants: Mapping[str, int]
    registers: int
    spill_bytes: int
    shared_bytes: int
    warps: int
    launches: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, fit for JSON."""
        return {**asdict(self), "constants": dict(self.constants)}


def parse_architecture(text: str) -> int:
    """Return 90 for ``sm90`` (or ``sm_90``).

    Raises:
        UsageError: an architecture that the kernels are not made for.
    """
    match = re.fullmatch(r"sm_?(\d+)", text)
    if match is None or int(match[1]) not in SHARED_BYTES:
        known = ", ".join(f"sm{number}" for number in SHARED_BYTES)
        raise UsageError(f"Unknown architecture {text!r}. Choose {known}.")
    return int(match[1])


def kernels_per_block(plan: Plan) -> int:
    """Return how many kernels a Swin block takes."""
    return 1 if any(launch.part == "block" for launch in plan.launches) else 2


def compile_kernels(
    config: SwinIRConfig,
    architectures: Iterable[int],
    *,
    half: str = "fp16",
    parts: Iterable[str] | None = None,
    settings: Settings | None = None,
) -> list[CompiledKernel]:
    """Compile every kernel of a network that differs, for each architecture.

    Args:
        config: of the network.
        architectures: numbers of :data:`.settings.ARCHITECTURES`.
        half: ``fp16`` or ``bf16``.
        parts: of the network to compile; None compiles all.
        settings: instead of those of the architecture.

    Raises:
        InferenceError: the compiler failed, or a program needs more shared memory than there is.
    """
    numbers = usual_numbers(config)
    stored = stored_channels(config.embed_dim)
    results = []
    for architecture in architectures:
        chosen = settings or settings_for(architecture)
        program = make_program(config, numbers, chosen)
        for steps in distinct_launches(program):
            step = steps[0]
            if parts is not None and step.part not in parts:
                continue
            options = chosen.launch_options(step.kernel, stored)
            code = compile_launch(step, architecture, half, options)
            results.append(
                CompiledKernel(
                    kernel=step.kernel,
                    architecture=f"sm{architecture}",
                    part=step.part,
                    constants=step.constants,
                    registers=code.registers,
                    spill_bytes=code.spill_bytes,
                    shared_bytes=code.shared_bytes,
                    warps=code.warps,
                    launches=len(steps),
                )
            )
    return results


def distinct_launches(program: Program) -> list[list[LaunchStep]]:
    """Return the launches that one machine code serves together, for each machine code."""
    distinct: dict[tuple[Any, ...], list[LaunchStep]] = {}
    for step in program.launches():
        distinct.setdefault((step.kernel, *sorted(step.constants.items())), []).append(step)
    return list(distinct.values())


def compile_launch(
    step: LaunchStep, architecture: int, half: str, options: Mapping[str, int]
) -> MachineCode:
    """Compile the kernel of a launch.

    Args:
        step: the launch; its arguments say the types, its constants are compiled in.
        architecture: a number of :data:`.settings.ARCHITECTURES`.
        half: ``fp16`` or ``bf16``.
        options: of Triton: ``num_warps`` and so on.

    Raises:
        InferenceError: the compiler failed, or a program needs more shared memory than there is.
    """
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from swinir_deploy.kernels.launch import KERNELS

    kernel = KERNELS[step.kernel]
    signature, attributes, parameters = {}, {}, []
    for index, name in enumerate(kernel.arg_names):
        if name in step.constants:
            signature[name] = "constexpr"
            continue
        signature[name] = kind = _type(step, name, half)
        if kind.startswith("*"):
            attributes[(index,)] = [["tt.divisibility", 16]]
        parameters.append(Parameter(name, _KINDS.get(kind, "pointer")))
    source = ASTSource(kernel, signature, dict(step.constants), attributes)
    target = GPUTarget("cuda", architecture, 32)
    try:
        compiled = triton.compile(source, target=target, options=dict(options))
    except Exception as error:
        raise InferenceError(
            f"Triton {triton.__version__} cannot compile {step.kernel} for sm{architecture}: "
            f"{str(error).splitlines()[0]}"
        ) from error
    registers, spill = _resources(compiled.asm["cubin"])
    shared = int(compiled.metadata.shared)
    if shared > SHARED_BYTES[architecture]:
        raise InferenceError(
            f"{step.kernel} needs {shared} bytes of shared memory; sm{architecture} has "
            f"{SHARED_BYTES[architecture]}."
        )
    return MachineCode(
        entry=str(compiled.metadata.name),
        cubin=bytes(compiled.asm["cubin"]),
        parameters=tuple(parameters),
        registers=registers,
        spill_bytes=spill,
        shared_bytes=shared,
        warps=int(options["num_warps"]),
    )


_KINDS: Mapping[str, Kind] = {"i32": "i32", "fp32": "f32"}
_PICTURES = {False: "*fp32", True: "*u8"}


def _type(step: LaunchStep, name: str, half: str) -> str:
    """Return Triton's type of an argument."""
    argument = step.arguments[name]
    if isinstance(argument, Expression | int):
        return "i32"
    if isinstance(argument, float):
        return "fp32"
    if isinstance(argument, Place):
        image = step.constants.get("BYTES", step.constants.get("STORE") == 3)
        return f"*{half}" if argument.name == "arena" else _PICTURES[bool(image)]
    assert isinstance(argument, Weight)
    if argument.name.endswith("position_bias"):
        return "*fp16"
    vector = argument.name.endswith((".bias", "mean")) or step.kernel == "layer_norm"
    return "*fp32" if vector else f"*{half}"


def _resources(cubin: bytes) -> tuple[int, int]:
    """Return registers and stack bytes of a thread, as cuobjdump reads them off a cubin."""
    import triton

    folder = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        report = subprocess.run(
            [str(folder / "cuobjdump"), "-res-usage", file.name],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    match = re.search(r"REG:(\d+) STACK:(\d+)", report)
    if match is None:
        raise InferenceError(f"cuobjdump says nothing of registers: {report[:200]!r}.")
    return int(match[1]), int(match[2])
