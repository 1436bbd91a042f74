"""Pack a network, compile its kernels, and put both with the launches into one engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from swinir_deploy.artifacts.cuda_engine import (
    Architecture,
    CudaEngine,
    DType,
    Half,
    Io,
    Kernel,
    PackedTensor,
)
from swinir_deploy.artifacts.launch_program import LaunchStep, Program, Repeat, Step
from swinir_deploy.errors import UsageError
from swinir_deploy.kernels.compile import compile_launch, distinct_launches
from swinir_deploy.kernels.plan import make_program
from swinir_deploy.kernels.served import why_network_not_fused
from swinir_deploy.kernels.settings import Settings, settings_for
from swinir_deploy.kernels.widths import stored_channels

if TYPE_CHECKING:
    from swinir_deploy.kernels.packing import PackedSwinIR
    from swinir_deploy.models.load import LoadedModel
    from swinir_deploy.precision.plan import PrecisionPlan

__all__ = ["PackedModel", "assemble_engine", "compile_engine", "pack_model"]

_ALIGNMENT = 256


@dataclass(frozen=True)
class PackedModel:
    """A network that is packed and planned, but not compiled.

    Attributes:
        packed: weights and numbers.
        half: type of stream and products.
        io: what the engine takes and gives.
        tensors: where the weights lie in ``weights``.
        weights: all weights, one after the other.
    """

    packed: PackedSwinIR
    half: Half
    io: Io
    tensors: tuple[PackedTensor, ...]
    weights: bytes


def pack_model(loaded: LoadedModel, plan: PrecisionPlan, io: Io = "tensor") -> PackedModel:
    """Pack a network for the kernels.

    Args:
        loaded: the model in FP32.
        plan: of its precision, ``fp16`` or ``bf16``.
        io: what the engine takes and gives; see :class:`~.cuda_engine.CudaEngine`.

    Raises:
        UsageError: the kernels do not serve this network or precision.
    """
    import torch

    from swinir_deploy.kernels.packing import pack

    reason = why_network_not_fused(
        loaded.config,
        plan.precision,
        keep_fp32=plan.keep_fp32,
        spare_channels=loaded.network.spare_channels,
    )
    if reason is not None:
        raise UsageError(f"{loaded.model_id} cannot be built for cuda. {reason}")
    half: Half = "bf16" if plan.precision == "bf16" else "fp16"
    dtype = {"fp16": torch.float16, "bf16": torch.bfloat16}[half]
    packed = pack(loaded.network, dtype, plan.residual_scale_log2)
    return PackedModel(packed, half, io, *_blob(packed))


def compile_engine(
    model: PackedModel,
    architectures: Iterable[int],
    on_kernel: Callable[[str], None] | None = None,
    settings: Settings | None = None,
) -> CudaEngine:
    """Compile a packed network. No GPU is needed.

    Args:
        model: the network.
        architectures: numbers of :data:`swinir_deploy.kernels.settings.ARCHITECTURES`.
        on_kernel: called before each kernel is compiled, with a text such as ``swin_block, sm90``.
        settings: how to launch the kernels; None takes the table's for each architecture.

    Raises:
        InferenceError: Triton cannot compile a kernel.
    """
    import triton

    return CudaEngine(
        io=model.io,
        half=model.half,
        tensors=model.tensors,
        weights=model.weights,
        architectures={
            f"sm{number}": _architecture(model, number, settings or settings_for(number), on_kernel)
            for number in architectures
        },
        compiler=f"Triton {triton.__version__}",
    )


def assemble_engine(
    loaded: LoadedModel, plan: PrecisionPlan, architectures: Iterable[int], io: Io = "tensor"
) -> CudaEngine:
    """Pack and compile a network; see :func:`pack_model` and :func:`compile_engine`."""
    return compile_engine(pack_model(loaded, plan, io), architectures)


def _blob(packed: PackedSwinIR) -> tuple[tuple[PackedTensor, ...], bytes]:
    """Return the tensors' places, and their bytes one after the other."""
    import torch

    dtypes: dict[torch.dtype, tuple[DType, torch.dtype]] = {
        torch.float16: ("fp16", torch.int16),
        torch.bfloat16: ("bf16", torch.int16),
        torch.float32: ("fp32", torch.int32),
    }
    content, tensors = bytearray(), []
    for name, tensor in packed.weights.items():
        content += bytes(-len(content) % _ALIGNMENT)
        dtype, integers = dtypes[tensor.dtype]
        tensors.append(PackedTensor(name, dtype, tuple(tensor.shape), len(content)))
        content += tensor.detach().cpu().contiguous().view(integers).numpy().tobytes()
    return tuple(tensors), bytes(content)


def _architecture(
    model: PackedModel,
    number: int,
    settings: Settings,
    on_kernel: Callable[[str], None] | None,
) -> Architecture:
    config = model.packed.config
    program = make_program(config, model.packed.numbers, settings, model.io)
    stored = stored_channels(config.embed_dim)
    kernels: list[Kernel] = []
    numbers: dict[int, int] = {}  # of a launch -> of its kernel
    for steps in distinct_launches(program):
        first = steps[0]
        if on_kernel is not None:
            on_kernel(f"{first.kernel}, sm{number}")
        code = compile_launch(
            first, number, model.half, settings.launch_options(first.kernel, stored)
        )
        numbers |= {id(step): len(kernels) for step in steps}
        kernels.append(Kernel(name=first.kernel, constants=first.constants, **vars(code)))
    return Architecture(tuple(kernels), _numbered(program, numbers))


def _numbered(program: Program, numbers: dict[int, int]) -> Program:
    """Return the program with the numbers of its kernels in place of their names."""

    def launch(step: LaunchStep) -> LaunchStep:
        return replace(step, kernel=str(numbers[id(step)]))

    steps: list[Step] = [
        replace(step, steps=tuple(map(launch, step.steps)))
        if isinstance(step, Repeat)
        else launch(step)
        for step in program.steps
    ]
    return replace(program, steps=tuple(steps))
