"""The built-in models against their stated figures, by the paper's protocol written out again."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from testsets import testset

from swinir_deploy import load_catalog, open_runtime

BARS_DB = {"tiny-sr-x2": 36.5, "tiny-sr-x3": 32.6, "tiny-sr-x4": 30.4}
"""What must be reached on Set5; bicubic interpolation has 33.68, 30.40 and 28.43."""


def set5_y_psnr(model: str, scale: int) -> float:
    """Mean PSNR of Y: mirrored to the next window, uint8, BT.601, border of ``scale`` pixels."""
    figures = []
    folder = testset("Set5")
    with open_runtime(model, "torch") as runtime:
        window = runtime.spec.window_size
        for path in sorted((folder / "HR").glob("*.png")):
            small = folder / "LR_bicubic" / f"X{scale}" / f"{path.stem}x{scale}.png"
            low = np.asarray(Image.open(small).convert("RGB"), np.float32) / 255
            high = np.asarray(Image.open(path).convert("RGB"))
            height, width = low.shape[:2]
            rows, columns = (height // window + 1) * window, (width // window + 1) * window
            mirrored = np.concatenate([low, low[::-1]], 0)[:rows]
            mirrored = np.concatenate([mirrored, mirrored[:, ::-1]], 1)[:, :columns]
            out = runtime.run(np.ascontiguousarray(mirrored.transpose(2, 0, 1)[None]))[0]
            out = out[:, : height * scale, : width * scale].transpose(1, 2, 0)
            levels = np.round(np.clip(out, 0, 1) * 255)
            weights = np.array([65.481, 128.553, 24.966]) / 255
            error = (levels - high[: height * scale, : width * scale]) @ weights
            inside = error[scale:-scale, scale:-scale]
            figures.append(10 * np.log10(255**2 / np.mean(inside**2)))
    return float(np.mean(figures))


@pytest.mark.slow
@pytest.mark.parametrize("name", BARS_DB)
def test_the_stated_figure_is_what_is_measured(name: str) -> None:
    card = load_catalog().get(name)
    stated = next(f for f in card.measured if (f.dataset, f.metric) == ("Set5", "psnr_y"))
    found = set5_y_psnr(name, card.scale)
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
