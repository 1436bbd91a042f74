"""Linear layers by oneDNN, for PyTorch on CPUs where its own choice is the slower one.

PyTorch computes FP32 linear layers by MKL, which leaves AVX-512 unused on CPUs of other makers
than Intel; its oneDNN kernels, which ``torch.compile`` calls, do not. They also apply the GELU
while the product is still in the cache. docs/performance.md has the figures.
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
"""Tokens of a 64x64 picture and channels of the medium models."""

_TRIALS = 7


class OneDnnLinear(nn.Module):
    """A linear layer in FP32 on the CPU, with the exact GELU behind it if asked for."""

    def __init__(self, layer: nn.Linear, gelu: bool = False) -> None:
        """Take over the parameters of ``layer``."""
        super().__init__()
        self.weight, self.bias = layer.weight, layer.bias
        self.activation = "gelu" if gelu else "none"

    def forward(self, tokens: Tensor) -> Tensor:
        """[T, in] -> [T, out]."""
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
        """[T, C] -> [T, C]."""
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
    """Whether oneDNN computes a linear layer faster than PyTorch's choice, as measured here.

    False where this PyTorch has no such kernel, or it computes something else.
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
