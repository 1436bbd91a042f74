"""The demo, whole: its figures are checked against pictures read from disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from swinir_deploy import demo
from swinir_deploy.demo import run_demo
from swinir_deploy.errors import CheckFailedError, InputError


def y_psnr(first: Path, second: np.ndarray) -> float:
    weights = np.array([65.481, 128.553, 24.966]) / 255
    a = np.asarray(Image.open(first)).astype(float) @ weights
    b = second.astype(float) @ weights
    error = (a - b)[4:-4, 4:-4]
    return float(20 * np.log10(255 / np.sqrt((error**2).mean())))


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> tuple[demo.DemoReport, list[str]]:
    lines: list[str] = []
    return run_demo(tmp_path_factory.mktemp("demo") / "new" / "folder", lines.append), lines


def test_the_files_are_there_and_the_figures_theirs(
    result: tuple[demo.DemoReport, list[str]],
) -> None:
    report, lines = result
    original = np.asarray(Image.open(Path(demo.__file__).parent / "chelsea.png"))
    assert Image.open(report.low_resolution).size == (108, 72)
    assert Image.open(report.restored).size == (432, 288)
    assert report.restored_psnr_y_db == pytest.approx(y_psnr(report.restored, original), abs=1e-6)
    assert report.restored_psnr_y_db > report.bicubic_psnr_y_db + 0.3
    assert report.parity_levels <= 1
    assert report.to_dict()["export_max_abs"] <= 1e-4
    text = "\n".join(lines)
    for path in (report.export.path, report.low_resolution, report.restored, report.sheet):
        assert path.is_file()
        assert str(path) in text
    assert "tiny built-in model" in text


def test_the_sheet_shows_three_pictures(result: tuple[demo.DemoReport, list[str]]) -> None:
    sheet = np.asarray(Image.open(result[0].sheet))
    width = sheet.shape[1] // 3
    original = np.asarray(Image.open(Path(demo.__file__).parent / "chelsea.png"))
    np.testing.assert_array_equal(sheet[:, 2 * width :], original[demo._SHEET_CROP])


def test_a_folder_that_cannot_be_made_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="Cannot make the folder"):
        run_demo(tmp_path / "file" / "folder", lambda _: None)


def test_a_picture_that_differs_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = demo.open_runtime
    monkeypatch.setattr(demo, "open_runtime", lambda model, backend: real("tiny-sr-x4", "torch"))
    true_restore = demo.Restorer.restore_array
    calls: list[int] = []

    def off_by_some(self: demo.Restorer, pixels: np.ndarray) -> np.ndarray:
        calls.append(1)
        restored = true_restore(self, pixels)
        return np.clip(restored, 3, 252) - np.uint8(3) if len(calls) == 1 else restored

    monkeypatch.setattr(demo.Restorer, "restore_array", off_by_some)
    with pytest.raises(CheckFailedError, match="differs from PyTorch's"):
        run_demo(tmp_path, lambda _: None)
