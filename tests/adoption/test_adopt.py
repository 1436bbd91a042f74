"""Files by others become ours: what is found out, and the pixels of the copies.

The oracle is the official network; for what is no SwinIR, ONNX Runtime on the file as it was.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from foreign_files import (
    chain,
    core_alone,
    folded_bytes,
    image_model,
    initializers_as_inputs,
    naive,
    ours_without_metadata,
    save,
    small_official,
    with_half_ports,
    with_step,
)
from numpy.typing import NDArray
from variants import JPEG, SMALL

from swinir_deploy import Restorer, adopt_onnx, load_model, open_runtime
from swinir_deploy.adoption.adopt import AdoptionReport
from swinir_deploy.artifacts.onnx_file import load_onnx, metadata_of
from swinir_deploy.comparison import compare, sample_picture
from swinir_deploy.errors import ArtifactError, CheckFailedError, InputError, UsageError
from swinir_deploy.models.checkpoint import save_checkpoint


def official(values: NDArray[np.float32], config: Any = SMALL) -> NDArray[np.float32]:
    network = small_official(config)  # made outside of the inference mode, whose tensors are fixed
    with torch.inference_mode():
        return np.asarray(network(torch.from_numpy(values)).numpy())


def adopted(source: Path, **options: Any) -> AdoptionReport:
    return adopt_onnx(source, source.with_name(f"{source.stem}-adopted.onnx"), **options)


def psnr_at(report: AdoptionReport, *shape: int, config: Any = SMALL) -> float:
    """PSNR in dB of the copy, in our runtime, against the official network."""
    values = sample_picture(*shape)
    with open_runtime(report.path) as runtime:
        return compare(runtime.run(values), official(values, config)).psnr_db


# ---------------------------------------------------------------------------- the naive exports


@pytest.mark.parametrize("opset", [11, 13, 17, 20])
def test_a_naive_export_takes_its_one_size(tmp_path: Path, opset: int) -> None:
    report = adopted(naive(tmp_path / "naive.onnx", opset=opset))
    assert report.metadata.shape == "1x3x16x24"
    assert (report.metadata.scale, report.metadata.window_size) == (2, 8)
    assert report.metadata.opset == opset
    assert psnr_at(report, 1, 3, 16, 24) > 90
    assert report.proof.tiles_db is None


def test_a_fixed_size_restores_pictures_of_any_size_in_tiles(tmp_path: Path) -> None:
    report = adopted(naive(tmp_path / "naive.onnx", size=(32, 40)))
    pixels = sample_picture(1, 3, 70, 9)[0].transpose(1, 2, 0)
    with open_runtime(report.path) as runtime:
        assert Restorer(runtime).restore_array(np.ascontiguousarray(pixels)).shape == (140, 18, 3)


@pytest.mark.slow
def test_the_new_exporter(tmp_path: Path) -> None:
    report = adopted(naive(tmp_path / "dynamo.onnx", dynamo=True, opset=20))
    assert report.metadata.shape == "1x3x16x24"
    assert psnr_at(report, 1, 3, 16, 24) > 90


FROZEN = replace(SMALL, img_size=16)
"""Traced at ``img_size``, the official code puts the mask of that size into the graph."""


@pytest.mark.parametrize("axes", [(2, 3), (0, 2, 3)])
def test_dynamic_axes_with_a_frozen_mask_are_held_to_the_size_that_is_right(
    tmp_path: Path, axes: tuple[int, ...]
) -> None:
    network = small_official(FROZEN)
    report = adopted(naive(tmp_path / "frozen.onnx", network, size=(16, 16), dynamic=axes))
    assert report.metadata.shape.split("x")[2:] == ["16", "16"]
    assert "masks" in report.metadata.adopted["fixed_because"]
    assert psnr_at(report, 1, 3, 16, 16, config=FROZEN) > 90


def test_a_frozen_mask_that_cannot_be_seen_is_found_by_running(tmp_path: Path) -> None:
    """Other values than -100 mask as well; nothing in the graph looks like a mask then."""
    generator = np.random.default_rng(0)
    network = small_official(FROZEN)
    source = naive(tmp_path / "frozen.onnx", network, size=(16, 16), dynamic=(0, 2, 3))
    model = onnx.load(source)
    for tensor in tensors_of(model):
        values = onnx.numpy_helper.to_array(tensor)
        if values.ndim >= 3 and values.min(initial=0) <= -50:
            other = values * generator.uniform(0.4, 1, values.shape).astype(np.float32)
            tensor.CopyFrom(onnx.numpy_helper.from_array(other, tensor.name))
    hidden = save(model, tmp_path / "hidden.onnx")
    try:
        report = adopted(hidden)
    except InputError as error:
        assert "--shape" in str(error)
        report = adopted(hidden, shape="16x16")
    assert report.metadata.shape.split("x")[2:] == ["16", "16"]
    assert psnr_at(report, 1, 3, 16, 16, config=FROZEN) > 90


def tensors_of(model: onnx.ModelProto) -> list[onnx.TensorProto]:
    """Initialisers and constants."""
    constants = [a.t for node in model.graph.node for a in node.attribute if a.HasField("t")]
    return [*model.graph.initializer, *constants]


def test_dynamic_axes_with_a_traced_mask_are_right_wherever_the_copy_runs(tmp_path: Path) -> None:
    """Traced at another size than ``img_size``, the mask is computed in the graph."""
    report = adopted(naive(tmp_path / "traced.onnx", size=(16, 24), dynamic=(0, 2, 3)))
    batch, _, height, _ = report.metadata.shape.split("x")
    sizes = [(16, 24)] if height.isdecimal() else [(16, 24), (9, 41), (64, 64), (80, 24)]
    for size in sizes:
        assert psnr_at(report, 1 if batch.isdecimal() else 2, 3, *size) > 90, size


# --------------------------------------------------------------------- right for every size


@pytest.mark.slow
def test_a_graph_that_pads_by_itself_takes_any_size(tmp_path: Path) -> None:
    report = adopted(save(ours_without_metadata(), tmp_path / "any.onnx"))
    assert report.metadata.shape == "Nx3xHxW"
    assert report.metadata.window_size == 8
    assert report.metadata.adopted["multiple"] == 1
    for shape in ((1, 3, 5, 5), (2, 3, 37, 50), (1, 3, 64, 64)):
        assert psnr_at(report, *shape) > 90
    assert report.proof.tiles_db is not None


@pytest.mark.slow
@pytest.mark.parametrize("opset", [17, 23])
def test_sides_that_must_be_whole_windows_are_padded_inside(tmp_path: Path, opset: int) -> None:
    report = adopted(save(core_alone(opset), tmp_path / "core.onnx"))
    assert report.metadata.adopted["multiple"] == 8
    assert report.metadata.shape == "Nx3xHxW"
    for shape in ((1, 3, 5, 5), (2, 3, 37, 50), (1, 3, 48, 64)):
        assert psnr_at(report, *shape) > 90


def test_half_precision_ports_become_float32(tmp_path: Path) -> None:
    report = adopted(save(with_half_ports(core_alone()), tmp_path / "half.onnx"))
    with open_runtime(report.path) as runtime:
        assert runtime.run(sample_picture(1, 3, 20, 30)).dtype == np.float32
    assert psnr_at(report, 1, 3, 20, 30) > 50  # the ports round


@pytest.mark.slow
@pytest.mark.parametrize("config", [JPEG], ids=["jpeg"])
def test_gray_models(tmp_path: Path, config: Any) -> None:
    model = ours_without_metadata(config=config)
    report = adopted(save(model, tmp_path / "gray.onnx"))
    metadata = report.metadata
    found = (metadata.scale, metadata.in_chans, metadata.window_size)
    assert found == (config.upscale, 1, config.window_size)
    assert psnr_at(report, 1, 1, 30, 41, config=config) > 85


# ------------------------------------------------------------------ layouts, ranges and orders


def test_bytes_in_nhwc_stay_bytes(tmp_path: Path) -> None:
    report = adopted(save(ours_without_metadata("image"), tmp_path / "bytes.onnx"))
    assert report.metadata.io == "image"
    _require_bytes(report)


def test_bytes_in_nchw_become_nhwc(tmp_path: Path) -> None:
    model = with_step(
        ours_without_metadata("image"),
        chain("uint8[n,3,h,w] x", "uint8[n,h,w,3] y", "y = Transpose<perm=[0,2,3,1]>(x)"),
        chain("uint8[n,h,w,3] x", "uint8[n,3,h,w] y", "y = Transpose<perm=[0,3,1,2]>(x)"),
    )
    report = adopted(save(model, tmp_path / "planar.onnx"))
    assert report.metadata.io == "image"
    _require_bytes(report)


def _require_bytes(report: AdoptionReport) -> None:
    levels = np.round(sample_picture(1, 3, 21, 34) * 255).astype(np.uint8)
    expected = official((levels / np.float32(255)).astype(np.float32)).clip(0, 1) * 255
    with open_runtime(report.path) as runtime:
        found = runtime.run(np.ascontiguousarray(levels.transpose(0, 2, 3, 1)))
    assert np.abs(found.transpose(0, 3, 1, 2) - expected).max() <= 0.51


def test_floats_in_nhwc(tmp_path: Path) -> None:
    model = with_step(
        ours_without_metadata(),
        chain("float[n,h,w,3] x", "float[n,3,h,w] y", "y = Transpose<perm=[0,3,1,2]>(x)"),
        chain("float[n,3,h,w] x", "float[n,h,w,3] y", "y = Transpose<perm=[0,2,3,1]>(x)"),
    )
    report = adopted(save(model, tmp_path / "last.onnx"))
    assert (report.metadata.io, report.metadata.adopted["layout"]) == ("tensor", "nhwc")
    assert psnr_at(report, 1, 3, 21, 34) > 90


@pytest.mark.slow
def test_a_range_that_the_graph_divides_by(tmp_path: Path) -> None:
    report = adopted(naive(tmp_path / "levels.onnx", white=255.0))
    assert report.metadata.adopted["range"] == "0..255"
    assert report.metadata.adopted["range_source"] == "graph"
    assert psnr_at(report, 1, 3, 16, 24) > 80


@pytest.mark.slow
@pytest.mark.parametrize("white", [255.0])
def test_a_range_that_only_the_weights_hold_is_found_by_running(
    tmp_path: Path, white: float
) -> None:
    """A trained denoiser of gray pictures: no mean, no division."""
    trained = load_model("tiny-denoise-gray-25")
    network = torch_network(trained)
    values = sample_picture(1, 1, 64, 64)
    with torch.inference_mode():
        expected = trained.network(torch.from_numpy(values)).numpy()
    if white != 1.0:
        network = folded_bytes(network)
    source = naive(tmp_path / "denoise.onnx", network, size=(64, 64), channels=1)
    report = adopted(source)
    assert report.metadata.adopted["range_source"] == "run"
    assert report.metadata.adopted["range"] == f"0..{white:g}"
    with open_runtime(report.path) as runtime:
        assert compare(runtime.run(values), expected).psnr_db > 70


def test_a_range_that_nothing_shows_is_assumed_and_said(tmp_path: Path) -> None:
    """Random weights restore nothing, in no range; a gray model has no mean."""
    config = replace(SMALL, in_chans=1, upscale=1, upsampler="")
    report = adopted(naive(tmp_path / "gray.onnx", small_official(config), channels=1))
    assert report.metadata.adopted["range_source"] == "assumed"
    assert report.metadata.adopted["range"] == "0..1"
    assert any("--range" in note for note in report.notes)


def torch_network(trained: Any) -> torch.nn.Module:
    """A built-in model's weights in the official code."""
    fresh = small_official.__wrapped__(trained.config)
    fresh.network.load_state_dict(trained.network.state_dict(), strict=False)
    network: torch.nn.Module = fresh.network
    return network.eval()


def test_the_user_may_say_range_and_order(tmp_path: Path) -> None:
    source = naive(tmp_path / "bgr.onnx", white=255.0, bgr=True)
    report = adopted(source, value_range="0..255", bgr=True)
    assert report.metadata.adopted["range_source"] == "given"
    assert report.metadata.adopted["order"] == "bgr"
    assert psnr_at(report, 1, 3, 16, 24) > 80


def test_the_order_is_told_by_the_mean(tmp_path: Path) -> None:
    """The official mean is higher in red than in blue."""
    report = adopted(naive(tmp_path / "naive.onnx"))
    assert (report.metadata.adopted["order"], report.metadata.adopted["order_source"]) == (
        "rgb",
        "graph",
    )


# ------------------------------------------------------------------------- with a checkpoint


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    state = small_official().network.state_dict()
    weights = {k: v for k, v in state.items() if "attn_mask" not in k and "_index" not in k}
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    return save_checkpoint(path, weights, SMALL, "small")


def test_a_checkpoint_tells_range_and_order(tmp_path: Path, checkpoint: Path) -> None:
    source = naive(tmp_path / "bgr.onnx", white=255.0, bgr=True)
    report = adopted(source, reference=checkpoint)
    found = report.metadata.adopted
    assert (found["range"], found["order"]) == ("0..255", "bgr")
    assert report.metadata.source_sha256
    assert report.metadata.config["embed_dim"] == SMALL.embed_dim
    assert report.proof.network is not None
    assert psnr_at(report, 1, 3, 16, 24) > 80


def test_a_checkpoint_of_other_weights_is_told(tmp_path: Path) -> None:
    other = small_official.__wrapped__(SMALL)
    with torch.no_grad():
        other.network.conv_first.weight += 0.1
    source = naive(tmp_path / "naive.onnx", other)
    state = small_official().network.state_dict()
    weights = {k: v for k, v in state.items() if "attn_mask" not in k and "_index" not in k}
    path = save_checkpoint(tmp_path / "small.safetensors", weights, SMALL, "small")
    with pytest.raises(CheckFailedError, match="checkpoint"):
        adopted(source, reference=path)
    assert not list(tmp_path.glob("*-adopted.onnx"))


# ------------------------------------------------------------------------------ odd containers


def test_weights_in_a_file_beside(tmp_path: Path) -> None:
    model = ours_without_metadata()
    source = tmp_path / "outside.onnx"
    onnx.save(model, source, save_as_external_data=True, size_threshold=0)
    report = adopted(source)
    (tmp_path / "moved").mkdir()
    moved = report.path.rename(tmp_path / "moved" / "alone.onnx")
    values = sample_picture(1, 3, 20, 20)
    with open_runtime(moved) as runtime:
        assert compare(runtime.run(values), official(values)).psnr_db > 90


def test_weights_as_inputs(tmp_path: Path) -> None:
    source = save(initializers_as_inputs(ours_without_metadata()), tmp_path / "old.onnx")
    report = adopted(source)
    model = onnx.load(report.path)
    assert [value.name for value in model.graph.input] == ["input"]
    assert model.ir_version == onnx.helper.find_min_ir_version_for(model.opset_import)
    assert psnr_at(report, 1, 3, 20, 30) > 90


def test_local_functions_are_put_in_their_places(tmp_path: Path) -> None:
    model = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["": 18, "own": 1]>
        g (float[n,3,h,w] x) => (float[n,3,h,w] y) { y = own.soften(x) }
        <opset_import: ["": 18], domain: "own"> soften (a) => (b) { b = HardSigmoid(a) }"""
    )
    report = adopted(save(model, tmp_path / "function.onnx"))
    assert {node.op_type for node in onnx.load(report.path).graph.node} == {"HardSigmoid"}


def test_an_old_operator_set_is_converted(tmp_path: Path) -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 4, opset_import: ["": 9]> g (float[1,3,h,w] x) => (float[1,3,h,w] y) '
        "{ y = Relu(x) }"
    )
    report = adopted(save(model, tmp_path / "opset9.onnx"))
    assert report.metadata.opset == 17
    assert any("converted" in note for note in report.notes)


def test_further_outputs_are_left_out(tmp_path: Path) -> None:
    model = ours_without_metadata()
    inside = next(n for n in model.graph.node if n.op_type == "LayerNormalization").output[0]
    model.graph.output.insert(0, onnx.ValueInfoProto(name=inside))
    inferred = onnx.shape_inference.infer_shapes(model)
    report = adopted(save(inferred, tmp_path / "two.onnx"))
    assert len(onnx.load(report.path).graph.output) == 1
    assert any(inside in note for note in report.notes)
    assert psnr_at(report, 1, 3, 20, 30) > 90


def test_other_kinds_of_networks_are_taken(tmp_path: Path) -> None:
    """A convolution and a pixel shuffle, without attention."""
    generator = np.random.default_rng(0)
    model = image_model(
        'c = Conv<pads=[1,1,1,1]>(x, w)\ny = DepthToSpace<blocksize=2, mode="CRD">(c)',
        weights=lambda: [("w", generator.normal(0, 0.2, (12, 3, 3, 3)).astype(np.float32))],
    )
    source = save(model, tmp_path / "conv.onnx")
    report = adopted(source)
    assert (report.metadata.scale, report.metadata.window_size) == (2, 8)
    values = sample_picture(1, 3, 19, 23)
    expected = onnxruntime.InferenceSession(source).run(None, {"x": values})[0]
    with open_runtime(report.path) as runtime:
        assert compare(runtime.run(values), expected).psnr_db > 100


def test_the_properties_of_the_file_stay(tmp_path: Path) -> None:
    model = ours_without_metadata()
    onnx.helper.set_model_props(model, {"author": "somebody"})
    report = adopted(save(model, tmp_path / "named.onnx"))
    copy = load_onnx(report.path)
    assert {entry.key: entry.value for entry in copy.metadata_props}["author"] == "somebody"
    assert metadata_of(copy, report.path).adopted["file"] == "named.onnx"


# ---------------------------------------------------------------------------- what is refused


REFUSED = {
    "detection": (
        "float[1,3,64,64] x",
        "float[1,85,n] y",
        "s = Constant<value_ints=[1,3,-1]>()\ny = Reshape(x, s)",
        "no picture",
    ),
    "other channels": (
        "float[1,3,h,w] x",
        "float[1,9,h,w] y",
        "y = Concat<axis=1>(x, x, x)",
        "does not restore pictures",
    ),
    "five channels": ("float[1,5,h,w] x", "float[1,5,h,w] y", "y = Relu(x)", "one nor three"),
    "scale 1.5": (
        "float[1,3,64,64] x",
        "float[1,3,96,96] y",
        "s = Constant<value_floats=[1.0,1.0,1.5,1.5]>()\ny = Resize(x, , s)",
        "whole multiple",
    ),
    "video": ("float[1,5,3,h,w] x", "float[1,5,3,h,w] y", "y = Relu(x)", "no batch of pictures"),
    "text": ("string[1,3,h,w] x", "string[1,3,h,w] y", "y = Identity(x)", "no batch of pictures"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_restores_no_pictures_is_refused(tmp_path: Path, kind: str) -> None:
    takes, gives, body, reason = REFUSED[kind]
    source = save(chain(takes, gives, body), tmp_path / "other.onnx")
    with pytest.raises(InputError, match=reason):
        adopted(source)
    assert [path.name for path in tmp_path.iterdir()] == ["other.onnx"]


def test_several_inputs_are_refused(tmp_path: Path) -> None:
    model = chain(
        "float[1,3,h,w] x, float[1,3,h,w] reference", "float[1,3,h,w] y", "y = Add(x, reference)"
    )
    with pytest.raises(InputError, match=r"has 2 inputs .*reference"):
        adopted(save(model, tmp_path / "two.onnx"))


def test_integers_are_refused(tmp_path: Path) -> None:
    model = image_model(
        "q = QuantizeLinear(x, s, z)\ny = DequantizeLinear(q, s, z)",
        gives="float[1,3,h,w] y",
        weights=lambda: [("s", np.float32(0.01)), ("z", np.uint8(0))],
    )
    with pytest.raises(InputError, match="quantised"):
        adopted(save(model, tmp_path / "int8.onnx"))


def test_overflow_is_told(tmp_path: Path) -> None:
    model = image_model(
        "y = Div(x, nothing)",
        gives="float[1,3,h,w] y",
        weights=lambda: [("nothing", np.float32(0))],
    )
    with pytest.raises(CheckFailedError, match="finite"):
        adopted(save(model, tmp_path / "black.onnx"))


def test_files_that_are_none_and_own_ones(tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"<html>not found</html>")
    with pytest.raises(ArtifactError):
        adopted(broken)
    with pytest.raises(ArtifactError, match="Cannot read"):
        adopted(tmp_path / "missing.onnx")
    own = adopted(save(ours_without_metadata(), tmp_path / "any.onnx")).path
    with pytest.raises(UsageError, match="already"):
        adopted(own)
    with pytest.raises(UsageError, match="never changed"):
        adopt_onnx(broken, broken)


def test_the_original_is_not_changed(tmp_path: Path) -> None:
    source = save(core_alone(), tmp_path / "core.onnx")
    before = source.read_bytes()
    adopted(source)
    assert source.read_bytes() == before


@pytest.mark.slow
def test_a_checkpoint_of_another_kind_is_told(tmp_path: Path, checkpoint: Path) -> None:
    config = replace(SMALL, upscale=3)
    source = save(ours_without_metadata(config=config), tmp_path / "x3.onnx")
    with pytest.raises(UsageError, match="scale 3"):
        adopted(source, reference=checkpoint)
