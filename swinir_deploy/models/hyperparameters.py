"""Find the hyper-parameters of a SwinIR from the names and shapes of its tensors.

The tensors of the official ``models/network_swinir.py`` show all of them except ``img_range``.
Where shapes leave a choice (a head of 12 channels may be x2 to RGB, or x1 to 12 channels), what
the file says of itself decides (``hints``), else what is usual.
This module reads shapes only, so it needs no torch. Afterwards,
:mod:`swinir_deploy.models.checkpoint` compares the shape of every tensor with the network.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from swinir_deploy.errors import CheckpointError, UsageError
from swinir_deploy.network.config import (
    MAX_CHANNELS,
    MAX_SCALE,
    ResiConnection,
    SwinIRConfig,
    Upsampler,
)

__all__ = ["Shapes", "config_from_shapes", "is_buffer"]

Shapes = Mapping[str, tuple[int, ...]]
"""Name of a tensor -> its shape."""

_BLOCK = re.compile(r"layers\.(\d+)\.residual_group\.blocks\.(\d+)\.(.+)")
_UNSHUFFLED = "conv_first.1.weight"
_TABLE = "attn.relative_position_bias_table"
_BUFFERS = ("attn_mask", "attn.relative_position_index")


def is_buffer(name: str) -> bool:
    """Return whether official files store this tensor, which the network computes, as a buffer."""
    block = _BLOCK.fullmatch(name)
    return name == "mean" or (block is not None and block[3] in _BUFFERS)


def config_from_shapes(
    shapes: Shapes,
    source: str,
    img_range: float = 1.0,
    hints: Mapping[str, float] | None = None,
) -> SwinIRConfig:
    """Return the hyper-parameters of the network that has tensors of these shapes.

    Args:
        shapes: name -> shape of all tensors, with the stored buffers (a mask shows ``img_size``).
        source: name of the file, for messages.
        img_range: the only hyper-parameter that shapes do not show.
        hints: ``upscale``, ``scale``, ``unshuffle_scale`` and ``img_size`` as the file states
            them, where it does. ``scale`` may be that of anything, and counts last.

    Raises:
        CheckpointError: the tensors are not those of a SwinIR; the message names the tensor, its
            actual and its expected shape.
        UsageError: ``img_range`` is not positive.
    """
    return _Reader(shapes, source, hints or {}).config(img_range)


class _Reader:
    """Reads the shapes of one file, with one method for each group of hyper-parameters."""

    def __init__(self, shapes: Shapes, source: str, hints: Mapping[str, float]) -> None:
        self.shapes = shapes
        self.source = source
        self.hints = hints

    def config(self, img_range: float) -> SwinIRConfig:
        embed_dim, channels = self._first_convolution()
        blocks = self._blocks()
        tables = [self._shape(f"{_prefix(i, 0)}{_TABLE}", 2) for i in range(len(blocks))]
        window = self._window(tables[0][0])
        ape_side = self._ape_side()
        unshuffle, in_chans = self._unshuffle(channels)
        upsampler, scale, num_feat, out_chans = self._head(in_chans)
        if scale % unshuffle:
            self._refuse(
                _UNSHUFFLED,
                f"a network that enlarges by {unshuffle} or a multiple: its head enlarges by "
                f"{scale} only, so its pictures would be smaller than its input",
            )
        values: dict[str, Any] = {
            "upscale": scale // unshuffle,
            "in_chans": in_chans,
            "out_chans": out_chans,
            "unshuffle": unshuffle,
            "window_size": window,
            "depths": tuple(blocks),
            "embed_dim": embed_dim,
            "num_heads": tuple(table[1] for table in tables),
            "mlp_ratio": self._mlp_ratio(embed_dim),
            "upsampler": upsampler,
            "resi_connection": self._resi_connection(),
            "img_size": ape_side or self._mask_side(window) or self._side_without_mask(window),
            "ape": ape_side is not None,
            "patch_norm": "patch_embed.norm.weight" in self.shapes,
            "qkv_bias": f"{_prefix(0, 0)}attn.qkv.bias" in self.shapes,
            "num_feat": num_feat,
        }
        try:
            SwinIRConfig(**values, img_range=1.0)
        except UsageError as error:
            raise CheckpointError(
                f"{self.source} is not a SwinIR: its tensors describe an impossible network. "
                f"{error} Give a checkpoint of the official network."
            ) from error
        return SwinIRConfig(**values, img_range=img_range)

    def _first_convolution(self) -> tuple[int, int]:
        """Return ``embed_dim``, and the channels that the first convolution reads."""
        name = _UNSHUFFLED if _UNSHUFFLED in self.shapes else "conv_first.weight"
        if name not in self.shapes:
            raise CheckpointError(
                f"{self.source} is not a SwinIR: it has no tensor {name!r} among its "
                f"{len(self.shapes)} tensors ({_examples(self.shapes)}). Give a checkpoint that "
                "was trained with the official network."
            )
        if any(".attn.cpb_mlp." in other or ".logit_scale" in other for other in self.shapes):
            raise CheckpointError(
                f"{self.source} is a Swin2SR (it has a continuous position bias, 'cpb_mlp'), not "
                "a SwinIR. Give a SwinIR checkpoint."
            )
        embed_dim, channels, *_ = self._shape(name, 4)
        if name != _UNSHUFFLED and channels > MAX_CHANNELS:
            self._refuse(name, f"1 to {MAX_CHANNELS} input channels as its second size")
        return embed_dim, channels

    def _unshuffle(self, channels: int) -> tuple[int, int]:
        """Return the side of the squares that become channels, and the channels of the picture.

        DiffBIR puts a ``PixelUnshuffle`` before the first convolution, which then is the second
        module of ``conv_first``.
        """
        if _UNSHUFFLED not in self.shapes:
            return 1, channels
        sides = [
            side
            for side in range(1, MAX_SCALE + 1)
            if channels % side**2 == 0 and channels // side**2 <= MAX_CHANNELS
        ]
        hinted = self.hints.get("unshuffle_scale")
        if hinted in sides:
            return int(hinted), channels // int(hinted) ** 2
        shape = self.shapes.get("conv_last.weight")
        out_chans = shape[0] if shape else 3
        for likely in (out_chans, 3, 1, 4):
            for side in sides:
                if channels // side**2 == likely:
                    return side, likely
        self._refuse(_UNSHUFFLED, "side**2 * 3 channels as its second size")
        return None

    def _blocks(self) -> list[int]:
        """Return the depth of each RSTB; RSTBs and blocks must be numbered from 0 without gaps."""
        blocks: dict[int, set[int]] = {}
        for name in self.shapes:
            match = _BLOCK.fullmatch(name)
            if match:
                blocks.setdefault(int(match[1]), set()).add(int(match[2]))
        depths = []
        for layer in range(max(len(blocks), 1)):
            numbers = blocks.get(layer, set())
            for block in range(max(len(numbers), 1)):
                if block not in numbers:
                    raise CheckpointError(
                        f"{self.source}: there is no tensor '{_prefix(layer, block)}*', though "
                        f"its {len(blocks)} RSTBs, and the blocks of each, must be numbered from "
                        "0 without gaps. The file is incomplete or not a SwinIR. Download or copy "
                        "it again."
                    )
            depths.append(len(numbers))
        return depths

    def _window(self, rows: int) -> int:
        """Return the side of a window from a table with (2 * side - 1)**2 rows."""
        side = math.isqrt(rows)
        if side * side != rows or side % 2 == 0:
            self._refuse(
                f"{_prefix(0, 0)}{_TABLE}",
                "(2 * window - 1)**2 rows (225 for window 8, 169 for window 7)",
            )
        return (side + 1) // 2

    def _mlp_ratio(self, embed_dim: int) -> float:
        """Return a ratio for which ``int(embed_dim * ratio)`` is the number of hidden channels."""
        hidden = self._shape(f"{_prefix(0, 0)}mlp.fc1.weight", 2)[0]
        ratio = hidden / embed_dim
        while int(embed_dim * ratio) < hidden:
            ratio = math.nextafter(ratio, math.inf)
        return ratio

    def _resi_connection(self) -> ResiConnection:
        if "layers.0.conv.0.weight" in self.shapes:
            return "3conv"
        self._shape("layers.0.conv.weight", 4)
        return "1conv"

    def _ape_side(self) -> int | None:
        name = "absolute_pos_embed"
        if name not in self.shapes:
            return None
        positions = self._shape(name, 3)[1]
        side = math.isqrt(positions)
        if side * side != positions:
            self._refuse(name, "a square number as its second size")
        return side

    def _mask_side(self, window: int) -> int | None:
        """Return the training side in pixels from a stored mask [windows, N, N], or None."""
        for name, shape in self.shapes.items():
            if name.endswith(".attn_mask") and len(shape) == 3:
                per_side = math.isqrt(shape[0])
                if per_side > 1 and per_side * per_side == shape[0]:
                    return per_side * window
        return None

    def _side_without_mask(self, window: int) -> int:
        """Return ``img_size`` of a file that stores no mask.

        The official network stores a mask for each shifted block, and shifts no block where
        ``img_size`` is not larger than a window. So a file that has the other buffers of its
        blocks, but not one mask, is of a network without shifts.
        """
        hinted = self.hints.get("img_size")
        if hinted is not None and hinted >= 1 and hinted == int(hinted):
            return int(hinted)
        names = [match[3] for name in self.shapes if (match := _BLOCK.fullmatch(name))]
        has_second = any(
            match[2] == "1" for name in self.shapes if (match := _BLOCK.fullmatch(name))
        )
        has_index = "attn.relative_position_index" in names
        return window if has_index and has_second and "attn_mask" not in names else 64

    def _head(self, in_chans: int) -> tuple[Upsampler, int, int, int]:
        """Return the head's kind, scale and channels (64 where it has none), and the output's."""
        if "conv_up1.weight" in self.shapes:
            stages = 1
            while f"conv_up{stages + 1}.weight" in self.shapes:
                stages += 1
            num_feat = self._shape("conv_up1.weight", 4)[0]
            return "nearest+conv", 2**stages, num_feat, self._last()
        if "conv_before_upsample.0.weight" in self.shapes:
            num_feat = self._shape("conv_before_upsample.0.weight", 4)[0]
            return "pixelshuffle", self._pixelshuffle_scale(num_feat), num_feat, self._last()
        if "upsample.0.weight" in self.shapes:
            scale, out_chans = self._direct_scale(in_chans)
            return "pixelshuffledirect", scale, 64, out_chans
        return "", 1, 64, self._last()

    def _last(self) -> int:
        return self._shape("conv_last.weight", 4)[0]

    def _pixelshuffle_scale(self, num_feat: int) -> int:
        """Return the product of the stages, each of 4 (x2) or 9 (x3) times the channels."""
        scale = 1
        for name in self.shapes:
            if re.fullmatch(r"upsample\.\d+\.weight", name):
                channels = self._shape(name, 4)[0]
                factor = {4 * num_feat: 2, 9 * num_feat: 3}.get(channels)
                if factor is None:
                    self._refuse(name, f"{4 * num_feat} (x2) or {9 * num_feat} (x3) outputs")
                scale *= factor
        return scale

    def _direct_scale(self, in_chans: int) -> tuple[int, int]:
        """Return scale and output channels of a head that has ``scale**2 * out_chans`` outputs."""
        name = "upsample.0.weight"
        channels = self._shape(name, 4)[0]
        scales = [
            scale
            for scale in range(1, MAX_SCALE + 1)
            if channels % scale**2 == 0 and channels // scale**2 <= MAX_CHANNELS
        ]
        hinted = self.hints.get("upscale")
        if hinted in scales:
            return int(hinted), channels // int(hinted) ** 2
        weak = self.hints.get("scale")
        if weak in scales and in_chans not in (channels // scale**2 for scale in scales):
            return int(weak), channels // int(weak) ** 2
        for likely in (in_chans, 3, 1):
            for scale in scales:
                if channels // scale**2 == likely:
                    return scale, likely
        self._refuse(name, f"scale**2 * {in_chans} outputs (scales from 1 to {MAX_SCALE})")
        return None

    def _shape(self, name: str, dimensions: int) -> tuple[int, ...]:
        """Return the shape of a tensor.

        Raises:
            CheckpointError: it is missing or empty, or has another number of dimensions.
        """
        shape = self.shapes.get(name)
        if shape is None:
            raise CheckpointError(
                f"{self.source}: tensor {name!r} is missing; every SwinIR of this kind has it. "
                f"The file has {len(self.shapes)} tensors ({_examples(self.shapes)}) and is "
                "incomplete or not a SwinIR. Download or copy it again."
            )
        if len(shape) != dimensions or min(shape) < 1:
            self._refuse(name, f"{dimensions} sizes of at least 1")
        return shape

    def _refuse(self, name: str, expected: str) -> NoReturn:
        raise CheckpointError(
            f"{self.source}: tensor {name!r} has shape {list(self.shapes[name])}; expected "
            f"{expected}. The file is damaged or not a SwinIR. Download or copy it again."
        )


def _prefix(layer: int, block: int) -> str:
    return f"layers.{layer}.residual_group.blocks.{block}."


def _examples(names: Iterable[str]) -> str:
    """Return the first names for a message."""
    listed = list(names)
    return ", ".join(listed[:3]) + (", ..." if len(listed) > 3 else "") if listed else "none"
