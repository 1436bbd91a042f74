"""What a picture costs is a matter of its pixels, and of nothing that grows faster."""

import time

import numpy as np
import pytest
from fake_runtimes import FakeRuntime

from swinir_deploy import Restorer

SIDES_PX = (1000, 2000, 4000)
"""1, 4 and 16 megapixels: 25, 81 and 324 of the default tiles."""


@pytest.mark.slow
@pytest.mark.serial
def test_the_cost_of_a_pixel_does_not_grow_with_the_picture() -> None:
    """Processor time, which other programs on the machine change less than time on the clock.

    The model only copies, so that next to everything that is measured is the Restorer's: beside a
    real model's time, which is the same for every tile, a cost that grows would not be seen. Each
    size several times, in turns, and the least counts: what comes on top is not the program's.

    The limit leaves room for noise: 0.05 s for a megapixel, a hundredth of what the smallest
    built-in model takes (5 s of processor time). A cost that grows with the side would be four
    times as large at the end.
    """
    random = np.random.default_rng(0)
    best = dict.fromkeys(SIDES_PX, float("inf"))
    with FakeRuntime(scale=1) as runtime:
        restorer = Restorer(runtime, progress=False)
        restorer.restore_array(random.integers(0, 256, (500, 500, 3), np.uint8))
        for side in (*SIDES_PX, *SIDES_PX, *SIDES_PX[:-1], SIDES_PX[0]):
            picture = random.integers(0, 256, (side, side, 3), np.uint8)
            started = time.process_time()
            restored = restorer.restore_array(picture)
            best[side] = min(best[side], (time.process_time() - started) / side**2)
            assert np.array_equal(restored, picture)
    costs = list(best.values())
    assert max(costs) / min(costs) < 1.5, f"seconds for a pixel at {SIDES_PX}: {costs}"
