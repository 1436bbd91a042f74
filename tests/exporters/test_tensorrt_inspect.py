"""What the compiler makes of our graphs: fusions, kernels and memory, without a GPU.

The limits of light-sr-x2 are stricter than what was asked for (8 kernels a block and 115 MB for a
tile, 9 and 400 MB for sides from 64 to 256); docs/tensorrt.md says how they were reached.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from engine_models import write_model

from swinir_deploy.artifacts.shapes import ShapeProfile
from swinir_deploy.errors import CheckFailedError, InputError, UsageError
from swinir_deploy.exporters.tensorrt import inspect as inspection
from swinir_deploy.exporters.tensorrt.compile import Compilation
from swinir_deploy.exporters.tensorrt.inspect import (
    EngineInspection,
    inspect_model,
    read_inspection,
)
from swinir_deploy.exporters.tensorrt.shapes import ShapeRequest
from swinir_deploy.models.catalog import load_catalog
from swinir_deploy.nvidia.tensorrt_library import Message

pytest.importorskip("tensorrt_rtx")

TILE = ShapeRequest(tile_px=256)
RANGE = ShapeRequest(min_shapes=["64x64"], max_shapes=["256x256"])


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("inspected") / "small.onnx")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """FP16 graphs with dynamic sides, random weights."""
    folder, catalog = tmp_path_factory.mktemp("inspected"), load_catalog()
    return {
        name: write_model(folder / f"{name}.onnx", catalog.get(name).config)
        for name in ("tiny-sr-x4", "light-sr-x2")
    }


def test_a_small_model_is_described(small: Path) -> None:
    request = ShapeRequest(min_shapes=["16x16"], max_shapes=["32x24"])
    found = inspect_model(small, "rtx:sm89", shapes=request, progress=False)
    assert found.profiles == (ShapeProfile((1, 3, 16, 16), (1, 3, 32, 24), (1, 3, 32, 24)),)
    assert found.blocks == found.fused_attentions == found.kinds["attention"] == 2
    assert found.kernels == sum(found.kinds.values())
    assert list(found.kernels_per_block) == [
        f"layers.0.residual_group.blocks.{index}" for index in range(2)
    ]
    assert found.activation_bytes > 0
    assert found.weight_bytes > 0
    sizes = [activation.size_bytes for activation in found.largest]
    assert sizes == sorted(sizes, reverse=True)
    assert len(sizes) == 10
    # 32 x 24 tokens; 2 heads of 12 padded to 16, for queries, keys and values.
    assert (3, 768, 32) in [activation.shape for activation in found.largest]


def test_a_report_is_written_and_read_again(small: Path, tmp_path: Path) -> None:
    found = inspect_model(small, "rtx:sm120", shapes=ShapeRequest(tile_px=16), progress=False)
    path = tmp_path / "report.json"
    path.write_text(json.dumps(found.to_dict()))
    again = read_inspection(path, "rtx:sm89")
    assert again == found
    assert again.target == "rtx:sm120"
    assert EngineInspection.from_dict(found.to_dict(), "here") == found
    for text, reason in (
        ("[]", "it holds a list"),
        ("{", "it is not JSON"),
        ('{"model": "x"}', "it has no 'target'"),
        (json.dumps({**found.to_dict(), "profiles": [3]}), "not a report"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=rf"{reason}.* or an ONNX file\."):
            read_inspection(path, "rtx:sm89")
    with pytest.raises(InputError, match=r"Cannot read .*none\.json: No such file"):
        read_inspection(tmp_path / "none.json", "rtx:sm89")


def test_a_log_without_kernels_is_no_empty_report(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = Compilation(SimpleNamespace(nbytes=1), 0.0, (Message("verbose", "nothing known"),))
    monkeypatch.setattr(inspection, "compile_model", lambda *_, **__: silent)
    with pytest.raises(CheckFailedError, match="no list of kernels"):
        inspect_model(small, "rtx:sm89")


@pytest.mark.parametrize("target", ["rtx", "tensorrt", "rtx:sm86,sm89"])
def test_one_gpu_is_named(small: Path, target: str) -> None:
    with pytest.raises(UsageError, match="rtx:sm89"):
        inspect_model(small, target)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "shapes", "kernels", "megabytes"),
    [
        ("tiny-sr-x4", TILE, 7, 60),
        ("tiny-sr-x4", RANGE, 7, 65),
        ("light-sr-x2", TILE, 7, 105),
        ("light-sr-x2", RANGE, 7, 105),
    ],
    ids=["tiny, tile", "tiny, range", "light, tile", "light, range"],
)
def test_every_attention_is_fused_and_little_is_around_it(
    models: dict[str, Path], name: str, shapes: Any, kernels: int, megabytes: float
) -> None:
    found = inspect_model(models[name], "rtx:sm89", shapes=shapes, progress=False)
    assert found.blocks == load_catalog().get(name).config.num_blocks
    assert found.fused_attentions == found.blocks
    assert len(found.kernels_per_block) == found.blocks
    assert found.most_kernels_in_a_block <= kernels
    assert found.casts == 0
    assert found.activation_bytes <= megabytes * 1e6
