"""What each built-in model learns: its architecture, its pairs of pictures, where it starts."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F
from training_data import Pixels

from swinir_deploy.evaluation.degradations import bicubic_resize, jpeg_compress
from swinir_deploy.evaluation.protocol import Protocol
from swinir_deploy.evaluation.real_world import degrade
from swinir_deploy.network import SwinIR, SwinIRConfig


@dataclass(frozen=True)
class Task:
    """One built-in model: the protocol that it is measured with, and how it was trained.

    Attributes:
        protocol: what is made of good pictures, and how results are measured.
        start: the built-in model whose weights it starts from; empty for a fresh start.
        steps: length of the schedule.
        rate: peak learning rate.
    """

    protocol: Protocol
    start: str
    steps: int
    rate: float

    @property
    def patch(self) -> int:
        """Side of the input crops in pixels: whole windows."""
        return 35 if self.protocol.task == "jpeg" else 32

    @property
    def validation_seeds(self) -> int:
        """How often each validation picture is degraded: often, where degradations differ much."""
        return 4 if self.protocol.real else 1

    def config(self, depths: tuple[int, ...]) -> SwinIRConfig:
        """Return the architecture: 32 channels, two heads; windows of 7 and range 255 for JPEG."""
        is_sr, is_jpeg = self.protocol.task == "sr", self.protocol.task == "jpeg"
        return SwinIRConfig(
            upscale=self.protocol.scale,
            in_chans=1 if self.protocol.gray else 3,
            window_size=7 if is_jpeg else 8,
            img_range=255.0 if is_jpeg else 1.0,
            depths=depths,
            embed_dim=32,
            num_heads=(2,) * len(depths),
            mlp_ratio=2.0,
            upsampler="pixelshuffledirect" if is_sr else "",
            resi_connection="1conv",
        )

    def pair(self, picture: Pixels) -> tuple[Pixels, Pixels]:
        """(wanted output, input) of one picture [H, W, 3], without what is made for each crop."""
        truth = self.protocol.truth(picture)
        if self.protocol.task == "denoise":
            return truth, truth
        if self.protocol.task == "jpeg":
            return truth, jpeg_compress(truth, self.protocol.quality or 0)
        scale = self.protocol.scale
        height, width = (side // scale * scale for side in truth.shape[:2])
        high = np.ascontiguousarray(truth[:height, :width])
        return high, np.ascontiguousarray(bicubic_resize(high, 1 / scale))

    def degrade(self, crop: Pixels, seed: int) -> Pixels:
        """Return a real-world model's input for a crop of a good picture."""
        return degrade(crop, self.protocol.scale, seed)

    def disturb(self, inputs: Tensor) -> Tensor:
        """Fresh noise on crops in 0..1, where the model is to remove noise."""
        if self.protocol.task != "denoise":
            return inputs
        return inputs + torch.randn_like(inputs) * ((self.protocol.noise or 0.0) / 255)


TASKS = {
    "tiny-sr-x4": Task(Protocol("sr", False, 4), "", 16500, 1.5e-3),
    "tiny-real-sr-x4": Task(Protocol("sr", False, 4, real=True), "tiny-sr-x4", 2178, 1e-3),
    "tiny-sr-x2": Task(Protocol("sr", False, 2), "tiny-sr-x4", 4200, 8e-4),
    "tiny-sr-x3": Task(Protocol("sr", False, 3), "tiny-sr-x4", 1360, 5e-4),
    "tiny-denoise-color-25": Task(
        Protocol("denoise", False, noise=25.0), "tiny-sr-x4", 6000, 1.2e-3
    ),
    "tiny-denoise-gray-25": Task(
        Protocol("denoise", True, noise=25.0), "tiny-denoise-color-25", 1000, 8e-4
    ),
    "tiny-jpeg-color-40": Task(
        Protocol("jpeg", False, quality=40), "tiny-denoise-color-25", 1000, 8e-4
    ),
    "tiny-jpeg-gray-40": Task(Protocol("jpeg", True, quality=40), "tiny-jpeg-color-40", 750, 6e-4),
}
"""Model id -> how to train it again."""


def start_fresh(model: SwinIR) -> None:
    """Let the untrained network be (almost) the identity or bilinear interpolation.

    The deep features start small. For super-resolution three channels carry the picture from the
    first to the last convolution, which saves the steps in which a network learns to copy its
    input; the architecture stays.
    """
    with torch.no_grad():
        model.conv_after_body.weight *= 0.1
        model.conv_after_body.bias *= 0.1
        if not model.config.upsampler:
            model.conv_last.weight *= 0.1
            model.conv_last.bias *= 0
            return
        scale = model.config.upscale
        model.conv_first.weight[:3] = 0
        model.conv_first.bias[:3] = 0
        head = model.upsample[0]
        head.weight *= 0.1
        head.bias *= 0
        for channel in range(3):
            model.conv_first.weight[channel, channel, 1, 1] = 1
            head.weight[:, channel] = 0
        offsets = (torch.arange(scale) + 0.5) / scale - 0.5
        taps = torch.stack([(-offsets).clamp(min=0), 1 - offsets.abs(), offsets.clamp(min=0)], 1)
        kernels = torch.einsum("iy,jx->ijyx", taps, taps).reshape(-1, 3, 3)
        for channel in range(3):
            head.weight[channel * scale**2 : (channel + 1) * scale**2, channel] = kernels


def start_from(model: SwinIR, path: Path) -> None:
    """Take over a trained body, and both ends as far as they fit.

    Every parameter of the same name and shape is copied. What differs in shape is reduced: the
    sub-pixels of a head for another scale become averages of those that they cover, the position
    biases of a larger window lose the distances that a smaller one does not have, and three
    channels become one by sum (what reads a picture) or mean (what writes one). Weights for bytes
    become weights for 0..1 again (:func:`unit_range`). A last convolution that the other network
    does not have starts small.
    """
    trained, own = load_file(path), model.state_dict()
    with safe_open(path, "pt") as opened:
        config = SwinIRConfig.from_dict(json.loads(opened.metadata()["config"]))
    unit_range(config, trained, 1 / config.img_range)
    if not model.config.upsampler:
        own["conv_last.weight"].mul_(0.1)
        own["conv_last.bias"].zero_()
    for name, value in own.items():
        if name in trained and value.is_floating_point():
            value.copy_(_fitted(name, trained[name], value, model.config))


def _fitted(name: str, old: Tensor, like: Tensor, config: SwinIRConfig) -> Tensor:
    """``old`` in the shape of ``like``."""
    if old.shape == like.shape:
        return old
    if name.startswith("upsample.0."):
        side = math.isqrt(old.shape[0] // config.in_chans)
        cover = area_matrix(side, config.upscale)
        grid = old.unflatten(0, (config.in_chans, side, side))
        return torch.einsum("iy,jx,cyx...->cij...", cover, cover, grid).flatten(0, 2)
    if name.endswith("relative_position_bias_table"):
        side, wanted = math.isqrt(old.shape[0]), 2 * config.window_size - 1
        cut = (side - wanted) // 2
        return F.pad(old.unflatten(0, (side, side)), [0, 0] + [-cut] * 4).flatten(0, 1)
    if name == "conv_first.weight":
        return old.sum(1, keepdim=True)
    if name in ("conv_last.weight", "conv_last.bias"):
        return old.mean(0, keepdim=True)
    raise ValueError(f"{name}: {tuple(old.shape)} does not fit {tuple(like.shape)}")


def area_matrix(old: int, new: int) -> Tensor:
    """Return [new, old]: what part of each old share lies in each new one; rows sum to 1."""
    edges = torch.arange(new + 1, dtype=torch.float64) / new
    parts = torch.arange(old + 1, dtype=torch.float64) / old
    low = torch.maximum(edges[:-1, None], parts[None, :-1])
    high = torch.minimum(edges[1:, None], parts[None, 1:])
    return ((high - low).clamp(min=0) * new).float()


def unit_range(config: SwinIRConfig, weights: dict[str, Tensor], factor: float) -> None:
    """Turn weights for pictures in 0..1 into weights for 0..``factor``, the function unchanged.

    Networks are trained on 0..1, where one learning rate suits every layer. The first convolution
    is divided and the last one multiplied, in place. Only for networks that end in ``conv_last``.
    """
    if factor == 1.0:
        return
    if config.upsampler:
        raise ValueError("only networks without an upsampler change their range")
    weights["conv_first.weight"] /= factor
    weights["conv_last.weight"] *= factor
    weights["conv_last.bias"] *= factor
