"""Models for the tests of the C library, and what Python makes of a picture with them.

    python make_models.py FOLDER

The folder gets ``tensor.onnx`` and ``image.onnx`` (the built-in x2 model), ``fixed.onnx`` (batches
of two 24x32 tiles) and ``gray.onnx`` (a random gray JPEG model with windows of 7).
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from swinir_deploy import SwinIRConfig, export_onnx
from swinir_deploy.network.swinir import SwinIR

GRAY = SwinIRConfig(
    upscale=1,
    in_chans=1,
    window_size=7,
    img_range=255.0,
    depths=(2,),
    embed_dim=12,
    num_heads=(2,),
    upsampler="",
)


def main(folder: Path) -> None:
    """Write what is not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, options in (
        ("tensor", {}),
        ("image", {"io": "image"}),
        ("fixed", {"shape": "2x3x24x32"}),
    ):
        if not (folder / f"{name}.onnx").exists():
            export_onnx("tiny-sr-x2", folder / f"{name}.onnx", **options)
    if not (folder / "gray.onnx").exists():
        torch.manual_seed(0)
        checkpoint = folder / "gray.safetensors"
        save_file(SwinIR(GRAY).state_dict(), checkpoint)
        export_onnx(checkpoint, folder / "gray.onnx")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
