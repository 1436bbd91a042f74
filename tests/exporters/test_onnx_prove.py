"""FP16 and BF16 files: their types, their pixels, their proof, and what is refused."""

from __future__ import annotations

import collections
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from exported import export, network_of
from grown import PEAK, grown_model, grown_network, largest_stream
from numpy.typing import NDArray
from oracle import OfficialSwinIR, official_network
from PIL import Image
from testsets import testset
from variants import GRAY_3CONV, JPEG, REAL_X4, SMALL

from swinir_deploy import evaluate, export_onnx
from swinir_deploy.artifacts.metadata import ArtifactMetadata
from swinir_deploy.artifacts.shapes import ShapePattern
from swinir_deploy.comparison import sample_picture
from swinir_deploy.errors import CheckFailedError, InputError, UsageError
from swinir_deploy.exporters.onnx import export as onnx_exporter
from swinir_deploy.exporters.onnx import prove as proof
from swinir_deploy.exporters.onnx.export import ExportReport, build_graph
from swinir_deploy.exporters.onnx.recipes import get_recipe
from swinir_deploy.exporters.onnx.rounding import round_every_result
from swinir_deploy.models.load import load_model
from swinir_deploy.network.config import SwinIRConfig
from swinir_deploy.precision import prepare as preparation
from swinir_deploy.precision.plan import PrecisionPlan

slow = pytest.mark.slow
FLOAT, HALF, BFLOAT = (
    onnx.TensorProto.FLOAT,
    onnx.TensorProto.FLOAT16,
    onnx.TensorProto.BFLOAT16,
)


def types_by_operator(model: onnx.ModelProto) -> dict[str, set[int]]:
    """Operator -> element types of what its nodes give."""
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    values = (*graph.value_info, *graph.output, *graph.input)
    types = {value.name: value.type.tensor_type.elem_type for value in values}
    found: dict[str, set[int]] = collections.defaultdict(set)
    for node in graph.node:
        found[node.op_type] |= {types[name] for name in node.output}
    return found


def psnr_db(found: NDArray[np.float32], wanted: NDArray[np.float32]) -> float:
    if not np.isfinite(found).all():
        return -math.inf
    peak = max(1.0, float(np.abs(wanted).max()))
    return float(10 * np.log10(peak**2 / np.mean((found.astype(float) - wanted) ** 2)))


@pytest.fixture(scope="module")
def grown() -> OfficialSwinIR:
    return grown_network(SMALL)


@pytest.fixture(scope="module")
def exported(
    grown: OfficialSwinIR, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, ExportReport]:
    path = tmp_path_factory.mktemp("half") / "grown.onnx"
    return path, export_onnx(grown_model(grown), path, precision="fp16")


@pytest.mark.parametrize(
    ("precision", "half", "opset", "target"),
    [
        ("fp16", HALF, 20, "any"),
        pytest.param("bf16", BFLOAT, 22, "any", marks=slow),
        pytest.param("fp16", HALF, 20, "tensorrt", marks=slow),
    ],
)
def test_types_in_the_graph(precision: str, half: int, opset: int, target: str) -> None:
    plan = PrecisionPlan(precision)  # type: ignore[arg-type]
    network, recipe = network_of(SMALL), get_recipe(target)
    model = build_graph(network, recipe, "tensor", ShapePattern(), opset, plan)
    types = types_by_operator(model)
    for operator in ("Gemm", "MatMul", "Conv", "Gelu", "Gather"):
        assert types[operator] - {onnx.TensorProto.INT64} == {half}, operator
    for operator in ("LayerNormalization", "Softmax"):
        assert types[operator] == {FLOAT}, operator
    plain = export(target=target, opset=opset).model
    assert types_by_operator(plain)["Gemm"] == {FLOAT}
    # Two casts around each LayerNorm and each softmax; four at the ends and for the mask.
    casts = {
        name: sum(node.op_type == "Cast" for node in graph.graph.node)
        for name, graph in (("half", model), ("plain", plain))
    }
    islands = 3 * SMALL.num_blocks + 2
    assert casts["half"] - casts["plain"] <= 2 * islands + 4
    assert len(model.graph.node) - len(plain.graph.node) == casts["half"] - casts["plain"]
    for value, wanted in ((model.graph.input[0], FLOAT), (model.graph.output[0], FLOAT)):
        assert value.type.tensor_type.elem_type == wanted


@slow
def test_modules_that_stay_fp32_have_units_of_their_own() -> None:
    keep = (
        "layers.0.residual_group.blocks.1.mlp",
        "layers.1.residual_group.blocks.0.attn",
        "layers.1.conv",
        "conv_first",
    )
    plan = PrecisionPlan("fp16", 0, keep)
    model = build_graph(network_of(SMALL), get_recipe("any"), "tensor", ShapePattern(), 20, plan)
    onnx.checker.check_model(model, full_check=True)
    types = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    kept = {name for name, kind in types.items() if kind == FLOAT and name.endswith(".weight")}
    assert {name for name in kept if "norm" not in name} == {
        "layers.0.residual_group.blocks.1.mlp.fc1.weight",
        "layers.0.residual_group.blocks.1.mlp.fc2.weight",
        "layers.1.residual_group.blocks.0.attn.query.weight",
        "layers.1.residual_group.blocks.0.attn.key.weight",
        "layers.1.residual_group.blocks.0.attn.value.weight",
        "layers.1.residual_group.blocks.0.attn.proj.weight",
        "layers.1.conv.weight",
        "conv_first.weight",
    }
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    picture = sample_picture(2, 3, 13, 21)
    with torch.inference_mode():
        wanted = official_network(SMALL)(torch.from_numpy(picture)).numpy()
    assert psnr_db(session.run(None, {"input": picture})[0], wanted) >= 60


@slow
def test_a_grown_checkpoint_through_the_file(
    exported: tuple[Path, ExportReport], grown: OfficialSwinIR
) -> None:
    path, report = exported
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for batch, height, width in [(1, 5, 7), (2, 24, 16), (1, 41, 30)]:
        picture = sample_picture(batch, 3, height, width)
        assert largest_stream(grown, torch.from_numpy(picture)) > PEAK
        with torch.inference_mode():
            wanted = grown(torch.from_numpy(picture)).numpy()
        assert psnr_db(session.run(None, {"input": picture})[0], wanted) >= 60
    assert report.metadata.precision == "fp16"


@slow
def test_the_file_says_how_it_was_made(exported: tuple[Path, ExportReport]) -> None:
    path, report = exported
    props = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    metadata = ArtifactMetadata.from_props(props, str(path))
    assert metadata == report.metadata
    assert (metadata.precision, metadata.opset) == ("fp16", 20)
    said = metadata.precision_report
    assert said["pictures"] == "8 built-in, 5 hostile"
    calibration = said["calibration"]
    assert calibration["margin"] >= 2
    assert calibration["stream_max"] > PEAK
    k = metadata.residual_scale_log2
    assert calibration["stream_max"] * 2.0**-k * calibration["margin"] <= 65504
    assert calibration["stream_max"] * 2.0 ** -(k - 1) * calibration["margin"] > 65504
    assert calibration["kept_fp32"] == {}
    stages = calibration["stream_max_by_stage"]
    assert max(stages) == pytest.approx(calibration["stream_max"], rel=1e-3)
    proved = said["proof"]
    assert len(proved["by_picture"]) == 13
    assert min(map(min, proved["by_picture"].values())) == min(
        proved["worst_torch_db"], proved["worst_onnxruntime_db"]
    )
    assert proved["pictures"] == 13
    assert min(proved["worst_torch_db"], proved["worst_onnxruntime_db"]) >= 60
    # Read by a version that knows nothing of it, or written by one: the field may be missing.
    del props["swinir_deploy.precision_report"]
    assert ArtifactMetadata.from_props(props, str(path)).precision_report == {}


@pytest.fixture
def plain_half(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Exports without rescaling."""
    plan = preparation.plan_precision

    def unscaled(*arguments: object) -> PrecisionPlan:
        return replace(plan(*arguments), residual_scale_log2=0)  # type: ignore[arg-type]

    monkeypatch.setattr(preparation, "plan_precision", unscaled)
    yield


@pytest.mark.usefixtures("plain_half")
def test_plain_half_is_refused_and_leaves_no_file(grown: OfficialSwinIR, tmp_path: Path) -> None:
    with pytest.raises(CheckFailedError, match=r"fp16 .*Nothing was written"):
        export_onnx(grown_model(grown), tmp_path / "plain.onnx", precision="fp16")
    assert list(tmp_path.iterdir()) == []


@slow
@pytest.mark.parametrize(
    ("config", "arguments"),
    [
        (GRAY_3CONV, {"target": "any", "io": "image"}),
        (REAL_X4, {"target": "ort", "opset": 17}),
        (JPEG, {"target": "openvino", "shape": "1x1x21x28"}),
        (replace(SMALL, patch_norm=False, qkv_bias=False), {"target": "tensorrt", "opset": 23}),
        (replace(SMALL, ape=True, img_size=24), {"shape": "Nx3x24x24"}),
    ],
    ids=["gray-3conv-image", "real-opset-17", "jpeg-fixed", "no-patch-norm", "positions"],
)
def test_every_kind_of_grown_checkpoint(
    config: SwinIRConfig, arguments: dict[str, str], tmp_path: Path
) -> None:
    oracle = grown_network(config)
    path = tmp_path / "grown.onnx"
    model = grown_model(oracle, "jpeg" if config is JPEG else "sr")
    report = export_onnx(model, path, precision="fp16", **arguments)  # type: ignore[arg-type]
    assert report.metadata.residual_scale_log2 > 0
    proved = report.metadata.precision_report["proof"]
    assert min(proved["worst_torch_db"], proved["worst_onnxruntime_db"]) >= 60
    fixed = report.metadata.shape.split("x")
    height, width = (int(side) if side.isdigit() else 21 for side in fixed[2:])
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    picture = np.round(sample_picture(1, config.in_chans, height, width) * 255) / 255
    with torch.inference_mode():
        wanted = oracle(torch.from_numpy(picture.astype(np.float32))).numpy()
    if report.metadata.io == "image":
        levels = np.round(picture.transpose(0, 2, 3, 1) * 255).astype(np.uint8)
        (found,) = session.run(None, {"input": levels})
        assert np.abs(found - wanted.clip(0, 1).transpose(0, 2, 3, 1) * 255).max() <= 1.5
    else:
        (found,) = session.run(None, {"input": picture.astype(np.float32)})
        assert psnr_db(found, wanted) >= 60


@slow
@pytest.mark.parametrize("io", ["tensor", "image"])
def test_bf16(grown: OfficialSwinIR, tmp_path: Path, io: str) -> None:
    path = tmp_path / "grown.onnx"
    report = export_onnx(grown_model(grown), path, precision="bf16", io=io)  # type: ignore[arg-type]
    metadata = report.metadata
    assert (metadata.precision, metadata.opset, metadata.residual_scale_log2) == ("bf16", 22, 0)
    assert "rounded to bf16" in metadata.parity["backend"]
    assert metadata.precision_report["proof"]["worst_torch_db"] >= 40
    assert "calibration" not in metadata.precision_report
    session = onnxruntime.InferenceSession(
        round_every_result(onnx.load(path)).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    if io == "tensor":
        picture = sample_picture(2, 3, 13, 21)
        with torch.inference_mode():
            wanted = grown(torch.from_numpy(picture)).numpy()
        assert 40 <= psnr_db(session.run(None, {"input": picture})[0], wanted) <= 65


def test_one_bad_picture_is_enough(
    grown: OfficialSwinIR, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compare = proof.compare
    calls = 0

    def one_is_bad(found: NDArray[np.float32], wanted: NDArray[np.float32]) -> object:
        nonlocal calls
        calls += 1
        return compare(found + (np.float32(0.01) if calls == 5 else 0), wanted)

    monkeypatch.setattr(proof, "compare", one_is_bad)
    with pytest.raises(CheckFailedError, match=r"'built-in crop 3' .*the limit is 55 dB"):
        export_onnx(grown_model(grown), tmp_path / "bad.onnx", precision="fp16")
    assert list(tmp_path.iterdir()) == []


def test_pictures_of_ones_own(grown: OfficialSwinIR, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.effect_noise((40, 30), 60).convert("RGB").save(folder / "noise.png")
    path = tmp_path / "own.onnx"
    report = export_onnx(grown_model(grown), path, precision="fp16", calibrate=folder)
    assert report.metadata.precision_report["pictures"] == "1 given, 5 hostile"
    assert report.metadata.precision_report["proof"]["pictures"] == 6


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"precision": "int8"}, UsageError, "Unknown precision 'int8'. Choose fp32, fp16 or bf16"),
        ({"precision": "bf16", "opset": 20}, UsageError, "Opset 20 has no BF16 convolutions"),
        ({"calibrate": "."}, UsageError, "FP32 needs none"),
        ({"precision": "fp16", "calibrate": "missing"}, InputError, "no folder missing"),
    ],
)
def test_what_makes_no_sense_is_refused_before_any_work(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: dict[str, object],
    error: type[Exception],
    message: str,
) -> None:
    def too_late(*_: object) -> None:
        raise AssertionError("the trace began")

    monkeypatch.setattr(onnx_exporter, "build_graph", too_late)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        export_onnx(grown_model(grown_network(SMALL)), "x.onnx", **arguments)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


@slow
@pytest.mark.parametrize("model", ["tiny-sr-x2", "tiny-jpeg-gray-40"])
def test_built_in_models_lose_nothing_on_set5(model: str, tmp_path: Path) -> None:
    pictures = testset("Set5/HR")
    path = tmp_path / "model.onnx"
    export_onnx(load_model(model), path, precision="fp16")
    report = evaluate(path, pictures, reference=model)
    assert report.spec.precision == "fp16"
    assert report.mean_reference is not None
    assert report.mean_reference[report.protocol.metrics[0]] > 31
    assert report.reference_difference_db is not None
    assert report.reference_difference_db >= -0.01
