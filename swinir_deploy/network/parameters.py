"""Layers and tensors of another size than before, for rewrites."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["convolution_of", "linear_of", "pad_dimension"]


def pad_dimension(tensor: Tensor, dimension: int, size: int) -> Tensor:
    """Zeros behind ``tensor``, so that ``dimension`` gets ``size`` entries."""
    padded_shape = list(tensor.shape)
    padded_shape[dimension] = size
    padded = tensor.new_zeros(padded_shape)
    padded.narrow(dimension, 0, tensor.shape[dimension]).copy_(tensor)
    return padded


def linear_of(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    """A layer with this weight [out, in] and bias [out], which ask for no gradient."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    layer.weight = nn.Parameter(weight.contiguous(), requires_grad=False)
    if bias is not None:
        layer.bias = nn.Parameter(bias.contiguous(), requires_grad=False)
    return layer


def convolution_of(weight: Tensor, bias: Tensor | None) -> nn.Conv2d:
    """A convolution with this weight [out, in, h, w] and bias [out] that keeps the size."""
    height, width = weight.shape[2:]
    layer = nn.Conv2d(
        weight.shape[1],
        weight.shape[0],
        (height, width),
        padding=(height // 2, width // 2),
        bias=bias is not None,
        device="meta",
    )
    layer.weight = nn.Parameter(weight.contiguous(), requires_grad=False)
    if bias is not None:
        layer.bias = nn.Parameter(bias.contiguous(), requires_grad=False)
    return layer
