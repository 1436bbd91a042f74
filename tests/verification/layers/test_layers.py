"""Where two models part: the right node is named, whatever lies between the two."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from small_models import with_weight

from swinir_deploy import load_model
from swinir_deploy.artifacts.metadata import ArtifactMetadata
from swinir_deploy.comparison import compare, sample_picture
from swinir_deploy.errors import ArtifactError, BackendUnavailableError, UsageError
from swinir_deploy.runtimes import providers
from swinir_deploy.verification.layers import compare_layers, judging

pytest.importorskip("polygraphy", reason="polygraphy is not installed")

# Every kind of weight: the node that reads it is the first to differ.
DAMAGE = {
    "layers.0.residual_group.blocks.1.norm1.weight": "norm1/LayerNormalization",
    "layers.0.residual_group.blocks.1.mlp.fc2.bias": "mlp.fc2/Gemm",
    "layers.1.conv.weight": "layers.1.conv/Conv",
    "conv_after_body.bias": "conv_after_body/Conv",
}


@pytest.mark.parametrize("name", DAMAGE)
def test_the_node_with_a_damaged_weight_is_the_first_to_be_named(
    fp32: Path, tmp_path: Path, name: str
) -> None:
    damaged = with_weight(fp32, tmp_path / "damaged.onnx", name, lambda w: w + 0.5)
    report = compare_layers(damaged, fp32)
    assert report.first is not None
    assert report.first.node == f"{name.rsplit('.', 1)[0]}/{report.first.op_type}"
    assert report.first.node.endswith(DAMAGE[name])
    assert not report.passed
    before = [row for row in report.rows if row.position < report.first.position]
    assert before
    assert all(row.passed and row.relative <= 1e-4 for row in before)
    assert report.worst()[0].relative >= report.first.relative


def test_a_weight_that_is_not_finite_is_found(fp32: Path, tmp_path: Path) -> None:
    name = "layers.1.residual_group.blocks.1.mlp.fc1.bias"

    def spoil(bias: Any) -> Any:
        bias[0] = np.nan
        return bias

    report = compare_layers(with_weight(fp32, tmp_path / "nan.onnx", name, spoil), fp32)
    assert report.first is not None
    assert report.first.node == "layers.1.residual_group.blocks.1.mlp.fc1/Gemm"


@pytest.mark.parametrize("optimization", ["basic", "all"])
def test_optimisation_levels_agree(fp32: Path, optimization: Any) -> None:
    report = compare_layers(fp32, optimization=optimization)
    assert report.passed
    assert not report.unpaired
    nodes = [node for node in onnx.load(fp32).graph.node if node.output[0]]
    assert len(report.rows) == len(nodes)


@pytest.mark.slow
def test_precisions_are_compared_node_by_node(fp32: Path, fp16: Path, bf16: Path) -> None:
    worst = {}
    for name, path in (("fp16", fp16), ("bf16", bf16)):
        report = compare_layers(path, fp32)
        assert report.passed, report.first
        bookkeeping = {"Cast", "Shape", "Squeeze"}  # of types and sizes; it may differ
        computed = {
            node.name for node in onnx.load(fp32).graph.node if node.op_type not in bookkeeping
        }
        assert computed <= {row.node for row in report.rows}
        unpaired = {node.rsplit("/", 1)[1].split("_")[0] for node in report.unpaired}
        assert "Cast" in unpaired
        assert unpaired <= bookkeeping
        worst[name] = report.worst(1)[0].relative
    # Units in the last place: 2**-11 and 2**-8 of a value, some of them on top of each other.
    assert 2**-12 < worst["fp16"] < 2**-5
    assert 2**-9 < worst["bf16"] < 2**-2


@pytest.mark.slow
def test_damage_shows_through_half_precision(fp16: Path, fp32: Path, tmp_path: Path) -> None:
    name = "layers.1.residual_group.blocks.0.mlp.fc1.bias"
    damaged = with_weight(fp32, tmp_path / "damaged.onnx", name, lambda w: w + 0.5)
    report = compare_layers(fp16, damaged)
    assert report.first is not None
    assert report.first.node == "layers.1.residual_group.blocks.0.mlp.fc1/Gemm"


def test_a_limit_of_the_caller_is_kept_to(fp32: Path) -> None:
    report = compare_layers(fp32, optimization="all", limit=1e-12)
    assert report.first is not None
    assert report.first.limit == 1e-12
    integers = [row for row in report.rows if row.limit == 0]
    assert integers
    assert all(row.max_abs == 0 and row.passed for row in integers)


def test_the_network_itself_is_a_reference(
    small_checkpoint: Path, fp32: Path, tmp_path: Path
) -> None:
    name = "layers.0.residual_group.blocks.1.mlp.fc2.bias"
    damaged = with_weight(fp32, tmp_path / "damaged.onnx", name, lambda w: w + 0.5)
    report = compare_layers(damaged, load_model(small_checkpoint))
    assert report.first is not None
    assert report.first.node == "layers.0.residual_group.blocks.1.mlp.fc2/Gemm"
    assert report.against == "small in fp32"


def test_a_real_picture_and_a_size(fp32: Path, tmp_path: Path) -> None:
    levels = np.random.default_rng(0).integers(0, 256, (40, 50), np.uint8)
    Image.fromarray(levels).save(tmp_path / "p.png")
    report = compare_layers(fp32, optimization="all", picture=tmp_path / "p.png", shape=(10, 13))
    assert report.input_shape == (1, 1, 10, 13)
    assert report.passed


def test_the_report_is_plain(fp32: Path) -> None:
    document = compare_layers(fp32, optimization="all").to_dict()
    assert json.loads(json.dumps(document)) == document
    assert document["first"] is None
    assert len(document["worst"]) == 10
    relative = [row["relative"] for row in document["worst"]]
    assert relative == sorted(relative, reverse=True)


# ----------------------------------------------------------------- a residual stream that is scaled


def by_hand(folder: Path, name: str, log2: int, bias: float = 0.0, precision: Any = "fp32") -> Path:
    """x -> 3x + bias in the stream, scaled by 2**-log2 there -> back: three nodes."""
    values = {
        "a.gain": np.float32(3 * 2.0**-log2),
        "b.bias": np.float32(bias * 2.0**-log2),
        "c.gain": np.float32(2.0**log2),
    }
    tensors = [numpy_helper.from_array(np.array(v), n) for n, v in values.items()]
    nodes = [
        helper.make_node("Mul", ["input", "a.gain"], ["a"], "a/Mul"),
        helper.make_node("Add", ["a", "b.bias"], ["b"], "b/Add"),
        helper.make_node("Mul", ["b", "c.gain"], ["output"], "c/Mul"),
    ]
    ports = [
        helper.make_tensor_value_info(port, TensorProto.FLOAT, ["n", 1, "h", "w"])
        for port in ("input", "output")
    ]
    graph = helper.make_graph(nodes, "by hand", ports[:1], ports[1:], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    metadata = ArtifactMetadata(
        io="tensor",
        scale=1,
        in_chans=1,
        window_size=8,
        source_sha256="0" * 64,
        shape="Nx1xHxW",
        residual_scale_log2=log2,
        precision=precision,
    )
    helper.set_model_props(model, metadata.to_props())
    path = folder / f"{name}.onnx"
    onnx.save(model, path)
    return path


def test_a_rescaled_stream_is_no_difference(tmp_path: Path) -> None:
    report = compare_layers(by_hand(tmp_path, "scaled", 6), by_hand(tmp_path, "plain", 0))
    assert report.passed
    assert [(row.node, row.scale_log2) for row in report.rows] == [
        ("a/Mul", 6),
        ("b/Add", 6),
        ("c/Mul", 0),
    ]
    assert all(row.max_abs == 0 for row in report.rows)


def test_a_difference_inside_a_rescaled_stream_is_found(tmp_path: Path) -> None:
    report = compare_layers(by_hand(tmp_path, "scaled", 6, 0.1), by_hand(tmp_path, "plain", 0))
    assert report.first is not None
    assert (report.first.node, report.first.scale_log2) == ("b/Add", 6)
    assert report.first.max_abs == pytest.approx(0.1, rel=1e-5)


# ------------------------------------------------------------------------------------ refusals


def test_a_model_beside_itself_is_refused(fp32: Path) -> None:
    with pytest.raises(UsageError, match="compared with itself"):
        compare_layers(fp32, optimization="none")
    with pytest.raises(UsageError, match="--optimization"):
        compare_layers(fp32, fp32, provider="CPUExecutionProvider", optimization="none")


@pytest.mark.parametrize("provider", [None, "cpu"])
@pytest.mark.parametrize("optimization", ["basic", "all"])
def test_half_precision_beside_itself_is_refused(
    tmp_path: Path, provider: str | None, optimization: Any
) -> None:
    """A CPU computes it without optimisations on both sides: nothing could ever differ."""
    path = by_hand(tmp_path, "half", 0, precision="fp16")
    with pytest.raises(UsageError, match=r"compared with itself.* fp16 .*--against"):
        compare_layers(path, provider=provider, optimization=optimization)


@pytest.mark.parametrize(
    ("provider", "name"),
    [("cuda", "CUDAExecutionProvider"), ("tensorrt", "TensorrtExecutionProvider")],
)
def test_a_provider_that_steps_back_to_the_cpu_is_exit_code_3(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, provider: str, name: str
) -> None:
    """As ONNX Runtime does without a driver: what was asked for is left out, with a log line."""
    real = onnxruntime.InferenceSession

    def on_cpu(*args: Any, **extra: Any) -> Any:
        return real(*args, **{**extra, "providers": ["CPUExecutionProvider"]})

    names = [name, "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: names)
    monkeypatch.setattr(onnxruntime, "InferenceSession", on_cpu)
    monkeypatch.setattr(providers, "_preload_cuda_libraries", lambda: None)
    path = by_hand(tmp_path, "plain", 0)
    with pytest.raises(BackendUnavailableError, match=f"{name}.* could not start") as error:
        compare_layers(path, provider=provider)
    assert error.value.exit_code == 3


def test_files_of_different_checkpoints_or_kinds_are_refused(
    fp32: Path, small_checkpoint: Path, tmp_path: Path
) -> None:
    model = onnx.load(fp32)
    props = {p.key: p.value for p in model.metadata_props}
    props["swinir_deploy.source_sha256"] = "f" * 64
    helper.set_model_props(model, props)
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(UsageError, match="different checkpoints"):
        compare_layers(tmp_path / "other.onnx", fp32)
    with pytest.raises(ArtifactError, match="Compare two files of one kind"):
        compare_layers(by_hand(tmp_path, "hand", 0), fp32)


def test_what_is_no_onnx_file_is_refused(fp32: Path, tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(ArtifactError, match="damaged or no ONNX file"):
        compare_layers(tmp_path / "text.onnx", fp32)
    with pytest.raises(UsageError, match="Unknown optimisation level 'most'"):
        compare_layers(fp32, optimization="most")  # type: ignore[arg-type]
    with pytest.raises(BackendUnavailableError, match="has no Warp"):
        compare_layers(fp32, provider="Warp")


# ------------------------------------------------- Polygraphy as an oracle of the parity figures


@pytest.mark.parametrize("noise", [1e-6, 1e-3, 0.2])
def test_parity_figures_are_those_of_polygraphy(noise: float) -> None:
    from polygraphy.comparator import IterationResult, PsnrCompareFunc, SimpleCompareFunc

    wanted = sample_picture(2, 3, 31, 17)
    wanted[0, 0, 0, 0] = 1.0  # its largest value, which Polygraphy takes as the peak
    found = wanted + np.random.default_rng(1).normal(0, noise, wanted.shape).astype(np.float32)
    sides = [
        IterationResult({"y": values}, runner_name=name)
        for name, values in (("wanted", wanted), ("found", found))
    ]
    ours = compare(found, wanted)
    plain = SimpleCompareFunc(check_error_stat="max")(*sides)["y"]
    assert ours.max_abs == pytest.approx(plain.max_absdiff, rel=1e-5)
    assert ours.mean_abs == pytest.approx(plain.mean_absdiff, rel=1e-4)
    assert ours.psnr_db == pytest.approx(PsnrCompareFunc()(*sides)["y"].psnr, abs=0.001)


@pytest.mark.parametrize(
    ("dtype", "peak", "wanted"),
    [
        ("float16", 3.0, 0.02),
        ("uint8", 255.0, 0.02 + 1 / 255),
        ("uint8", 0.0, 1.02),
        ("int64", 9.0, 0.0),
    ],
)
def test_pictures_may_differ_by_a_level_more_and_other_numbers_not(
    dtype: str, peak: float, wanted: float
) -> None:
    assert judging._limit(np.dtype(dtype), 0.02, peak) == pytest.approx(wanted)
