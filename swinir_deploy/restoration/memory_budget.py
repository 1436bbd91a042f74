"""Estimate the memory that restoring a picture takes, and find tiles that stay within a limit.

The estimate counts what grows with the picture: the decoded picture, rows of tiles, the result and
its encoder. The model and the runtime come on top; their memory depends on the tile. The figures
are upper bounds; tests/restoration/test_memory_budget.py compares them with measured peaks.
"""

from __future__ import annotations

from dataclasses import dataclass

from swinir_deploy.errors import UsageError
from swinir_deploy.pictures.formats import FORMATS
from swinir_deploy.pictures.picture import PictureLayout
from swinir_deploy.pictures.read import ProbedFile
from swinir_deploy.pictures.write import encoder_bytes
from swinir_deploy.restoration.rows import layout_after
from swinir_deploy.restoration.tiled_model import ROWS_AT_ONCE, TiledModel
from swinir_deploy.restoration.tiling import TilePlan
from swinir_deploy.system.memory import size_rounded_up

__all__ = ["MemoryNeed", "memory_needed", "rows_within"]

# Bytes for each colour of a pixel while transparent pixels are filled: float32 sums, averages and
# temporary arrays, over a quarter of the pixels, a sixteenth and so on.
_FILL_BYTES = 7

# Bytes for a pixel that encoders of whole pictures take, as measured, and some more.
_ENCODER_PIXEL_BYTES = {
    "WEBP": 24,
    "BMP": 8,
    "GIF": 24,
    "AVIF": 90,
    "HEIF": 64,
    "JPEG2000": 48,
    "JXL": 64,
}


@dataclass(frozen=True)
class MemoryNeed:
    """Peak memory for one picture in bytes, from reading to writing.

    Attributes:
        whole: the peak if the whole result is in memory.
        streamed: the peak if the result is written in strips.
        decode: the peak of reading alone; both others include it.
    """

    whole: int
    streamed: int
    decode: int


def memory_needed(probed: ProbedFile, model: TiledModel, kind: str) -> MemoryNeed:
    """Estimate the memory for one picture.

    Args:
        probed: what the head of the file says.
        model: the model that restores the picture.
        kind: name of the format of the result.
    """
    layout = probed.layout
    result = layout_after(layout, model.spec.scale)
    before = layout.width * layout.height * layout.pixel_bytes
    after = result.width * result.height * result.pixel_bytes
    work = _work(layout, model, model.plan(layout.height, layout.width))
    return MemoryNeed(
        max(
            probed.decode_bytes,
            before + after + work,
            before + after + result.width * result.height * _encoder_pixel_bytes(result, kind),
        ),
        max(probed.decode_bytes, before + work),
        probed.decode_bytes,
    )


def rows_within(limit_bytes: int, layout: PictureLayout, model: TiledModel) -> int | None:
    """Return the height of the tallest tiles that keep a picture within a limit for memory.

    Args:
        limit_bytes: the limit in bytes for the picture and all work on it, when the result is
            written in strips.
        layout: layout of the picture, which is in memory.
        model: the model that restores the picture.

    Returns:
        The height of a tile in input pixels, or None if the usual tiles stay within the limit.

    Raises:
        UsageError: even the smallest tiles do not stay within the limit.
    """
    before = layout.width * layout.height * layout.pixel_bytes
    usual = model.plan(layout.height, layout.width)
    if before + _work(layout, model, usual) <= limit_bytes:
        return None
    rows = usual.rows.tile
    while rows > model.smallest_tile and model.spec.height is None:
        rows = max(model.smallest_tile, rows // 2)
        plan = model.plan(layout.height, layout.width, rows)
        if before + _work(layout, model, plan) <= limit_bytes:
            return rows
    plan = model.plan(layout.height, layout.width, rows)
    raise UsageError(
        f"{layout.width}x{layout.height} pixels need "
        f"{size_rounded_up(before + _work(layout, model, plan))} with the lowest tiles and the "
        "result written in strips; the limit for memory is "
        f"{size_rounded_up(limit_bytes)}. Raise it (max_memory, --max-memory)."
    )


def _work(layout: PictureLayout, model: TiledModel, plan: TilePlan) -> int:
    """Return the bytes that computing takes in addition to the picture and its result."""
    spec = model.spec
    area = spec.scale**2
    colours = max(layout.colours, spec.in_chans)
    # One row of tiles in float32, and a copy of the overlapping part while it is moved.
    band = plan.columns.padded * plan.rows.tile * area * layout.colours * 4
    if len(plan.tiles) > 1:
        band += band // 2
    # The result of a tile: as the model gives it, in another layout or as luma, times its weights.
    tile = plan.rows.tile * plan.columns.tile * colours * 4
    tiles = model.batch * tile * (2 + 3 * area) + tile * area
    if len(plan.tiles) > model.batch:  # the next tiles are computed at the same time
        tiles += model.batch * tile * (2 + 3 * area)
    # Finished rows: several copies in float32, then rows on their way through the encoder.
    width = layout.width * spec.scale
    rows = ROWS_AT_ONCE * width * layout.channels * 24 + encoder_bytes(width, layout.pixel_bytes)
    computing = band + tiles + rows
    if not layout.has_alpha:
        return computing
    pixels = layout.width * layout.height
    filled = layout.colours * layout.dtype.itemsize
    if spec.in_chans == 1:  # a gray model also restores the opacity
        computing += band // layout.colours + tiles
    return pixels * filled + max(
        pixels * (1 + layout.colours * _FILL_BYTES), computing + pixels * 4
    )


def _encoder_pixel_bytes(layout: PictureLayout, kind: str) -> int:
    """Return the bytes that encoding a whole picture takes for a pixel, beside its samples."""
    joined = layout.pixel_bytes if layout.has_alpha else 0
    if layout.bit_depth > max(FORMATS[kind].depths):
        joined += 4 * layout.channels + layout.channels  # while samples get fewer bits
    elif layout.bit_depth == 32:
        joined += layout.pixel_bytes  # while values get their range back
    return joined + _ENCODER_PIXEL_BYTES.get(kind, 0)
