"""The built-in models against their stated figures, by the paper's protocol written out again."""

from __future__ import annotations

import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from testsets import testset

from swinir_deploy import Runtime, load_catalog, open_runtime
from swinir_deploy.evaluation.real_world import degrade

BARS_DB = {
    "tiny-sr-x2": 36.5,
    "tiny-sr-x3": 32.6,
    "tiny-sr-x4": 30.4,
    "tiny-real-sr-x4": 26.07,
    "tiny-denoise-color-25": 28.82,
    "tiny-denoise-gray-25": 29.6,
    "tiny-jpeg-color-40": 31.63,
    "tiny-jpeg-gray-40": 33.23,
}
"""What must be reached. Bicubic interpolation has 33.68, 30.40 and 28.43, and 25.07 on
degraded pictures; the noisy colour pictures 20.82; the JPEG pictures 31.13 and 32.43."""

MEASURED_ON = {"gray-25": "Set12", "jpeg-gray": "classic5"}
"""Part of the id -> test set; Set5 for all others."""


def run_mirrored(runtime: Runtime, picture: NDArray[np.float64]) -> NDArray[np.float64]:
    """[H, W, C] in 0..1 -> levels 0..255, padded by its mirror image to the next window."""
    height, width = picture.shape[:2]
    window, scale = runtime.spec.window_size, runtime.spec.scale
    rows, columns = (height // window + 1) * window, (width // window + 1) * window
    mirrored = np.concatenate([picture, picture[::-1]], 0)[:rows]
    mirrored = np.concatenate([mirrored, mirrored[:, ::-1]], 1)[:, :columns]
    batch = np.ascontiguousarray(mirrored.transpose(2, 0, 1)[None], np.float32)
    out = runtime.run(batch)[0][:, : height * scale, : width * scale]
    return np.round(np.clip(out.transpose(1, 2, 0), 0, 1) * 255.0)


def db(error: NDArray[np.float64]) -> float:
    return float(10 * np.log10(255**2 / np.mean(error**2)))


def sr_figure(runtime: Runtime, path: Path) -> float:
    """PSNR of Y: uint8, BT.601, border of ``scale`` pixels."""
    scale = runtime.spec.scale
    small = path.parents[1] / "LR_bicubic" / f"X{scale}" / f"{path.stem}x{scale}.png"
    low = np.asarray(Image.open(small).convert("RGB")) / 255
    high = np.asarray(Image.open(path).convert("RGB"))
    levels = run_mirrored(runtime, low)
    weights = np.array([65.481, 128.553, 24.966]) / 255
    error = (levels - high[: levels.shape[0], : levels.shape[1]]) @ weights
    return db(error[scale:-scale, scale:-scale])


def real_world_figure(runtime: Runtime, path: Path) -> float:
    """PSNR of Y of the whole picture, for the first draw of degradations."""
    truth = np.asarray(Image.open(path).convert("RGB"))
    height, width = (side // 4 * 4 for side in truth.shape[:2])
    truth = np.ascontiguousarray(truth[:height, :width])
    low = degrade(truth, 4, (0, zlib.crc32(truth)))
    error = run_mirrored(runtime, low / 255) - truth
    return db(error @ (np.array([65.481, 128.553, 24.966]) / 255))


def restoration_figure(runtime: Runtime, path: Path) -> float:
    """PSNR over all channels of what OpenCV reads, disturbed as main_test_swinir.py does it."""
    spec, gray = runtime.spec, runtime.spec.in_chans == 1
    flag = cv2.IMREAD_GRAYSCALE if gray else cv2.IMREAD_COLOR
    truth = cv2.imread(str(path), flag)
    assert truth is not None
    if spec.task == "denoise":
        np.random.seed(0)
        picture = truth.reshape(*truth.shape[:2], -1).astype(np.float32) / 255.0
        bad = picture + np.random.normal(0, 25 / 255.0, picture.shape)
    else:
        _, coded = cv2.imencode(".jpg", truth, [int(cv2.IMWRITE_JPEG_QUALITY), 40])
        bad = cv2.imdecode(coded, flag).reshape(*truth.shape[:2], -1) / 255.0
    restored = run_mirrored(runtime, bad[..., ::-1])[..., ::-1]
    return db(restored - truth.reshape(restored.shape))


@pytest.mark.slow
@pytest.mark.parametrize("name", BARS_DB)
def test_the_stated_figure_is_what_is_measured(name: str) -> None:
    card = load_catalog().get(name)
    dataset = next((v for part, v in MEASURED_ON.items() if part in name), "Set5")
    folder = testset(dataset)
    folder = folder / "HR" if dataset == "Set5" else folder
    paths = sorted(p for p in folder.iterdir() if p.suffix in (".png", ".bmp"))
    figure = sr_figure if card.task == "sr" else restoration_figure
    figure = real_world_figure if card.real else figure
    with open_runtime(name, "torch") as runtime:
        found = float(np.mean([figure(runtime, path) for path in paths]))
    stated = next(f for f in card.measured if f.metric.startswith("psnr"))
    assert stated.dataset.lower() == dataset.lower()
    assert found == pytest.approx(stated.value, abs=0.01)
    assert found >= BARS_DB[name]


def test_every_built_in_model_is_small_and_its_file_is_the_stated_one() -> None:
    for card in load_catalog().all():
        if card.builtin:
            assert card.sha256
            assert card.parameters is not None
            assert card.parameters <= 300_000
            assert card.size_bytes is not None
            assert card.size_bytes <= 2_000_000
    assert sum(card.size_bytes or 0 for card in load_catalog().all() if card.builtin) < 8_000_000
    assert {card.id for card in load_catalog().all() if card.builtin} == set(BARS_DB)
