"""Rewrites of the weights that make a network cheaper or safer to deploy.

Each rewrite changes a network in place. The network computes the same function as before, up to
rounding. An export recipe names its rewrites; they are applied in the order of :data:`REWRITES`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import cast

import torch
from torch import Tensor, nn

from swinir_deploy.network.attention import (
    split_projections,
    use_fused_attention,
    use_onnx_attention,
)
from swinir_deploy.network.parameters import linear_of, pad_dimension
from swinir_deploy.network.swinir import RSTB, SwinIR, SwinTransformerBlock, WindowAttention
from swinir_deploy.network.token_major import make_token_major
from swinir_deploy.network.widening import widen_stream

__all__ = [
    "REWRITES",
    "align_heads",
    "align_near_heads",
    "apply_rewrites",
    "expand_position_bias",
    "fold_attention_scale",
    "rescale_residual",
]

_HEAD_DIM_MULTIPLE = 8
"""TensorRT's fused attention needs no copies for head sizes that are multiples of this."""
_NEAR_PADDING = 0.1
"""Largest share of zero channels added to heads where alignment is useful but not needed."""


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
    """Replace the lookup in the bias table by its result, a constant [heads, N, N]."""
    for attention in _attentions(network):
        attention.position_bias = attention.expanded_position_bias().contiguous()


@torch.no_grad()
def align_heads(
    network: SwinIR, multiple: int = _HEAD_DIM_MULTIPLE, most_padding: float = math.inf
) -> None:
    """Pad every head with zero channels up to a multiple of ``multiple`` (30 becomes 32).

    Zero query and key channels add nothing to the logits. Zero value channels are multiplied by
    zero columns of the output projection. ``scale`` stays, as it belongs to the unpadded head
    size.

    Args:
        network: the network; it is changed in place.
        multiple: the padded number of channels is a multiple of this.
        most_padding: heads stay as they are if the zero channels would be more than this share
            of their own channels.
    """
    for attention in _attentions(network):
        heads, old = attention.num_heads, attention.head_dim
        new = -(-old // multiple) * multiple
        if new == old or new - old > most_padding * old:
            continue
        rows = (3, heads, old)
        weight = pad_dimension(attention.qkv.weight.reshape(*rows, -1), 2, new).flatten(0, 2)
        bias: Tensor | None = attention.qkv.bias
        if bias is not None:
            bias = pad_dimension(bias.reshape(rows), 2, new).flatten()
        attention.qkv = linear_of(weight, bias)
        columns = attention.proj.weight.reshape(-1, heads, old)
        attention.proj = linear_of(
            pad_dimension(columns, 2, new).flatten(1), attention.proj.bias.clone()
        )
        attention.head_dim = new


def align_near_heads(network: SwinIR) -> None:
    """:func:`align_heads` where it costs little: heads of 30 channels, but not those of 10."""
    align_heads(network, most_padding=_NEAR_PADDING)


@torch.no_grad()
def fold_norms(network: SwinIR) -> None:
    """Move weight and bias of the LayerNorms before attention and MLP into the next layers.

    The LayerNorms keep weights of one and biases of zero, which compilers drop.
    """
    for layer in cast("list[RSTB]", list(network.layers)):
        for block in cast("list[SwinTransformerBlock]", list(layer.residual_group.blocks)):
            block.attn.qkv = _after_norm(block.norm1, block.attn.qkv)
            block.mlp.fc1 = _after_norm(block.norm2, block.mlp.fc1)
            for norm in (block.norm1, block.norm2):
                norm.weight.fill_(1.0)
                norm.bias.zero_()


def _after_norm(norm: nn.LayerNorm, layer: nn.Linear) -> nn.Linear:
    """Return one layer that applies the weight and bias of ``norm`` and then ``layer``."""
    bias = layer.weight @ norm.bias
    if layer.bias is not None:
        bias = bias + layer.bias
    return linear_of(layer.weight * norm.weight, bias)


@torch.no_grad()
def rescale_residual(network: SwinIR, scale_log2: int) -> None:
    """Multiply the deep-feature stream by s = 2**-scale_log2; the output stays the same.

    SwinIR's stream grows from block to block. In the official medium models it exceeds 65504,
    the largest FP16 number. Everything that opens the stream or is added to it is multiplied by
    s. Two kinds of layers read the stream: a LayerNorm removes the factor once its eps is
    multiplied by s**2, and the convolution of an RSTB is homogeneous once its biases are
    multiplied by s. A power of two changes no mantissa, so the FP32 output stays the same bit by
    bit unless a number underflows.

    Unlike the rewrites of :data:`REWRITES`, this one needs an argument that depends on the
    weights; :mod:`swinir_deploy.precision` measures it. A second call multiplies again.

    Args:
        network: the network; it is changed in place.
        scale_log2: k in s = 2**-k; 0 changes nothing.
    """
    scale = 2.0**-scale_log2
    opening = network.patch_embed
    if opening.norm is None:
        # conv_first cannot hold the factor, because the long skip also reads its output.
        opening.scale *= scale
    else:
        _multiply(scale, opening.norm.weight, opening.norm.bias)
    if network.config.ape:
        _multiply(scale, network.absolute_pos_embed)
    for layer in cast("list[RSTB]", list(network.layers)):
        for block in cast("list[SwinTransformerBlock]", list(layer.residual_group.blocks)):
            for writer in (block.attn.proj, block.mlp.fc2):
                _multiply(scale, writer.weight, writer.bias)
            for norm in (block.norm1, block.norm2):
                norm.eps *= scale**2
        for module in layer.conv.modules():
            # The LeakyReLUs of '3conv' are homogeneous too, so only the biases are scaled.
            if isinstance(module, nn.Conv2d) and module.bias is not None:
                _multiply(scale, module.bias)
    network.norm.eps *= scale**2


REWRITES: dict[str, Callable[[SwinIR], None]] = {
    "fold_attention_scale": fold_attention_scale,
    "expand_position_bias": expand_position_bias,
    "align_heads": align_heads,
    "align_near_heads": align_near_heads,
    "fold_norms": fold_norms,
    "widen_stream": widen_stream,
    "split_projections": split_projections,
    "use_onnx_attention": use_onnx_attention,
    "use_fused_attention": use_fused_attention,
    "make_token_major": make_token_major,
}
"""Name -> rewrite, in the order in which they must be applied. Each suits every network."""


def apply_rewrites(network: SwinIR, names: Iterable[str]) -> None:
    """Apply the named rewrites in place, in the order of :data:`REWRITES`.

    Raises:
        KeyError: a name that is not in :data:`REWRITES`.
    """
    requested = set(names)
    unknown = requested - set(REWRITES)
    if unknown:
        raise KeyError(f"Unknown rewrites {sorted(unknown)}. Choose from {list(REWRITES)}.")
    for name, rewrite in REWRITES.items():
        if name in requested:
            rewrite(network)


def _attentions(network: SwinIR) -> Iterator[WindowAttention]:
    return (module for module in network.modules() if isinstance(module, WindowAttention))


def _multiply(factor: float, *tensors: Tensor) -> None:
    for tensor in tensors:
        tensor *= factor
