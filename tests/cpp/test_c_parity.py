"""The same picture through C and through Python: at most one level apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from c_library import NO_OVERLAP, CLibrary, picture
from numpy.typing import NDArray

from swinir_deploy import Restorer, open_runtime
from swinir_deploy.pictures.picture import Picture

# Height, width, tile (None: as each thinks best), overlap, batch.
WAYS = [
    (1, 1, None, 32, 1),
    (37, 50, None, 32, 1),
    (5, 90, 16, 8, 1),
    (61, 83, 32, 8, 3),
    (64, 64, 24, 0, 2),
    (100, 71, 48, 16, 4),
]


def noise(*shape: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def distance(found: NDArray[Any], wanted: NDArray[Any]) -> float:
    assert found.shape == wanted.shape
    assert found.dtype == wanted.dtype
    return float(np.abs(found.astype(np.float64) - wanted).max())


def both(
    c_library: CLibrary,
    path: Path,
    pixels: NDArray[Any],
    way: tuple[Any, ...],
    backend: str = "ort",
) -> tuple[NDArray[Any], NDArray[Any]]:
    """The picture as C restores it, and as Python does."""
    _, _, tile, overlap_px, batch = way
    kind = "gray" if pixels.ndim == 2 else "rgb"
    with open_runtime(path, backend, threads=1) as runtime:
        scale = runtime.spec.scale
        wanted = Restorer(runtime, tile, overlap_px, batch, False).restore_array(pixels)
    with c_library.model(path) as model:
        found = c_library.restored(
            model,
            pixels,
            scale,
            kind,
            tile_px=tile or 0,
            overlap_px=overlap_px or NO_OVERLAP,
            batch=batch,
        )
    return found, wanted


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("name", ["tensor", "image", "fixed", "gray", "adopted"])
@pytest.mark.parametrize("channels", [(), (3,)], ids=["gray", "rgb"])
def test_bytes(
    c_library: CLibrary, models: Path, name: str, channels: tuple[int, ...], way: tuple[Any, ...]
) -> None:
    pixels = noise(way[0], way[1], *channels)
    found, wanted = both(c_library, models / f"{name}.onnx", pixels, way)
    assert distance(found, wanted) <= 1


@pytest.mark.parametrize("way", WAYS[:4], ids=str)
@pytest.mark.parametrize("name", ["tensor", "image", "fixed", "gray", "adopted"])
def test_openvino(c_openvino: CLibrary, models: Path, name: str, way: tuple[Any, ...]) -> None:
    pixels = noise(way[0], way[1], 3)
    found, wanted = both(c_openvino, models / f"{name}.onnx", pixels, way, "openvino")
    assert distance(found, wanted) <= 1


@pytest.mark.parametrize("way", WAYS[1:4], ids=str)
@pytest.mark.parametrize("name", ["tensor", "image", "gray"])
def test_floats(c_library: CLibrary, models: Path, name: str, way: tuple[Any, ...]) -> None:
    # Beyond 0..1 on purpose: noise reaches a float model as it is.
    pixels = np.random.default_rng(1).normal(0.5, 0.4, (way[0], way[1], 3)).astype(np.float32)
    found, wanted = both(c_library, models / f"{name}.onnx", pixels, way)
    assert distance(found, wanted) <= 1e-5


@pytest.mark.parametrize("name", ["tensor", "gray"])
@pytest.mark.parametrize("order", ["rgba", "bgra"])
def test_opacity(c_library: CLibrary, models: Path, name: str, order: str) -> None:
    pixels, alpha = noise(45, 38, 3), noise(45, 38, seed=2)
    alpha[10:30, 5:33] = 0
    path = models / f"{name}.onnx"
    with open_runtime(path, threads=1) as runtime:
        scale = runtime.spec.scale
        wanted = Restorer(runtime, progress=False).restore_picture(Picture(pixels, alpha))
    assert wanted.alpha is not None
    colours = [0, 1, 2] if order == "rgba" else [2, 1, 0]
    source = np.ascontiguousarray(np.dstack([pixels[..., colours], alpha]))
    with c_library.model(path) as model:
        found = c_library.restored(model, source, scale, order)
    assert distance(found[..., colours], wanted.pixels) <= 1
    assert distance(found[..., 3], wanted.alpha) <= 1


def test_strided_bgr(c_library: CLibrary, models: Path) -> None:
    canvas, result = noise(60, 80, 3), np.zeros((90, 150, 3), np.uint8)
    source, target = canvas[7:40, 9:52], result[3:69, 20:106]
    with open_runtime(models / "tensor.onnx", threads=1) as runtime:
        wanted = Restorer(runtime, progress=False).restore_array(
            np.ascontiguousarray(source[..., ::-1])
        )
    with c_library.model(models / "tensor.onnx") as model:
        c_library.restore(model, picture(source, "bgr"), picture(target, "bgr"))
    assert distance(target[..., ::-1], wanted) <= 1
    target[...] = 0
    assert not result.any()  # nothing beside the rectangle was written


def test_a_picture_large_enough_to_be_cut_by_itself(c_library: CLibrary, models: Path) -> None:
    pixels = noise(384, 385, 3)
    found, wanted = both(c_library, models / "image.onnx", pixels, (384, 385, None, 32, 1))
    assert distance(found, wanted) <= 1
