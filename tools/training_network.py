"""A forward pass of SwinIR for training on a CPU.

The same function of the same parameters as ``swinir_deploy.network.SwinIR.core``, for square
patches of whole windows and one picture size. Shifts are ``torch.roll`` (its gradient is a roll
as well, where the gradient of a gather is a slow scatter) and attention is PyTorch's fused one.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from swinir_deploy.network import SwinIR, SwinIRConfig


def _to_windows(image: Tensor, window: int) -> Tensor:
    """[B, H, W, C] -> [B * windows, window**2, C]."""
    batch, height, width, channels = image.shape
    tiles = image.reshape(batch, height // window, window, width // window, window, channels)
    return tiles.permute(0, 1, 3, 2, 4, 5).reshape(-1, window * window, channels)


def _to_image(tokens: Tensor, window: int, height: int, width: int) -> Tensor:
    """Return the inverse of :func:`_to_windows`."""
    channels = tokens.shape[-1]
    tiles = tokens.reshape(-1, height // window, width // window, window, window, channels)
    return tiles.permute(0, 1, 3, 2, 4, 5).reshape(-1, height, width, channels)


def shift_mask(height: int, width: int, window: int, shift: int) -> Tensor:
    """Return what is added to a shifted block's logits: [windows, 1, N, N], 0 and -100."""
    label = torch.zeros(1, height, width, 1)
    count = 0
    for rows in (slice(0, -window), slice(-window, -shift), slice(-shift, None)):
        for columns in (slice(0, -window), slice(-window, -shift), slice(-shift, None)):
            label[:, rows, columns] = count
            count += 1
    strips = _to_windows(label, window).squeeze(-1)
    return (strips[:, None, :, None] != strips[:, None, None, :]).float() * -100.0


class TrainingForward(nn.Module):
    """Wraps a :class:`SwinIR`: ``self(image)`` is ``model.core(image)`` at one patch size.

    Args:
        model: the network; its parameters stay its own.
        config: its configuration.
        patch: side of the input in pixels, a multiple of the window and at least two windows.
    """

    mask: Tensor

    def __init__(self, model: SwinIR, config: SwinIRConfig, patch: int) -> None:
        super().__init__()
        self.model, self.config, self.patch = model, config, patch
        window = config.window_size
        self.register_buffer("mask", shift_mask(patch, patch, window, window // 2), False)
        mean = (0.4488, 0.4371, 0.4040) if config.in_chans == 3 else (0.0,)
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1), False)

    def forward(self, image: Tensor) -> Tensor:
        """[B, in_chans, patch, patch] -> [B, in_chans, patch * scale, patch * scale]."""
        model, scale = self.model, self.config.img_range
        centred = (image - self.mean) * scale
        shallow = model.conv_first(centred)
        stream = shallow.permute(0, 2, 3, 1)
        if self.config.patch_norm:
            stream = model.patch_embed.norm(stream)
        for layer, heads in zip(model.layers, self.config.num_heads, strict=True):
            tokens = stream
            for number, block in enumerate(layer.residual_group.blocks):
                tokens = self._block(tokens, block, heads, shifted=number % 2 == 1)
            stream = layer.conv(tokens.permute(0, 3, 1, 2)).permute(0, 2, 3, 1) + stream
        deep = model.norm(stream).permute(0, 3, 1, 2)
        deep = model.conv_after_body(deep) + shallow
        if self.config.upsampler == "pixelshuffledirect":
            return model.upsample(deep) / scale + self.mean
        if self.config.upsampler == "":
            return (centred + model.conv_last(deep)) / scale + self.mean
        raise NotImplementedError(f"no training forward for upsampler {self.config.upsampler!r}")

    def _block(self, image: Tensor, block: nn.Module, heads: int, shifted: bool) -> Tensor:
        window, side = self.config.window_size, self.patch
        shift = window // 2
        moved = torch.roll(image, (-shift, -shift), (1, 2)) if shifted else image
        tokens = _to_windows(moved, window)
        attended = self._attend(block.norm1(tokens), block.attn, heads, shifted)
        moved = _to_image(attended, window, side, side)
        image = image + (torch.roll(moved, (shift, shift), (1, 2)) if shifted else moved)
        return image + block.mlp.fc2(F.gelu(block.mlp.fc1(block.norm2(image))))

    def _attend(self, tokens: Tensor, attn: nn.Module, heads: int, shifted: bool) -> Tensor:
        count, area, channels = tokens.shape
        qkv = attn.qkv(tokens).reshape(count, area, 3, heads, channels // heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        table = attn.relative_position_bias_table
        bias = table[attn.relative_position_index.reshape(-1)].reshape(area, area, heads)
        bias = bias.permute(2, 0, 1)[None]
        if shifted:
            bias = (bias + self.mask).repeat(count // self.mask.shape[0], 1, 1, 1)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=bias.to(query.dtype))
        return attn.proj(mixed.transpose(1, 2).reshape(count, area, channels))
