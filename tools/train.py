"""Train one of the built-in models.

    python tools/training_pictures.py pictures/
    python tools/train.py --task sr --scale 4 --pictures pictures/ --minutes 85 --out run/

Writes into ``--out``: ``log.jsonl`` (one line a validation), ``last.pt`` (everything needed to
go on: the same command resumes) and ``tiny-sr-x4.safetensors`` (averaged weights, FP32,
official names). The schedule runs over ``--steps`` or, on a machine of unknown speed, over
``--minutes`` of training. Uses a GPU when there is one.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F
from training_data import PatchSampler, Pixels, load_versions, make_pair
from training_network import TrainingForward

from swinir_deploy.evaluation.metrics import psnr
from swinir_deploy.network import SwinIR, SwinIRConfig

VALIDATION = (
    *("coffee", "china", "LadyBird", "lighthouse", "FallenLeaf_contents_images_2560x1600"),
    *("friends_by_Aitzol_Berasategi", "castle-maintenon", "appleflower"),
)
"""Pictures kept out of training: names end so. Choices are made on these, never on Set5."""


@dataclass(frozen=True)
class Task:
    """What a model learns; denoising and JPEG repair will be further ways to make a pair.

    Attributes:
        name: ``sr``.
        scale: side of the output divided by side of the input.
    """

    name: str
    scale: int

    @property
    def model_id(self) -> str:
        """File name of the weights, without suffix."""
        return f"tiny-{self.name}-x{self.scale}"

    def config(self, depths: tuple[int, ...]) -> SwinIRConfig:
        """The architecture: 32 channels, two heads, windows of 8."""
        return SwinIRConfig(
            upscale=self.scale,
            in_chans=3,
            window_size=8,
            img_range=1.0,
            depths=depths,
            embed_dim=32,
            num_heads=(2,) * len(depths),
            mlp_ratio=2.0,
            upsampler="pixelshuffledirect",
            resi_connection="1conv",
        )

    def pair(self, picture: Pixels) -> tuple[Pixels, Pixels]:
        """(wanted output, input) of one picture."""
        return make_pair(picture, self.scale)


def start_as_bilinear(model: SwinIR, scale: int) -> None:
    """Let the untrained network be (almost) bilinear interpolation; the architecture stays.

    Three channels carry the picture from the first to the last convolution; the deep
    features start small. Saves the steps in which a network learns to copy its input.
    """
    with torch.no_grad():
        model.conv_first.weight[:3] = 0
        model.conv_first.bias[:3] = 0
        model.conv_after_body.weight *= 0.1
        model.conv_after_body.bias *= 0.1
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
    """Take over a trained body, and the head as far as it fits.

    Every parameter of the same name and shape is copied. The sub-pixels of a head for another
    scale become averages of those that they cover, so that training starts from a reduction of
    what the other network enlarges.
    """
    trained = load_file(path)
    own = model.state_dict()
    for name, value in trained.items():
        if name in own and own[name].shape == value.shape:
            own[name].copy_(value)
    channels, scale = model.config.in_chans, model.config.upscale
    for name in ("upsample.0.weight", "upsample.0.bias"):
        if name in own and name in trained and own[name].shape != trained[name].shape:
            old = math.isqrt(trained[name].shape[0] // channels)
            cover = area_matrix(old, scale)
            grid = trained[name].unflatten(0, (channels, old, old))
            mixed = torch.einsum("iy,jx,cyx...->cij...", cover, cover, grid)
            own[name].copy_(mixed.flatten(0, 2))


def area_matrix(old: int, new: int) -> Tensor:
    """[new, old]: the part of each of ``old`` equal shares in each of ``new``; rows sum to 1."""
    edges = torch.arange(new + 1, dtype=torch.float64) / new
    parts = torch.arange(old + 1, dtype=torch.float64) / old
    low = torch.maximum(edges[:-1, None], parts[None, :-1])
    high = torch.minimum(edges[1:, None], parts[None, 1:])
    return ((high - low).clamp(min=0) * new).float()


def learning_rate(progress: float, step: int, peak: float, warm_up: int) -> float:
    """Linear warm-up, then half a cosine down to a thousandth of the peak."""
    cosine = 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
    return peak * min(1.0, (step + 1) / warm_up) * max(cosine, 1e-3)


def to_pixels(output: Tensor) -> Pixels:
    """[1, 3, H, W] in 0..1 -> uint8 [H, W, 3], as the official test script rounds."""
    pixels = (output[0].float().clamp(0, 1).cpu().numpy() * 255.0).round().astype(np.uint8)
    return np.ascontiguousarray(pixels.transpose(1, 2, 0))


@torch.no_grad()
def restore(model: SwinIR, low: Pixels, device: torch.device) -> Pixels:
    """Run one picture with the official test script's padding (symmetric, always to the next)."""
    config = model.config
    pads = [(0, config.window_size - side % config.window_size) for side in low.shape[:2]]
    padded = np.pad(low, [*pads, (0, 0)], mode="symmetric")
    image = torch.from_numpy(padded).to(device).permute(2, 0, 1)[None].float() / 255
    height, width = (side * config.upscale for side in low.shape[:2])
    return to_pixels(model(image)[:, :, :height, :width])


def mean_psnr(
    model: SwinIR, pairs: list[tuple[Pixels, Pixels]], scale: int, device: torch.device
) -> list[float]:
    """PSNR on Y of each (high, low) pair, border as wide as the scale."""
    model.eval()
    values = [psnr(restore(model, low, device), high, scale, True) for high, low in pairs]
    model.train()
    return values


def load_test_set(folder: Path, scale: int) -> list[tuple[Pixels, Pixels]]:
    """Pairs of a test set laid out as HR/NAME.png and LR_bicubic/X4/NAMEx4.png."""
    pairs = []
    for path in sorted((folder / "HR").glob("*.png")):
        high = np.asarray(Image.open(path).convert("RGB"))
        low_path = folder / "LR_bicubic" / f"X{scale}" / f"{path.stem}x{scale}.png"
        low = np.asarray(Image.open(low_path).convert("RGB"))
        pairs.append((high[: low.shape[0] * scale, : low.shape[1] * scale], low))
    return pairs


def split(
    versions: dict[str, list[Pixels]], task: Task
) -> tuple[list[tuple[Pixels, Pixels]], list[tuple[Pixels, Pixels]]]:
    """Training pairs, and validation pairs: the middle of each picture's smallest version."""
    training, validation = [], []
    for name, pictures in versions.items():
        if name.endswith(VALIDATION):
            picture = pictures[-1]
            top, left = ((side - 252) // 2 for side in picture.shape[:2])
            validation.append(task.pair(picture[max(top, 0) :, max(left, 0) :][:252, :252]))
        else:
            training += [task.pair(picture) for picture in pictures]
    return training, validation


def save_weights(path: Path, task: Task, config: SwinIRConfig, averaged: dict[str, Tensor]) -> str:
    """Write the averaged parameters as safetensors and return the file's SHA-256."""
    metadata = {
        "format": "pt",
        "model_id": task.model_id,
        "config": json.dumps(config.to_dict()),
    }
    tensors = {name: value.float().cpu().contiguous() for name, value in averaged.items()}
    save_file(tensors, path, metadata)
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Trainer:
    """The state of a run: network, optimiser, averaged weights, step and time spent."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.task = Task(options.task, options.scale)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        torch.manual_seed(options.seed)
        self.config = self.task.config(tuple(options.depths))
        self.model = SwinIR(self.config)
        if options.start_from:
            start_from(self.model, options.start_from)
        else:
            start_as_bilinear(self.model, options.scale)
        self.model.to(self.device)
        self.optimiser = torch.optim.AdamW(
            self.model.parameters(), lr=0.0, betas=(0.9, 0.99), weight_decay=0.0
        )
        self.averaged = {n: p.detach().clone() for n, p in self.model.named_parameters()}
        self.shadow = SwinIR(self.config).to(self.device)
        self.step, self.seconds = 0, 0.0
        self.out: Path = options.out
        self.out.mkdir(parents=True, exist_ok=True)
        if (self.out / "last.pt").exists():
            self._resume(torch.load(self.out / "last.pt", map_location=self.device))
        forward = TrainingForward(self.model, self.config, options.patch).to(self.device)
        self.forward = torch.compile(forward) if options.compile else forward

    def _resume(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.averaged = state["averaged"]
        self.step, self.seconds = state["step"], state["seconds"]

    def save(self) -> str:
        """Write the checkpoint and the weights; returns the SHA-256 of the weights."""
        state = {
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "averaged": self.averaged,
            "step": self.step,
            "seconds": self.seconds,
        }
        torch.save(state, self.out / "last.part")
        (self.out / "last.part").replace(self.out / "last.pt")
        path = self.out / f"{self.task.model_id}.safetensors"
        return save_weights(path, self.task, self.config, self.averaged)

    @property
    def progress(self) -> float:
        """How much of the schedule is done, 0..1."""
        if self.options.minutes:
            return self.seconds / (60.0 * self.options.minutes)
        return self.step / self.options.steps

    def train_step(self, low: Pixels, high: Pixels) -> float:
        """One update; returns the loss."""
        inputs = torch.from_numpy(low).to(self.device).float() / 255
        wanted = torch.from_numpy(high).to(self.device).float() / 255
        rate = learning_rate(self.progress, self.step, self.options.rate, self.options.warm_up)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        with torch.autocast(self.device.type, torch.bfloat16, enabled=not self.options.fp32):
            output = self.forward(inputs)
        loss = F.l1_loss(output.float(), wanted)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 0.5)
        self.optimiser.step()
        decay = min(self.options.average, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            averaged = list(self.averaged.values())
            torch._foreach_lerp_(averaged, list(self.model.parameters()), 1 - decay)
        self.step += 1
        return float(loss.detach())

    def averaged_model(self) -> SwinIR:
        """A network with the averaged weights."""
        self.shadow.load_state_dict(self.averaged, strict=True)
        return self.shadow


def run(options: argparse.Namespace) -> None:
    """Train until the schedule ends, resuming where an earlier run stopped."""
    trainer = Trainer(options)
    scale = options.scale
    training, validation = split(load_versions(options.pictures), trainer.task)
    # The seed depends on the step, so that a resumed run does not repeat its crops.
    sampler = PatchSampler(training, scale, options.patch, options.seed + trainer.step)
    tests = load_test_set(options.test, scale) if options.test else []
    parameters = sum(p.numel() for p in trainer.model.parameters())
    print(f"{parameters} parameters, {len(training)} training pictures", flush=True)
    losses: list[float] = []
    while trainer.progress < 1.0:
        began = time.monotonic()
        losses.append(trainer.train_step(*sampler.batch(options.batch)))
        trainer.seconds += time.monotonic() - began
        if trainer.step % options.every == 0 or trainer.progress >= 1.0:
            model = trainer.averaged_model()
            own = mean_psnr(model, validation, scale, trainer.device)
            line = {
                "step": trainer.step,
                "minutes": round(trainer.seconds / 60, 2),
                "loss": round(float(np.mean(losses)), 6),
                "validation_psnr_y": round(float(np.mean(own)), 4),
                "sha256": trainer.save(),
            }
            if tests:
                values = mean_psnr(model, tests, scale, trainer.device)
                line["test_psnr_y"] = [round(v, 3) for v in [*values, float(np.mean(values))]]
            losses.clear()
            with open(options.out / "log.jsonl", "a") as log:
                log.write(json.dumps(line) + "\n")
            print(line, flush=True)


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", choices=["sr"], default="sr")
    parser.add_argument("--scale", type=int, choices=[2, 3, 4], default=4)
    parser.add_argument("--pictures", type=Path, required=True)
    parser.add_argument("--test", type=Path, help="a test set, logged and never chosen on")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--start-from", type=Path, help="safetensors of a trained body")
    parser.add_argument("--depths", type=int, nargs="+", default=[4, 4])
    parser.add_argument("--steps", type=int, default=20000)
    parser.add_argument("--minutes", type=float, help="length of the schedule, instead of --steps")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--patch", type=int, default=32, help="side of the input crops")
    parser.add_argument("--rate", type=float, default=2e-3, help="peak learning rate")
    parser.add_argument("--warm-up", type=int, default=300, help="steps")
    parser.add_argument("--average", type=float, default=0.999, help="decay of the average")
    parser.add_argument("--every", type=int, default=500, help="steps between validations")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fp32", action="store_true", help="no BF16 autocast")
    parser.add_argument("--compile", action="store_true", help="torch.compile the forward")
    run(parser.parse_args())


if __name__ == "__main__":
    main()
