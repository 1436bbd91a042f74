"""Weights in the form in which the kernels read them.

Everything that can be done to weights once is done here instead of in every window:

- LayerNorm's weight and bias go into the layer behind it. Its mean does, too: with columns W'
  whose mean over the inputs is zero, (x - mean(x)) W = x W', whatever x is. So a kernel
  multiplies the raw stream and divides by the deviation afterwards, and the normalised tensor
  never exists.
- Of the biases of query, key and value only the query's is left. The key's adds the same to every
  logit of a row, which softmax does not see; the value's passes through the shares, which sum to
  one, into the bias of the projection.
- log2(e) / sqrt(d) goes into the query and log2(e) into the position bias, because the hardware has
  2**x and no e**x.
- Position bias and shift mask are one table for each kind of window: inside, at the last row, at
  the last column, at both. Windows of 7x7 are 49 of 64 tokens; the table closes the keys beyond.

The stream's scale 2**-k (:func:`swinir_deploy.network.rewrites.rescale_residual` says why)
goes into biases and eps only. The kernels multiply what they add to the stream by it in FP32, so
that no weight becomes a subnormal number. Weights of a block that FP16 does not hold are divided by
a power of two, which then goes into that factor, too.

Widths are padded with zeros: channels to multiples of 64, heads to a power of two.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from swinir_deploy.kernels.widths import stored_channels, stored_head, stored_hidden
from swinir_deploy.network.config import SwinIRConfig
from swinir_deploy.network.swinir import RSTB, SwinIR, SwinTransformerBlock

__all__ = ["PackedSwinIR", "pack", "round_centred"]

_LOG2_E = math.log2(math.e)
_MASKED = -100.0 * _LOG2_E
"""What the official shift mask adds, in powers of two."""
_CLOSED = -60000.0
"""For keys that do not exist; 2**(that) is zero, and FP16 has the number."""


@dataclass(frozen=True)
class PackedSwinIR:
    """A network for the kernels.

    Attributes:
        config: of the network.
        dtype: ``torch.float16`` or ``torch.bfloat16``: of the weights, the stream and all products.
        weights: tensors by name, contiguous. Matrices have the inputs as rows; names are those of
            the network's modules with ``.weight``, ``.bias`` and, for attention,
            ``.position_bias`` behind them.
        numbers: the eps of every LayerNorm by its name; ``scale``, that of the stream; and for a
            block ``NAME.scale``, what it adds is multiplied by.
    """

    config: SwinIRConfig
    dtype: torch.dtype
    weights: dict[str, Tensor]
    numbers: dict[str, float]


@torch.no_grad()
def pack(network: SwinIR, dtype: torch.dtype, residual_scale_log2: int = 0) -> PackedSwinIR:
    """Pack a network for the kernels.

    Args:
        network: in FP32, as it was trained: without any rewrite.
        dtype: ``torch.float16`` or ``torch.bfloat16``.
        residual_scale_log2: k; the deep-feature stream is kept multiplied by 2**-k.

    Returns:
        The packed network, on the device of ``network``.
    """
    scale = 2.0**-residual_scale_log2
    packer = _Packer(network.config, dtype, scale)
    config = network.config
    packer.first_convolution(network)
    if network.patch_embed.norm is not None:
        packer.layer_norm("patch_embed.norm", network.patch_embed.norm, scale_out=scale)
    for index, layer in enumerate(network.layers):
        group = cast(RSTB, layer)
        for number, block in enumerate(group.residual_group.blocks):
            name = f"layers.{index}.residual_group.blocks.{number}"
            packer.block(name, cast(SwinTransformerBlock, block), config.num_heads[index])
        packer.convolutions(f"layers.{index}.conv", group.conv, bias_scale=scale)
    packer.layer_norm("norm", network.norm, scale_in=scale)
    packer.convolutions("conv_after_body", network.conv_after_body)
    for name in ("conv_before_upsample", "conv_up1", "conv_up2", "conv_hr"):
        if hasattr(network, name):
            packer.convolutions(name, getattr(network, name))
    if config.upsampler == "pixelshuffle":
        factor = 3 if config.upscale == 3 else 2
        for position, module in network.upsample.named_children():
            if isinstance(module, nn.Conv2d):
                packer.convolution(f"upsample.{position}", module, shuffle=factor)
    if config.upsampler == "pixelshuffledirect":
        packer.convolution("upsample.0", cast(nn.Conv2d, network.upsample[0]), last=True)
    else:
        packer.convolution("conv_last", network.conv_last, last=True)
    packer.weights["mean"] = network.mean.reshape(-1).float().contiguous()
    return PackedSwinIR(config, dtype, packer.weights, packer.numbers)


class _Packer:
    def __init__(self, config: SwinIRConfig, dtype: torch.dtype, scale: float) -> None:
        self.config = config
        self.dtype = dtype
        self.scale = scale
        self.weights: dict[str, Tensor] = {}
        self.numbers: dict[str, float] = {"scale": scale}

    def first_convolution(self, network: SwinIR) -> None:
        """[terms (tap, color), channels], the terms filled up to a power of two from 16."""
        convolution = cast(nn.Conv2d, network.conv_first)
        weight = convolution.weight.float()
        out, colors = weight.shape[:2]
        rows = weight.permute(2, 3, 1, 0).reshape(9 * colors, out)
        terms = max(16, 1 << (9 * colors - 1).bit_length())
        stored = stored_channels(out)
        self._matrix("conv_first.weight", _padded(rows, terms, stored))
        bias = convolution.bias
        assert bias is not None  # every convolution of SwinIR has one
        self._vector("conv_first.bias", bias, stored)

    def convolutions(self, name: str, module: nn.Module, *, bias_scale: float = 1.0) -> None:
        """One convolution, or those of a sequence by their positions."""
        if isinstance(module, nn.Conv2d):
            self.convolution(name, module, bias_scale=bias_scale)
            return
        for position, child in module.named_children():
            if isinstance(child, nn.Conv2d):
                self.convolution(f"{name}.{position}", child, bias_scale=bias_scale)

    def convolution(
        self,
        name: str,
        module: nn.Conv2d,
        *,
        shuffle: int = 1,
        last: bool = False,
        bias_scale: float = 1.0,
    ) -> None:
        """[taps * stored inputs, stored outputs].

        With ``shuffle`` the output channels are ordered (row, column, channel) of a cell of the
        pixel shuffle, so that a pixel's channels are written side by side. The ``last`` one keeps
        the official order, and its outputs are filled up to 16, 32 or a multiple of 64.
        """
        weight, bias = module.weight.float(), module.bias
        out, channels, side, _ = weight.shape
        assert bias is not None  # every convolution of SwinIR has one
        bias = bias.float() * bias_scale
        if shuffle > 1:
            features, cells = out // shuffle**2, shuffle**2
            weight = weight.view(features, cells, channels, side, side).transpose(0, 1)
            weight = _padded_at(weight, 1, stored_channels(features))
            bias = _padded_at(bias.view(features, cells).t(), 1, stored_channels(features))
            weight, bias = weight.reshape(-1, channels, side, side), bias.reshape(-1)
            stored = weight.shape[0]
        elif last:
            stored = 16 if out <= 16 else 32 if out <= 32 else stored_channels(out)
        else:
            stored = stored_channels(out)
        taps = weight.permute(2, 3, 1, 0).reshape(side * side, channels, -1)
        taps = _padded_at(_padded_at(taps, 1, stored_channels(channels)), 2, stored)
        self._matrix(f"{name}.weight", taps.reshape(-1, stored))
        self._vector(f"{name}.bias", bias, stored)

    def layer_norm(
        self, name: str, norm: nn.LayerNorm, *, scale_in: float = 1.0, scale_out: float = 1.0
    ) -> None:
        """In FP32; the input is multiplied by ``scale_in``, the output by ``scale_out``."""
        self._vector(f"{name}.weight", norm.weight * scale_out, self._stored)
        self._vector(f"{name}.bias", norm.bias * scale_out, self._stored)
        self.numbers[f"{name}.eps"] = norm.eps * scale_in**2

    def block(self, name: str, block: SwinTransformerBlock, heads: int) -> None:
        """Pack both halves of a block."""
        divisor = _divisor(block.attn.proj.weight, block.mlp.fc2.weight)
        self.numbers[f"{name}.scale"] = self.scale * divisor
        self._attention(f"{name}.attn", block, heads, divisor)
        self.numbers[f"{name}.norm1.eps"] = block.norm1.eps * self.scale**2
        self.numbers[f"{name}.norm2.eps"] = block.norm2.eps * self.scale**2
        hidden, stored = stored_hidden(self.config.mlp_hidden_dim), self._stored
        fc1, fc2 = block.mlp.fc1, block.mlp.fc2
        weight, bias = _behind_norm(fc1, block.norm2)
        self._matrix(f"{name}.mlp.fc1.weight", _padded(weight, stored, hidden), centred=True)
        self._vector(f"{name}.mlp.fc1.bias", bias, hidden)
        down = fc2.weight.t().float() / divisor
        self._matrix(f"{name}.mlp.fc2.weight", _padded(down, hidden, stored))
        self._vector(f"{name}.mlp.fc2.bias", fc2.bias * self.scale, stored)

    @property
    def _stored(self) -> int:
        return stored_channels(self.config.embed_dim)

    def _attention(
        self, name: str, block: SwinTransformerBlock, heads: int, divisor: float
    ) -> None:
        attention, dim = block.attn, self.config.embed_dim
        size = dim // heads
        head, stored = stored_head(size), self._stored
        weight, bias = _behind_norm(attention.qkv, block.norm1)
        weight = weight.view(dim, 3, heads, size)
        query, _, value = bias.view(3, heads, size).unbind()
        factor = attention.scale * _LOG2_E
        weight = torch.cat([weight[:, :1] * factor, weight[:, 1:]], 1).transpose(1, 2)
        # [stored, heads, (query, key, value, nothing), head]
        weight = _padded_at(_padded_at(_padded_at(weight, 3, head), 2, 4), 0, stored)
        self._matrix(f"{name}.qkv.weight", weight.reshape(stored, -1), centred=True)
        query = _padded_at(query * factor, 1, head)
        self._vector(f"{name}.qkv.bias", query.reshape(-1), heads * head)
        proj = attention.proj.weight.float()
        rows = _padded_at((proj / divisor).t().reshape(heads, size, dim), 1, head)
        self._matrix(f"{name}.proj.weight", _padded(rows.reshape(-1, dim), heads * head, stored))
        proj_bias = (attention.proj.bias.float() + proj @ value.reshape(-1)) * self.scale
        self._vector(f"{name}.proj.bias", proj_bias, stored)
        table = _position_bias(attention.expanded_position_bias().float(), self.config, block)
        self.weights[f"{name}.position_bias"] = table

    def _matrix(self, name: str, matrix: Tensor, *, centred: bool = False) -> None:
        rounded = round_centred(matrix, self.dtype) if centred else matrix.to(self.dtype)
        self.weights[name] = rounded.contiguous()

    def _vector(self, name: str, vector: Tensor, stored: int) -> None:
        self.weights[name] = _padded_at(vector.float(), 0, stored).contiguous()


def _divisor(*weights: Tensor) -> float:
    """Return the smallest power of two, 1 at least, that brings weights below 2**14.

    FP16 ends at 2**16. What is far smaller than the largest weight loses nothing that counts.
    """
    largest = max(float(weight.abs().max()) for weight in weights)
    if not 2**14 < largest < math.inf:
        return 1.0
    return 2.0 ** math.ceil(math.log2(largest / 2**14))


def _behind_norm(linear: nn.Linear, norm: nn.LayerNorm) -> tuple[Tensor, Tensor]:
    """Weight [inputs, outputs] without its mean over the inputs, and bias, with ``norm`` inside."""
    weight = linear.weight.float()
    bias = weight @ norm.bias.float()
    if linear.bias is not None:
        bias = bias + linear.bias.float()
    folded = (weight * norm.weight.float()).t()
    return folded - folded.mean(0, keepdim=True), bias


def _position_bias(bias: Tensor, config: SwinIRConfig, block: SwinTransformerBlock) -> Tensor:
    """[1 or 4 kinds of windows, heads, 64, 64] in FP16, in powers of two.

    Args:
        bias: [heads, N, N].
        config: of the network.
        block: shifted blocks have all four kinds: inside, last row, last column, both.
    """
    heads, count, _ = bias.shape
    side = config.window_size
    kinds = 4 if block.shifted else 1
    table = bias.new_full((kinds, heads, 64, 64), _CLOSED)
    token = torch.arange(count, device=bias.device)
    below = token // side >= side - config.shift_size
    right = token % side >= side - config.shift_size
    for kind in range(kinds):
        apart = torch.zeros((count, count), dtype=torch.bool, device=bias.device)
        if kind & 1:
            apart |= below[:, None] != below[None, :]
        if kind & 2:
            apart |= right[:, None] != right[None, :]
        values = bias * _LOG2_E + torch.where(apart, _MASKED, 0.0)
        table[kind, :, :count, :count] = values.clamp(_CLOSED, -_CLOSED)
    # Rows beyond the window attend to the window, so that nothing there is 0 / 0.
    table[:, :, count:, :count] = 0.0
    return table.to(torch.float16).contiguous()


def round_centred(matrix: Tensor, dtype: torch.dtype) -> Tensor:
    """Round a matrix whose columns sum to zero so that they still do, as far as ``dtype`` allows.

    Rounding to the nearest leaves a sum of some units in the last place, which the mean of a token
    would be multiplied by. So those entries that lay nearest to the middle between two numbers of
    ``dtype`` are rounded to the other one until the sum is as small as one unit allows.

    Args:
        matrix: [inputs, outputs], float32.
        dtype: ``torch.float16`` or ``torch.bfloat16``.

    Returns:
        [inputs, outputs] of ``dtype``.
    """
    rounded = matrix.to(dtype).to(torch.float64)
    exact = matrix.to(torch.float64)
    info = torch.finfo(dtype)
    for _ in range(matrix.shape[0]):
        total = rounded.sum(0)
        exponent = torch.floor(torch.log2(rounded.abs().clamp_min(info.smallest_normal)))
        unit = torch.exp2(exponent) * info.eps
        moved = rounded - torch.sign(total) * unit
        worse = (moved - exact).abs() - (rounded - exact).abs()
        helps = (unit < 2 * total.abs()) & (rounded != 0) & ((moved - exact).abs() <= unit)
        cost = torch.where(helps, worse / unit, torch.inf)
        best, row = cost.min(0)
        column = torch.nonzero(torch.isfinite(best))[:, 0]
        if column.numel() == 0:
            break
        rounded[row[column], column] = moved[row[column], column]
    return rounded.to(dtype)


def _padded(matrix: Tensor, rows: int, columns: int) -> Tensor:
    return _padded_at(_padded_at(matrix, 0, rows), 1, columns)


def _padded_at(tensor: Tensor, dim: int, size: int) -> Tensor:
    """Zeros behind ``tensor`` along ``dim`` up to ``size``."""
    missing = size - tensor.shape[dim]
    if missing == 0:
        return tensor
    shape = list(tensor.shape)
    shape[dim] = missing
    return torch.cat([tensor, tensor.new_zeros(shape)], dim)
