"""Create layers and tensors of a new size for the rewrites."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["convolution_of", "linear_of", "pad_dimension"]


def pad_dimension(tensor: Tensor, dimension: int, size: int) -> Tensor:
    """Append zeros to ``tensor``, so that ``dimension`` gets ``size`` entries."""
    padded_shape = list(tensor.shape)
    padded_shape[dimension] = size
    padded = tensor.new_zeros(padded_shape)
    padded.narrow(dimension, 0, tensor.shape[dimension]).copy_(tensor)
    return padded


def linear_of(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    """Create a layer with this weight [out, in] and bias [out], which need no gradient."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    layer.weight = nn.Parameter(weight.contiguous(), requires_grad=False)
    if bias is not None:
        layer.bias = nn.Parameter(bias.contiguous(), requires_grad=False)
    return layer


def convolution_of(weight: Tensor, bias: Tensor | None) -> nn.Conv2d:
    """Create a convolution that keeps the picture's size, with padding.

    Args:
        weight: [out, in, h, w], h and w odd.
        bias: [out], or None.

    Returns:
        A layer whose parameters need no gradient.
    """
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
