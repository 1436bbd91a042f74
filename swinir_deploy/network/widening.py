"""Widen the deep-feature stream by spare channels, one of which is 1 after ``norm1``.

Rows of 60 or 180 numbers start at addresses that tensor cores cannot load in one piece, and a
projection with a bias needs one kernel more than one without. A few more channels solve both.

The spare channels of the stream hold the mean of the others. So a LayerNorm over all channels has
the same mean as before, and a variance that is smaller by the known factor C / C', which its eps
and weight make up for. The mean of a sum is the sum of the means. So every layer that writes into
the stream gets further rows for the spare channels, each the mean of its other rows. Every layer
that reads the stream has zero weights for the spare channels. The only exception is the first
spare channel after ``norm1``: weight 0 and bias 1 of the LayerNorm make it the constant 1.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn

from swinir_deploy.network.parameters import convolution_of, linear_of, pad_dimension
from swinir_deploy.network.swinir import RSTB, SwinIR, SwinTransformerBlock

__all__ = ["widen_stream"]

_STREAM_MULTIPLE = 8
"""A multiple of 8 FP16 channels is a multiple of 16 bytes, which a tensor core loads at once."""


@torch.no_grad()
def widen_stream(network: SwinIR) -> None:
    """Add 1 to 8 channels to the stream, up to a multiple of :data:`_STREAM_MULTIPLE`.

    The query, key and value projections then take their bias from the constant channel and have
    no bias of their own. A network that was widened before stays as it is.
    """
    if network.spare_channels:
        return
    old = network.config.embed_dim
    new = (old // _STREAM_MULTIPLE + 1) * _STREAM_MULTIPLE
    for layer in cast("list[RSTB]", list(network.layers)):
        for block in cast("list[SwinTransformerBlock]", list(layer.residual_group.blocks)):
            _widen_norm(block.norm1, old, new)
            _widen_norm(block.norm2, old, new)
            block.norm1.bias[old] = 1.0
            qkv = block.attn.qkv
            weight = pad_dimension(qkv.weight, 1, new)
            if qkv.bias is not None:
                weight[:, old] = qkv.bias
            block.attn.qkv = linear_of(weight, None)
            block.attn.proj = _writer(block.attn.proj, new)
            block.mlp.fc1 = linear_of(
                pad_dimension(block.mlp.fc1.weight, 1, new), block.mlp.fc1.bias
            )
            block.mlp.fc2 = _writer(block.mlp.fc2, new)
        layer.conv = _widen_residual(layer.conv, new)
    _widen_norm(network.norm, old, new)
    network.conv_after_body = _widen_reader(network.conv_after_body, new)
    network.spare_channels = new - old


def _widen_norm(norm: nn.LayerNorm, old: int, new: int) -> None:
    """Widen a LayerNorm: the first ``old`` channels keep their result, the others give 0."""
    share = old / new  # The share of the variance that is left.
    norm.normalized_shape = (new,)
    norm.eps *= share
    norm.weight = nn.Parameter(pad_dimension(norm.weight * math.sqrt(share), 0, new), False)
    norm.bias = nn.Parameter(pad_dimension(norm.bias, 0, new), False)


def _mean_rows(tensor: Tensor, rows: int) -> Tensor:
    """Append the mean of the rows of ``tensor``, so that it has ``rows`` rows."""
    mean = tensor.mean(0, keepdim=True)
    return torch.cat([tensor, mean.expand(rows - tensor.shape[0], *mean.shape[1:])])


def _writer(layer: nn.Linear, new: int) -> nn.Linear:
    return linear_of(_mean_rows(layer.weight, new), _mean_rows(layer.bias, new))


def _widen_residual(convolution: nn.Module, new: int) -> nn.Module:
    """Widen the convolution of an RSTB, which reads the stream and writes into it."""
    parts = [*convolution] if isinstance(convolution, nn.Sequential) else [convolution]
    parts[0] = _reading(_convolution(parts[0]), new)
    last = _convolution(parts[-1])
    bias = None if last.bias is None else _mean_rows(last.bias, new)
    parts[-1] = convolution_of(_mean_rows(last.weight, new), bias)
    return parts[0] if len(parts) == 1 else nn.Sequential(*parts)


def _widen_reader(convolution: nn.Module, new: int) -> nn.Module:
    """Widen the convolution after the last RSTB, which only reads the stream."""
    if isinstance(convolution, nn.Sequential):
        first, *others = convolution
        return nn.Sequential(_reading(_convolution(first), new), *others)
    return _reading(_convolution(convolution), new)


def _reading(convolution: nn.Conv2d, new: int) -> nn.Conv2d:
    return convolution_of(pad_dimension(convolution.weight, 1, new), convolution.bias)


def _convolution(module: nn.Module) -> nn.Conv2d:
    if not isinstance(module, nn.Conv2d):
        raise AssertionError("an RSTB ends in a convolution, or in several with LeakyReLU between")
    return module
