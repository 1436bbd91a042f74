"""The quality of JPEG files that Pillow, OpenCV and cameras write."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from swinir_deploy.pictures.jpeg_quality import jpeg_quality


def _picture(mode: str = "RGB") -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    return Image.fromarray(pixels).convert(mode)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("subsampling", [0, 2])
def test_every_quality_that_pillow_writes(tmp_path: Path, mode: str, subsampling: int) -> None:
    picture, path = _picture(mode), tmp_path / "a.jpg"
    for quality in range(1, 101):
        picture.save(path, quality=quality, subsampling=subsampling)
        assert jpeg_quality(path) == quality


@pytest.mark.parametrize("options", [{"progressive": True}, {"optimize": True}, {"dpi": (72, 72)}])
def test_other_ways_of_writing_change_nothing(tmp_path: Path, options: dict[str, object]) -> None:
    path = tmp_path / "a.jpg"
    _picture().save(path, quality=37, **options)
    assert jpeg_quality(path) == 37


@pytest.mark.parametrize("quality", [5, 10, 40, 49, 50, 75, 95])
def test_another_encoder_means_the_same_by_it(tmp_path: Path, quality: int) -> None:
    cv2 = pytest.importorskip("cv2")
    path = tmp_path / "a.jpg"
    cv2.imwrite(str(path), np.asarray(_picture()), [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert jpeg_quality(path) == quality


def test_tables_of_their_own_give_the_nearest(tmp_path: Path) -> None:
    """Photoshop and cameras have tables that no quality of libjpeg gives."""
    path = tmp_path / "a.jpg"
    _picture().save(path, quality=60)
    with Image.open(path) as picture:
        tables = {number: list(table) for number, table in picture.quantization.items()}
    own = [
        [max(1, step + (step * index) // 640) for index, step in enumerate(tables[number])]
        for number in (0, 1)
    ]
    _picture().save(path, qtables=own)
    found = jpeg_quality(path)
    assert found is not None
    assert 54 <= found <= 60


def test_what_is_no_jpeg_has_no_quality(tmp_path: Path) -> None:
    png, text, cut = tmp_path / "a.jpg", tmp_path / "b.jpg", tmp_path / "c.jpg"
    _picture().save(png, "PNG")
    text.write_text("no picture")
    buffer = io.BytesIO()
    _picture().save(buffer, "JPEG")
    cut.write_bytes(buffer.getvalue()[:30])
    for path in (png, text, cut, tmp_path / "none.jpg"):
        assert jpeg_quality(path) is None
