"""Networks of every kind, and the ways to export them: those that share a row share a trace."""

from __future__ import annotations

from dataclasses import replace

from swinir_deploy.network.config import SwinIRConfig

SMALL = SwinIRConfig(
    upscale=2,
    in_chans=3,
    window_size=8,
    img_range=1.0,
    depths=(2, 3),
    embed_dim=12,
    num_heads=(2, 3),
    upsampler="pixelshuffledirect",
)
"""Two RSTBs, one of odd depth; heads differ, and their sizes 6 and 4 are no multiple of 8."""

GRAY_3CONV = replace(
    SMALL, upscale=3, in_chans=1, upsampler="pixelshuffle", resi_connection="3conv"
)
REAL_X4 = replace(SMALL, upscale=4, upsampler="nearest+conv", window_size=4, depths=(1, 2))
JPEG = replace(
    SMALL,
    upscale=1,
    window_size=7,
    img_range=255.0,
    upsampler="",
    in_chans=1,
    depths=(1,),
    num_heads=(2,),
)

VARIANTS: dict[str, dict[str, object]] = {
    "any-20": {},
    "openvino-23-jpeg-depth-1": {"config": JPEG, "target": "openvino", "opset": 23},
}
SLOW_VARIANTS: dict[str, dict[str, object]] = {
    "tensorrt-20-gray-3conv-x3-image": {
        "config": GRAY_3CONV,
        "io": "image",
        "target": "tensorrt",
    },
    "ort-17-real-x4-window-4": {"config": REAL_X4, "target": "ort", "opset": 17},
    "openvino-18-pixelshuffle-x8-image": {
        "config": replace(SMALL, upscale=8, upsampler="pixelshuffle", depths=(1, 2)),
        "io": "image",
        "target": "openvino",
        "opset": 18,
    },
    "tensorrt-19-three-stages-no-bias": {
        "config": replace(
            SMALL, depths=(2, 1, 3), num_heads=(3, 2, 6), qkv_bias=False, patch_norm=False
        ),
        "target": "tensorrt",
        "opset": 19,
    },
    "any-21-jpeg-color-image": {
        "config": replace(JPEG, in_chans=3, depths=(2, 2), num_heads=(2, 2)),
        "io": "image",
        "opset": 21,
    },
    "tensorrt-22-real-x2": {
        "config": replace(REAL_X4, upscale=2, window_size=8),
        "target": "tensorrt",
        "opset": 22,
    },
    "any-17-denoise-3conv": {
        "config": replace(SMALL, upscale=1, upsampler="", resi_connection="3conv"),
        "opset": 17,
    },
}
"""Name -> arguments of an export, ``config`` among them; SMALL is exported where there is none."""
