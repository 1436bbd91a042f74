"""Windows, their cyclic shift and the mask that goes with it, for any number of windows.

Everything here is computed from the number of windows on each side, never from an example's
size, so that a traced graph serves every picture. A picture's tokens are kept in *window order*:
[batch, rows, columns, tokens of a window, channels], where rows and columns count windows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = [
    "MASKED_LOGIT",
    "WINDOW_MAJOR",
    "WindowLayout",
    "image_to_windows",
    "relative_position_index",
    "reorder",
    "shift_mask",
    "shift_order",
    "shifted_neighbours",
    "windows_to_image",
]

MASKED_LOGIT = -100.0
"""Added to the attention logits of pairs that only the cyclic shift made neighbours."""


def image_to_windows(image: Tensor, window: int) -> Tensor:
    """[B, C, H, W] -> [B, rows, columns, window**2, C]; H and W are multiples of ``window``."""
    batch, channels, height, width = image.shape
    rows, columns = height // window, width // window
    # In two steps: channels last, which convolutions may have anyhow, then whole rows of windows.
    pixels = image.permute(0, 2, 3, 1).reshape(batch, rows, window, columns, window, channels)
    return pixels.permute(0, 1, 3, 2, 4, 5).reshape(batch, rows, columns, window**2, channels)


def windows_to_image(tokens: Tensor, window: int) -> Tensor:
    """The inverse of :func:`image_to_windows`."""
    batch, rows, columns, _, channels = tokens.shape
    tiles = tokens.reshape(batch, rows, columns, window, window, channels)
    pixels = tiles.permute(0, 1, 3, 2, 4, 5)
    return pixels.reshape(batch, rows * window, columns * window, channels).permute(0, 3, 1, 2)


def shift_order(rows: int, columns: int, window: int, shift: int, like: Tensor) -> Tensor:
    """Where each token of the shifted windows stands among the tokens of the plain windows.

    Gathering a picture's tokens in this order does in one step what the official block does by
    window_reverse, torch.roll by ``-shift`` and window_partition; the order for ``-shift`` is
    the way back.

    Returns:
        int64 [rows, columns, window**2], a permutation of 0 .. rows * columns * window**2 - 1, on
        the device of ``like``.
    """
    row, inside = shifted_neighbours(rows, window, shift, like)
    column, _ = shifted_neighbours(columns, window, shift, like)
    area = window * window
    row_part = row * (area * columns) + inside * window
    column_part = column * area + inside
    order = row_part[:, None, :, None] + column_part[None, :, None, :]
    return order.reshape(rows, columns, area)


def shifted_neighbours(count: int, window: int, shift: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Along one side of the picture: where the tokens of ``count`` shifted windows come from.

    Returns:
        The window, int64 [count, window], counted cyclically, and the place in it, int64 [window].
    """
    place = torch.arange(window, device=like.device) + shift
    carry = (place >= window).to(torch.int64) - (place < 0).to(torch.int64)
    neighbour = torch.arange(count, device=like.device)[:, None] + carry[None, :]
    if shift > 0:
        source = torch.where(neighbour < count, neighbour, neighbour - count)
    else:
        source = torch.where(neighbour < 0, neighbour + count, neighbour)
    return source, place - carry * window


def reorder(windows: Tensor, order: Tensor) -> Tensor:
    """Gather the tokens of every picture in the same order.

    Args:
        windows: [B, rows, columns, N, C].
        order: int64 [rows, columns, N], as :func:`shift_order` gives it.
    """
    batch, _, _, _, channels = windows.shape
    pictures = windows.reshape(batch, -1, channels)
    return pictures.index_select(1, order.flatten()).reshape(windows.shape)


def shift_mask(rows: int, columns: int, window: int, shift: int, like: Tensor) -> Tensor:
    """The mask of shifted-window attention (``calculate_mask`` of models/network_swinir.py).

    After the cyclic shift, a window of the last row (column) holds two strips that are not
    neighbours in the picture: its first ``window - shift`` rows (columns) and the rest. Tokens
    of different strips do not attend to each other.

    Returns:
        [rows, columns, window**2, window**2] of 0 and :data:`MASKED_LOGIT`, with the dtype of
        ``like``; to be added to the logits, one matrix for each window.
    """
    wrapped = torch.arange(window, device=like.device) >= window - shift

    def strip(count: int) -> Tensor:
        last = torch.arange(count, device=like.device) >= count - 1
        return (last[:, None] & wrapped[None, :]).to(torch.float32)

    label = strip(rows)[:, None, :, None] * 2 + strip(columns)[None, :, None, :]
    label = label.reshape(rows, columns, window**2)
    apart = label[:, :, :, None] != label[:, :, None, :]
    # In FP32 up to here, so that constants of a half precision need no folding in a graph.
    return (apart.to(torch.float32) * MASKED_LOGIT).to(like.dtype)


@dataclass(frozen=True)
class WindowLayout:
    """How a picture's tokens lie in memory while they are in windows; channels come last.

    Attributes:
        axes: ``batch``, ``rows``, ``columns`` and ``tokens`` in their order. An order of
            :attr:`shift_order` has the same axes without ``batch``.
        mask_axes: of the attentions that one mask [..., N, N] is added to.
        from_image: as :func:`image_to_windows`.
        to_image: as :func:`windows_to_image`.
        shift_order: as :func:`shift_order`.
        reorder: as :func:`reorder`.
    """

    axes: tuple[str, str, str, str]
    mask_axes: tuple[str, ...]
    from_image: Callable[[Tensor, int], Tensor]
    to_image: Callable[[Tensor, int], Tensor]
    shift_order: Callable[[int, int, int, int, Tensor], Tensor]
    reorder: Callable[[Tensor, Tensor], Tensor]


WINDOW_MAJOR = WindowLayout(
    axes=("batch", "rows", "columns", "tokens"),
    mask_axes=("batch", "rows", "columns"),
    from_image=image_to_windows,
    to_image=windows_to_image,
    shift_order=shift_order,
    reorder=reorder,
)
"""[batch, rows, columns, tokens, channels]: the tokens of a window lie together."""


def relative_position_index(window: int) -> Tensor:
    """Row of the bias table for each pair of tokens of a window (Swin Transformer, section 3.2).

    Returns:
        int64 [window**2, window**2] with values in 0 .. (2 * window - 1)**2 - 1.
    """
    inside = torch.arange(window)
    row = inside.repeat_interleave(window)
    column = inside.repeat(window)
    row_distance = row[:, None] - row[None, :] + window - 1
    column_distance = column[:, None] - column[None, :] + window - 1
    return row_distance * (2 * window - 1) + column_distance
