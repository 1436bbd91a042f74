"""Models for the tests of the C library, and what Python makes of a picture with them.

    python make_models.py FOLDER

The folder gets ``tensor.onnx`` and ``image.onnx`` (the built-in x2 model), ``fixed.onnx`` (batches
of two 24x32 tiles), ``gray.onnx`` (a random gray JPEG model with windows of 7) and ``adopted.onnx``
(the x2 model as another program would have written it, for values in 0..255).
"""

from __future__ import annotations

import sys
from pathlib import Path

import onnx.compose
import onnx.parser
import torch
from safetensors.torch import save_file

from swinir_deploy import SwinIRConfig, adopt_onnx, export_onnx
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
    if not (folder / "adopted.onnx").exists():
        adopt_onnx(_foreign(folder / "tensor.onnx", folder), folder / "adopted.onnx")


def _foreign(exported: Path, folder: Path) -> Path:
    """Return a file without metadata, whose white is 255."""
    model = onnx.load(exported)
    del model.metadata_props[:]
    for operator, port in (("Div", model.graph.input[0]), ("Mul", model.graph.output[0])):
        step = onnx.parser.parse_model(
            f'<ir_version: {model.ir_version}, opset_import: ["": 20]> {operator} '
            "(float[n,c,h,w] x) => (float[n,c,h,w] y) "
            f"{{ white = Constant<value_float=255.0>() y = {operator}(x, white) }}"
        )
        step = onnx.compose.add_prefix(step, f"{operator}/")
        if operator == "Div":
            model = onnx.compose.merge_models(step, model, [("Div/y", port.name)])
        else:
            model = onnx.compose.merge_models(model, step, [(port.name, "Mul/x")])
    path = folder / "foreign.onnx"
    onnx.save(model, path)
    return path


if __name__ == "__main__":
    main(Path(sys.argv[1]))
