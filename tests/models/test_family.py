"""More of the family than the official releases: channels, scales, unshuffle, no shift.

The reference is the official network where it can express the shape. Where it cannot, its body is
used with the head and the first convolution that the publication describes (DiffBIR's
``diffbir/model/swinir.py``), written here in plain PyTorch.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from oracle import _official_module
from torch import Tensor, nn

from swinir_deploy import export_onnx, load_model, open_runtime, verify
from swinir_deploy.errors import UsageError
from swinir_deploy.network.config import RGB_MEAN, SwinIRConfig
from swinir_deploy.restoration.restorer import Restorer

BASE = SwinIRConfig(
    upscale=2,
    in_chans=3,
    window_size=8,
    img_range=1.0,
    depths=(2,),
    embed_dim=12,
    num_heads=(2,),
    upsampler="pixelshuffledirect",
    img_size=16,
)

FAMILY = {
    "2 channels": replace(BASE, in_chans=2),
    "4 channels, pixelshuffle": replace(BASE, in_chans=4, upsampler="pixelshuffle"),
    "13 channels, denoising": replace(BASE, in_chans=13, upscale=1, upsampler=""),
    "16 channels, nearest+conv": replace(BASE, in_chans=16, upsampler="nearest+conv"),
    "4 to 3 channels": replace(BASE, in_chans=4, out_chans=3),
    "6 to 3 channels, pixelshuffle": replace(
        BASE, in_chans=6, out_chans=3, upsampler="pixelshuffle"
    ),
    "1 to 3 channels": replace(BASE, in_chans=1, out_chans=3, upsampler="nearest+conv"),
    "1 to 3 channels, no upsampler": replace(
        BASE, in_chans=1, out_chans=3, upscale=1, upsampler=""
    ),
    "direct x1": replace(BASE, upscale=1),
    "direct x5": replace(BASE, upscale=5),
    "direct x7, gray": replace(BASE, upscale=7, in_chans=1),
    "direct x16": replace(BASE, upscale=16),
    "pixelshuffle x16": replace(BASE, upscale=16, upsampler="pixelshuffle"),
    "nearest+conv x8": replace(BASE, upscale=8, upsampler="nearest+conv"),
    "unshuffle 8, DiffBIR": replace(BASE, upscale=1, unshuffle=8, upsampler="nearest+conv"),
    "unshuffle 2, x2": replace(BASE, upscale=2, unshuffle=2, upsampler="pixelshuffle"),
    "unshuffle 2, gray, direct": replace(BASE, upscale=1, unshuffle=2, in_chans=1),
    "no shift": replace(BASE, img_size=8),
    "no shift, window 4": replace(BASE, img_size=4, window_size=4, upsampler="pixelshuffle"),
    "no shift, ape": replace(BASE, img_size=8, ape=True),
    "img_range 255, window 7, x2": replace(BASE, window_size=7, img_range=255.0, img_size=21),
    "its own mean": replace(BASE, mean=(0.1, 0.5, 0.25)),
}


class Reference(nn.Module):
    """The network of a configuration, from the official body."""

    def __init__(self, config: SwinIRConfig, seed: int) -> None:
        super().__init__()
        self.config = config
        scale, feat = config.upscale * config.unshuffle, config.num_feat
        dim, out = config.embed_dim, config.out_chans or config.in_chans
        torch.manual_seed(seed)
        self.body = body = _official_module().SwinIR(
            img_size=config.img_size,
            in_chans=config.in_chans,
            embed_dim=dim,
            depths=list(config.depths),
            num_heads=list(config.num_heads),
            window_size=config.window_size,
            mlp_ratio=config.mlp_ratio,
            upscale=scale,
            upsampler=config.upsampler,
            img_range=1.0,
            ape=config.ape,
        )
        if config.unshuffle > 1:
            body.conv_first = nn.Sequential(
                nn.PixelUnshuffle(config.unshuffle),
                nn.Conv2d(config.in_chans * config.unshuffle**2, dim, 3, 1, 1),
            )
        if config.upsampler == "pixelshuffledirect":
            body.upsample[0] = nn.Conv2d(dim, scale**2 * out, 3, 1, 1)
        else:
            body.conv_last = nn.Conv2d(feat if config.upsampler else dim, out, 3, 1, 1)
        if config.upsampler == "nearest+conv":
            for stage in range(1, scale.bit_length()):
                setattr(body, f"conv_up{stage}", nn.Conv2d(feat, feat, 3, 1, 1))
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, parameter in body.named_parameters():
                fan = parameter[0].numel() if parameter.ndim > 1 else 25.0
                values = torch.randn(parameter.shape, generator=generator) * fan**-0.5
                parameter.copy_(
                    1 + values if "norm" in name and name.endswith("weight") else values
                )
        mean = config.mean or (RGB_MEAN if (config.in_chans, out) == (3, 3) else (0.0,))
        self.mean = torch.tensor(mean).view(1, -1, 1, 1)

    @torch.no_grad()
    def forward(self, image: Tensor) -> Tensor:
        config, body = self.config, self.body
        height, width = image.shape[2:]
        side = config.window_size * config.unshuffle
        padded = F.pad(image, (0, -width % side, 0, -height % side), "reflect")
        x = (padded - self.mean) * config.img_range
        shallow = body.conv_first(x)
        deep = body.conv_after_body(body.forward_features(shallow)) + shallow
        if config.upsampler == "pixelshuffle":
            y = body.conv_last(
                body.upsample(F.leaky_relu(body.conv_before_upsample[0](deep), 0.01))
            )
        elif config.upsampler == "pixelshuffledirect":
            y = body.upsample(deep)
        elif config.upsampler == "nearest+conv":
            y = F.leaky_relu(body.conv_before_upsample[0](deep), 0.01)
            for stage in range(1, (config.upscale * config.unshuffle).bit_length()):
                larger = y.repeat_interleave(2, 2).repeat_interleave(2, 3)
                y = F.leaky_relu(getattr(body, f"conv_up{stage}")(larger), 0.2)
            y = body.conv_last(F.leaky_relu(body.conv_hr(y), 0.2))
        else:
            y = x + body.conv_last(deep)
        y = y / config.img_range + self.mean
        return y[:, :, : height * config.upscale, : width * config.upscale]


@pytest.fixture
def saved(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Reference, Path]:
    reference = Reference(FAMILY[request.param], seed=5).eval()
    path = tmp_path / "network.pth"
    state = reference.body.state_dict()
    if reference.config.mean is not None:
        state["mean"] = reference.mean
    torch.save({"params": state, "config": {"img_range": reference.config.img_range}}, path)
    return reference, path


def picture(config: SwinIRConfig, batch: int, height: int, width: int) -> Any:
    generator = np.random.default_rng(height + width)
    return generator.random((batch, config.in_chans, height, width), dtype=np.float32)


def sizes(config: SwinIRConfig) -> list[tuple[int, int, int]]:
    side = config.window_size * config.unshuffle
    if config.ape:
        return [(1, side, side), (2, side - 1, side - 2)]
    least = side // 2 + 1
    return [(1, least, least), (1, 2 * side + 3, side + 1), (2, side, 3 * side - 1)]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("saved", FAMILY, indirect=True)
def test_the_network_is_the_reference(saved: tuple[Reference, Path]) -> None:
    reference, path = saved
    model = load_model(path)
    wanted = replace(reference.config, mlp_ratio=model.config.mlp_ratio)
    if not wanted.ape and wanted.shift_size == 0:
        wanted = replace(wanted, img_size=wanted.window_size)
    assert replace(model.config, img_size=wanted.img_size) == wanted
    assert (model.config.shift_size == 0) == (wanted.shift_size == 0)
    for size in sizes(wanted):
        image = torch.from_numpy(picture(wanted, *size))
        expected = reference(image)
        with torch.no_grad():
            actual = model.network(image)
        assert actual.shape == expected.shape
        assert (actual - expected).abs().max() <= 2e-5 * max(1.0, float(expected.abs().max()))


EXPORTED = [
    "4 to 3 channels",
    "1 to 3 channels, no upsampler",
    "direct x5",
    "nearest+conv x8",
    "unshuffle 2, x2",
    "no shift",
]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("saved", EXPORTED, indirect=True)
def test_the_exported_file_is_the_reference(saved: tuple[Reference, Path]) -> None:
    reference, path = saved
    config = reference.config
    exported = path.with_suffix(".onnx")
    export_onnx(path, exported)
    session = onnxruntime.InferenceSession(exported, providers=["CPUExecutionProvider"])
    with open_runtime(exported) as runtime:
        assert runtime.spec.window_size == config.window_size * config.unshuffle
        for size in sizes(config):
            image = picture(config, *size)
            expected = reference(torch.from_numpy(image)).numpy()
            for actual in (session.run(None, {"input": image})[0], runtime.run(image)):
                assert actual.shape == expected.shape
                assert np.abs(actual - expected).max() <= 1e-4 * max(1.0, np.abs(expected).max())
    # img_range and mean are those that the export recorded, without options.
    assert verify(exported, reference=path).passed


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("saved", ["unshuffle 2, x2"], indirect=True)
@pytest.mark.parametrize(("io", "target", "precision"), [("image", "tensorrt", "fp16")])
def test_half_precision_of_new_shapes(
    saved: tuple[Reference, Path], io: Any, target: str, precision: Any
) -> None:
    _, path = saved
    report = export_onnx(path, path.with_suffix(".onnx"), io=io, target=target, precision=precision)
    assert report.worst.comparison.psnr_db > 40


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("saved", ["4 to 3 channels", "2 channels"], indirect=True)
def test_pictures_need_one_or_three_channels(saved: tuple[Reference, Path]) -> None:
    with open_runtime(saved[1]) as runtime, pytest.raises(UsageError, match="pictures have 1"):
        Restorer(runtime)
