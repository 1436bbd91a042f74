"""What a picture costs is a matter of its pixels, and of nothing that grows faster."""

import time
from pathlib import Path

import numpy as np
import pytest

from swinir_deploy import Restorer, export_onnx, open_runtime

SIDES_PX = (1000, 2000, 4000)
"""1, 4 and 16 megapixels: 25, 81 and 324 of the default tiles."""


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_cost_of_a_pixel_does_not_grow_with_the_picture(tmp_path: Path) -> None:
    """Processor time, which other programs on the machine change less than time on the clock.

    Each size twice, in turns, and the lesser counts: what comes on top is not the program's.
    """
    path = tmp_path / "tiny.onnx"
    export_onnx("tiny-denoise-color-25", path)
    random = np.random.default_rng(0)
    best = dict.fromkeys(SIDES_PX, float("inf"))
    with open_runtime(path) as runtime:
        restorer = Restorer(runtime, progress=False)
        restorer.restore_array(random.integers(0, 256, (500, 500, 3), np.uint8))
        for side in (*SIDES_PX, *SIDES_PX[:-1]):
            picture = random.integers(0, 256, (side, side, 3), np.uint8)
            started = time.process_time()
            restorer.restore_array(picture)
            best[side] = min(best[side], (time.process_time() - started) / side**2)
    costs = list(best.values())
    assert max(costs) / min(costs) < 1.15, f"seconds for a pixel at {SIDES_PX}: {costs}"
