"""How wide the network's tensors are in memory: a tile has a power of two of columns."""

from __future__ import annotations

__all__ = ["stored_channels", "stored_head", "stored_hidden"]


def stored_channels(channels: int) -> int:
    """Return the channels that a tensor of ``channels`` has in memory: a multiple of 64."""
    return -(-channels // 64) * 64


def stored_head(channels: int) -> int:
    """Return the channels of a head in the kernels: 16, 32 or 64."""
    return max(16, 1 << (channels - 1).bit_length())


def stored_hidden(channels: int) -> int:
    """Return the hidden channels of the MLP in the kernels: a multiple of 64."""
    return -(-channels // 64) * 64
