"""Exact algebra on the weights that makes a network cheaper or safer to deploy.

Each rewrite changes a network in place and leaves its function unchanged up to rounding. They
are applied in the order of :data:`REWRITES` by the name that an export recipe gives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn

from swinir_deploy.network.swinir import SwinIR, WindowAttention

__all__ = [
    "HEAD_DIM_MULTIPLE",
    "REWRITES",
    "align_heads",
    "apply_rewrites",
    "expand_position_bias",
    "fold_attention_scale",
]

HEAD_DIM_MULTIPLE = 8
"""TensorRT's fused attention takes head sizes that are multiples of it without copies."""


@torch.no_grad()
def fold_attention_scale(network: SwinIR) -> None:
    """Move the factor 1/sqrt(d) on the query into its projection's weight and bias.

    d is the head size of the network as trained; run this before :func:`align_heads`.
    """
    for attention in _attentions(network):
        rows = attention.num_heads * attention.head_dim
        attention.qkv.weight[:rows] *= attention.scale
        if attention.qkv.bias is not None:
            attention.qkv.bias[:rows] *= attention.scale
        attention.scale = 1.0


@torch.no_grad()
def expand_position_bias(network: SwinIR) -> None:
    """Replace the gather from the bias table by the constant [heads, N, N] that it gives."""
    for attention in _attentions(network):
        attention.position_bias = attention.expanded_position_bias().contiguous()


@torch.no_grad()
def align_heads(network: SwinIR, multiple: int = HEAD_DIM_MULTIPLE) -> None:
    """Pad every head with zero channels up to a multiple of ``multiple`` (30 becomes 32).

    Zero query and key channels add nothing to the logits; zero value channels meet zero columns
    of the output projection. ``scale`` is untouched: it belongs to the unpadded head size.
    """
    for attention in _attentions(network):
        heads, old = attention.num_heads, attention.head_dim
        new = -(-old // multiple) * multiple
        if new == old:
            continue
        rows = (3, heads, old)
        weight = _pad_dimension(attention.qkv.weight.reshape(*rows, -1), 2, new).flatten(0, 2)
        bias: Tensor | None = attention.qkv.bias
        if bias is not None:
            bias = _pad_dimension(bias.reshape(rows), 2, new).flatten()
        attention.qkv = _linear(weight, bias)
        columns = attention.proj.weight.reshape(-1, heads, old)
        attention.proj = _linear(
            _pad_dimension(columns, 2, new).flatten(1), attention.proj.bias.clone()
        )
        attention.head_dim = new


REWRITES: dict[str, Callable[[SwinIR], None]] = {
    "fold_attention_scale": fold_attention_scale,
    "expand_position_bias": expand_position_bias,
    "align_heads": align_heads,
}
"""Name -> rewrite, in the order in which they must be applied."""


def apply_rewrites(network: SwinIR, names: Iterable[str]) -> None:
    """Apply the named rewrites in place, in the order of :data:`REWRITES`.

    Raises:
        KeyError: a name that is not in :data:`REWRITES`.
    """
    wanted = set(names)
    unknown = wanted - set(REWRITES)
    if unknown:
        raise KeyError(f"No rewrite {sorted(unknown)}; there are {list(REWRITES)}.")
    for name, rewrite in REWRITES.items():
        if name in wanted:
            rewrite(network)


def _attentions(network: SwinIR) -> Iterator[WindowAttention]:
    return (module for module in network.modules() if isinstance(module, WindowAttention))


def _pad_dimension(tensor: Tensor, dimension: int, size: int) -> Tensor:
    padded_shape = list(tensor.shape)
    padded_shape[dimension] = size
    padded = tensor.new_zeros(padded_shape)
    padded.narrow(dimension, 0, tensor.shape[dimension]).copy_(tensor)
    return padded


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    layer.weight = nn.Parameter(weight.contiguous(), requires_grad=False)
    if bias is not None:
        layer.bias = nn.Parameter(bias.contiguous(), requires_grad=False)
    return layer
