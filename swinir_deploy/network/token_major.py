"""Windows with their tokens as the outermost axis, and the attention for this layout.

TensorRT's fused attention reads queries, keys and values as three tensors of one layout: the
token of the window first, then windows and heads, then channels. If the whole stream has this
order and the three projections have no bias, TensorRT computes them as one batched product that
the attention reads in place. No kernel reorders data then (docs/tensorrt.md has the measurements).
"""

from __future__ import annotations

import torch
from torch import Tensor

from swinir_deploy.network.attention import SplitAttention, replace_attentions
from swinir_deploy.network.swinir import RSTB, BasicLayer, SwinIR
from swinir_deploy.network.windows import WindowLayout, shifted_neighbours

__all__ = ["TOKEN_MAJOR", "TokenMajorAttention", "make_token_major"]


def _image_to_tokens(image: Tensor, window: int) -> Tensor:
    """Split [B, C, H, W] into windows: [window**2, rows, columns, B, C]."""
    batch, channels, height, width = image.shape
    rows, columns = height // window, width // window
    tiles = image.reshape(batch, channels, rows, window, columns, window)
    return tiles.permute(3, 5, 2, 4, 0, 1).reshape(window**2, rows, columns, batch, channels)


def _tokens_to_image(tokens: Tensor, window: int) -> Tensor:
    """Undo :func:`_image_to_tokens` and return [B, C, H, W]."""
    _, rows, columns, batch, channels = tokens.shape
    tiles = tokens.reshape(window, window, rows, columns, batch, channels)
    return tiles.permute(4, 5, 2, 0, 3, 1).reshape(batch, channels, rows * window, columns * window)


def shift_order(rows: int, columns: int, window: int, shift: int, like: Tensor) -> Tensor:
    """Return where the tokens of the shifted windows come from.

    Arguments and values are as in :func:`swinir_deploy.network.windows.shift_order`.

    Returns:
        int64 [window**2, rows, columns].
    """
    row, inside = shifted_neighbours(rows, window, shift, like)
    column, _ = shifted_neighbours(columns, window, shift, like)
    row_part = row * columns + inside * (window * rows * columns)
    column_part = column + inside * (rows * columns)
    order = row_part.t()[:, None, :, None] + column_part.t()[None, :, None, :]
    return order.reshape(window * window, rows, columns)


def reorder(tokens: Tensor, order: Tensor) -> Tensor:
    """Gather the tokens [N, rows, columns, B, C] of all pictures in the same order."""
    batch, channels = tokens.shape[3:]
    places = tokens.reshape(-1, batch, channels)
    return places.index_select(0, order.flatten()).reshape(tokens.shape)


TOKEN_MAJOR = WindowLayout(
    axes=("tokens", "rows", "columns", "batch"),
    mask_axes=("rows", "columns"),
    from_image=_image_to_tokens,
    to_image=_tokens_to_image,
    shift_order=shift_order,
    reorder=reorder,
)
"""The layout [tokens, rows, columns, batch, channels]."""


class TokenMajorAttention(SplitAttention):
    """A :class:`SplitAttention` for tokens in the layout :data:`TOKEN_MAJOR`."""

    def forward(self, tokens: Tensor, tokens_per_window: int, mask: Tensor | None) -> Tensor:
        """Attend inside each window.

        Args:
            tokens: [T, C]; the tokens of a window are T / N apart.
            tokens_per_window: N.
            mask: [rows, columns, N, N], which is added to the logits; None adds nothing.

        Returns:
            The attended tokens, [T, C].
        """
        heads, head_dim, count = self.num_heads, self.head_dim, tokens_per_window

        def by_window_and_head(projected: Tensor) -> Tensor:
            """Reshape [T, heads * d] to [windows * B * heads, N, d]."""
            return projected.reshape(count, -1, head_dim).transpose(0, 1)

        query, key, value = map(by_window_and_head, self._project(tokens))
        logits = query @ key.transpose(-2, -1)
        logits = logits.reshape(-1, heads, count, count) + self.expanded_position_bias()
        if mask is not None:
            windows = mask.shape[0] * mask.shape[1]
            mask = mask.to(logits.dtype).reshape(windows, 1, count, count)
            logits = logits.reshape(windows, -1, count, count) + mask
        attended = self.softmax(logits.reshape(-1, count, count)).to(value.dtype) @ value
        return self.proj(attended.transpose(0, 1).reshape(-1, heads * head_dim))


@torch.no_grad()
def make_token_major(network: SwinIR) -> None:
    """Keep the tokens in the layout :data:`TOKEN_MAJOR` through the whole network.

    This must be the last rewrite, because the others expect packed projections.
    """
    for module in network.modules():
        if isinstance(module, (SwinIR, RSTB, BasicLayer)):
            module.layout = TOKEN_MAJOR
    replace_attentions(network, TokenMajorAttention)
