"""Look for test pictures, or parts of them, among the training pictures.

    python tools/check_overlap.py pictures/ testsets/Set5/HR testsets/Set12 testsets/classic5

Every test picture is reduced to a small template and slid over every training picture at
several sizes (normalised cross-correlation of gray values). Prints the best matches and
fails when one of them is closer than ``--limit``; unrelated pictures stay below about 0.85.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from skimage.feature import match_template
from training_data import Pixels, load_versions

TEMPLATE = 32
RATIOS = (0.9, 0.6, 0.4, 0.27, 0.18)
"""Sides of the searched part divided by the shorter side of the training picture."""


def gray(picture: Pixels, size: tuple[int, int]) -> np.ndarray:
    """Reduced gray picture, float."""
    return np.asarray(Image.fromarray(picture).convert("L").resize(size, Image.Resampling.BOX))


def best_match(picture: Pixels, template: np.ndarray) -> float:
    """The highest correlation of the template, upright or mirrored, over all sizes."""
    height, width = picture.shape[:2]
    best = 0.0
    for ratio in RATIOS:
        factor = TEMPLATE / (ratio * min(height, width))
        size = (max(TEMPLATE, round(width * factor)), max(TEMPLATE, round(height * factor)))
        small = gray(picture, size).astype(np.float64)
        for turned in (template, template[:, ::-1]):
            best = max(best, float(match_template(small, turned).max()))
    return best


def main() -> None:
    """Compare the folders given on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures", type=Path)
    parser.add_argument("tests", type=Path, nargs="+")
    parser.add_argument("--limit", type=float, default=0.93)
    options = parser.parse_args()
    versions = load_versions(options.pictures)
    found = []
    for path in sorted(p for folder in options.tests for p in folder.glob("*.png")):
        square = Image.open(path).convert("L").resize((TEMPLATE, TEMPLATE), Image.Resampling.BOX)
        template = np.asarray(square, np.float64)
        for name, pictures in versions.items():
            found.append((best_match(pictures[-1], template), str(path), name))
    found.sort(reverse=True)
    for correlation, test, name in found[:10]:
        print(f"{correlation:.3f}  {test}  {name}")
    if found[0][0] > options.limit:
        sys.exit(f"{found[0][1]} looks like a part of {found[0][2]}.")


if __name__ == "__main__":
    main()
