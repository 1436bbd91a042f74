"""How the kernels are launched on each architecture: tiles, warps, stages.

A setting changes the speed only, never the result's meaning. Those of sm90 come from measurements
on an H100 (docs/gpu.md); those of the others were chosen by the compiler's account: the fewest
spills, and shared memory within what the architecture has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

__all__ = ["ARCHITECTURES", "SHARED_BYTES", "Settings", "settings_for"]

SHARED_BYTES = {
    80: 163 << 10,
    86: 99 << 10,
    89: 99 << 10,
    90: 227 << 10,
    100: 227 << 10,
    120: 99 << 10,
}
"""Architecture -> the most shared memory that a program may have, in bytes (CUDA's guide, table of
compute capabilities)."""

ARCHITECTURES = tuple(SHARED_BYTES)
"""What the kernels are compiled and tested for: 80 is sm80, and so on."""


@dataclass(frozen=True)
class Settings:
    """Of one architecture.

    Attributes:
        block: constants of ``swin_block``.
        narrow_attention: constants of ``attention_half`` for up to 192 stored channels.
        wide_attention: for 256.
        narrow_mlp: constants of ``mlp_half`` for up to 192 stored channels.
        wide_mlp: for 256.
        convolution_pixels: pixels a program of ``convolution``.
        convolution_tiles: the most tiles of 64 output channels a program.
        convolution_stages: loads in flight.
        first_convolution_pixels: pixels a program.
        layer_norm_rows: tokens a program.
        options: kernel -> ``num_warps`` and, where it helps, ``maxnreg``. A kernel with two widths
            has an entry for each: ``attention_half`` and ``attention_half/256``.
    """

    block: Mapping[str, int]
    narrow_attention: Mapping[str, int]
    wide_attention: Mapping[str, int]
    narrow_mlp: Mapping[str, int]
    wide_mlp: Mapping[str, int]
    convolution_pixels: int = 64
    convolution_tiles: int = 3
    convolution_stages: int = 3
    first_convolution_pixels: int = 64
    layer_norm_rows: int = 16
    options: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def attention(self, stored: int) -> Mapping[str, int]:
        """Return the constants of ``attention_half`` for ``stored`` channels."""
        return self.wide_attention if stored > 192 else self.narrow_attention

    def mlp(self, stored: int) -> Mapping[str, int]:
        """Return the constants of ``mlp_half`` for ``stored`` channels."""
        return self.wide_mlp if stored > 192 else self.narrow_mlp

    def convolution(self, channels: int, out: int) -> dict[str, int]:
        """Return the constants of ``convolution``.

        Args:
            channels: stored input channels, a multiple of 64.
            out: stored output channels: 16, 32 or a multiple of 64.
        """
        tile = min(out, 64)
        tiles = out // tile
        while tiles > self.convolution_tiles or (out // tile) % tiles:
            tiles -= 1
        return {
            "IN_TILE": 64,
            "OUT_TILE": tile,
            "TILES": tiles,
            "PIXELS": self.convolution_pixels,
            "STAGES": self.convolution_stages,
        }

    def launch_options(self, kernel: str, stored: int) -> dict[str, int]:
        """Return ``num_warps`` and the like of one launch.

        Products and sums may be fused: newer versions of Triton want to be told.
        """
        found = self.options.get(kernel, {"num_warps": 4})
        if stored > 192:
            found = self.options.get(f"{kernel}/256", found)
        return {"enable_fp_fusion": True, **found}


_HOPPER = Settings(
    block={"STAGES": 2, "HIDDEN_TILE": 64},
    narrow_attention={"STAGES": 2, "WINDOWS": 2, "AHEAD": 132, "JOINT": 1},
    wide_attention={"STAGES": 1, "WINDOWS": 1, "AHEAD": 0, "JOINT": 1},
    narrow_mlp={"ROWS": 128, "HIDDEN_TILE": 64, "STAGES": 3, "AHEAD": 132},
    wide_mlp={"ROWS": 64, "HIDDEN_TILE": 32, "STAGES": 2, "AHEAD": 0},
    options={
        "swin_block": {"num_warps": 4, "maxnreg": 168},
        "attention_half": {"num_warps": 8},
        "mlp_half": {"num_warps": 8},
        "mlp_half/256": {"num_warps": 8},
        "convolution": {"num_warps": 4},
    },
)

_ONE_WINDOW = {"STAGES": 2, "WINDOWS": 1, "AHEAD": 0, "JOINT": 0}
_EIGHT_WARPS = {"num_warps": 8}

_AMPERE = Settings(
    block={"STAGES": 2, "HIDDEN_TILE": 64},
    narrow_attention=_ONE_WINDOW,
    wide_attention=_ONE_WINDOW,
    narrow_mlp={"ROWS": 128, "HIDDEN_TILE": 32, "STAGES": 2, "AHEAD": 0},
    wide_mlp={"ROWS": 64, "HIDDEN_TILE": 64, "STAGES": 2, "AHEAD": 0},
    convolution_tiles=1,
    options={
        "swin_block": {"num_warps": 4},
        "attention_half": _EIGHT_WARPS,
        "mlp_half": _EIGHT_WARPS,
        "convolution": {"num_warps": 4},
    },
)

# 99 KB of shared memory: smaller tiles, and no loads in flight for 240 channels.
_SMALL = replace(
    _AMPERE,
    wide_attention={**_ONE_WINDOW, "STAGES": 1},
    narrow_mlp={"ROWS": 64, "HIDDEN_TILE": 32, "STAGES": 3, "AHEAD": 0},
    wide_mlp={"ROWS": 64, "HIDDEN_TILE": 32, "STAGES": 2, "AHEAD": 0},
)

_SETTINGS = {
    80: _AMPERE,
    86: _SMALL,
    89: _SMALL,
    90: _HOPPER,
    100: replace(_AMPERE, wide_mlp={"ROWS": 128, "HIDDEN_TILE": 32, "STAGES": 2, "AHEAD": 0}),
    120: replace(
        _SMALL,
        narrow_mlp={"ROWS": 64, "HIDDEN_TILE": 32, "STAGES": 2, "AHEAD": 0},
    ),
}


def settings_for(architecture: int) -> Settings:
    """Return the settings of an architecture: its own, or those of the nearest older one.

    Args:
        architecture: compute capability times ten, such as 90.

    Raises:
        KeyError: older than sm80, which has no products of BF16 and less shared memory.
    """
    known = [number for number in _SETTINGS if number <= architecture]
    if not known:
        raise KeyError(architecture)
    return _SETTINGS[max(known)]
