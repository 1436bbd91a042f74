"""What the tests of layers share: a small network, and copies of its files with a fault."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from swinir_deploy.network import SwinIRConfig

__all__ = ["CONFIG", "with_weight"]

CONFIG = SwinIRConfig(
    upscale=2,
    in_chans=1,
    window_size=4,
    img_range=1.0,
    depths=(2, 2),
    embed_dim=8,
    num_heads=(2, 2),
    upsampler="pixelshuffledirect",
)


def with_weight(source: Path, target: Path, name: str, change: Callable[[Any], Any]) -> Path:
    """A copy of ``source`` in which one initialiser is changed."""
    model = onnx.load(source)
    weight = next(t for t in model.graph.initializer if t.name == name)
    values = change(numpy_helper.to_array(weight).copy())
    weight.CopyFrom(numpy_helper.from_array(values.astype(np.float32), name))
    onnx.save(model, target)
    return target
