"""Convolutions as products: rows are pixels, and the sum runs over taps and channels."""

import triton
import triton.language as tl

from swinir_deploy.kernels.device.functions import product


@triton.jit
def store_picture(
    values,
    picture,
    result,
    mean,
    batch,
    y,
    x,
    live,
    column,
    height,
    width,
    factor_out,
    COLORS: tl.constexpr,
    FACTOR: tl.constexpr,
    ADD_PICTURE: tl.constexpr,
    BYTES: tl.constexpr,
):
    """Write columns (color, row, column inside a FACTOR x FACTOR cell) of pixels as a picture.

    The network's value becomes value * factor_out + mean[color], plus the input picture where
    ADD_PICTURE; outside height x width it is dropped. ``result`` is [B, COLORS, H, W] in FP32, or
    with BYTES [B, H, W, COLORS] in uint8: clamped to 0..1 and rounded to half even.
    """
    color = column // (FACTOR * FACTOR)
    cell = column % (FACTOR * FACTOR)
    py = (y * FACTOR)[:, None] + (cell // FACTOR)[None, :]
    px = (x * FACTOR)[:, None] + (cell % FACTOR)[None, :]
    inside = live[:, None] & (color < COLORS)[None, :] & (py < height) & (px < width)
    values = values * factor_out
    plane = batch.to(tl.int64)[:, None] * COLORS + color[None, :]
    planar = plane * (height * width) + py * width + px
    pixel = batch.to(tl.int64)[:, None] * (height * width) + py * width + px
    packed = pixel * COLORS + color[None, :]
    if ADD_PICTURE:
        if BYTES:
            values += tl.load(picture + packed, mask=inside, other=0).to(tl.float32) * (1.0 / 255)
        else:
            values += tl.load(picture + planar, mask=inside, other=0.0)
    else:
        values += tl.load(mean + color, mask=color < COLORS, other=0.0)[None, :]
    if BYTES:
        # Adding and taking away 1.5 * 2**23 rounds to the nearest integer, halves to even; NaN
        # becomes 0, as PyTorch and NumPy do it on this platform.
        values = tl.minimum(tl.maximum(values, 0.0), 1.0) * 255.0
        values = (values + 12582912.0) - 12582912.0
        tl.store(result + packed, values.to(tl.uint8), mask=inside)
    else:
        tl.store(result + planar, values, mask=inside)


@triton.jit(
    do_not_specialize=[
        "batch",
        "height",
        "width",
        "first_row",
        "rows",
        "source_first_row",
        "source_rows",
        "result_first_row",
        "result_rows",
        "picture_height",
        "picture_width",
    ]
)
def convolution(
    source,
    result,
    residual,
    weight,
    bias,
    picture,
    mean,
    batch,
    height,
    width,
    first_row,
    rows,
    source_first_row,
    source_rows,
    result_first_row,
    result_rows,
    picture_height,
    picture_width,
    slope,
    factor_out,
    IN: tl.constexpr,
    IN_TILE: tl.constexpr,
    OUT: tl.constexpr,
    OUT_TILE: tl.constexpr,
    TILES: tl.constexpr,
    TAPS: tl.constexpr,
    PIXELS: tl.constexpr,
    ENLARGE: tl.constexpr,
    LEAKY: tl.constexpr,
    RESIDUAL: tl.constexpr,
    STORE: tl.constexpr,
    FACTOR: tl.constexpr,
    COLORS: tl.constexpr,
    ADD_PICTURE: tl.constexpr,
    STAGES: tl.constexpr,
):
    """Compute a convolution of TAPS (9: 3x3 with zero padding, 1: 1x1) and what follows it.

    Computes the rows first_row .. first_row + rows of a picture of ``height`` x ``width`` pixels.
    ``source`` holds source_rows rows from source_first_row on, [batch, source_rows, width, IN], so
    that a large picture can be computed in bands. With ENLARGE it holds a picture of half the
    sides, and nearest-neighbour enlargement happens as it is read. A program computes PIXELS pixels
    and TILES * OUT_TILE output channels; ``weight`` is [TAPS * IN, OUT].

    STORE says where the values (with bias, LeakyReLU of ``slope`` where LEAKY, ``residual``) go.
    0: [batch, result_rows, width, OUT] from result_first_row on; 1: the same after a pixel shuffle
    by FACTOR, for weights whose output channels are ordered (row, column, channel) of a cell; 2: a
    picture of COLORS channels in FP32, see :func:`store_picture`; 3: the same in uint8.
    """
    TYPE: tl.constexpr = source.dtype.element_ty
    PARTS: tl.constexpr = IN // IN_TILE
    FEATURES: tl.constexpr = OUT // (FACTOR * FACTOR)
    number = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    first_tile = tl.program_id(1) * TILES
    live = number < batch * rows * width
    number = tl.minimum(number, batch * rows * width - 1)
    x = number % width
    y = (number // width) % rows + first_row
    b = number // (rows * width)
    lane = tl.arange(0, IN_TILE)
    column = tl.arange(0, OUT_TILE)
    sums = ()
    for _ in tl.static_range(TILES):
        sums = sums + (tl.zeros((PIXELS, OUT_TILE), tl.float32),)
    plane = b.to(tl.int64) * source_rows - source_first_row
    pixel = (plane + y) * width + x
    # One bit a tap: whether it reads inside the picture.
    inside = live.to(tl.int32)
    if TAPS == 9:
        inside = tl.zeros_like(number)
        for number_of_tap in tl.static_range(9):
            ty = y + (number_of_tap // 3 - 1)
            tx = x + (number_of_tap % 3 - 1)
            valid = live & (ty >= 0) & (ty < height) & (tx >= 0) & (tx < width)
            inside |= tl.where(valid, 1 << number_of_tap, 0)
    pixels = source + (pixel * IN)[:, None] + lane[None, :]
    weights = weight + first_tile * OUT_TILE + lane[:, None] * OUT + column[None, :]
    for step in tl.range(0, TAPS * PARTS, num_stages=STAGES):
        tap = step // PARTS
        part = step % PARTS
        reads = ((inside >> tap) & 1) != 0
        if ENLARGE:
            sy = (y + (tap // 3 - 1)) >> 1
            sx = (x + (tap % 3 - 1)) >> 1
            near = ((plane + sy) * (width // 2) + sx) * IN + part * IN_TILE
            places = source + near[:, None] + lane[None, :]
        elif TAPS == 9:
            places = pixels + (((tap // 3 - 1) * width + (tap % 3 - 1)) * IN + part * IN_TILE)
        else:
            places = pixels + part * IN_TILE
        values = tl.load(places, mask=reads[:, None], other=0.0)
        grown = ()
        for tile in tl.static_range(TILES):
            tile_weight = tl.load(weights + (step * (IN_TILE * OUT) + tile * OUT_TILE))
            grown = grown + (product(values, tile_weight, sums[tile]),)
        sums = grown
    for tile in tl.static_range(TILES):
        out = (first_tile + tile) * OUT_TILE + column
        values = sums[tile] + tl.load(bias + out)[None, :]
        if LEAKY:
            values = tl.where(values >= 0.0, values, values * slope)
        if STORE <= 1:
            if STORE == 0:
                pixel = (b.to(tl.int64) * result_rows + (y - result_first_row)) * width + x
                places = (pixel * OUT)[:, None] + out[None, :]
            else:
                cell = out // FEATURES
                row = (y * FACTOR - result_first_row)[:, None] + (cell // FACTOR)[None, :]
                row = row + b.to(tl.int64)[:, None] * result_rows
                along = (x * FACTOR)[:, None] + (cell % FACTOR)[None, :]
                places = (row * (width * FACTOR) + along) * FEATURES + (out % FEATURES)[None, :]
            if RESIDUAL:
                values += tl.load(residual + places, mask=live[:, None], other=0.0).to(tl.float32)
            tl.store(result + places, values.to(TYPE), mask=live[:, None])
        else:
            store_picture(
                values,
                picture,
                result,
                mean,
                b,
                y,
                x,
                live,
                out,
                picture_height,
                picture_width,
                factor_out,
                COLORS,
                FACTOR,
                ADD_PICTURE,
                STORE == 3,
            )
