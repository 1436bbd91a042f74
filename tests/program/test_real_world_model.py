"""The built-in model for photographs: what it gains, measured by scikit-image, and --real.

Inputs are made by the package's seeded degradations, for which the model is made, and once more by
other libraries alone: blur by SciPy, reduction by Pillow and scikit-image, noise by NumPy, JPEG by
Pillow.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import scipy.ndimage
import skimage.transform
from cli_runs import Program
from numpy.typing import NDArray
from PIL import Image
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio
from testsets import testset

from swinir_deploy import Restorer, open_runtime
from swinir_deploy.evaluation.real_world import degrade

MODEL, SCALE = "tiny-real-sr-x4", 4
CHELSEA = Path(str(files("swinir_deploy") / "demo" / "chelsea.png"))

Levels = NDArray[np.uint8]
Worsen = Callable[[Levels, int], Levels]
"""(good picture, seed) -> input of the model."""


def pixels(path: Path) -> Levels:
    """A picture cut to sides that the scale divides."""
    with Image.open(path) as image:
        whole = np.asarray(image.convert("RGB"))
    height, width = (side // SCALE * SCALE for side in whole.shape[:2])
    return whole[:height, :width]


def to_levels(values: NDArray[np.float64]) -> Levels:
    return np.rint(values).clip(0, 255).astype(np.uint8)


def by_the_package(good: Levels, seed: int) -> Levels:
    return degrade(good, SCALE, (seed, zlib.crc32(good)))


def by_other_libraries(good: Levels, seed: int) -> Levels:
    """Blur, reduction, Gaussian noise, photon noise and JPEG in random order, and JPEG again.

    In the amounts that docs/evaluation.md states.
    """
    random = np.random.default_rng((seed, zlib.crc32(good)))
    values = good.astype(float)
    steps = ["blur", "reduce", "Gaussian", "Poisson"] + ["JPEG"] * int(random.integers(2))
    side = 1
    for step in random.permutation(steps):
        if step == "blur":
            sigma = random.uniform(0.2, 2.8) / side
            values = scipy.ndimage.gaussian_filter(values, (sigma, sigma, 0), mode="mirror")
        elif step == "reduce":
            values, side = reduced(values, int(random.integers(4))), SCALE
        elif step == "Gaussian":
            values = values + random.normal(0, random.uniform(1, 25), values.shape)
        elif step == "Poisson":
            photons = 10 ** random.uniform(2, 4)
            values = random.poisson(values.clip(0, 255) / 255 * photons) / photons * 255
        else:
            values = compressed(values, random)
    return to_levels(compressed(values, random))


def reduced(values: NDArray[np.float64], kind: int) -> NDArray[np.float64]:
    """By area or antialiased bicubic (Pillow), or bilinear or bicubic from the nearest pixels."""
    height, width = values.shape[0] // SCALE, values.shape[1] // SCALE
    if kind < 2:
        method = (Image.Resampling.BOX, Image.Resampling.BICUBIC)[kind]
        return np.asarray(Image.fromarray(to_levels(values)).resize((width, height), method), float)
    return np.asarray(
        skimage.transform.resize(
            values, (height, width, 3), order=(1, 3)[kind - 2], anti_aliasing=False, mode="reflect"
        )
    )


def compressed(values: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.float64]:
    buffer = io.BytesIO()
    Image.fromarray(to_levels(values)).save(buffer, "JPEG", quality=int(random.integers(30, 96)))
    return np.asarray(Image.open(buffer), float)


def luma_db(truth: Levels, result: Levels) -> float:
    pair = (rgb2ycbcr(truth), rgb2ycbcr(result))
    return float(peak_signal_noise_ratio(pair[0][..., 0], pair[1][..., 0], data_range=255))


def mean_gains(paths: list[Path], worsen: Worsen, seeds: int) -> tuple[float, float]:
    """What this model and tiny-sr-x4 have above bicubic enlargement of the same inputs, in dB."""
    restorers = [restorer_of(MODEL), restorer_of("tiny-sr-x4")]
    found = []
    for path in paths:
        good = np.ascontiguousarray(pixels(path))
        size = (good.shape[1], good.shape[0])
        for seed in range(seeds):
            small = worsen(good, seed)
            bicubic = Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)
            before = luma_db(good, np.asarray(bicubic))
            after = [luma_db(good, restorer.restore_array(small)) for restorer in restorers]
            found.append([value - before for value in after])
    ours, other = np.mean(found, axis=0)
    return float(ours), float(other)


def restorer_of(name: str) -> Restorer:
    return Restorer(open_runtime(name, "torch"), progress=False)


def test_the_demo_picture_as_a_photograph() -> None:
    ours, clean = mean_gains([CHELSEA], by_the_package, seeds=20)
    assert ours >= 0.8
    assert ours > clean + 1.5  # the model for clean pictures sharpens noise and blocks


@pytest.mark.slow
def test_set5_as_photographs() -> None:
    paths = sorted(testset("Set5/HR").glob("*.png"))
    assert len(paths) == 5
    ours, clean = mean_gains(paths, by_the_package, seeds=8)
    assert ours >= 1.0
    assert ours > clean + 1.5


@pytest.mark.slow
def test_photographs_made_by_other_libraries() -> None:
    """Same steps and amounts, none of the code that the model was trained with."""
    paths = [CHELSEA, *sorted(testset("Set5/HR").glob("*.png"))]
    ours, clean = mean_gains(paths, by_other_libraries, seeds=8)
    assert ours >= 0.5
    assert ours > clean + 1.0


def test_a_flat_picture_stays_flat_and_keeps_its_colour() -> None:
    """What no noise and no blocks are in is not changed: levels stay within two."""
    restorer = restorer_of(MODEL)
    for colour in ((0, 0, 0), (255, 255, 255), (120, 90, 200), (20, 180, 60)):
        flat = np.full((24, 32, 3), colour, np.uint8)
        inside = restorer.restore_array(flat)[16:-16, 16:-16].astype(int)
        assert np.abs(inside - np.array(colour)).max() <= 3


# -------------------------------------------------------------------------------- the command line

REAL = ("--task", "sr", "--scale", "4", "--real", "--offline", "--json")
"""Offline and with an empty cache: only a built-in model can answer."""


def test_real_restores_offline(swinir: Program, picture: Path) -> None:
    document = swinir("restore", picture, "large.png", *REAL).document
    assert document["model"]["model_id"] == MODEL
    with Image.open(picture) as small, Image.open("large.png") as large:
        assert large.size == (SCALE * small.width, SCALE * small.height)


def test_real_exports_offline(swinir: Program) -> None:
    document = swinir("export", *REAL, "-o", "real.onnx").document
    assert document["metadata"]["model_id"] == MODEL
    assert Path("real.onnx").is_file()


def test_real_is_timed_offline(swinir: Program) -> None:
    options = ("--backend", "torch", "--shape", "16x16", "--runs", 2)
    (row,) = swinir("bench", *REAL, *options).document["rows"]
    assert row["model_id"] == MODEL


def test_real_is_measured_offline_on_degraded_pictures(swinir: Program, tmp_path: Path) -> None:
    data = tmp_path / "Set5"  # a name that the card has figures for
    data.mkdir()
    Image.fromarray(pixels(CHELSEA)[:128, :160]).save(data / "cat.png")
    document = swinir("eval", *REAL, "--data", data).document
    assert document["spec"]["model_id"] == MODEL
    assert [figure["dataset"] for figure in document["stated"]] == ["Set5"]
    assert any("noise and JPEG in random order" in note for note in document["notes"])
    again = swinir("eval", *REAL, "--data", data).document
    assert again["mean"] == document["mean"]
    with Image.open(data / "cat.png") as good:
        (tmp_path / "small").mkdir()
        good.reduce(4).save(tmp_path / "small" / "catx4.png")
    given = swinir("eval", *REAL, "--data", data, "--lr", tmp_path / "small").document
    assert not any("random order" in note for note in given["notes"])
    assert given["stated"] == []
    assert given["mean_baseline"] != document["mean_baseline"]


def test_real_is_listed(swinir: Program) -> None:
    found = swinir("models", "--task", "sr", "--scale", "4", "--real", "--json").document["models"]
    assert found[0]["id"] == MODEL
    assert found[0]["state"] == "built in"
    assert {"medium-real-sr-x4-gan", "large-real-sr-x4-psnr"} <= {entry["id"] for entry in found}
