"""The protocol's steps, each against an independent way to the same result."""

from __future__ import annotations

import sys
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from oracle import OfficialSwinIR, official_network
from skimage import data
from torch import Tensor

from swinir_deploy.errors import DeviceMemoryError, InputError
from swinir_deploy.evaluation.degradations import bicubic_resize
from swinir_deploy.evaluation.protocol import Candidate, Protocol, pad_by_mirror
from swinir_deploy.models.load import load_model
from swinir_deploy.network.config import SwinIRConfig
from swinir_deploy.network.swinir import SwinIR
from swinir_deploy.pictures.values import to_levels
from swinir_deploy.runtimes import Runtime, RuntimeSpec

GRAY_JPEG = SwinIRConfig(
    upscale=1,
    in_chans=1,
    window_size=7,
    img_range=255.0,
    depths=(2,),
    embed_dim=12,
    num_heads=(2,),
    upsampler="",
)


class FakeRuntime(Runtime):
    """Gives a function of its input, and remembers the shapes it saw."""

    def __init__(self, function: Any, **spec: Any) -> None:
        self.function = function
        self.shapes: list[tuple[int, ...]] = []
        given = {"io": "tensor", "scale": 1, "in_chans": 1, "window_size": 8, **spec}
        self.described = RuntimeSpec(backend="fake", device="cpu", **given)
        super().__init__()

    def _load(self) -> RuntimeSpec:
        return self.described

    def _infer(self, batch: NDArray[Any]) -> NDArray[Any]:
        self.shapes.append(batch.shape)
        result: NDArray[Any] = self.function(batch).astype(batch.dtype)
        return result

    def _unload(self) -> None:
        pass


def as_the_script_says(
    network: torch.nn.Module, picture: NDArray[np.float32], window: int, scale: int
) -> Tensor:
    """Protocol text, in torch: mirrored copy, next multiple, cut. NCHW, not clamped."""
    img = torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))[None].float()
    h, w = img.shape[2:]
    h_pad, w_pad = (h // window + 1) * window - h, (w // window + 1) * window - w
    img = torch.cat([img, torch.flip(img, [2])], 2)[:, :, : h + h_pad, :]
    img = torch.cat([img, torch.flip(img, [3])], 3)[:, :, :, : w + w_pad]
    with torch.no_grad():
        return network(img)[..., : h * scale, : w * scale]


def levels_of(output: Tensor) -> NDArray[np.uint8]:
    picture = output.squeeze(0).float().clamp(0, 1).numpy().transpose(1, 2, 0)
    return (picture * 255.0).round().astype(np.uint8)


def official(config: SwinIRConfig, state: dict[str, Tensor]) -> OfficialSwinIR:
    network = official_network(config)
    missing, unexpected = network.network.load_state_dict(state, strict=False)
    assert not unexpected
    assert all(name.endswith(("attn_mask", "relative_position_index")) for name in missing)
    return network


class TorchSubject(FakeRuntime):
    """A network of ours behind the fake's contract."""

    def __init__(self, network: SwinIR) -> None:
        config = network.config
        super().__init__(
            lambda batch: network(torch.from_numpy(batch)).detach().numpy(),
            scale=config.upscale,
            in_chans=config.in_chans,
            window_size=config.window_size,
        )


# ------------------------------------------------------------------------------------ padding


@pytest.mark.parametrize("window", [7, 8])
@pytest.mark.parametrize("shape", [(8, 8), (16, 24), (4, 5), (7, 14), (9, 15), (23, 4)])
def test_padding_is_the_scripts(window: int, shape: tuple[int, int]) -> None:
    picture = np.random.default_rng(0).random((*shape, 3), np.float32)
    expected = as_the_script_says(torch.nn.Identity(), picture, window, 100)[0]
    padded = pad_by_mirror(picture, window)
    assert (padded.transpose(2, 0, 1) == expected.numpy()).all()
    assert padded.shape[:2] == tuple((side // window + 1) * window for side in shape)


def test_padding_by_hand() -> None:
    # Four columns are a multiple of two already, and get two more all the same.
    picture = np.array([[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]])[..., None]
    assert pad_by_mirror(picture, 2)[..., 0].tolist() == [
        [1, 2, 3, 4, 4, 3],
        [5, 6, 7, 8, 8, 7],
        [9, 10, 11, 12, 12, 11],
        [9, 10, 11, 12, 12, 11],
    ]


@pytest.mark.parametrize(("shape", "window"), [((3, 8), 8), ((8, 3), 8), ((3, 7), 7)])
def test_a_side_that_the_mirror_cannot_fill_is_refused(shape: tuple[int, int], window: int) -> None:
    with pytest.raises(InputError, match=f"{shape[1]}x{shape[0]}.*at least 4"):
        pad_by_mirror(np.zeros((*shape, 1), np.float32), window)


# ----------------------------------------------------------------------------------- rounding


def test_rounding_is_half_to_even_after_clamping() -> None:
    values = np.array([-0.2, 0.5 / 255, 1.5 / 255, 2.5 / 255, 254.6 / 255, 1.7], np.float32)
    expected = (torch.from_numpy(values).clamp(0, 1).numpy() * 255.0).round().astype(np.uint8)
    assert to_levels(values).tolist() == expected.tolist() == [0, 0, 2, 2, 255, 255]


# -------------------------------------------------------------------------- what goes in


def test_gray_from_colour_is_opencvs_reading_of_png() -> None:
    colour = np.random.default_rng(0).integers(0, 256, (120, 130, 3), np.uint8)
    colour[:40] = colour[:40, :, :1]
    file = cv2.imencode(".png", colour[:, :, ::-1].copy())[1]
    expected = cv2.imdecode(file, cv2.IMREAD_GRAYSCALE)
    found = Protocol("denoise", gray=True, noise=25).truth(colour)
    assert (found[..., 0] == expected).all()
    assert (found[:40] == colour[:40, :, :1]).all()


def test_gray_for_jpeg_is_the_scripts_rounded_y() -> None:
    colour = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)
    bgr = colour[:, :, ::-1].astype(np.float32) / 255.0
    expected = (np.dot(bgr, [24.966, 128.553, 65.481]) + 16.0).round().astype(np.uint8)
    found = Protocol("jpeg", gray=True, quality=40).truth(colour)
    assert (found[..., 0] == expected).all()


def test_deep_pictures_are_read_as_opencv_reads_them() -> None:
    deep = np.random.default_rng(0).integers(0, 65536, (20, 30, 3), np.uint16)
    file = cv2.imencode(".png", deep[:, :, ::-1].copy())[1]
    expected = cv2.imdecode(file, cv2.IMREAD_COLOR)[:, :, ::-1]
    assert (Protocol("sr", gray=False, scale=2).truth(deep) == expected).all()


def test_a_gray_file_is_three_equal_channels_for_a_colour_model() -> None:
    gray = data.camera()[:20, :30, None]
    found = Protocol("denoise", gray=False, noise=25).truth(gray)
    assert found.shape == (20, 30, 3)
    assert (found == gray).all()


def test_noise_in_single_precision_for_the_network() -> None:
    rgb = data.astronaut()[:30, :20]
    bgr = rgb[:, :, ::-1].astype(np.float32) / 255.0
    generator = np.random.RandomState(0)
    expected = (bgr + generator.normal(0, 50 / 255.0, bgr.shape))[:, :, ::-1].astype(np.float32)
    sample = Protocol("denoise", gray=False, noise=50).sample(rgb)
    assert sample.degraded.dtype == np.float32
    assert (sample.degraded == expected).all()
    assert (sample.truth == rgb).all()
    assert (sample.baseline == (np.clip(expected, 0, 1) * 255.0).round()).all()


def test_jpeg_of_gray() -> None:
    gray = data.camera()[:50, :40]
    setting = [cv2.IMWRITE_JPEG_QUALITY, 10]
    expected = cv2.imdecode(cv2.imencode(".jpg", gray, setting)[1], 0)
    sample = Protocol("jpeg", gray=True, quality=10).sample(gray[..., None])
    assert (sample.degraded[..., 0] == expected.astype(np.float32) / 255.0).all()
    assert (sample.baseline[..., 0] == expected).all()


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_super_resolution_measures_what_the_scale_divides(scale: int) -> None:
    high = data.astronaut()[:50, :59]
    protocol = Protocol("sr", gray=False, scale=scale)
    sample = protocol.sample(high)
    rows, columns = 50 // scale, 59 // scale
    assert (sample.truth == high[: rows * scale, : columns * scale]).all()
    low = bicubic_resize(sample.truth, 1 / scale)
    assert (sample.degraded == low.astype(np.float32) / 255.0).all()
    assert (sample.baseline == bicubic_resize(low, scale)).all()
    given = protocol.sample(high, low[:, ::-1])
    assert (given.degraded == sample.degraded[:, ::-1]).all()


def test_real_world_models_get_seeded_degradations_unless_pictures_are_given() -> None:
    high = data.astronaut()[:50, :59]
    protocol = Protocol("sr", gray=False, scale=4, real=True)
    sample = protocol.sample(high)
    small = (sample.degraded * 255).round().astype(np.uint8)
    assert small.shape == (12, 14, 3)
    assert (small != bicubic_resize(sample.truth, 1 / 4)).any()
    assert (sample.baseline == bicubic_resize(small, 4)).all()
    assert (protocol.sample(high).degraded == sample.degraded).all()
    other = Protocol("sr", gray=False, scale=4, real=True, seed=1).sample(high)
    assert (other.degraded != sample.degraded).any()
    given = protocol.sample(high, small[:, ::-1])
    assert (given.degraded == sample.degraded[:, ::-1]).all()


def test_with_one_seed_pictures_differ_in_their_degradation() -> None:
    """The order and the amounts come from seed and picture: flat grays get other noise."""
    protocol = Protocol("sr", gray=False, scale=4, real=True)
    spreads = {
        round(float(protocol.sample(np.full((96, 96, 3), level, np.uint8)).degraded.std()), 5)
        for level in range(110, 126)
    }
    assert len(spreads) > 8
    assert max(spreads) > 4 * (min(spreads) + 1e-5)


def test_a_reduced_picture_of_another_scale_is_refused() -> None:
    high = data.astronaut()[:48, :48]
    protocol = Protocol("sr", gray=False, scale=4)
    for side in (11, 13, 24, 6):
        with pytest.raises(InputError, match=f"{side}x{side}.*48x48.*needs 12x12"):
            protocol.sample(high, np.zeros((side, side, 3), np.uint8))
    with pytest.raises(InputError, match="at least 4x4"):
        protocol.sample(high[:3])


# ------------------------------------------------------------------------- what is measured


@pytest.mark.parametrize(
    ("protocol", "border", "metrics"),
    [
        (Protocol("sr", gray=False, scale=3), 3, ("psnr_y", "ssim_y")),
        (Protocol("sr", gray=False, scale=4, real=True), 0, ("psnr_y", "ssim_y")),
        (Protocol("denoise", gray=True, noise=25), 0, ("psnr_gray",)),
        (Protocol("denoise", gray=False, noise=25), 0, ("psnr_rgb",)),
        (Protocol("jpeg", gray=True, quality=40), 0, ("psnr_gray", "ssim_gray", "psnr_b_gray")),
        (Protocol("jpeg", gray=False, quality=40), 0, ("psnr_rgb", "ssim_rgb", "psnr_b_rgb")),
    ],
)
def test_border_and_measures_are_those_of_the_paper(
    protocol: Protocol, border: int, metrics: tuple[str, ...]
) -> None:
    assert (protocol.border_px, protocol.metrics) == (border, metrics)
    truth = protocol.truth(data.astronaut()[:48, :48])
    scores = protocol.score(truth // 2, truth)
    assert set(metrics) <= set(scores)
    assert {name.rpartition("_")[2] for name in scores} == (
        {"gray"} if protocol.gray else {"rgb", "y"}
    )


# -------------------------------------------------------------------------- the whole way


@pytest.mark.parametrize("shape", [(24, 32), (21, 17)])
def test_a_trained_network_gives_the_official_scripts_pixels(shape: tuple[int, int]) -> None:
    loaded = load_model("tiny-sr-x4")
    network = official(loaded.config, loaded.network.state_dict())
    picture = data.astronaut()[: shape[0], : shape[1]].astype(np.float32) / 255.0
    expected = levels_of(as_the_script_says(network, picture, 8, 4))
    with TorchSubject(loaded.network) as runtime:
        found = Candidate(runtime).restore(picture)
    assert found.shape == (shape[0] * 4, shape[1] * 4, 3)
    difference = np.abs(found.astype(int) - expected)
    assert difference.max() <= 1  # float32 sums in another order, at the edge of a rounding
    assert difference.mean() < 1e-3


def test_window_7_and_range_255_too() -> None:
    network = official_network(GRAY_JPEG)
    ours = SwinIR(GRAY_JPEG).eval()
    missing, _ = ours.load_state_dict(network.network.state_dict(), strict=False)
    assert not missing
    picture = data.camera()[:28, :33, None].astype(np.float32) / 255.0
    expected = levels_of(as_the_script_says(network, picture, 7, 1))
    with TorchSubject(ours) as runtime:
        difference = np.abs(Candidate(runtime).restore(picture).astype(int) - expected)
    assert difference.max() <= 1
    assert difference.mean() < 1e-2


def test_self_ensemble_is_the_mean_of_eight_before_rounding() -> None:
    loaded = load_model("tiny-sr-x4")
    picture = data.astronaut()[40:58, 60:81].astype(np.float32) / 255.0
    total: Any = 0
    for turns in range(4):
        for dims in ([], [2]):
            view = torch.rot90(torch.from_numpy(picture.transpose(2, 0, 1).copy()), turns, [1, 2])
            view = torch.flip(view, dims)
            result = as_the_script_says(loaded.network, view.numpy().transpose(1, 2, 0), 8, 4)[0]
            total = total + torch.rot90(torch.flip(result, dims), -turns, [1, 2])
    expected = levels_of(total[None] / 8)
    with TorchSubject(loaded.network) as runtime:
        found = Candidate(runtime, self_ensemble=True).restore(picture)
        plain = Candidate(runtime).restore(picture)
    assert np.abs(found.astype(int) - expected).max() <= 1
    assert np.mean(found != expected) < 1e-3
    assert np.mean(found != plain) > 0.05


def test_self_ensemble_rounds_once() -> None:
    offsets = iter([0.6] * 5 + [0.0] * 3)  # the mean is 0.375; rounded one by one it were 0.625
    runtime = FakeRuntime(lambda batch: batch + next(offsets) / 255)
    picture = np.arange(48, dtype=np.float32).reshape(6, 8, 1) / 255
    assert (Candidate(runtime, self_ensemble=True).restore(picture) == to_levels(picture)).all()
    assert runtime.shapes == [(1, 1, 8, 16), (1, 1, 8, 16), (1, 1, 16, 8), (1, 1, 16, 8)] * 2


@pytest.mark.parametrize("self_ensemble", [False, True])
@pytest.mark.parametrize("tile", [None, 16])
@pytest.mark.parametrize("io", ["tensor", "image"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_model_that_repeats_pixels_gives_them_back(
    self_ensemble: bool, tile: int | None, io: str, channels: int
) -> None:
    axes = (2, 3) if io == "tensor" else (1, 2)
    runtime = FakeRuntime(
        lambda batch: batch.repeat(2, axes[0]).repeat(2, axes[1]),
        io=io,
        scale=2,
        in_chans=channels,
    )
    pixels = np.random.default_rng(0).integers(0, 256, (37, 51, channels), np.uint8)
    found = Candidate(runtime, tile, self_ensemble).restore(pixels.astype(np.float32) / 255)
    assert (found == pixels.repeat(2, 0).repeat(2, 1)).all()
    sides = {side for shape in runtime.shapes for side in np.array(shape)[list(axes)]}
    assert sides == ({16} if tile else {40, 56})


def test_a_model_with_fixed_sides_is_fed_tiles() -> None:
    runtime = FakeRuntime(lambda batch: batch, height=16, width=24, batch=2)
    picture = np.random.default_rng(0).random((40, 30, 1), np.float32)
    assert (Candidate(runtime).restore(picture) == to_levels(picture)).all()
    assert set(runtime.shapes) == {(2, 1, 16, 24)}


def test_a_model_of_bytes_gets_noise_clamped_and_rounded() -> None:
    seen = []
    runtime = FakeRuntime(lambda batch: seen.append(batch) or batch, io="image")
    noisy = np.array([-0.3, 0.5, 1.4, 0.1], np.float32)[None, :, None].repeat(4, 0)
    assert Candidate(runtime).restore(noisy)[0, :, 0].tolist() == [0, 128, 255, 26]
    assert seen[0].dtype == np.uint8


def test_memory_that_runs_out_names_the_way_out() -> None:
    def fail(batch: Any) -> Any:
        raise MemoryError

    with pytest.raises(DeviceMemoryError, match=r"12x9 pixels.*--tile 256"):
        Candidate(FakeRuntime(fail)).restore(np.zeros((9, 12, 1), np.float32))


def test_noise_needs_no_opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    Protocol("denoise", gray=True, noise=25).sample(data.camera()[:9, :9, None])
