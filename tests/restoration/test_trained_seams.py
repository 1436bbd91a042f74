"""Tiles of trained networks: no seam, no grid, and panoramas that no model sees at once."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest
from PIL import Image
from testsets import pixels, testset

from swinir_deploy.pictures.read import read_picture
from swinir_deploy.restoration.restorer import Restorer
from swinir_deploy.restoration.tiling import plan_tiles

pytest.importorskip("torch")
from swinir_deploy.runtimes import Runtime, open_runtime

TILE_PX, OVERLAP_PX = 64, 32


@pytest.fixture(scope="module")
def open_model() -> Iterator[Any]:
    """Built-in models, each opened once."""
    with ExitStack() as stack:
        opened: dict[str, Runtime] = {}

        def get(name: str) -> Runtime:
            if name not in opened:
                opened[name] = stack.enter_context(open_runtime(name, "torch"))
            return opened[name]

        yield get


def border_mask(side: int, other: int, scale: int) -> np.ndarray:
    """Output rows (or columns) near the edge of any tile, where a seam would be.

    The pixel on either side of each tile's first and last row, and of the two rows where its share
    begins and ends.
    """
    plan = plan_tiles(side, other, TILE_PX, OVERLAP_PX, 8).rows
    mask = np.zeros(plan.padded * scale, bool)
    for start, weights in zip(plan.starts, plan.weights(scale), strict=True):
        seen = np.flatnonzero(weights > 0)
        for edge in (0, len(weights), seen[0], seen[-1] + 1):
            place = start * scale + edge
            if 0 < place < plan.side * scale:
                mask[place - 1 : place + 1] = True
    return mask[: side * scale]


def step_energy(difference: np.ndarray) -> np.ndarray:
    """For each row: mean square of its step from the row above, in the difference picture.

    A seam is a jump of the difference from one row to the next, all along the row.
    """
    steps = np.diff(difference, axis=0, prepend=difference[:1])
    return (steps.mean(axis=tuple(range(1, steps.ndim))) ** 2).astype(np.float64)


def grid_ratio(difference: np.ndarray, scale: int) -> float:
    """How much more a tile's borders step than the other rows and columns do, 1 being no more."""
    ratios = []
    for turned in (difference, difference.swapaxes(0, 1)):
        side, other = (length // scale for length in turned.shape[:2])
        mask, energy = border_mask(side, other, scale), step_energy(turned)
        ratios.append(energy[mask].mean() / max(energy[~mask].mean(), 1e-20))
    return max(ratios)


@pytest.mark.parametrize("scale", [2, 4])
def test_the_measure_sees_a_grid(scale):
    """A difference of one level that begins at a tile's border is found; noise is not."""
    rng = np.random.default_rng(0)
    difference = rng.normal(0, 1e-3, (128 * scale, 144 * scale, 3))
    assert grid_ratio(difference, scale) < 2
    plan = plan_tiles(128, 144, TILE_PX, OVERLAP_PX, 8).rows
    start = plan.starts[1] * scale
    difference[start : start + TILE_PX * scale] += 1e-3
    assert grid_ratio(difference, scale) > 20


@pytest.mark.slow
@pytest.mark.parametrize("picture", ["baby", "butterfly"])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_tiles_of_trained_models_show_no_grid_on_set5(open_model, scale, picture):
    low = pixels(testset("Set5/HR") / f"{picture}.png")[60:180, 60:188].astype(np.float32) / 255
    runtime = open_model(f"tiny-sr-x{scale}")
    whole = Restorer(runtime, 0).restore_array(low)
    tiled = Restorer(runtime, TILE_PX, OVERLAP_PX).restore_array(low)
    difference = tiled - whole
    assert 0 < np.abs(difference).mean() < 1e-3, "equal would mean that nothing was cut"
    assert grid_ratio(difference, scale) < 2


@pytest.mark.slow
def test_a_20000_pixel_wide_panorama_through_a_trained_model(open_model, tmp_path):
    x = np.linspace(0, 60 * np.pi, 20_000)
    waves = 127.5 + 100 * np.sin(x[None, :, None] + np.arange(3) + np.arange(16)[:, None, None] / 9)
    panorama = waves.astype(np.uint8)
    Image.fromarray(panorama).save(tmp_path / "in.png")
    runtime = open_model("tiny-sr-x2")
    done = Restorer(runtime, batch=16).restore_file(tmp_path / "in.png", tmp_path / "out.png")
    assert (done.target_width, done.target_height) == (40_000, 32)
    result = read_picture(tmp_path / "out.png").pixels
    # A part far from all edges is what that part gives alone, away from its own edges.
    part = Restorer(runtime, 0).restore_array(panorama[:, 9_984:10_240])
    found = result[:, 2 * 9_984 : 2 * 10_240]
    inner = np.s_[:, 96:-96]
    assert np.abs(found[inner].astype(int) - part[inner]).max() <= 2
    # And everywhere it is the panorama, enlarged.
    enlarged = np.asarray(Image.fromarray(panorama).resize((40_000, 32), Image.Resampling.BICUBIC))
    assert np.abs(result.astype(int) - enlarged).mean() < 2
