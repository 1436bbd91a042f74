"""Verification must pass on what is right and fail on what is not."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from swinir_deploy import export_onnx, load_model, verify
from swinir_deploy.comparison import compare
from swinir_deploy.errors import UsageError
from swinir_deploy.models.checkpoint import save_checkpoint
from swinir_deploy.network import SwinIR, SwinIRConfig
from swinir_deploy.verification.parity import LIMITS, Limit

CONFIG = SwinIRConfig(
    upscale=2,
    in_chans=1,
    window_size=7,
    img_range=255.0,
    depths=(2,),
    embed_dim=16,
    num_heads=(2,),
    upsampler="pixelshuffledirect",
)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("parity") / "net.safetensors"
    return save_checkpoint(path, SwinIR(CONFIG).state_dict(), CONFIG, "net")


@pytest.fixture(scope="module", params=["tensor", "image"])
def exported(request: pytest.FixtureRequest, checkpoint: Path) -> Path:
    path = checkpoint.with_name(f"{request.param}.onnx")
    export_onnx(checkpoint, path, io=request.param)
    return path


def damaged(source: Path, target: Path, amount: float) -> Path:
    """The same file with ``amount`` added to the first convolution's bias."""
    model = onnx.load(source)
    bias = next(t for t in model.graph.initializer if t.name == "conv_after_body.bias")
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + amount, bias.name))
    target.write_bytes(model.SerializeToString())
    return target


def test_a_right_export_passes(exported: Path, checkpoint: Path) -> None:
    report = verify(exported, reference=checkpoint)
    assert report.passed
    assert len(report.rows) == 8
    assert report.rows[-1].source.startswith("chelsea.png")
    assert {row.shape[0] for row in report.rows} == {1, 2, 3}
    assert json.loads(json.dumps(report.to_dict()))["passed"] is True


def test_a_wrong_weight_fails(exported: Path, checkpoint: Path, tmp_path: Path) -> None:
    wrong = damaged(exported, tmp_path / "wrong.onnx", 300.0)
    report = verify(wrong, reference=checkpoint)
    assert not report.passed
    assert report.worst.comparison.relative_max > report.limit.max_abs  # type: ignore[operator]
    assert report.to_dict()["passed"] is False


def test_nan_fails(exported: Path, checkpoint: Path, tmp_path: Path) -> None:
    if exported.name == "image.onnx":
        pytest.skip("bytes hold no NaN")
    report = verify(damaged(exported, tmp_path / "nan.onnx", math.nan), reference=checkpoint)
    assert not any(row.passed for row in report.rows)
    assert report.to_dict()["rows"][0]["max_abs"] == "inf"


def test_a_limit_of_the_caller_is_kept_to(exported: Path, checkpoint: Path) -> None:
    strict = verify(exported, reference=checkpoint, limit=Limit(max_abs=-1.0))
    assert not strict.passed


def test_shapes_and_pictures_of_the_caller(
    exported: Path, checkpoint: Path, tmp_path: Path
) -> None:
    from PIL import Image

    colour = np.random.default_rng(0).integers(0, 256, (11, 17, 3), dtype=np.uint8)
    Image.fromarray(colour).save(tmp_path / "p.png")
    report = verify(exported, reference=checkpoint, shapes=[(4, 30)], pictures=[tmp_path / "p.png"])
    assert [row.shape for row in report.rows] == [(1, 1, 4, 30), (1, 1, 11, 17)]
    assert report.passed


def test_another_checkpoint_is_refused(exported: Path, tmp_path: Path) -> None:
    other = save_checkpoint(tmp_path / "o.safetensors", SwinIR(CONFIG).state_dict(), CONFIG, "o")
    with pytest.raises(UsageError, match="exported from a checkpoint with SHA-256"):
        verify(exported, reference=other)


def test_a_reference_that_nothing_names_is_asked_for(exported: Path) -> None:
    with pytest.raises(UsageError, match="--model FILE"):
        verify(exported)


def test_a_loaded_model_is_a_reference(exported: Path, checkpoint: Path) -> None:
    assert verify(exported, reference=load_model(checkpoint), shapes=[(9, 9)]).passed


def test_a_fixed_shape_is_verified_at_it(checkpoint: Path, tmp_path: Path) -> None:
    path = tmp_path / "fixed.onnx"
    export_onnx(checkpoint, path, shape="2x1x20x13")
    report = verify(path, reference=checkpoint)
    assert [row.shape for row in report.rows] == [(2, 1, 20, 13)]
    assert report.passed


@pytest.mark.parametrize(
    ("precision", "error", "passes"),
    [
        ("fp32", 0.9e-4, True),
        ("fp32", 1.1e-4, False),
        ("fp16", 1e-3, True),
        ("fp16", 2e-3, False),
        ("bf16", 0.9e-2, True),
        ("bf16", 1.1e-2, False),
    ],
)
def test_limits_by_hand(precision: str, error: float, passes: bool) -> None:
    """A constant error e over a range of 1 is a PSNR of -20 log10(e): 55 dB at 1.78e-3."""
    wanted = np.ones((1, 1, 4, 4), np.float64)
    assert LIMITS[precision].holds(compare(wanted + error, wanted)) is passes
