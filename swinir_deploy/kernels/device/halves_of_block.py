"""The two halves of a Swin block of 65 to 256 channels: attention and MLP.

Channels come in a first part of FIRST and a second one of SECOND channels (0 if there is none),
because a tile of Triton has a power of two of columns, and 180 channels are stored as 128 + 64.
"""

import triton
import triton.language as tl

from swinir_deploy.kernels.device.functions import (
    INTERPRETED,
    halves,
    prefetch,
    product,
    read_again,
    reciprocal_deviation,
    twice_gelu,
    window_tokens,
)


@triton.jit
def row_scale(x0, x1, CHANNELS: tl.constexpr, FIRST: tl.constexpr, SECOND: tl.constexpr, eps):
    """1 / deviation of each row of [x0, x1]; the columns beyond CHANNELS are zeros."""
    f0 = x0.to(tl.float32)
    total = tl.sum(f0, 1)
    if SECOND > 0:
        f1 = x1.to(tl.float32)
        total += tl.sum(f1, 1)
    mean = total / CHANNELS
    f0 -= mean[:, None]
    f0 = tl.where((tl.arange(0, FIRST) < CHANNELS)[None, :], f0, 0.0)
    squares = tl.sum(f0 * f0, 1)
    if SECOND > 0:
        f1 -= mean[:, None]
        f1 = tl.where((FIRST + tl.arange(0, SECOND) < CHANNELS)[None, :], f1, 0.0)
        squares += tl.sum(f1 * f1, 1)
    return reciprocal_deviation(squares, CHANNELS, eps)


@triton.jit(do_not_specialize=["height", "width", "shift", "windows"])
def attention_half(
    features,
    result,
    qkv_weight,
    query_bias,
    position_bias,
    proj_weight,
    proj_bias,
    height,
    width,
    shift,
    windows,
    eps,
    scale_out,
    CHANNELS: tl.constexpr,
    FIRST: tl.constexpr,
    SECOND: tl.constexpr,
    HEADS: tl.constexpr,
    HEAD: tl.constexpr,
    SIDE: tl.constexpr,
    STAGES: tl.constexpr,
    WINDOWS: tl.constexpr,
    AHEAD: tl.constexpr,
    JOINT: tl.constexpr,
):
    """LayerNorm, attention, projection and residual of WINDOWS (1 or 2) windows a program.

    Two windows share what is read of the weights. Their logits are still one product of 64 columns:
    the keys of both stand side by side as [64, 2 * HEAD], and a query has zeros where the other
    window's keys are. While it computes, a program has the pixels brought into the cache that the
    program AHEAD of it will read, which is likely to run next on the same multiprocessor; 0: none.
    With JOINT, query, key and value of a head are one product of 4 * HEAD columns, which suits
    products that read their operands from shared memory (sm90); without, they are three, whose
    operands occupy fewer registers.
    """
    TYPE: tl.constexpr = features.dtype.element_ty
    TOKENS: tl.constexpr = SIDE * SIDE
    ROWS: tl.constexpr = 64 * WINDOWS
    STORED: tl.constexpr = FIRST + SECOND
    QKV: tl.constexpr = 4 * HEADS * HEAD
    row = tl.arange(0, ROWS)
    token = row % 64
    window = tl.minimum(tl.program_id(0) * WINDOWS + row // 64, windows - 1)
    inside = tl.minimum(token, TOKENS - 1)
    pixel, edge = window_tokens(window, inside, height, width, shift, SIDE)
    rows = (pixel * STORED)[:, None]
    c0 = tl.arange(0, FIRST)
    x0 = tl.load(features + rows + c0[None, :])
    if SECOND > 0:
        c1 = FIRST + tl.arange(0, SECOND)
        x1 = tl.load(features + rows + c1[None, :])
    else:
        x1 = x0
    if AHEAD > 0 and not INTERPRETED:
        later = tl.minimum(window + AHEAD * WINDOWS, windows - 1)
        later_pixel, later_edge = window_tokens(later, inside, height, width, shift, SIDE)
        # A line has 64 channels; the fourth of 192 is the next pixel's first.
        prefetch(features + (later_pixel * STORED)[:, None] + (tl.arange(0, 4) * 64)[None, :])
    scale = row_scale(x0, x1, CHANNELS, FIRST, SECOND, eps)

    in_head = tl.arange(0, HEAD)
    if JOINT:
        in_group = tl.arange(0, 4 * HEAD)
    else:
        in_group = in_head
    other = tl.arange(0, 64)
    bias_row = edge * (HEADS * 4096) + token * 64
    if WINDOWS == 2:
        own = (row // 64)[:, None] == (tl.arange(0, 2 * HEAD) // HEAD)[None, :]
    out0 = tl.zeros((ROWS, FIRST), tl.float32)
    if SECOND > 0:
        out1 = tl.zeros((ROWS, SECOND), tl.float32)
    into0 = qkv_weight + c0[:, None] * QKV + in_group[None, :]
    back0 = proj_weight + in_head[:, None] * STORED + c0[None, :]
    biases = position_bias + bias_row[:, None] + other[None, :]
    if SECOND > 0:
        into1 = qkv_weight + c1[:, None] * QKV + in_group[None, :]
        back1 = proj_weight + in_head[:, None] * STORED + c1[None, :]
    for head in tl.range(0, HEADS, num_stages=STAGES):
        columns = head * (4 * HEAD)
        if JOINT:
            projected = product(x0, tl.load(into0 + columns))
            if SECOND > 0:
                projected = product(x1, tl.load(into1 + columns), projected)
            projected = projected * scale[:, None]
            query_key, value_rest = halves(projected, ROWS, 4 * HEAD)
            query, key = halves(query_key, ROWS, 2 * HEAD)
            value, rest = halves(value_rest, ROWS, 2 * HEAD)
        else:
            query = product(x0, tl.load(into0 + columns))
            key = product(x0, tl.load(into0 + columns + HEAD))
            value = product(x0, tl.load(into0 + columns + 2 * HEAD))
            if SECOND > 0:
                query = product(x1, tl.load(into1 + columns), query)
                key = product(x1, tl.load(into1 + columns + HEAD), key)
                value = product(x1, tl.load(into1 + columns + 2 * HEAD), value)
            query = query * scale[:, None]
            key = key * scale[:, None]
            value = value * scale[:, None]
        query += tl.load(query_bias + head * HEAD + in_head)[None, :]
        query = query.to(TYPE)
        key = key.to(TYPE)
        value = value.to(TYPE)
        if WINDOWS == 2:
            query = tl.reshape(tl.permute(tl.join(query, query), (0, 2, 1)), (ROWS, 2 * HEAD))
            query = tl.where(own, query, 0.0)
            key = tl.reshape(key, (2, 64, HEAD))
            key = tl.reshape(tl.permute(key, (1, 0, 2)), (64, 2 * HEAD))
            value = tl.reshape(value, (2, 64, HEAD))
            value = tl.reshape(tl.permute(value, (1, 0, 2)), (64, 2 * HEAD))
        logits = product(query, tl.trans(key))
        bias = tl.load(biases + head * 4096)
        logits += bias.to(tl.float32)
        shares = tl.exp2(logits - tl.max(logits, 1)[:, None])
        total = tl.sum(shares, 1)
        mixed = product(shares.to(TYPE), value)
        if WINDOWS == 2:
            left, right = halves(mixed, ROWS, 2 * HEAD)
            mixed = tl.where((row < 64)[:, None], left, right)
        mixed = (mixed * (1.0 / total)[:, None]).to(TYPE)
        out0 = product(mixed, tl.load(back0 + head * (HEAD * STORED)), out0)
        if SECOND > 0:
            out1 = product(mixed, tl.load(back1 + head * (HEAD * STORED)), out1)
    live = (token < TOKENS)[:, None]
    out0 = out0 * scale_out + read_again(features + rows + c0[None, :])
    out0 += tl.load(proj_bias + c0)[None, :]
    if TOKENS == 64:
        tl.store(result + rows + c0[None, :], out0.to(TYPE))
    else:
        tl.store(result + rows + c0[None, :], out0.to(TYPE), mask=live)
    if SECOND > 0:
        out1 = out1 * scale_out + read_again(features + rows + c1[None, :])
        out1 += tl.load(proj_bias + c1)[None, :]
        if TOKENS == 64:
            tl.store(result + rows + c1[None, :], out1.to(TYPE))
        else:
            tl.store(result + rows + c1[None, :], out1.to(TYPE), mask=live)


@triton.jit(do_not_specialize=["tokens"])
def mlp_half(
    features,
    result,
    fc1_weight,
    fc1_bias,
    fc2_weight,
    fc2_bias,
    tokens,
    eps,
    scale_out,
    CHANNELS: tl.constexpr,
    FIRST: tl.constexpr,
    SECOND: tl.constexpr,
    HIDDEN: tl.constexpr,
    ROWS: tl.constexpr,
    HIDDEN_TILE: tl.constexpr,
    STAGES: tl.constexpr,
    AHEAD: tl.constexpr,
):
    """LayerNorm, MLP and residual of ROWS tokens a program, HIDDEN_TILE hidden channels at a time.

    ``features`` and ``result`` are [tokens, FIRST + SECOND]; they may be the same. AHEAD as in
    :func:`attention_half`.
    """
    TYPE: tl.constexpr = features.dtype.element_ty
    STORED: tl.constexpr = FIRST + SECOND
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    rows = (tl.minimum(row, tokens - 1).to(tl.int64) * STORED)[:, None]
    c0 = tl.arange(0, FIRST)
    x0 = tl.load(features + rows + c0[None, :])
    if SECOND > 0:
        c1 = FIRST + tl.arange(0, SECOND)
        x1 = tl.load(features + rows + c1[None, :])
    else:
        x1 = x0
    if AHEAD > 0 and not INTERPRETED:
        later = tl.minimum(row + AHEAD * ROWS, tokens - 1).to(tl.int64)
        prefetch(features + (later * STORED)[:, None] + (tl.arange(0, 4) * 64)[None, :])
    scale = row_scale(x0, x1, CHANNELS, FIRST, SECOND, eps)
    out0 = tl.zeros((ROWS, FIRST), tl.float32)
    if SECOND > 0:
        out1 = tl.zeros((ROWS, SECOND), tl.float32)
    hidden = tl.arange(0, HIDDEN_TILE)
    into0 = fc1_weight + c0[:, None] * HIDDEN + hidden[None, :]
    back0 = fc2_weight + hidden[:, None] * STORED + c0[None, :]
    if SECOND > 0:
        into1 = fc1_weight + c1[:, None] * HIDDEN + hidden[None, :]
        back1 = fc2_weight + hidden[:, None] * STORED + c1[None, :]
    for start in tl.range(0, HIDDEN, HIDDEN_TILE, num_stages=STAGES):
        up = product(x0, tl.load(into0 + start))
        if SECOND > 0:
            up = product(x1, tl.load(into1 + start), up)
        up = twice_gelu(up * scale[:, None] + tl.load(fc1_bias + start + hidden)[None, :]).to(TYPE)
        out0 = product(up, tl.load(back0 + start * STORED), out0)
        if SECOND > 0:
            out1 = product(up, tl.load(back1 + start * STORED), out1)
    scale_out = scale_out * 0.5  # for twice_gelu
    live = (row < tokens)[:, None]
    out0 = out0 * scale_out + read_again(features + rows + c0[None, :])
    out0 += tl.load(fc2_bias + c0)[None, :]
    tl.store(result + rows + c0[None, :], out0.to(TYPE), mask=live)
    if SECOND > 0:
        out1 = out1 * scale_out + read_again(features + rows + c1[None, :])
        out1 += tl.load(fc2_bias + c1)[None, :]
        tl.store(result + rows + c1[None, :], out1.to(TYPE), mask=live)
