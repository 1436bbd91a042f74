"""Calibration pictures: what is in them, and what each task makes of them."""

from __future__ import annotations

import importlib.resources
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from grown import grown_model
from oracle import official_network
from PIL import Image

from swinir_deploy.errors import InputError, PictureError
from swinir_deploy.models.catalog import load_catalog
from swinir_deploy.models.load import LoadedModel
from swinir_deploy.network.config import SwinIRConfig
from swinir_deploy.precision.samples import (
    MAX_PICTURES,
    MAX_SIDE,
    NamedPicture,
    builtin_pictures,
    fit,
    hostile_pictures,
    pictures_of_folder,
)

CONFIG = SwinIRConfig(
    upscale=1,
    in_chans=3,
    window_size=8,
    img_range=1.0,
    depths=(1,),
    embed_dim=4,
    num_heads=(1,),
)
GRAY = replace(CONFIG, in_chans=1)


def model(task: str = "sr", config: SwinIRConfig = CONFIG, card: str | None = None) -> LoadedModel:
    loaded = grown_model(official_network(config), task)
    return replace(loaded, card=load_catalog().get(card) if card else None)


def sheet() -> np.ndarray:
    data = importlib.resources.files("swinir_deploy") / "precision" / "crops.png"
    with Image.open(io.BytesIO(data.read_bytes())) as image:
        return np.asarray(image)


def in_levels(picture: NamedPicture) -> np.ndarray:
    levels = picture.values * 255
    assert np.abs(levels - levels.round()).max() < 1e-4
    assert picture.values.dtype == np.float32
    return levels.round().astype(np.uint8)[0].transpose(1, 2, 0)


def test_built_in_crops_are_the_free_pictures() -> None:
    assert sheet().shape == (64, 512, 3)
    pictures = builtin_pictures(model())
    assert len({picture.name for picture in pictures}) == 8
    for index, picture in enumerate(pictures):
        assert np.array_equal(in_levels(picture), sheet()[:, 64 * index : 64 * index + 64])
    # The first is the astronaut's face, reduced by two by averaging.
    astronaut = skimage.data.astronaut()[48:176, 160:288].astype(float)
    reduced = astronaut.reshape(64, 2, 64, 2, 3).mean(axis=(1, 3))
    assert np.abs(in_levels(pictures[0]) - reduced).max() <= 1


def test_gray() -> None:
    pictures = builtin_pictures(model(config=GRAY))
    assert {picture.values.shape for picture in pictures} == {(1, 1, 64, 64)}
    weights = np.array([0.299, 0.587, 0.114])
    assert np.abs(in_levels(pictures[2])[:, :, 0] - sheet()[:, 128:192] @ weights).max() <= 1


@pytest.mark.parametrize(("card", "sigma"), [("medium-denoise-color-15", 15), (None, 50)])
def test_denoising_gets_noise(card: str | None, sigma: int) -> None:
    # Where a crop is in the middle of the range, clipping takes little of the noise away.
    noisy = in_levels(builtin_pictures(model("denoise", card=card))[6]).astype(float)
    noise = noisy - sheet()[:, 384:448]
    middle = np.abs(sheet()[:, 384:448].astype(float) - 128) < 30
    assert noise[middle].std() == pytest.approx(sigma, rel=0.05)


@pytest.mark.parametrize(("card", "quality"), [("medium-jpeg-color-40", 40), (None, 10)])
def test_jpeg_models_get_compressed_pictures(card: str | None, quality: int) -> None:
    found = in_levels(builtin_pictures(model("jpeg", card=card))[0])
    buffer = io.BytesIO()
    Image.fromarray(sheet()[:, :64]).save(buffer, "JPEG", quality=quality)
    assert np.array_equal(found, np.asarray(Image.open(buffer)))
    assert not np.array_equal(found, sheet()[:, :64])


@pytest.mark.parametrize("config", [CONFIG, GRAY], ids=["colour", "gray"])
def test_hostile_pictures(config: SwinIRConfig) -> None:
    pictures = {p.name: in_levels(p) for p in hostile_pictures(config, 24)}
    assert {p.shape for p in pictures.values()} == {(24, 24, config.in_chans)}
    assert not pictures["all black"].any()
    assert (pictures["all white"] == 255).all()
    assert (pictures["single bright pixel"] == 255).sum() == config.in_chans
    board = pictures["checkerboard"][:, :, 0].astype(int)
    assert (np.abs(np.diff(board)) == 255).all() and (np.abs(np.diff(board, axis=0)) == 255).all()
    assert pictures["noise"].std() > 60


def test_a_folder(tmp_path: Path) -> None:
    wide = np.arange(200 * 300 * 3, dtype=np.uint8).reshape(200, 300, 3)
    Image.fromarray(wide).save(tmp_path / "b.png")
    Image.fromarray(wide[:20, :40]).convert("L").save(tmp_path / "a.bmp")
    (tmp_path / "notes.txt").write_text("no picture")
    small, large = pictures_of_folder(tmp_path, CONFIG)
    assert (small.name, large.name) == ("a.bmp", "b.png")
    assert in_levels(small).shape == (20, 40, 3)
    side = MAX_SIDE
    assert np.array_equal(in_levels(large), wide[36 : 36 + side, 86 : 86 + side])


def test_of_many_pictures_some_from_everywhere(tmp_path: Path) -> None:
    for number in range(100):
        Image.new("L", (8, 8), number).save(tmp_path / f"{number:03}.png")
    pictures = pictures_of_folder(tmp_path, GRAY)
    assert len(pictures) == MAX_PICTURES
    levels = [int(in_levels(picture)[0, 0, 0]) for picture in pictures]
    assert levels[0] == 0 and levels[-1] >= 95
    assert max(np.diff(levels)) <= 4


def test_what_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder"):
        pictures_of_folder(tmp_path / "missing", CONFIG)
    with pytest.raises(InputError, match="holds no picture"):
        pictures_of_folder(tmp_path, CONFIG)
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing more")
    with pytest.raises(PictureError, match=r"Cannot read .*broken\.png"):
        pictures_of_folder(tmp_path, CONFIG)


@pytest.mark.parametrize("side", [8, 24, 64, 100])
def test_fit(side: int) -> None:
    values = np.random.default_rng(0).random((1, 3, 40, 64), np.float32)
    fitted = fit(NamedPicture("a", values), side)
    assert fitted.name == "a"
    assert fitted.values.shape == (1, 3, side, side)
    assert np.isin(fitted.values, values).all()
    if side == 24:
        assert np.array_equal(fitted.values, values[:, :, 8:32, 20:44])


def test_sixteen_bits_are_not_clipped_to_white(tmp_path: Path) -> None:
    levels = np.full((20, 30), 1000 * 257 // 4, np.uint16)
    levels[:, 15:] = 65535
    Image.fromarray(levels).save(tmp_path / "deep.png")
    (picture,) = pictures_of_folder(tmp_path, load_catalog().get("tiny-sr-x4").config)
    assert picture.values.shape == (1, 3, 20, 30)
    np.testing.assert_allclose(picture.values[0, :, :, 0], 64250 / 65535, atol=1 / 255)
    np.testing.assert_array_equal(picture.values[0, :, :, 15:], 1.0)


def test_a_picture_below_a_window_is_repeated(tmp_path: Path) -> None:
    Image.new("RGB", (1, 3), (255, 0, 51)).save(tmp_path / "dot.png")
    (picture,) = pictures_of_folder(tmp_path, load_catalog().get("tiny-sr-x4").config)
    assert picture.values.shape == (1, 3, 9, 8)
    np.testing.assert_allclose(picture.values[0, :, 4, 4], [1.0, 0.0, 0.2])
