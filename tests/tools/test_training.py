"""The training tools: what they feed the network, and that they train the network we ship."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")
sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))

import train  # noqa: E402
import training_data  # noqa: E402
from training_network import TrainingForward  # noqa: E402

from swinir_deploy.network import SwinIR  # noqa: E402

TASK = train.Task("sr", 4)


@pytest.fixture
def picture() -> np.ndarray:
    """Coarse random cells: detail that survives the reduction."""
    cells = np.random.default_rng(3).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    return cells.repeat(8, axis=0).repeat(8, axis=1)


def test_the_training_forward_is_the_networks():
    torch.manual_seed(0)
    config = TASK.config((2, 4))
    model = SwinIR(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
        image = torch.rand(2, 3, 24, 24)
        expected = model(image)
        torch.testing.assert_close(
            TrainingForward(model, config, 24)(image), expected, atol=1e-4, rtol=1e-4
        )


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_training_starts_as_bilinear_interpolation(scale):
    torch.manual_seed(0)
    model = SwinIR(train.Task("sr", scale).config((2,)))
    train.start_as_bilinear(model, scale)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith(("conv_after_body", "upsample.0")) and parameter.ndim == 4:
                # What the rest of the network adds is small; take it out.
                parameter[:, 3:] = 0
                if name.startswith("conv_after_body"):
                    parameter.zero_()
        model.conv_after_body.bias.zero_()
        image = torch.rand(1, 3, 16, 16)
        expected = torch.nn.functional.interpolate(
            image, scale_factor=scale, mode="bilinear", align_corners=False
        )
        inside = slice(scale, -scale)
        torch.testing.assert_close(
            model(image)[..., inside, inside],
            expected[..., inside, inside],
            atol=1e-5,
            rtol=1e-5,
        )


def test_crops_of_both_sizes_show_the_same_part(picture):
    sampler = training_data.PatchSampler([TASK.pair(picture)], 4, 16, seed=0)
    low, high = sampler.batch(8)
    assert low.shape == (8, 3, 16, 16) and high.shape == (8, 3, 64, 64)
    assert low.dtype == high.dtype == np.uint8
    means = high.reshape(8, 3, 16, 4, 16, 4).mean(axis=(3, 5))
    for reduced, mean in zip(low.astype(float), means, strict=True):
        assert np.corrcoef(reduced.ravel(), mean.ravel())[0, 1] > 0.98


def test_detail_is_drawn_more_often_than_flat_areas(picture):
    half = picture.copy()
    half[:, : half.shape[1] // 2] = 128
    sampler = training_data.PatchSampler([TASK.pair(half)], 4, 16, seed=0)
    low, _ = sampler.batch(64)
    assert (low.std(axis=(1, 2, 3)) > 10).mean() > 0.8


def test_versions_drop_copies_and_keep_validation_apart(picture, tmp_path):
    for name in ("one", "other__coffee"):
        Image.fromarray(picture + (name == "one")).save(tmp_path / f"{name}.png")
    (tmp_path / "copy.png").write_bytes((tmp_path / "one.png").read_bytes())
    versions = training_data.load_versions(tmp_path)
    assert sorted(versions) == ["copy", "other__coffee"]
    training, validation = train.split(versions, TASK)
    assert [high.shape for high, _ in validation] == [(240, 252, 3)]
    assert all(high.shape[0] == 4 * low.shape[0] for high, low in training)


def test_the_rate_warms_up_and_falls_to_a_thousandth():
    rates = [train.learning_rate(step / 100, step, 1.0, 10) for step in range(101)]
    assert rates[0] == pytest.approx(0.1, rel=1e-3)
    assert max(rates) == rates[9] or max(rates) == rates[10]
    assert rates[100] == pytest.approx(1e-3)
    assert sorted(rates[10:], reverse=True) == rates[10:]


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_another_scale_starts_as_a_reduction_of_the_trained_one(scale, tmp_path):
    """Every sub-pixel is the mean of the part of the 4x4 block that it covers."""
    torch.manual_seed(0)
    trained = SwinIR(TASK.config((2,))).eval()
    path = tmp_path / "trained.safetensors"
    train.save_weights(path, TASK, trained.config, dict(trained.named_parameters()))
    model = SwinIR(train.Task("sr", scale).config((2,))).eval()
    train.start_from(model, path)
    with torch.no_grad():
        image = torch.rand(1, 3, 16, 24)
        fine = trained(image)
        # 12 is a multiple of 2, 3 and 4: enlarge to it by repetition, then average.
        by_twelve = fine.repeat_interleave(3, 2).repeat_interleave(3, 3)
        expected = torch.nn.functional.avg_pool2d(by_twelve, 12 // scale)
        torch.testing.assert_close(model(image), expected, atol=1e-5, rtol=1e-5)
