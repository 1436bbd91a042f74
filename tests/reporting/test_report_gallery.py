"""The pictures of a page: which are kept, which part, and whether every pixel is."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from swinir_deploy.evaluation.protocol import Sample
from swinir_deploy.reporting.gallery import MAX_PICTURES, MAX_SIDE_PX, Gallery, Panel

Levels = NDArray[np.uint8]


def pixels(panel: Panel) -> Levels:
    _, _, data = panel.uri.partition("data:image/webp;base64,")
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        return np.asarray(image.convert("RGB"))


def picture(seed: int, height: int = 40, width: int = 60, channels: int = 3) -> Levels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)


def measured(kept: Gallery, name: str, score: float, side: int = 40) -> None:
    truth = picture(0, side, side)
    kept.add_measured(name, Sample(truth, truth.astype(np.float32), truth // 2), truth, score)


def test_pixels_are_kept_without_loss_and_the_difference_is_eightfold() -> None:
    truth, degraded, restored = picture(1), picture(2), picture(3)
    kept = Gallery()
    kept.add_measured("a.png", Sample(truth, degraded.astype(np.float32), degraded), restored, 30.0)
    (shown,) = kept.pictures
    labels = [panel.label for panel in shown.panels]
    assert labels == ["original", "degraded", "restored", "difference \u00d7 8"]
    for panel, wanted in zip(shown.panels, (truth, degraded, restored), strict=False):
        assert np.array_equal(pixels(panel), wanted)
    apart = np.minimum(255, np.abs(restored.astype(int) - truth) * 8)
    assert np.array_equal(pixels(shown.panels[3]), apart)
    assert (shown.width, shown.height) == (60, 40)
    assert "The whole picture" in shown.caption


def test_of_a_large_picture_the_part_that_changed_is_shown() -> None:
    truth = np.zeros((MAX_SIDE_PX + 300, MAX_SIDE_PX + 200, 1), np.uint8)
    restored = truth.copy()
    restored[-120:, :90] = 255
    kept = Gallery()
    kept.add_measured("a.png", Sample(truth, truth.astype(np.float32), truth), restored, 30.0)
    (shown,) = kept.pictures
    assert (shown.width, shown.height) == (MAX_SIDE_PX, MAX_SIDE_PX)
    found = pixels(shown.panels[2])
    assert found.shape == (MAX_SIDE_PX, MAX_SIDE_PX, 3)
    assert (found == 255).sum() == 3 * 120 * 90
    assert f"{MAX_SIDE_PX}x{MAX_SIDE_PX} pixels where the model changed most" in shown.caption


def test_the_first_pictures_and_the_worst_one_are_kept() -> None:
    kept = Gallery()
    for number, score in enumerate([30, 31, 32, 33, 34, 25, 40, 20, 29]):
        measured(kept, f"{number}", score)
    assert [shown.name for shown in kept.pictures] == ["0", "1", "2", "7"]
    assert len(kept.pictures) == MAX_PICTURES


def test_a_comparison_shows_input_result_and_network() -> None:
    given = (picture(4, 10, 12) / 255).astype(np.float32).transpose(2, 0, 1)[None]
    output = np.repeat(np.repeat(given, 4, 2), 4, 3)
    kept = Gallery()
    kept.add_compared("synthetic", given, output, output)
    kept.add_compared("a.png", given, output + 3 / 255, output)
    (shown,) = kept.pictures
    labels = [panel.label for panel in shown.panels]
    assert labels == ["input, bicubic", "restored", "PyTorch, fp32", "difference \u00d7 8"]
    assert "at most 3 of 255 levels" in shown.caption
    assert pixels(shown.panels[3]).max() == 24


def test_other_data_than_pictures_are_left_out() -> None:
    kept = Gallery()
    many = np.zeros((1, 5, 8, 8), np.float32)
    kept.add_compared("a.tif", many, many, many)
    assert kept.pictures == ()


def test_values_that_are_not_finite_are_shown_as_black_or_white() -> None:
    given = np.zeros((1, 1, 8, 8), np.float32)
    output = np.full((1, 1, 8, 8), np.nan, np.float32)
    kept = Gallery()
    kept.add_compared("a.png", given, output, given + 1)
    assert "at most 255 of 255 levels" in kept.pictures[0].caption
