"""The hyper-parameters of a SwinIR, under the names of the official constructor."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any, Literal, get_args

from swinir_deploy.artifacts.metadata import MAX_CHANNELS, MAX_SCALE
from swinir_deploy.artifacts.shapes import min_side_px
from swinir_deploy.errors import UsageError

__all__ = [
    "MAX_CHANNELS",
    "MAX_SCALE",
    "RGB_MEAN",
    "ResiConnection",
    "SwinIRConfig",
    "Upsampler",
]

Upsampler = Literal["pixelshuffle", "pixelshuffledirect", "nearest+conv", ""]
ResiConnection = Literal["1conv", "3conv"]

RGB_MEAN = (0.4488, 0.4371, 0.4040)
"""Subtracted from RGB input in 0..1 (DIV2K's mean; models/network_swinir.py)."""


@dataclass(frozen=True)
class SwinIRConfig:
    """Architecture of one SwinIR; field names are those of ``models/network_swinir.py``.

    Attributes:
        upscale: output side divided by input side, 1 to 16. ``pixelshuffledirect`` has any of
            them, ``pixelshuffle`` powers of two and 3, ``nearest+conv`` powers of two from 2.
        in_chans: channels of the input, 1 to 16: 1 is gray and 3 is RGB.
        window_size: side of an attention window in pixels (8; 7 for the JPEG models).
        img_range: factor on the input after the mean is subtracted: 1.0, or 255.0 for JPEG.
        depths: number of blocks in each RSTB (residual Swin Transformer block).
        embed_dim: channels of the deep-feature stream; a multiple of every entry of num_heads.
        num_heads: number of attention heads in each RSTB; as many entries as ``depths``.
        mlp_ratio: hidden channels of the MLP divided by ``embed_dim``.
        upsampler: reconstruction head; ``""`` adds a residual picture at the input's size.
        resi_connection: convolution that closes each RSTB: ``1conv`` or the bottleneck ``3conv``.
        img_size: training side in pixels. Shapes a tensor only where ``ape`` is set. Where it is
            no larger than a window, no block is shifted, as in the official network.
        ape: whether there is an absolute position embedding; such a network runs at ``img_size``
            only.
        patch_norm: whether there is a LayerNorm after the patch embedding.
        qkv_bias: whether the query, key and value projection has a bias.
        num_feat: channels of the ``pixelshuffle`` and ``nearest+conv`` heads.
        out_chans: channels of the output; None where they are those of the input.
        mean: subtracted from the input in 0..1 and added to the output, one number for each input
            channel; None is the official one: :data:`RGB_MEAN` for RGB to RGB, else 0.
        unshuffle: side of the squares of pixels that become channels before the first
            convolution (DiffBIR); 1 for none. The reconstruction head then enlarges by
            ``upscale * unshuffle``.

    Raises:
        UsageError: a field has an impossible value or contradicts another field.
    """

    upscale: int
    in_chans: int
    window_size: int
    img_range: float
    depths: tuple[int, ...]
    embed_dim: int
    num_heads: tuple[int, ...]
    mlp_ratio: float = 2.0
    upsampler: Upsampler = ""
    resi_connection: ResiConnection = "1conv"
    img_size: int = 64
    ape: bool = False
    patch_norm: bool = True
    qkv_bias: bool = True
    num_feat: int = 64
    out_chans: int | None = None
    mean: tuple[float, ...] | None = None
    unshuffle: int = 1

    def __post_init__(self) -> None:
        def require(ok: bool, name: str, expected: str) -> None:
            if not ok:
                actual = getattr(self, name)
                raise UsageError(f"SwinIRConfig.{name} is {actual!r}; it must be {expected}.")

        if self.out_chans == self.in_chans:
            object.__setattr__(self, "out_chans", None)
        if self.mean is not None and tuple(self.mean) == self._official_mean:
            object.__setattr__(self, "mean", None)
        require(1 <= self.upscale <= MAX_SCALE, "upscale", f"from 1 to {MAX_SCALE}")
        chans = f"from 1 to {MAX_CHANNELS}"
        require(1 <= self.in_chans <= MAX_CHANNELS, "in_chans", f"{chans} (1 is gray, 3 is RGB)")
        require(1 <= self.channels_out <= MAX_CHANNELS, "out_chans", chans)
        require(1 <= self.unshuffle <= MAX_SCALE, "unshuffle", f"from 1 to {MAX_SCALE}")
        require(self.window_size >= 2, "window_size", "at least 2")
        require(
            0 < self.img_range < math.inf, "img_range", "positive (1.0, or 255.0 for JPEG models)"
        )
        if self.mean is not None:
            require(
                len(self.mean) == self.in_chans and all(0 <= value <= 1 for value in self.mean),
                "mean",
                f"{self.in_chans} numbers from 0 to 1, one for each input channel",
            )
        require(
            len(self.depths) > 0 and min(self.depths) > 0,
            "depths",
            "one positive number for each RSTB",
        )
        require(
            len(self.num_heads) == len(self.depths) and min(self.num_heads) > 0,
            "num_heads",
            f"{len(self.depths)} positive numbers, as many as depths has",
        )
        require(
            self.embed_dim > 0 and all(self.embed_dim % heads == 0 for heads in self.num_heads),
            "embed_dim",
            f"a positive multiple of every entry of num_heads {self.num_heads}",
        )
        require(self.mlp_hidden_dim > 0, "mlp_ratio", "large enough for one hidden channel")
        require(self.num_feat > 0, "num_feat", "positive")
        require(self.upsampler in get_args(Upsampler), "upsampler", f"of {get_args(Upsampler)}")
        require(
            self.resi_connection in get_args(ResiConnection),
            "resi_connection",
            f"of {get_args(ResiConnection)}",
        )
        if self.resi_connection == "3conv":
            require(self.embed_dim >= 4, "embed_dim", "at least 4 with resi_connection '3conv'")
        self._check_head(require)
        if self.ape:
            require(
                self.img_size % self.window_size == 0 and self.img_size >= self.window_size,
                "img_size",
                f"a multiple of window_size {self.window_size} with ape",
            )
            require(self.unshuffle == 1, "unshuffle", "1 with ape")

    def _check_head(self, require: Callable[[bool, str, str], None]) -> None:
        scale = self.head_scale
        power_of_two = scale & (scale - 1) == 0
        if self.upsampler == "":
            require(self.upscale == 1, "upscale", "1 when there is no upsampler")
            require(self.unshuffle == 1, "unshuffle", "1 when there is no upsampler")
            require(
                self.in_chans in (1, self.channels_out),
                "out_chans",
                f"in_chans {self.in_chans} when there is no upsampler: the input is added",
            )
        elif self.upsampler == "pixelshuffle":
            require(
                power_of_two or scale == 3,
                "upscale",
                "a power of two, or 3, with upsampler 'pixelshuffle'"
                + f" (times unshuffle {self.unshuffle})" * (self.unshuffle > 1),
            )
        elif self.upsampler == "nearest+conv":
            require(
                power_of_two and scale > 1,
                "upscale",
                "2, 4, 8 or 16 with upsampler 'nearest+conv'"
                + f" (times unshuffle {self.unshuffle})" * (self.unshuffle > 1),
            )

    @property
    def num_blocks(self) -> int:
        """Number of Swin Transformer blocks in all RSTBs together."""
        return sum(self.depths)

    @property
    def mlp_hidden_dim(self) -> int:
        """Number of channels between the two layers of the MLP."""
        return int(self.embed_dim * self.mlp_ratio)

    @property
    def shift_size(self) -> int:
        """Pixels by which every second block's windows are shifted on both axes; 0 for none."""
        return self.window_size // 2 if self.img_size > self.window_size else 0

    @property
    def side_multiple(self) -> int:
        """Side in pixels of the picture that one window covers; padded sides are multiples."""
        return self.window_size * self.unshuffle

    @property
    def min_side(self) -> int:
        """Smallest height or width in pixels that reflection can pad to a whole window."""
        return min_side_px(self.side_multiple)

    @property
    def channels_out(self) -> int:
        """Number of channels of the output."""
        return self.in_chans if self.out_chans is None else self.out_chans

    @property
    def head_scale(self) -> int:
        """How often the head enlarges the deep features, which ``unshuffle`` makes smaller."""
        return self.upscale * self.unshuffle

    @property
    def input_mean(self) -> tuple[float, ...]:
        """What is subtracted from each channel of the input in 0..1."""
        return self._official_mean if self.mean is None else self.mean

    @property
    def output_mean(self) -> tuple[float, ...]:
        """What is added to each channel of the output; 0 where channels have no counterpart."""
        mean = self.input_mean
        if len(mean) == self.channels_out:
            return mean
        return (mean[0] if len(set(mean)) == 1 else 0.0,) * self.channels_out

    @property
    def _official_mean(self) -> tuple[float, ...]:
        return RGB_MEAN if (self.in_chans, self.channels_out) == (3, 3) else (0.0,) * self.in_chans

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON and YAML, with lists in place of tuples.

        Fields that only few networks have are left out where they have their defaults.
        """
        values = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}
        for name, default in (("out_chans", None), ("mean", None), ("unshuffle", 1)):
            if values[name] == default:
                del values[name]
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> SwinIRConfig:
        """Read what :meth:`to_dict` returned.

        Raises:
            UsageError: a key is unknown or missing, or a value is impossible.
        """
        known = {f.name for f in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise UsageError(
                f"SwinIRConfig has no field {unknown}. Choose from its fields {sorted(known)}."
            )
        clean: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in values.items()
        }
        missing = [f.name for f in fields(cls) if f.default is MISSING and f.name not in clean]
        if missing:
            raise UsageError(f"SwinIRConfig lacks the fields {missing}. Add them.")
        return cls(**clean)
