"""Train one of the built-in models.

    python tools/training_pictures.py pictures/
    python tools/train.py --model tiny-sr-x4 --pictures pictures/ --out run/

Writes into ``--out``: ``log.jsonl`` (one line a validation), ``last.pt`` (everything needed to
go on: the same command resumes) and ``tiny-sr-x4.safetensors`` (averaged weights, FP32,
official names). How each model was trained stands in training_tasks.py; options change it. Uses a
GPU when there is one.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F
from training_data import PatchSampler, Pixels, load_versions
from training_network import TrainingForward
from training_tasks import TASKS, Task, start_fresh, start_from, unit_range

from swinir_deploy.evaluation.protocol import Sample, pad_by_mirror
from swinir_deploy.evaluation.testsets import find_reduced, list_pictures
from swinir_deploy.network import SwinIR, SwinIRConfig
from swinir_deploy.pictures.read import read_picture
from swinir_deploy.pictures.values import to_levels

WEIGHTS = Path(__file__).parents[1] / "swinir_deploy" / "models" / "weights"

VALIDATION = (
    *("coffee", "china", "LadyBird", "lighthouse", "FallenLeaf_contents_images_2560x1600"),
    *("friends_by_Aitzol_Berasategi", "castle-maintenon", "appleflower"),
)
"""Pictures kept out of training: names end so. Choices are made on these, never on Set5."""

PAUSE_SECONDS = 30.0
"""A step that took longer was stopped meanwhile (Ctrl-Z, kill -STOP): no more of it counts."""


def learning_rate(progress: float, step: int, peak: float, warm_up: int) -> float:
    """Linear warm-up, then half a cosine down to a thousandth of the peak."""
    cosine = 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
    return peak * min(1.0, (step + 1) / warm_up) * max(cosine, 1e-3)


@torch.no_grad()
def mean_psnr(
    model: SwinIR, samples: list[Sample], task: Task, device: torch.device
) -> tuple[list[float], float]:
    """PSNR of each picture as the paper measures the task, and the mean."""
    model.eval()
    window, scale = model.config.window_size, model.config.upscale
    values = []
    for sample in samples:
        height, width = (side * scale for side in sample.degraded.shape[:2])
        padded = pad_by_mirror(sample.degraded, window)
        image = torch.from_numpy(padded).to(device).permute(2, 0, 1)[None]
        output = model(image)[0, :, :height, :width].permute(1, 2, 0).cpu().numpy()
        scores = task.protocol.score(to_levels(output), sample.truth)
        values.append(scores[task.protocol.metrics[0]])
    model.train()
    return values, float(np.mean(values))


def load_test_set(folder: Path, reduced: Path | None, task: Task) -> list[Sample]:
    """Return folders of good pictures, and of small ones for super-resolution."""
    samples, scale = [], task.protocol.scale
    for path in list_pictures(folder)[0]:
        small = None
        if reduced:
            small = read_picture(find_reduced(reduced, path, scale)).pixels
        samples.append(task.protocol.sample(read_picture(path).pixels, small))
    return samples


def split(
    versions: dict[str, list[Pixels]], task: Task
) -> tuple[list[tuple[Pixels, Pixels]], list[Sample]]:
    """Training pairs, and validation samples: the middle of each picture's smallest version."""
    training, validation = [], []
    for name, pictures in versions.items():
        if name.endswith(VALIDATION):
            picture = pictures[-1]
            top, left = ((side - 252) // 2 for side in picture.shape[:2])
            middle = picture[max(top, 0) :, max(left, 0) :][:252, :252]
            for seed in range(task.validation_seeds):
                protocol = dataclasses.replace(task.protocol, seed=seed)
                validation.append(protocol.sample(middle))
        else:
            training += [task.pair(picture) for picture in pictures]
    return training, validation


def save_weights(path: Path, config: SwinIRConfig, averaged: dict[str, Tensor]) -> str:
    """Write the averaged parameters as safetensors and return the file's SHA-256."""
    metadata = {
        "format": "pt",
        "model_id": path.stem,
        "config": json.dumps(config.to_dict()),
    }
    tensors = {name: value.float().cpu().clone() for name, value in averaged.items()}
    unit_range(config, tensors, config.img_range)
    save_file(tensors, path, metadata)
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Trainer:
    """The state of a run: network, optimiser, averaged weights, step and time spent."""

    def __init__(self, options: argparse.Namespace, task: Task) -> None:
        self.options = options
        self.task = task
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        torch.manual_seed(options.seed)
        self.config = self.task.config(tuple(options.depths))
        trained = dataclasses.replace(self.config, img_range=1.0)  # see unit_range
        self.model = SwinIR(trained)
        start = options.start_from or (task.start and WEIGHTS / f"{task.start}.safetensors")
        if start:
            start_from(self.model, start)
        else:
            start_fresh(self.model)
        self.model.to(self.device)
        self.optimiser = torch.optim.AdamW(
            self.model.parameters(), lr=0.0, betas=(0.9, 0.99), weight_decay=0.0
        )
        self.averaged = {n: p.detach().clone() for n, p in self.model.named_parameters()}
        self.shadow = SwinIR(trained).to(self.device)
        self.step, self.seconds = 0, 0.0
        self.out: Path = options.out
        self.out.mkdir(parents=True, exist_ok=True)
        if (self.out / "last.pt").exists():
            self._resume(torch.load(self.out / "last.pt", map_location=self.device))
        forward = TrainingForward(self.model, trained, task.patch).to(self.device)
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
        path = self.out / f"{self.options.model}.safetensors"
        return save_weights(path, self.config, self.averaged)

    @property
    def progress(self) -> float:
        """How much of the schedule is done, 0..1."""
        if self.options.minutes:
            return self.seconds / 60 / self.options.minutes
        return self.step / (self.options.steps or self.task.steps)

    def train_step(self, low: Pixels, high: Pixels) -> float:
        """One update; returns the loss."""
        inputs = torch.from_numpy(low).to(self.device).float() / 255
        wanted = torch.from_numpy(high).to(self.device).float() / 255
        peak = self.options.rate or self.task.rate
        rate = learning_rate(self.progress, self.step, peak, self.options.warm_up)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        with torch.autocast(self.device.type, torch.bfloat16, enabled=not self.options.fp32):
            output = self.forward(self.task.disturb(inputs))
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
        """Return a network with the averaged weights."""
        self.shadow.load_state_dict(self.averaged, strict=True)
        return self.shadow


def run(options: argparse.Namespace) -> None:
    """Train until the schedule ends, resuming where an earlier run stopped."""
    task = TASKS[options.model]
    protocol = task.protocol
    trainer = Trainer(options, task)
    training, validation = split(load_versions(options.pictures), task)
    # The seed depends on the step, so that a resumed run does not repeat its crops.
    seed = options.seed + trainer.step
    degrade = task.degrade if protocol.real else None
    sampler = PatchSampler(training, protocol.scale, task.patch, seed, degrade)
    torch.manual_seed(seed)
    tests = load_test_set(options.test, options.test_lr, task) if options.test else []
    parameters = sum(p.numel() for p in trainer.model.parameters())
    print(f"{parameters} parameters, {len(training)} training pictures", flush=True)
    losses: list[float] = []
    while trainer.progress < 1.0:
        began = time.monotonic()
        losses.append(trainer.train_step(*sampler.batch(options.batch)))
        trainer.seconds += min(time.monotonic() - began, PAUSE_SECONDS)
        if trainer.step % options.every == 0 or trainer.progress >= 1.0:
            model = trainer.averaged_model()
            metric = protocol.metrics[0]
            line = {
                "step": trainer.step,
                "minutes": round(trainer.seconds / 60, 2),
                "loss": round(float(np.mean(losses)), 6),
                f"validation_{metric}": round(
                    mean_psnr(model, validation, task, trainer.device)[1], 4
                ),
                "sha256": trainer.save(),
            }
            if tests:
                values, mean = mean_psnr(model, tests, task, trainer.device)
                line[f"test_{metric}"] = [round(value, 3) for value in [*values, mean]]
            losses.clear()
            with open(options.out / "log.jsonl", "a") as log:
                log.write(json.dumps(line) + "\n")
            print(line, flush=True)


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=list(TASKS), required=True)
    parser.add_argument("--pictures", type=Path, required=True)
    parser.add_argument("--test", type=Path, help="a test set, logged and never chosen on")
    parser.add_argument("--test-lr", type=Path, help="its pictures reduced by the scale")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--start-from", type=Path, help="weights to start from")
    parser.add_argument("--depths", type=int, nargs="+", default=[4, 4])
    parser.add_argument("--steps", type=int, help="length of the schedule")
    parser.add_argument(
        "--minutes", type=float, help="the same in time, on a machine that is shared"
    )
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rate", type=float, help="peak learning rate")
    parser.add_argument("--warm-up", type=int, default=300, help="steps")
    parser.add_argument("--average", type=float, default=0.999, help="decay of the average")
    parser.add_argument("--every", type=int, default=500, help="steps between validations")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fp32", action="store_true", help="no BF16 autocast")
    parser.add_argument("--compile", action="store_true", help="torch.compile the forward")
    run(parser.parse_args())


if __name__ == "__main__":
    main()
