"""An engine's file, executed on the CPU: buffers are tensors, kernels run by Triton's interpreter.

It knows only what the file says, as a program in another language would: no plan, no settings.
"""

from __future__ import annotations

import math

import torch

from swinir_deploy.artifacts.cuda_engine import CudaEngine, PackedTensor
from swinir_deploy.artifacts.launch_program import Buffer, Weight

__all__ = ["run_engine"]

_DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}


def run_engine(engine: CudaEngine, architecture: str, picture: torch.Tensor) -> torch.Tensor:
    """Return what the engine computes; must be called where Triton interprets.

    Args:
        engine: that was read from a file.
        architecture: whose launches are executed.
        picture: [B, C, H, W] float32 or [B, H, W, C] uint8, as the engine's ``io`` says.
    """
    from swinir_deploy.kernels.launch import KERNELS

    axes = (0, 2, 3) if engine.io == "tensor" else (0, 1, 2)
    batch, height, width = (picture.shape[axis] for axis in axes)
    code = engine.architectures[architecture]
    plan = code.program.plan(batch, height, width)
    weights = {tensor.name: _tensor(engine, tensor) for tensor in engine.tensors}
    places = {
        "arena": torch.full((plan.arena_elements,), torch.nan, dtype=_DTYPES[engine.half]),
        "input": picture,
        "output": torch.zeros(plan.output_shape, dtype=picture.dtype),
    }
    for launch in plan.launches:
        kernel = code.kernels[int(launch.kernel)]
        arguments = {}
        for name, value in launch.arguments.items():
            if isinstance(value, Weight):
                arguments[name] = weights[value.name]
            elif isinstance(value, Buffer):
                arguments[name] = places[value.name].flatten()[value.offset :]
            else:
                arguments[name] = value
        assert list(arguments) == [parameter.name for parameter in kernel.parameters]
        KERNELS[kernel.name][launch.grid](**arguments, **kernel.constants)
    return places["output"]


def _tensor(engine: CudaEngine, tensor: PackedTensor) -> torch.Tensor:
    dtype = _DTYPES[tensor.dtype]
    count = math.prod(tensor.shape)
    memory = bytearray(engine.weights[tensor.offset : tensor.offset + tensor.size])
    return torch.frombuffer(memory, dtype=dtype, count=count).view(tensor.shape)
