"""Find the hyper-parameters of a SwinIR from the names and shapes of its tensors.

The tensors of the official ``models/network_swinir.py`` show all of them except ``img_range``.
This module reads shapes only, so it needs no torch. Afterwards,
:mod:`swinir_deploy.models.checkpoint` compares the shape of every tensor with the network.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from swinir_deploy.errors import CheckpointError, UsageError
from swinir_deploy.network.config import ResiConnection, SwinIRConfig, Upsampler

__all__ = ["Shapes", "config_from_shapes", "is_buffer"]

Shapes = Mapping[str, tuple[int, ...]]
"""Name of a tensor -> its shape."""

_BLOCK = re.compile(r"layers\.(\d+)\.residual_group\.blocks\.(\d+)\.(.+)")
_TABLE = "attn.relative_position_bias_table"
_BUFFERS = ("attn_mask", "attn.relative_position_index")


def is_buffer(name: str) -> bool:
    """Return whether official files store this tensor, which the network computes, as a buffer."""
    block = _BLOCK.fullmatch(name)
    return name == "mean" or (block is not None and block[3] in _BUFFERS)


def config_from_shapes(shapes: Shapes, source: str, img_range: float = 1.0) -> SwinIRConfig:
    """Return the hyper-parameters of the network that has tensors of these shapes.

    Args:
        shapes: name -> shape of all tensors, with the stored buffers (a mask shows ``img_size``).
        source: name of the file, for messages.
        img_range: the only hyper-parameter that shapes do not show.

    Raises:
        CheckpointError: the tensors are not those of a SwinIR; the message names the tensor, its
            actual and its expected shape.
        UsageError: ``img_range`` is not positive.
    """
    return _Reader(shapes, source).config(img_range)


class _Reader:
    """Reads the shapes of one file, with one method for each group of hyper-parameters."""

    def __init__(self, shapes: Shapes, source: str) -> None:
        self.shapes = shapes
        self.source = source

    def config(self, img_range: float) -> SwinIRConfig:
        embed_dim, in_chans = self._first_convolution()
        blocks = self._blocks()
        tables = [self._shape(f"{_prefix(i, 0)}{_TABLE}", 2) for i in range(len(blocks))]
        window = self._window(tables[0][0])
        ape_side = self._ape_side()
        upsampler, upscale, num_feat = self._head(in_chans)
        values: dict[str, Any] = {
            "upscale": upscale,
            "in_chans": in_chans,
            "window_size": window,
            "depths": tuple(blocks),
            "embed_dim": embed_dim,
            "num_heads": tuple(table[1] for table in tables),
            "mlp_ratio": self._mlp_ratio(embed_dim),
            "upsampler": upsampler,
            "resi_connection": self._resi_connection(),
            "img_size": ape_side or self._mask_side(window) or 64,
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
        name = "conv_first.weight"
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
        embed_dim, in_chans, *_ = self._shape(name, 4)
        if in_chans not in (1, 3):
            self._refuse(name, "1 (gray) or 3 (RGB) input channels as its second size")
        return embed_dim, in_chans

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
                if per_side > 0 and per_side * per_side == shape[0]:
                    return per_side * window
        return None

    def _head(self, in_chans: int) -> tuple[Upsampler, int, int]:
        """Return kind and scale of the head, and the channels in it (64 where it has none)."""
        if "conv_up1.weight" in self.shapes:
            upscale = 4 if "conv_up2.weight" in self.shapes else 2
            return "nearest+conv", upscale, self._shape("conv_up1.weight", 4)[0]
        if "conv_before_upsample.0.weight" in self.shapes:
            num_feat = self._shape("conv_before_upsample.0.weight", 4)[0]
            return "pixelshuffle", self._pixelshuffle_scale(num_feat), num_feat
        if "upsample.0.weight" in self.shapes:
            return "pixelshuffledirect", self._direct_scale(in_chans), 64
        self._shape("conv_last.weight", 4)
        return "", 1, 64

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

    def _direct_scale(self, in_chans: int) -> int:
        name = "upsample.0.weight"
        channels = self._shape(name, 4)[0]
        scale = math.isqrt(channels // in_chans)
        if scale * scale * in_chans != channels:
            self._refuse(name, f"scale**2 * {in_chans} outputs")
        return scale

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
