"""The hyper-parameters of a SwinIR, under the names of the official constructor."""

from __future__ import annotations

from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any, Literal, get_args

from swinir_deploy.artifacts.shapes import min_side_px
from swinir_deploy.errors import UsageError

__all__ = ["RGB_MEAN", "ResiConnection", "SwinIRConfig", "Upsampler"]

Upsampler = Literal["pixelshuffle", "pixelshuffledirect", "nearest+conv", ""]
ResiConnection = Literal["1conv", "3conv"]

RGB_MEAN = (0.4488, 0.4371, 0.4040)
"""Subtracted from RGB input in 0..1 (DIV2K's mean; models/network_swinir.py)."""


@dataclass(frozen=True)
class SwinIRConfig:
    """Architecture of one SwinIR; field names are those of ``models/network_swinir.py``.

    Attributes:
        upscale: output side divided by input side: 1, 2, 3, 4 or 8.
        in_chans: channels of input and output, 1 (gray) or 3 (RGB).
        window_size: side of an attention window in pixels (8; 7 for the JPEG models).
        img_range: factor on the input after the mean is subtracted: 1.0, or 255.0 for JPEG.
        depths: number of blocks in each RSTB (residual Swin Transformer block).
        embed_dim: channels of the deep-feature stream; a multiple of every entry of num_heads.
        num_heads: number of attention heads in each RSTB; as many entries as ``depths``.
        mlp_ratio: hidden channels of the MLP divided by ``embed_dim``.
        upsampler: reconstruction head; ``""`` adds a residual picture at the input's size.
        resi_connection: convolution that closes each RSTB: ``1conv`` or the bottleneck ``3conv``.
        img_size: training side in pixels. Shapes a tensor only where ``ape`` is set; then it is
            larger than a window, because the official network would not shift at its own size.
        ape: whether there is an absolute position embedding; such a network runs at ``img_size``
            only.
        patch_norm: whether there is a LayerNorm after the patch embedding.
        qkv_bias: whether the query, key and value projection has a bias.
        num_feat: channels of the ``pixelshuffle`` and ``nearest+conv`` heads.

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

    def __post_init__(self) -> None:
        def require(ok: bool, name: str, expected: str) -> None:
            if not ok:
                actual = getattr(self, name)
                raise UsageError(f"SwinIRConfig.{name} is {actual!r}; it must be {expected}.")

        require(self.upscale in (1, 2, 3, 4, 8), "upscale", "1, 2, 3, 4 or 8")
        require(self.in_chans in (1, 3), "in_chans", "1 (gray) or 3 (RGB)")
        require(self.window_size >= 2, "window_size", "at least 2")
        require(self.img_range > 0, "img_range", "positive (1.0, or 255.0 for JPEG models)")
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
        if self.upsampler == "":
            require(self.upscale == 1, "upscale", "1 when there is no upsampler")
        if self.upsampler == "nearest+conv":
            require(self.upscale in (2, 4), "upscale", "2 or 4 with upsampler 'nearest+conv'")
        if self.ape:
            require(
                self.img_size % self.window_size == 0 and self.img_size > self.window_size,
                "img_size",
                f"a multiple of window_size {self.window_size} and larger than it with ape",
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
        """Pixels by which the windows of every second block are shifted on both axes."""
        return self.window_size // 2

    @property
    def min_side(self) -> int:
        """Smallest height or width in pixels that reflection can pad to a whole window."""
        return min_side_px(self.window_size)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON and YAML, with lists in place of tuples."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

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
