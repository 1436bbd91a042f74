"""Linear layers by oneDNN, for CPUs on which PyTorch's default kernels are slower.

PyTorch computes FP32 linear layers by MKL, which does not use AVX-512 on CPUs that Intel did not
make. Its oneDNN kernels, which ``torch.compile`` calls, use it. They also apply the GELU while
the product is still in the cache. docs/performance.md has the measurements.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from swinir_deploy.network.swinir import Mlp, WindowAttention

__all__ = ["OneDnnLinear", "onednn_is_faster", "use_onednn"]

_TRIAL_SHAPE = (4096, 180)
"""The tokens of a 64x64 picture and the channels of the medium models."""

_TRIALS = 7


class OneDnnLinear(nn.Module):
    """A linear layer in FP32 on the CPU, optionally followed by the exact GELU."""

    def __init__(self, layer: nn.Linear, gelu: bool = False) -> None:
        """Take over the parameters of ``layer``."""
        super().__init__()
        self.weight, self.bias = layer.weight, layer.bias
        self.activation = "gelu" if gelu else "none"

    def forward(self, tokens: Tensor) -> Tensor:
        """Compute the layer for tokens [T, in], float32, and return [T, out]."""
        result: Tensor = torch.ops.mkldnn._linear_pointwise(
            tokens, self.weight, self.bias, self.activation, [], "none"
        )
        return result


class _GeluInside(nn.Module):
    """An :class:`Mlp` whose first layer applies the GELU."""

    def __init__(self, mlp: Mlp) -> None:
        super().__init__()
        self.fc1, self.fc2 = OneDnnLinear(mlp.fc1, gelu=True), OneDnnLinear(mlp.fc2)

    def forward(self, tokens: Tensor) -> Tensor:
        """Compute the MLP for tokens [T, C], float32, and return [T, C]."""
        result: Tensor = self.fc2(self.fc1(tokens))
        return result


def use_onednn(network: nn.Module) -> None:
    """Compute every attention's and MLP's linear layers by oneDNN; FP32 on the CPU only."""
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, Mlp):
                setattr(module, name, _GeluInside(child))
            elif isinstance(module, WindowAttention) and isinstance(child, nn.Linear):
                setattr(module, name, OneDnnLinear(child))


@functools.cache
def onednn_is_faster() -> bool:
    """Measure whether oneDNN computes a linear layer faster than PyTorch's default.

    The result is False where this PyTorch has no such kernel, or the kernel's output differs.
    """
    tokens, channels = _TRIAL_SHAPE
    layer = nn.Linear(channels, channels)
    candidate = OneDnnLinear(layer, gelu=True)
    picture = torch.linspace(-1, 1, tokens * channels).reshape(tokens, channels)
    with torch.inference_mode():
        try:
            same = torch.allclose(candidate(picture), F.gelu(layer(picture)), atol=1e-5)
        except (AttributeError, RuntimeError, TypeError):
            return False
        return same and _best_s(lambda: candidate(picture)) < _best_s(lambda: layer(picture))


def _best_s(job: Callable[[], Tensor]) -> float:
    times = []
    for _ in range(_TRIALS):
        started = time.perf_counter()
        job()
        times.append(time.perf_counter() - started)
    return min(times)
