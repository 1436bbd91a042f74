"""Measure models on seeded real-world degradations of good pictures.

    python tools/real_world_figures.py --data Set5/HR --models tiny-sr-x4 tiny-real-sr-x4

Every picture is blurred, reduced, made noisy and compressed in random order, ``--seeds`` times (see
swinir_deploy/evaluation/real_world.py). Prints a table of the mean PSNR on Y in dB of the bicubic
enlargement and of each model's result, by the protocol of docs/evaluation.md. Seed 0 is what
``swinir-deploy eval`` measures.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from swinir_deploy import open_runtime
from swinir_deploy.evaluation.protocol import Candidate, Protocol
from swinir_deploy.evaluation.testsets import list_pictures
from swinir_deploy.pictures.read import read_picture

METRIC = "psnr_y"


def figures(picture: Path, candidates: list[Candidate], scale: int, seeds: int) -> list[float]:
    """Return the mean PSNR over all seeds: of bicubic, then of each candidate."""
    pixels = read_picture(picture).pixels
    rows = []
    for seed in range(seeds):
        protocol = Protocol("sr", gray=False, scale=scale, real=True, seed=seed)
        sample = protocol.sample(pixels)
        results = [sample.baseline, *(one.restore(sample.degraded) for one in candidates)]
        rows.append([protocol.score(result, sample.truth)[METRIC] for result in results])
    return np.mean(rows, axis=0).tolist()


def main() -> None:
    """Read the command line, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of good pictures")
    parser.add_argument("--models", nargs="+", required=True, help="ids or files, of one scale")
    parser.add_argument("--backend", default="torch")
    parser.add_argument("--seeds", type=int, default=20)
    options = parser.parse_args()
    runtimes = [open_runtime(model, options.backend) for model in options.models]
    candidates = [Candidate(runtime) for runtime in runtimes]
    print("| picture | bicubic | " + " | ".join(options.models) + " |")
    print("|---" * (2 + len(candidates)) + "|")
    rows = []
    for picture in list_pictures(options.data)[0]:
        rows.append(figures(picture, candidates, runtimes[0].spec.scale, options.seeds))
        print(f"| {picture.stem} | " + " | ".join(f"{value:.2f}" for value in rows[-1]) + " |")
    mean = (f"**{value:.2f}**" for value in np.mean(rows, axis=0))
    print("| **mean** | " + " | ".join(mean) + " |")
    for runtime in runtimes:
        runtime.close()


if __name__ == "__main__":
    main()
