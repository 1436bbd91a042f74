"""Windows, their cyclic shift and the mask of the shift, for any number of windows.

Everything here is computed from the number of windows on each side and never from the size of
an example, so that a traced graph works for every picture. Tokens are kept in *window order*:
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
"""Added to the attention logits of token pairs that are neighbours only by the cyclic shift."""


def image_to_windows(image: Tensor, window: int) -> Tensor:
    """Split a picture into windows.

    Args:
        image: [B, C, H, W]; H and W are multiples of ``window``.
        window: side of a window in pixels.

    Returns:
        Tokens [B, rows, columns, window**2, C].
    """
    batch, channels, height, width = image.shape
    rows, columns = height // window, width // window
    # The copy has two steps: first channels last, which is free where a convolution's result is
    # channels last already, then whole rows of windows.
    pixels = image.permute(0, 2, 3, 1).reshape(batch, rows, window, columns, window, channels)
    return pixels.permute(0, 1, 3, 2, 4, 5).reshape(batch, rows, columns, window**2, channels)


def windows_to_image(tokens: Tensor, window: int) -> Tensor:
    """Undo :func:`image_to_windows` and return the picture [B, C, H, W]."""
    batch, rows, columns, _, channels = tokens.shape
    tiles = tokens.reshape(batch, rows, columns, window, window, channels)
    pixels = tiles.permute(0, 1, 3, 2, 4, 5)
    return pixels.reshape(batch, rows * window, columns * window, channels).permute(0, 3, 1, 2)


def shift_order(rows: int, columns: int, window: int, shift: int, like: Tensor) -> Tensor:
    """Return where each token of the shifted windows is among the tokens of the plain windows.

    Gathering the tokens of a picture in this order does in one step what the official block does
    by window_reverse, torch.roll by ``-shift`` and window_partition. The order for ``-shift``
    reverses it.

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
    """Return, for one side of a picture, where the tokens of ``count`` shifted windows come from.

    Returns:
        The number of the source window, int64 [count, window], counted cyclically, and the
        position in that window, int64 [window].
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
        windows: tokens [B, rows, columns, N, C].
        order: int64 [rows, columns, N], from :func:`shift_order`.

    Returns:
        Tokens of the same shape.
    """
    batch, _, _, _, channels = windows.shape
    pictures = windows.reshape(batch, -1, channels)
    return pictures.index_select(1, order.flatten()).reshape(windows.shape)


def shift_mask(rows: int, columns: int, window: int, shift: int, like: Tensor) -> Tensor:
    """Compute the mask of shifted windows (``calculate_mask`` of models/network_swinir.py).

    After the cyclic shift, a window of the last row (column) holds two strips that are not
    neighbours in the picture: its first ``window - shift`` rows (columns) and the rest. Tokens
    of different strips do not attend to each other.

    Returns:
        [rows, columns, window**2, window**2] of 0 and :data:`MASKED_LOGIT`, in the dtype of
        ``like``. It is added to the logits, one matrix for each window.
    """
    wrapped = torch.arange(window, device=like.device) >= window - shift

    def strip(count: int) -> Tensor:
        last = torch.arange(count, device=like.device) >= count - 1
        return (last[:, None] & wrapped[None, :]).to(torch.float32)

    label = strip(rows)[:, None, :, None] * 2 + strip(columns)[None, :, None, :]
    label = label.reshape(rows, columns, window**2)
    apart = label[:, :, :, None] != label[:, :, None, :]
    # The computation is in FP32 up to here, so that a graph needs no half-precision constants.
    return (apart.to(torch.float32) * MASKED_LOGIT).to(like.dtype)


@dataclass(frozen=True)
class WindowLayout:
    """Order of the axes of tokens in windows; channels are the last axis.

    Attributes:
        axes: ``batch``, ``rows``, ``columns`` and ``tokens`` in their order. The result of
            :attr:`shift_order` has the same axes without ``batch``.
        mask_axes: the axes before [N, N] in a mask.
        from_image: splits a picture into windows, as :func:`image_to_windows`.
        to_image: undoes ``from_image``, as :func:`windows_to_image`.
        shift_order: returns where shifted tokens come from, as :func:`shift_order`.
        reorder: gathers tokens in such an order, as :func:`reorder`.
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
"""The layout [batch, rows, columns, tokens, channels], with each window in one piece."""


def relative_position_index(window: int) -> Tensor:
    """Return the row of the bias table for each token pair (Swin Transformer, section 3.2).

    Returns:
        int64 [window**2, window**2] with values in 0 .. (2 * window - 1)**2 - 1.
    """
    inside = torch.arange(window)
    row = inside.repeat_interleave(window)
    column = inside.repeat(window)
    row_distance = row[:, None] - row[None, :] + window - 1
    column_distance = column[:, None] - column[None, :] + window - 1
    return row_distance * (2 * window - 1) + column_distance
