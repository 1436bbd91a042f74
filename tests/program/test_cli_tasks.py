"""Tasks that find their level by themselves, tasks in a row, and models that are here already."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from cli_runs import Program
from PIL import Image

from swinir_deploy.cli import selection
from swinir_deploy.models import weights_cache
from swinir_deploy.models.catalog import load_catalog

CARDS = load_catalog().all()


def photograph() -> Image.Image:
    from skimage import data

    return Image.fromarray(data.chelsea()[40:100, 100:170])


def here(monkeypatch: pytest.MonkeyPatch, *ids: str) -> None:
    """Make models look downloaded; nothing opens them in these tests."""
    for module in (weights_cache,):
        monkeypatch.setattr(module, "downloaded_ids", lambda cards: frozenset(ids))


@pytest.mark.parametrize("quality", [12, 33, 38, 80])
def test_the_quality_of_a_jpeg_is_found_and_said(swinir: Program, quality: int) -> None:
    photograph().save("in.jpg", quality=quality)
    run = swinir("restore", "in.jpg", "out.png", "--task", "jpeg", "--json")
    note = run.document["notes"][0]
    assert note.startswith(f"JPEG quality of in.jpg: {quality} (by its quantisation tables)")
    assert "using --quality 40" in note  # the only level that is built in
    nearest = min((10, 20, 30, 40), key=lambda level: abs(level - quality))
    assert (f"nearer: --quality {nearest}" in note) == (nearest != 40)
    assert ("little to remove" in note) == (quality == 80)
    assert run.document["model"]["model_id"] == "tiny-jpeg-color-40"
    assert Image.open("out.png").size == (70, 60)


def test_a_level_that_is_given_is_taken(swinir: Program) -> None:
    photograph().save("in.jpg", quality=12)
    run = swinir("restore", "in.jpg", "out.png", "--task", "jpeg", "--quality", 40)
    assert "quantisation" not in run.stderr


def test_what_is_no_jpeg_needs_a_level(swinir: Program) -> None:
    photograph().save("in.png")
    run = swinir("restore", "in.png", "out.png", "--task", "jpeg", code=2)
    assert "in.png is no JPEG file" in run.stderr
    assert "--quality 10 or --quality 20 or --quality 30 or --quality 40" in run.stderr


def test_a_folder_has_the_median_of_its_pictures(swinir: Program) -> None:
    Path("in").mkdir()
    for number, quality in enumerate((20, 36, 90)):
        photograph().save(f"in/{number}.jpg", quality=quality)
    photograph().save("in/3.png")
    run = swinir("restore", "in", "out", "--task", "jpeg", "--json")
    assert run.document["notes"][0].startswith(
        "JPEG quality of in: 36 (the median of 3 pictures, 20 to 90); using --quality 40."
    )
    assert len(run.document["restored"]) == 4


@pytest.mark.parametrize(("sigma", "level"), [(24, 25), (47, 50), (13, 15)])
def test_the_noise_is_estimated_and_said(
    swinir: Program, monkeypatch: pytest.MonkeyPatch, sigma: int, level: int
) -> None:
    pixels = np.asarray(photograph()) + np.random.default_rng(0).normal(0, sigma, (60, 70, 3))
    Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8)).save("in.png")
    # Built in is sigma 25 alone, and a nearer official one is named.
    run = swinir("restore", "in.png", "out.png", "--task", "denoise", "--json")
    note = run.document["notes"][0]
    assert note.startswith("Noise of in.png: sigma ")
    assert "using --noise 25" in note
    assert (f"nearer: --noise {level}" in note) == (level != 25)
    # One that was downloaded is taken.
    here(monkeypatch, *(f"medium-denoise-color-{s}" for s in (15, 25, 50)))
    failed = swinir("restore", "in.png", "b.png", "--task", "denoise", "--offline", code=5)
    assert f"medium-denoise-color-{level} is needed" in failed.stderr


def test_tasks_run_in_a_row(swinir: Program) -> None:
    photograph().save("in.jpg", quality=40)
    options = ("--task", "jpeg,sr", "--scale", 4)
    run = swinir("restore", "in.jpg", "out.png", *options, "--json")
    assert run.document["model"]["model_id"] == "tiny-jpeg-color-40+tiny-sr-x4"
    assert run.document["model"]["task"] == "jpeg,sr"
    swinir("restore", "in.jpg", "clean.png", "--task", "jpeg", "--quality", 40)
    swinir("restore", "clean.png", "both.png", "--task", "sr", "--scale", 4)
    chained, stepwise = (np.asarray(Image.open(n), int) for n in ("out.png", "both.png"))
    assert chained.shape == stepwise.shape == (240, 280, 3)
    # The picture between was rounded to 8 bits, and its border was padded from fewer pixels.
    inside = np.abs(chained - stepwise)[:160, :200]
    assert inside.max() <= 3
    assert inside.mean() < 0.4


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--task", "jpeg,jpeg"], "has a task twice"),
        (["--task", "jpeg,sr", "--noise", "25"], "--noise is for the task denoise"),
        (["--task", "jpeg,st"], "Did you mean 'sr'"),
        (["--task", "jpeg,sr", "--quality", "40"], "--scale 2 or --scale 3"),
    ],
)
def test_what_cannot_be_in_a_row_is_said(swinir: Program, options: list[str], said: str) -> None:
    photograph().save("in.jpg", quality=40)
    assert said in swinir("restore", "in.jpg", "out.png", *options, code=2).stderr


def test_only_restore_runs_tasks_in_a_row(swinir: Program) -> None:
    error = swinir("export", "--task", "jpeg,sr", code=2).stderr
    assert "'restore' does" in error


def test_a_downloaded_model_is_used_before_a_tiny_one(
    swinir: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = load_catalog()
    official = "medium-sr-x4"
    assert catalog.select(task="sr", scale=4).id == "tiny-sr-x4"
    assert catalog.select(task="sr", scale=4, downloaded=[official]).id == official
    # Neither another degradation nor another number of channels takes its place.
    assert catalog.select(task="sr", scale=4, downloaded=["medium-real-sr-x4-gan"]).id == (
        "tiny-sr-x4"
    )
    assert (
        catalog.select(task="denoise", noise=25, downloaded=["medium-denoise-gray-25"]).id
        == "tiny-denoise-color-25"
    )
    here(monkeypatch, official)
    assert selection is not None
    run = swinir("bench", "--task", "sr", "--scale", 4, "--offline", code=5)
    assert f"Using {official}, which was downloaded before. --size tiny" in run.stderr
    small = swinir(
        *("bench", "--task", "sr", "--scale", 4, "--size", "tiny", "--runs", 1),
        *("--shape", "8x8", "--json"),
    )
    assert small.document["rows"][0]["model_id"] == "tiny-sr-x4"


def test_a_whole_file_in_the_cache_counts_as_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWINIR_DEPLOY_CACHE", str(tmp_path))
    card = next(c for c in CARDS if not c.builtin and c.size_bytes)
    assert weights_cache.downloaded_ids(CARDS) == frozenset()
    (tmp_path / card.file).write_bytes(b"half of it")
    assert weights_cache.downloaded_ids(CARDS) == frozenset()
    with open(tmp_path / card.file, "wb") as handle:
        handle.truncate(card.size_bytes or 0)
    assert weights_cache.downloaded_ids(CARDS) == {card.id}


def test_models_says_what_each_is_for(swinir: Program) -> None:
    text = swinir("models").stdout
    headings = [line for line in text.splitlines() if line.startswith("For ")]
    assert len(headings) == 4
    assert any("photographs as they are" in line for line in headings)
    entries = swinir("models", "--json").document["models"]
    assert all(entry["use"] for entry in entries)
    real = {entry["use"] for entry in entries if entry["real"]}
    assert len(real) == 1
    assert "photographs" in next(iter(real))
    assert "photographs as they are" in swinir("info", "medium-real-sr-x4-gan").stdout
    assert json.dumps(entries)
