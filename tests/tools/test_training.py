"""The training tools: what they feed the network, and that they train the network we ship."""

from __future__ import annotations

import dataclasses
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
import training_tasks  # noqa: E402
from training_network import TrainingForward  # noqa: E402
from training_tasks import TASKS, Task  # noqa: E402

from swinir_deploy import load_catalog  # noqa: E402
from swinir_deploy.evaluation.protocol import Protocol  # noqa: E402
from swinir_deploy.network import SwinIR  # noqa: E402

TASK = TASKS["tiny-sr-x4"]


def sr_task(scale: int) -> Task:
    return TASKS[f"tiny-sr-x{scale}"]


@pytest.fixture
def picture() -> np.ndarray:
    """Coarse random cells: detail that survives the reduction."""
    cells = np.random.default_rng(3).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    return cells.repeat(8, axis=0).repeat(8, axis=1)


@pytest.mark.parametrize("name", ["tiny-sr-x4", "tiny-denoise-color-25", "tiny-jpeg-gray-40"])
def test_the_training_forward_is_the_networks(name):
    torch.manual_seed(0)
    config = TASKS[name].config((2, 4))
    model = SwinIR(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
        side = 3 * config.window_size
        image = torch.rand(2, config.in_chans, side, side)
        expected = model(image)
        torch.testing.assert_close(
            TrainingForward(model, config, side)(image), expected, atol=1e-4, rtol=1e-4
        )


@pytest.mark.parametrize("name", TASKS)
def test_a_task_is_what_the_catalogue_says(name):
    card, task = load_catalog().get(name), TASKS[name]
    protocol = task.protocol
    assert (card.task, card.gray, card.scale) == (protocol.task, protocol.gray, protocol.scale)
    assert (card.noise, card.quality) == (protocol.noise, protocol.quality)
    assert card.real == protocol.real
    ours = dataclasses.replace(task.config((4, 4)), img_size=card.config.img_size)
    assert ours == card.config


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_training_starts_as_bilinear_interpolation(scale):
    torch.manual_seed(0)
    model = SwinIR(sr_task(scale).config((2,)))
    training_tasks.start_fresh(model)
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


def test_crops_are_degraded_anew_and_stay_aligned(picture):
    """Each time with another seed; on average, low is the mean of blocks of high."""
    seen = []

    def block_means(crop, seed):
        seen.append((crop.shape, seed))
        return crop.reshape(24, 4, 24, 4, 3).mean(axis=(1, 3)).astype(np.uint8)

    sampler = training_data.PatchSampler([TASK.pair(picture)], 4, 16, 0, block_means)
    low, high = sampler.batch(8)
    assert low.shape == (8, 3, 16, 16) and high.shape == (8, 3, 64, 64)
    assert {shape for shape, _ in seen} == {(96, 96, 3)}
    assert len({seed for _, seed in seen}) == 8
    means = high.reshape(8, 3, 16, 4, 16, 4).mean(axis=(3, 5))
    assert np.abs(means - low).max() <= 1


def test_the_real_world_task_degrades_by_its_seed(picture):
    task = Task(Protocol("sr", False, 4, real=True), "", 1, 1.0)
    first = task.degrade(picture, 1)
    assert first.shape == (60, 80, 3)
    assert (task.degrade(picture, 1) == first).all()
    assert (task.degrade(picture, 2) != first).any()


def test_real_world_validation_has_several_degradations(picture):
    task = Task(Protocol("sr", False, 4, real=True), "", 1, 1.0)
    training, validation = train.split({"one": [picture], "coffee": [picture]}, task)
    assert len(training) == 1
    assert len(validation) == 4
    assert len({sample.degraded.tobytes() for sample in validation}) == 4
    assert len({sample.truth.tobytes() for sample in validation}) == 1


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
    assert [sample.truth.shape for sample in validation] == [(240, 252, 3)]
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
    train.save_weights(path, trained.config, dict(trained.named_parameters()))
    model = SwinIR(sr_task(scale).config((2,))).eval()
    training_tasks.start_from(model, path)
    with torch.no_grad():
        image = torch.rand(1, 3, 16, 24)
        fine = trained(image)
        # 12 is a multiple of 2, 3 and 4: enlarge to it by repetition, then average.
        by_twelve = fine.repeat_interleave(3, 2).repeat_interleave(3, 3)
        expected = torch.nn.functional.avg_pool2d(by_twelve, 12 // scale)
        torch.testing.assert_close(model(image), expected, atol=1e-5, rtol=1e-5)


def test_only_denoising_disturbs_and_by_sigma():
    inputs = torch.full((4, 3, 64, 64), 0.5)
    assert torch.equal(TASK.disturb(inputs), inputs)
    torch.manual_seed(0)
    noise = TASKS["tiny-denoise-gray-25"].disturb(inputs) - inputs
    assert float(noise.std()) * 255 == pytest.approx(25, rel=0.02)
    assert abs(float(noise.mean())) * 255 < 1


@pytest.mark.parametrize(
    ("name", "channels"), [("tiny-denoise-gray-25", 1), ("tiny-jpeg-color-40", 3)]
)
def test_pairs_are_as_the_task_degrades_them(picture, name, channels):
    high, low = TASKS[name].pair(picture)
    assert high.shape == low.shape == (240, 320, channels)
    assert (high == low).all() == ("denoise" in name)


def test_one_body_serves_other_windows_and_channels(tmp_path):
    """Gray pictures in all three channels, and the position biases of the smaller window."""
    torch.manual_seed(0)
    trained = SwinIR(TASKS["tiny-denoise-color-25"].config((2,))).eval()
    path = tmp_path / "trained.safetensors"
    train.save_weights(path, trained.config, dict(trained.named_parameters()))
    gray = SwinIR(TASKS["tiny-denoise-gray-25"].config((2,))).eval()
    training_tasks.start_from(gray, path)
    small = SwinIR(TASKS["tiny-jpeg-color-40"].config((2,))).eval()
    training_tasks.start_from(small, path)
    with torch.no_grad():
        image = torch.rand(1, 1, 16, 16)
        colour = image.repeat(1, 3, 1, 1) + trained.mean
        expected = (trained(colour) - trained.mean).mean(1, keepdim=True)
        torch.testing.assert_close(gray(image), expected, atol=1e-5, rtol=1e-5)
    table = "layers.0.residual_group.blocks.0.attn.relative_position_bias_table"
    large, cut = trained.state_dict()[table], small.state_dict()[table]
    for rows in (-6, 0, 6):  # the same distance has the same bias
        for columns in (-6, 0, 6):
            before = large[(rows + 7) * 15 + columns + 7]
            assert torch.equal(cut[(rows + 6) * 13 + columns + 6], before)


def test_weights_for_bytes_are_the_same_function(tmp_path):
    torch.manual_seed(0)
    config = TASKS["tiny-jpeg-color-40"].config((2,))
    model = SwinIR(dataclasses.replace(config, img_range=1.0)).eval()
    path = tmp_path / "model.safetensors"
    train.save_weights(path, config, dict(model.named_parameters()))
    saved = SwinIR.from_state_dict(config, training_tasks.load_file(path)).eval()
    with torch.no_grad():
        image = torch.rand(1, 3, 14, 21)
        torch.testing.assert_close(saved(image), model(image), atol=1e-5, rtol=1e-5)


def test_weights_for_bytes_are_taken_over_as_the_same_function(tmp_path):
    torch.manual_seed(0)
    config = TASKS["tiny-jpeg-color-40"].config((2,))
    model = SwinIR(dataclasses.replace(config, img_range=1.0)).eval()
    path = tmp_path / "model.safetensors"
    train.save_weights(path, config, dict(model.named_parameters()))
    again = SwinIR(dataclasses.replace(config, img_range=1.0)).eval()
    training_tasks.start_from(again, path)
    with torch.no_grad():
        image = torch.rand(1, 3, 14, 21)
        torch.testing.assert_close(again(image), model(image), atol=1e-5, rtol=1e-5)
