"""SwinIR (Liang et al. 2021, arXiv:2108.10257) for inference, export and fine-tuning.

Parameters have the names and shapes of the official ``models/network_swinir.py``, so a strict
load of an official, BasicSR or KAIR checkpoint works. Only the order of the computation differs:
tokens stay in window order through an RSTB and are reordered once between a plain and a shifted
block, and the shift mask is computed once for all blocks.

:meth:`SwinIR.core` is a chain of a few kinds of units (opening, blocks, reorderings, junctions,
closing) that exchange tensors only, so that an exporter can trace each kind once.

Every module with weights casts its input to their dtype. So
:func:`swinir_deploy.precision.plan.set_precision` sets the precision of the network by
converting parameters alone. LayerNorms keep FP32 weights and therefore compute in FP32. Softmax
always computes in FP32. What is added to the stream is cast to the stream's dtype. In a network
of one dtype these casts change nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from swinir_deploy.errors import InputError
from swinir_deploy.network.config import SwinIRConfig
from swinir_deploy.network.windows import (
    WINDOW_MAJOR,
    WindowLayout,
    relative_position_index,
    shift_mask,
)

__all__ = ["RSTB", "Shift", "SwinIR", "SwinTransformerBlock", "WindowAttention"]


class Shift(NamedTuple):
    """Tensors that all shifted blocks share; see :mod:`swinir_deploy.network.windows`.

    Attributes:
        order: int64 [rows, columns, N], from plain to shifted windows.
        inverse_order: int64 [rows, columns, N], from shifted to plain windows.
        mask: [B, rows, columns, N, N], or the axes that the layout's masks have, added to the
            logits of shifted windows.
    """

    order: Tensor
    inverse_order: Tensor
    mask: Tensor


class WindowAttention(nn.Module):
    """Multi-head self-attention inside windows, with a relative position bias.

    The rewrites of :mod:`swinir_deploy.network.rewrites` change three attributes: ``scale`` (1.0
    once it is folded into the weights), ``head_dim`` (larger once heads are padded) and
    ``position_bias`` (a constant once the table is expanded).
    """

    relative_position_index: Tensor
    position_bias: Tensor | None

    def __init__(self, dim: int, window: int, num_heads: int, qkv_bias: bool) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.head_dim = dim // num_heads
        self.scale = self.head_dim**-0.5
        self.relative_position_bias_table = nn.Parameter(
            torch.zeros((2 * window - 1) ** 2, num_heads)
        )
        self.qkv = nn.Linear(dim, dim * 3, bias=qkv_bias)
        self.proj = nn.Linear(dim, dim)
        index = relative_position_index(window)
        self.register_buffer("relative_position_index", index, persistent=False)
        self.register_buffer("position_bias", None, persistent=False)
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)

    def expanded_position_bias(self) -> Tensor:
        """Return the bias [heads, window**2, window**2] that is added to the logits."""
        if self.position_bias is not None:
            return self.position_bias
        return self.relative_position_bias_table[self.relative_position_index].permute(2, 0, 1)

    def forward(self, tokens: Tensor, tokens_per_window: int, mask: Tensor | None) -> Tensor:
        """Attend inside each window.

        Args:
            tokens: [T, C] in window order.
            tokens_per_window: N, ``window_size**2``.
            mask: [B, rows, columns, N, N], which is added to the logits; None adds nothing.

        Returns:
            The attended tokens, [T, C].
        """
        heads, head_dim, count = self.num_heads, self.head_dim, tokens_per_window
        qkv = _typed(self.qkv, tokens).reshape(-1, count, 3, heads, head_dim)
        qkv = qkv.permute(2, 0, 3, 1, 4)
        query, key, value = qkv[0], qkv[1], qkv[2]
        if self.scale != 1.0:
            query = query * self.scale
        logits = query @ key.transpose(-2, -1)
        logits = logits + self.expanded_position_bias()
        if mask is not None:
            logits = logits + mask.to(logits.dtype).reshape(-1, 1, count, count)
        attended = self.softmax(logits).to(value.dtype) @ value
        return self.proj(attended.transpose(1, 2).reshape(-1, heads * head_dim))

    @staticmethod
    def softmax(logits: Tensor) -> Tensor:
        """Compute the softmax over the last dimension, in FP32 or a wider type."""
        return torch.softmax(logits.to(_at_least_fp32(logits)), dim=-1)


class Mlp(nn.Module):
    """Two linear layers with a GELU between them."""

    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """Compute the MLP for tokens [T, C] and return [T, C]."""
        return self.fc2(F.gelu(_typed(self.fc1, tokens)))


class SwinTransformerBlock(nn.Module):
    """Attention and MLP, each after a LayerNorm and beside a residual connection."""

    def __init__(self, config: SwinIRConfig, num_heads: int, shifted: bool) -> None:
        super().__init__()
        self.shifted = shifted
        self.tokens_per_window = config.window_size**2
        self.norm1 = nn.LayerNorm(config.embed_dim)
        self.attn = WindowAttention(
            config.embed_dim, config.window_size, num_heads, config.qkv_bias
        )
        self.norm2 = nn.LayerNorm(config.embed_dim)
        self.mlp = Mlp(config.embed_dim, config.mlp_hidden_dim)

    def forward(self, windows: Tensor, mask: Tensor | None = None) -> Tensor:
        """Compute one block.

        Args:
            windows: tokens [B, rows, columns, N, C].
            mask: [B, rows, columns, N, N], which is added to the logits; None for plain windows.

        Returns:
            Tokens of the same shape and dtype.
        """
        tokens = windows.reshape(-1, windows.shape[4])
        attended = self.attn(_typed(self.norm1, tokens), self.tokens_per_window, mask)
        tokens = tokens + attended.to(tokens.dtype)
        tokens = tokens + self.mlp(_typed(self.norm2, tokens)).to(tokens.dtype)
        return tokens.reshape(windows.shape)


class BasicLayer(nn.Module):
    """The blocks of one RSTB, alternately plain and shifted by half a window."""

    def __init__(self, config: SwinIRConfig, depth: int, num_heads: int) -> None:
        super().__init__()
        self.layout: WindowLayout = WINDOW_MAJOR
        self.blocks = nn.ModuleList(
            SwinTransformerBlock(
                config, num_heads, shifted=index % 2 == 1 and config.shift_size > 0
            )
            for index in range(depth)
        )

    def forward(self, windows: Tensor, shift: Shift) -> Tensor:
        """Compute all blocks for tokens [B, rows, columns, N, C] and return the same shape.

        Arguments and result are in the order of plain windows.
        """
        is_shifted = False
        for module in self.blocks:
            block = cast(SwinTransformerBlock, module)
            if block.shifted != is_shifted:
                order = shift.order if block.shifted else shift.inverse_order
                windows = self.layout.reorder(windows, order)
                is_shifted = block.shifted
            windows = block(windows, shift.mask if block.shifted else None)
        return self.layout.reorder(windows, shift.inverse_order) if is_shifted else windows


class RSTB(nn.Module):
    """Residual Swin Transformer block (section 3.2 of the paper)."""

    def __init__(self, config: SwinIRConfig, depth: int, num_heads: int) -> None:
        super().__init__()
        self.window = config.window_size
        self.layout: WindowLayout = WINDOW_MAJOR
        self.residual_group = BasicLayer(config, depth, num_heads)
        self.conv = _residual_convolution(config)

    def forward(self, stream: Tensor, shift: Shift) -> Tensor:
        """Compute the RSTB for tokens [B, rows, columns, N, C] and return the same shape."""
        return self.junction(self.residual_group(stream, shift), stream)

    def junction(self, tokens: Tensor, stream: Tensor) -> Tensor:
        """Convolve the result of the blocks and add it to ``stream``.

        All three tensors are [B, rows, columns, N, C].
        """
        image = self.layout.to_image(tokens, self.window)
        residual = self.layout.from_image(_typed(self.conv, image), self.window)
        return residual.to(stream.dtype) + stream


class PatchEmbed(nn.Module):
    """The LayerNorm over channels that opens the deep-feature stream (patch size 1).

    ``scale`` is the factor of ``rescale_residual`` in networks without the norm. With the norm,
    its weights hold the factor.
    """

    def __init__(self, config: SwinIRConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.embed_dim) if config.patch_norm else None
        self.scale = 1.0

    def forward(self, tokens: Tensor) -> Tensor:
        """Normalise or scale the channels of [..., C] and return the same shape."""
        if self.norm is not None:
            return _typed(self.norm, tokens)
        return tokens if self.scale == 1.0 else tokens * self.scale


class SwinIR(nn.Module):
    """The SwinIR network of one :class:`SwinIRConfig`, with random weights.

    :func:`swinir_deploy.load_model` returns one with trained weights.

    Args:
        config: hyper-parameters.

    Example:
        >>> import torch
        >>> from swinir_deploy import SwinIR, load_catalog
        >>> network = SwinIR(load_catalog().get("tiny-sr-x4").config).eval()
        >>> with torch.inference_mode():
        ...     restored = network(torch.zeros(1, 3, 16, 24))
        >>> list(restored.shape)
        [1, 3, 64, 96]
    """

    mean: Tensor
    """Subtracted from the input, [1, in_chans, 1, 1]."""
    output_mean: Tensor
    """Added to the output, [1, out_chans, 1, 1]."""
    stream_dtype: torch.dtype | None
    """Dtype of the deep-feature stream; None keeps the dtype of the first convolution."""
    layout: WindowLayout
    """Order of the tokens inside the RSTBs."""
    spare_channels: int
    """Channels of the stream beyond ``config.embed_dim``; they hold the mean of the others."""

    def __init__(self, config: SwinIRConfig) -> None:
        super().__init__()
        self.config = config
        self.stream_dtype = None
        self.layout = WINDOW_MAJOR
        self.spare_channels = 0
        dim = config.embed_dim
        self.conv_first = _first_convolution(config)
        self.patch_embed = PatchEmbed(config)
        if config.ape:
            self.absolute_pos_embed = nn.Parameter(torch.zeros(1, config.img_size**2, dim))
            nn.init.trunc_normal_(self.absolute_pos_embed, std=0.02)
        self.layers = nn.ModuleList(
            RSTB(config, depth, heads)
            for depth, heads in zip(config.depths, config.num_heads, strict=True)
        )
        self.norm = nn.LayerNorm(dim)
        self.conv_after_body = _residual_convolution(config)
        self._build_head()
        self.register_buffer("mean", _mean(config.input_mean), persistent=False)
        self.register_buffer("output_mean", _mean(config.output_mean), persistent=False)
        self.apply(_initialise)

    @classmethod
    def from_state_dict(cls, config: SwinIRConfig, state_dict: Mapping[str, Tensor]) -> SwinIR:
        """Build a network from existing weights, without drawing random ones first.

        Args:
            config: hyper-parameters that the weights fit.
            state_dict: every parameter under its official name. The tensors themselves become
                the parameters of the network; they are not copied.

        Raises:
            RuntimeError: a missing, extra or misshapen tensor, as ``load_state_dict`` raises it.
        """
        with torch.device("meta"):
            network = cls(config)
        network.load_state_dict(state_dict, strict=True, assign=True)
        for module in network.modules():
            if isinstance(module, WindowAttention):
                module.relative_position_index = relative_position_index(config.window_size)
        network.mean = _mean(config.input_mean)
        network.output_mean = _mean(config.output_mean)
        return network

    def _build_head(self) -> None:
        config, dim, feat = self.config, self.config.embed_dim, self.config.num_feat
        scale, channels = config.head_scale, config.channels_out
        if config.upsampler == "pixelshuffle":
            self.conv_before_upsample = _leaky_conv(dim, feat)
            self.upsample = _pixelshuffle_stages(scale, feat)
            self.conv_last = _conv3x3(feat, channels)
        elif config.upsampler == "pixelshuffledirect":
            self.upsample = nn.Sequential(
                _conv3x3(dim, scale**2 * channels), nn.PixelShuffle(scale)
            )
        elif config.upsampler == "nearest+conv":
            self.conv_before_upsample = _leaky_conv(dim, feat)
            for name in _enlarging_convolutions(config):
                setattr(self, name, _conv3x3(feat, feat))
            self.conv_hr = _conv3x3(feat, feat)
            self.conv_last = _conv3x3(feat, channels)
        else:
            self.conv_last = _conv3x3(dim, channels)

    def forward(self, image: Tensor) -> Tensor:
        """Restore pictures of any size from ``config.min_side`` up, as the official forward does.

        Args:
            image: [B, in_chans, H, W] float, 0..1. It is padded at the right and bottom by
                reflection to multiples of the window.

        Returns:
            [B, out_chans, H * upscale, W * upscale], about 0..1, not clamped.

        Raises:
            InputError: the number of channels or dimensions is wrong, a side is too short to
                reflect, or ``ape`` fixes another size.
        """
        if image.ndim != 4 or image.shape[1] != self.config.in_chans:
            raise InputError(
                f"The input has shape {list(image.shape)}; this network takes "
                f"[batch, {self.config.in_chans}, height, width]."
            )
        height, width = image.shape[2], image.shape[3]
        if min(height, width) < self.config.min_side:
            raise InputError(
                f"The picture has {width}x{height} pixels; the network pads by reflection and "
                f"needs sides of at least {self.config.min_side}. Pad it first, or use Restorer."
            )
        side, scale = self.config.side_multiple, self.config.upscale
        padded = F.pad(image, (0, -width % side, 0, -height % side), mode="reflect")
        return self.core(padded)[:, :, : height * scale, : width * scale]

    def core(self, image: Tensor) -> Tensor:
        """:meth:`forward` without padding: sides must be multiples of ``side_multiple``."""
        centred, shallow, stream, shift = self.opening(image)
        for layer in self.layers:
            stream = layer(stream, shift)
        return self.closing(stream, shallow, centred)

    def opening(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Shift]:
        """Compute everything before the first RSTB.

        Args:
            image: [B, in_chans, H, W], 0..1, sides multiples of ``side_multiple``.

        Returns:
            The picture without its mean and in ``img_range``; the shallow features, whose sides
            are those of the picture divided by ``unshuffle``; the deep-feature stream
            [B, rows, columns, N, embed_dim + spare_channels]; what the
            shifted blocks share.
        """
        window, half = self.config.window_size, self.config.window_size // 2
        centred = (image - self.mean) * self.config.img_range
        shallow = _typed(self.conv_first, centred)
        stream = self.patch_embed(self.layout.from_image(shallow, window))
        if self.config.ape:
            positions = self._absolute_positions(image.shape[2], image.shape[3])
            stream = _sum(stream, self.layout.from_image(positions, window))
        stream = _with_spare(stream, self.spare_channels).to(self.stream_dtype or stream.dtype)
        covered = self.config.side_multiple
        rows, columns = image.shape[2] // covered, image.shape[3] // covered
        mask = shift_mask(rows, columns, window, half, stream)
        if "batch" in self.layout.mask_axes:  # Expanded, so that no sum reshapes the logits.
            mask = mask.expand(image.shape[0], -1, -1, -1, -1)
        shift = Shift(
            order=self.layout.shift_order(rows, columns, window, half, stream),
            inverse_order=self.layout.shift_order(rows, columns, window, -half, stream),
            mask=mask,
        )
        return centred, shallow, stream, shift

    def closing(self, stream: Tensor, shallow: Tensor, centred: Tensor) -> Tensor:
        """Compute everything after the last RSTB.

        Args:
            stream: result of the last RSTB, [B, rows, columns, N, embed_dim + spare_channels].
            shallow: shallow features, as :meth:`opening` returns them.
            centred: picture without its mean, as :meth:`opening` returns it.

        Returns:
            The restored picture [B, out_chans, H * upscale, W * upscale], not clamped.
        """
        normed = self.layout.to_image(_typed(self.norm, stream), self.config.window_size)
        deep = _sum(_typed(self.conv_after_body, normed), shallow)
        return self._reconstruct(deep, centred) / self.config.img_range + self.output_mean

    def _absolute_positions(self, height: int, width: int) -> Tensor:
        """Return the absolute position embedding as [1, embed_dim, H, W]."""
        side = self.config.img_size
        if height != side or width != side:
            raise InputError(
                f"This network has an absolute position embedding for {side}x{side} pixels and "
                f"cannot run at {width}x{height} (padded). Use tiles of {side} pixels."
            )
        return self.absolute_pos_embed.transpose(1, 2).reshape(1, -1, side, side)

    def _reconstruct(self, deep: Tensor, centred: Tensor) -> Tensor:
        """Return the restored picture without its mean, in the dtype of ``centred``."""
        upsampler, dtype = self.config.upsampler, centred.dtype
        if upsampler == "pixelshuffle":
            features = _typed(self.upsample, _typed(self.conv_before_upsample, deep))
            return _typed(self.conv_last, features).to(dtype)
        if upsampler == "pixelshuffledirect":
            return _typed(self.upsample, deep).to(dtype)
        if upsampler == "nearest+conv":
            features = _typed(self.conv_before_upsample, deep)
            for name in _enlarging_convolutions(self.config):
                features = _leaky(_typed(getattr(self, name), _nearest_x2(features)))
            features = _leaky(_typed(self.conv_hr, features))
            return _typed(self.conv_last, features).to(dtype)
        return centred + _typed(self.conv_last, deep).to(dtype)


def _mean(values: tuple[float, ...]) -> Tensor:
    """Return a mean of each channel as [1, channels, 1, 1]."""
    return torch.tensor(values, dtype=torch.float32).view(1, -1, 1, 1)


def _first_convolution(config: SwinIRConfig) -> nn.Module:
    """Create the convolution that opens the network, after the unshuffle of DiffBIR if it has one.

    Squares of ``unshuffle`` pixels a side become channels, so that the body works on a picture
    that is so much smaller (``conv_first`` of diffbir/model/swinir.py).
    """
    side = config.unshuffle
    convolution = _conv3x3(config.in_chans * side**2, config.embed_dim)
    return convolution if side == 1 else nn.Sequential(nn.PixelUnshuffle(side), convolution)


def _enlarging_convolutions(config: SwinIRConfig) -> list[str]:
    """Return the names of the convolutions after each doubling of 'nearest+conv'."""
    return [f"conv_up{stage + 1}" for stage in range(config.head_scale.bit_length() - 1)]


def _conv3x3(channels_in: int, channels_out: int) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, 3, 1, 1)


def _leaky_conv(channels_in: int, channels_out: int) -> nn.Sequential:
    """Create a convolution and a LeakyReLU with slope 0.01, as in the official heads."""
    return nn.Sequential(_conv3x3(channels_in, channels_out), nn.LeakyReLU(0.01))


def _leaky(features: Tensor) -> Tensor:
    return F.leaky_relu(features, 0.2)


def _nearest_x2(features: Tensor) -> Tensor:
    return F.interpolate(features, scale_factor=2.0, mode="nearest")


def _residual_convolution(config: SwinIRConfig) -> nn.Module:
    dim = config.embed_dim
    if config.resi_connection == "1conv":
        return _conv3x3(dim, dim)
    return nn.Sequential(
        _conv3x3(dim, dim // 4),
        nn.LeakyReLU(0.2),
        nn.Conv2d(dim // 4, dim // 4, 1, 1, 0),
        nn.LeakyReLU(0.2),
        _conv3x3(dim // 4, dim),
    )


def _pixelshuffle_stages(upscale: int, feat: int) -> nn.Sequential:
    factors = [3] if upscale == 3 else [2] * int(math.log2(upscale))
    stages: list[nn.Module] = []
    for factor in factors:
        stages += [_conv3x3(feat, factor**2 * feat), nn.PixelShuffle(factor)]
    return nn.Sequential(*stages)


def _with_spare(stream: Tensor, spare: int) -> Tensor:
    """Append the mean of the channels of [..., C] as ``spare`` further channels."""
    if spare == 0:
        return stream
    mean = stream.mean(-1, keepdim=True)
    return torch.cat([stream, mean.expand(*stream.shape[:-1], spare)], dim=-1)


def _typed(module: nn.Module, tensor: Tensor) -> Tensor:
    """Run ``module`` in the dtype of its weights, if it has any."""
    weight = next(module.parameters(), tensor)
    return module(tensor.to(weight.dtype))


def _sum(left: Tensor, right: Tensor) -> Tensor:
    """Add in the wider dtype of the two, with explicit casts, so that a trace shows them."""
    dtype = torch.promote_types(left.dtype, right.dtype)
    return left.to(dtype) + right.to(dtype)


def _at_least_fp32(tensor: Tensor) -> torch.dtype:
    return torch.promote_types(tensor.dtype, torch.float32)


def _initialise(module: nn.Module) -> None:
    """Initialise as the official code: linear weights truncated normal 0.02, biases zero."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
