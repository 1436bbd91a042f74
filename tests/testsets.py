"""The official test pictures (Set5, Set12, classic5), which are not part of the project.

They are looked for in ``../shared/testsets`` beside the repository, or where the environment
variable SWINIR_DEPLOY_TESTSETS says; tests that need them are skipped where they are not.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

__all__ = ["TESTSETS", "pixels", "testset"]

_DEFAULT = Path(__file__).resolve().parents[2] / "shared" / "testsets"
TESTSETS = Path(os.environ.get("SWINIR_DEPLOY_TESTSETS", _DEFAULT))


def testset(name: str) -> Path:
    """The folder of a set, such as ``Set5/HR``; skips the test where it is missing."""
    folder = TESTSETS / name
    if not folder.is_dir():
        pytest.skip(f"no test pictures {name} in {TESTSETS} (SWINIR_DEPLOY_TESTSETS names another)")
    return folder


testset.__test__ = False  # type: ignore[attr-defined]  # not a test itself


def pixels(path: Path) -> NDArray[np.uint8]:
    """[height, width, 3] of a colour file, [height, width] of a gray one, by Pillow alone."""
    with Image.open(path) as image:
        return np.asarray(image if image.mode == "L" else image.convert("RGB"))
