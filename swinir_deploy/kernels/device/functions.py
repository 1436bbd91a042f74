"""Functions that several kernels share."""

import os

import triton
import triton.language as tl

INTERPRETED = tl.constexpr(os.environ.get("TRITON_INTERPRET") == "1")
"""Whether kernels run on the CPU, by Triton's interpreter."""


@triton.jit
def product(left, right, sums=None):
    """Left @ right (+ sums): operands of half precision, sums in FP32.

    The interpreter keeps BF16 as integers and would multiply those.
    """
    if INTERPRETED:
        left = left.to(tl.float32)
        right = right.to(tl.float32)
    if sums is None:
        return tl.dot(left, right)
    else:
        return tl.dot(left, right, sums)


@triton.jit
def read_again(pointers):
    """Load what was loaded before, in FP32; the cache modifier keeps the compiler from holding the
    first load's values in registers all the time between.
    """
    return tl.load(pointers, cache_modifier=".cg").to(tl.float32)


@triton.jit
def prefetch(pointers):
    """Ask for the lines of ``pointers`` to be brought into the second-level cache."""
    tl.inline_asm_elementwise(
        "prefetch.global.L2 [$1]; mov.u32 $0, 0;",
        "=r,l",
        [pointers],
        dtype=tl.int32,
        is_pure=False,
        pack=1,
    )


@triton.jit
def twice_gelu(x):
    """2 * GELU(x), with an error of at most 4e-4; the factor belongs to the weights behind it.

    GELU(x) = x/2 + |x| * e(|x|) with e(z) = erf(z / sqrt(2)) / 2, which a polynomial gives up to
    z = 4, where it is 1/2 to 3e-5. Exact erf costs three times as many instructions, and the
    instructions between two products are what the MLP waits for.
    """
    size = tl.abs(x)
    z = tl.minimum(size, 4.0)
    t = z * z
    e = 4.51763536e-08 * t - 3.1776509e-06
    e = e * t + 9.55277042e-05
    e = e * t - 0.00162437426
    e = e * t + 0.01752737864
    e = e * t - 0.1291088174
    e = e * t + 0.795740528
    return size * (e * z) + x


@triton.jit
def halves(x, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """[ROWS, COLUMNS] -> its left and its right half of the columns, without moving data."""
    return tl.split(tl.permute(tl.reshape(x, (ROWS, 2, COLUMNS // 2)), (0, 2, 1)))


@triton.jit
def reciprocal_deviation(centred_squares, CHANNELS: tl.constexpr, eps):
    """1 / sqrt(variance + eps) from the sum of squares of what the mean was taken from."""
    return tl.rsqrt(centred_squares / CHANNELS + eps)


@triton.jit
def window_tokens(window, token, height, width, shift, SIDE: tl.constexpr):
    """Index of a token's pixel in [batch, height, width], and which edge its window crosses.

    Windows are those of the picture moved up and left by ``shift`` pixels, cyclically; no data is
    moved for it. An edge is 1 where the window wraps from the last rows to the first, plus 2 where
    it wraps from the last columns; 0 for all others, and for all without a shift.
    """
    columns = width // SIDE
    rows = height // SIDE
    picture = window // (rows * columns)
    row = (window // columns) % rows
    column = window % columns
    y = (row * SIDE + token // SIDE + shift) % height
    x = (column * SIDE + token % SIDE + shift) % width
    wraps_y = (shift > 0) & (row == rows - 1)
    wraps_x = (shift > 0) & (column == columns - 1)
    edge = tl.where(wraps_y, 1, 0) + tl.where(wraps_x, 2, 0)
    return picture.to(tl.int64) * (height * width) + (y * width + x), edge
