"""Random inputs that several test modules share."""

from __future__ import annotations

from hypothesis import strategies as st

from swinir_deploy.network.config import SwinIRConfig, Upsampler

__all__ = ["configs"]

_SCALES: dict[Upsampler, tuple[int, ...]] = {
    "pixelshuffle": (1, 2, 3, 4, 8),
    "pixelshuffledirect": (1, 2, 3, 4, 8),
    "nearest+conv": (2, 4),
    "": (1,),
}


@st.composite
def configs(draw: st.DrawFn) -> SwinIRConfig:
    """Small networks of every kind that the official constructor can build."""
    upsampler = draw(st.sampled_from(list(_SCALES)))
    depths = draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))
    embed_dim = draw(st.sampled_from([4, 12, 18, 20, 24]))
    divisors = [heads for heads in (1, 2, 3, 4, 6) if embed_dim % heads == 0]
    window = draw(st.sampled_from([2, 3, 4, 7, 8]))
    return SwinIRConfig(
        upscale=draw(st.sampled_from(_SCALES[upsampler])),
        in_chans=draw(st.sampled_from([1, 3])),
        window_size=window,
        img_range=draw(st.sampled_from([1.0, 255.0])),
        depths=tuple(depths),
        embed_dim=embed_dim,
        num_heads=tuple(draw(st.sampled_from(divisors)) for _ in depths),
        mlp_ratio=draw(st.one_of(st.sampled_from([1.0, 2.0, 4.0]), st.floats(0.5, 4.0))),
        upsampler=upsampler,
        resi_connection=draw(st.sampled_from(["1conv", "3conv"])),
        img_size=window * draw(st.integers(2, 3)),
        ape=draw(st.booleans()),
        patch_norm=draw(st.booleans()),
        qkv_bias=draw(st.booleans()),
    )
