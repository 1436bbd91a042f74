"""Count the floating-point operations of a SwinIR from its configuration, without torch."""

from __future__ import annotations

from swinir_deploy.network.config import SwinIRConfig

__all__ = ["count_flops"]


def count_flops(config: SwinIRConfig, height: int, width: int, batch: int = 1) -> int:
    """Count the floating-point operations of one forward pass.

    Each multiplication of a matrix product or convolution counts as two operations. The count
    holds the convolutions, the linear layers and both products of attention, on the picture
    padded to whole windows. LayerNorm, softmax, GELU, biases and sums are left out, as usual.
    The network counts as it was trained: zero channels and masks of a rewrite add nothing.

    Args:
        config: hyper-parameters of the network.
        height: height of the input in pixels.
        width: width of the input in pixels.
        batch: number of pictures.
    """
    window, side = config.window_size, config.side_multiple
    pixels = -(-height // side) * window * -(-width // side) * window
    dim, tokens = config.embed_dim, window**2
    # The terms are qkv, the two products with N keys each, proj, and fc1 with fc2.
    block = 3 * dim**2 + 2 * tokens * dim + dim**2 + 2 * dim * config.mlp_hidden_dim
    residual = _residual_convolution(config)
    each = config.in_chans * config.unshuffle**2 * dim * 9 + config.num_blocks * block
    each += (len(config.depths) + 1) * residual + _head(config)
    return 2 * batch * pixels * each


def _residual_convolution(config: SwinIRConfig) -> int:
    """Count the multiplications per pixel in the convolution after an RSTB or after the body."""
    dim, narrow = config.embed_dim, config.embed_dim // 4
    return 9 * dim**2 if config.resi_connection == "1conv" else 18 * dim * narrow + narrow**2


def _head(config: SwinIRConfig) -> int:
    """Count the multiplications per token in the reconstruction head."""
    dim, feat = config.embed_dim, config.num_feat
    chans, scale = config.channels_out, config.head_scale
    if config.upsampler == "pixelshuffledirect":
        return 9 * dim * scale**2 * chans
    if config.upsampler == "pixelshuffle":
        factors = [3] if scale == 3 else [2] * (scale.bit_length() - 1)
        total, area = 9 * dim * feat, 1
        for factor in factors:
            total += 9 * feat * factor**2 * feat * area
            area *= factor**2
        return total + 9 * feat * chans * area
    if config.upsampler == "nearest+conv":
        stages = scale.bit_length() - 1
        enlarging = sum(4 ** (stage + 1) for stage in range(stages)) * 9 * feat**2
        return 9 * dim * feat + enlarging + scale**2 * (9 * feat**2 + 9 * feat * chans)
    return 9 * dim * chans
