"""A whole Swin block of up to 64 channels in one kernel."""

import triton
import triton.language as tl

from swinir_deploy.kernels.device.functions import (
    halves,
    product,
    read_again,
    reciprocal_deviation,
    twice_gelu,
    window_tokens,
)


@triton.jit(do_not_specialize=["height", "width", "shift"])
def swin_block(
    features,
    result,
    qkv_weight,
    query_bias,
    position_bias,
    proj_weight,
    proj_bias,
    fc1_weight,
    fc1_bias,
    fc2_weight,
    fc2_bias,
    height,
    width,
    shift,
    eps,
    scale_out,
    CHANNELS: tl.constexpr,
    HEADS: tl.constexpr,
    HEAD: tl.constexpr,
    HIDDEN: tl.constexpr,
    SIDE: tl.constexpr,
    STAGES: tl.constexpr,
    HIDDEN_TILE: tl.constexpr,
):
    """LayerNorm, attention, projection, residual, LayerNorm, MLP, residual of one window.

    A program reads one window of ``features`` [B, height, width, 64] and writes it to the same
    place of ``result``, which may be ``features`` itself: no program reads another one's pixels.

    Weights as :mod:`swinir_deploy.kernels.packing` makes them. The first LayerNorm is applied
    behind the product: LN(x) W + b = (x W') / deviation + b, where every column of W' has the mean
    zero. What is added to the stream is multiplied by ``scale_out``, the stream's own scale.
    """
    TYPE: tl.constexpr = features.dtype.element_ty
    TOKENS: tl.constexpr = SIDE * SIDE
    QKV: tl.constexpr = 4 * HEADS * HEAD
    token = tl.arange(0, 64)
    channel = tl.arange(0, 64)
    inside = tl.minimum(token, TOKENS - 1)
    pixel, edge = window_tokens(tl.program_id(0), inside, height, width, shift, SIDE)
    places = (pixel * 64)[:, None] + channel[None, :]

    x = tl.load(features + places)
    centred = x.to(tl.float32)
    centred = centred - (tl.sum(centred, 1) / CHANNELS)[:, None]
    centred = tl.where(channel[None, :] < CHANNELS, centred, 0.0)
    scale = reciprocal_deviation(tl.sum(centred * centred, 1), CHANNELS, eps)

    position_bias += edge * (HEADS * 4096)
    in_head = tl.arange(0, HEAD)
    in_group = tl.arange(0, 4 * HEAD)
    attended = tl.zeros((64, 64), tl.float32)
    for head in tl.range(0, HEADS, num_stages=STAGES):
        weight = qkv_weight + channel[:, None] * QKV + (head * 4 * HEAD + in_group)[None, :]
        projected = product(x, tl.load(weight)) * scale[:, None]
        query_key, value_rest = halves(projected, 64, 4 * HEAD)
        query, key = halves(query_key, 64, 2 * HEAD)
        value, _ = halves(value_rest, 64, 2 * HEAD)
        query += tl.load(query_bias + head * HEAD + in_head)[None, :]
        bias = tl.load(position_bias + head * 4096 + token[:, None] * 64 + token[None, :])
        logits = product(query.to(TYPE), tl.trans(key.to(TYPE))) + bias.to(tl.float32)
        shares = tl.exp2(logits - tl.max(logits, 1)[:, None])
        total = tl.sum(shares, 1)
        mixed = product(shares.to(TYPE), value.to(TYPE)) * (1.0 / total)[:, None]
        weight = proj_weight + (head * HEAD + in_head)[:, None] * 64 + channel[None, :]
        attended = product(mixed.to(TYPE), tl.load(weight), attended)
    y = read_again(features + places) + attended * scale_out
    y += tl.load(proj_bias + channel)[None, :]

    centred = y - (tl.sum(y, 1) / CHANNELS)[:, None]
    centred = tl.where(channel[None, :] < CHANNELS, centred, 0.0)
    scale = reciprocal_deviation(tl.sum(centred * centred, 1), CHANNELS, eps)
    normed = (centred * scale[:, None]).to(TYPE)
    expanded = tl.zeros((64, 64), tl.float32)
    for start in tl.range(0, HIDDEN, HIDDEN_TILE, num_stages=1):
        hidden = start + tl.arange(0, HIDDEN_TILE)
        up = product(normed, tl.load(fc1_weight + channel[:, None] * HIDDEN + hidden[None, :]))
        up = twice_gelu(up + tl.load(fc1_bias + hidden)[None, :]).to(TYPE)
        down = tl.load(fc2_weight + hidden[:, None] * 64 + channel[None, :])
        expanded = product(up, down, expanded)
    y += expanded * (scale_out * 0.5) + tl.load(fc2_bias + channel)[None, :]
    if TOKENS == 64:
        tl.store(result + places, y.to(TYPE))
    else:
        tl.store(result + places, y.to(TYPE), mask=(token < TOKENS)[:, None])
