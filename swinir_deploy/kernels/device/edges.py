"""What stands before the first block and behind the last: the first convolution, LayerNorm."""

import triton
import triton.language as tl

from swinir_deploy.kernels.device.functions import product


@triton.jit(do_not_specialize=["batch", "picture_height", "picture_width", "height", "width"])
def first_convolution(
    picture,
    result,
    weight,
    bias,
    mean,
    batch,
    picture_height,
    picture_width,
    height,
    width,
    factor_in,
    COLORS: tl.constexpr,
    TERMS: tl.constexpr,
    OUT: tl.constexpr,
    PIXELS: tl.constexpr,
    BYTES: tl.constexpr,
):
    """Reflection, mean, range and the first 3x3 convolution.

    ``picture`` is [B, COLORS, picture_height, picture_width] in FP32, 0..1, or with BYTES
    [B, picture_height, picture_width, COLORS] in uint8. It is padded by reflection at the right and
    the bottom to ``height`` x ``width``, and by zeros around that, as the convolution asks.
    ``result`` is [B, height, width, OUT]; ``weight`` is [TERMS, OUT], the terms ordered
    (tap, color) and filled up with zeros. A program computes PIXELS pixels and 64 channels.
    """
    TYPE: tl.constexpr = result.dtype.element_ty
    number = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    live = number < batch * height * width
    x = number % width
    y = (number // width) % height
    b = (number // (height * width)).to(tl.int64)
    term = tl.arange(0, TERMS)
    tap = term // COLORS
    color = term % COLORS
    sy = y[:, None] + (tap // 3 - 1)[None, :]
    sx = x[:, None] + (tap % 3 - 1)[None, :]
    reads = (sy >= 0) & (sy < height) & (sx >= 0) & (sx < width)
    reads = reads & live[:, None] & (tap < 9)[None, :]
    sy = tl.where(sy < picture_height, sy, 2 * (picture_height - 1) - sy)
    sx = tl.where(sx < picture_width, sx, 2 * (picture_width - 1) - sx)
    pixel = sy * picture_width + sx
    if BYTES:
        place = (b[:, None] * (picture_height * picture_width) + pixel) * COLORS + color[None, :]
        values = tl.load(picture + place, mask=reads, other=0).to(tl.float32) * (1.0 / 255)
    else:
        plane = b[:, None] * COLORS + color[None, :]
        place = plane * (picture_height * picture_width) + pixel
        values = tl.load(picture + place, mask=reads, other=0.0)
    values = (values - tl.load(mean + color)[None, :]) * factor_in
    values = tl.where(reads, values, 0.0)
    out = tl.program_id(1) * 64 + tl.arange(0, 64)
    weights = tl.load(weight + term[:, None] * OUT + out[None, :])
    # The picture in two terms of half precision: rounding it once would cost more than all else.
    high = values.to(TYPE)
    low = (values - high.to(tl.float32)).to(TYPE)
    sums = product(low, weights, product(high, weights)) + tl.load(bias + out)[None, :]
    places = (number.to(tl.int64) * OUT)[:, None] + out[None, :]
    tl.store(result + places, sums.to(TYPE), mask=live[:, None])


@triton.jit(do_not_specialize=["tokens"])
def layer_norm(
    source,
    result,
    weight,
    bias,
    tokens,
    eps,
    scale,
    CHANNELS: tl.constexpr,
    STORED: tl.constexpr,
    WIDTH: tl.constexpr,
    ROWS: tl.constexpr,
    NORM: tl.constexpr,
):
    """LayerNorm over the channels of [tokens, STORED]; without NORM, a product with ``scale``.

    WIDTH is the power of two from STORED up. ``weight`` and ``bias`` are [STORED], zero beyond
    CHANNELS, so that the result is zero there. ``source`` and ``result`` may be the same.
    """
    TYPE: tl.constexpr = result.dtype.element_ty
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, WIDTH)
    stored = (row < tokens)[:, None] & (column < STORED)[None, :]
    places = (row.to(tl.int64) * STORED)[:, None] + column[None, :]
    x = tl.load(source + places, mask=stored, other=0.0).to(tl.float32)
    if NORM:
        x -= (tl.sum(x, 1) / CHANNELS)[:, None]
        x = tl.where((column < CHANNELS)[None, :], x, 0.0)
        x *= tl.rsqrt(tl.sum(x * x, 1) / CHANNELS + eps)[:, None]
        in_row = column < STORED
        x *= tl.load(weight + column, mask=in_row, other=0.0)[None, :]
        x += tl.load(bias + column, mask=in_row, other=0.0)[None, :]
    else:
        x *= scale
    tl.store(result + places, x.to(TYPE), mask=stored)
