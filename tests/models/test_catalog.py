"""The catalogue against the collected facts, the network and itself."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from swinir_deploy.errors import CatalogError
from swinir_deploy.models import catalog
from swinir_deploy.models.catalog import Catalog, ModelCard, _read_catalog, load_catalog
from swinir_deploy.network.config import SwinIRConfig

FACTS = Path(__file__).resolve().parents[3] / "shared" / "facts"
CARDS = load_catalog().all()
OFFICIAL = [card for card in CARDS if not card.builtin]
TASKS = {
    "classical_sr": ("sr", False),
    "lightweight_sr": ("sr", False),
    "real_sr": ("sr", True),
    "gray_dn": ("denoise", False),
    "color_dn": ("denoise", False),
    "jpeg_car": ("jpeg", False),
    "color_jpeg_car": ("jpeg", False),
}


def facts(name: str) -> dict[str, Any]:
    path = FACTS / name
    if not path.is_file():
        pytest.skip(f"{name} is not beside this checkout (../shared/facts)")
    return json.loads(path.read_text())


def figures(card: ModelCard) -> dict[tuple[str, str], float]:
    return {(figure.metric, figure.dataset): figure.value for figure in card.published}


def test_import_needs_neither_torch_nor_yaml() -> None:
    code = "import sys, swinir_deploy.models.catalog; print({'torch', 'yaml'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_every_official_checkpoint_is_as_in_the_zoo() -> None:
    zoo = facts("zoo.json")["models"]
    by_file = {card.file: card for card in OFFICIAL}
    assert len(by_file) == len(zoo) == 37
    by_name = {entry["file"]: entry for entry in zoo}
    for entry in zoo:
        card = by_file[entry["file"]]
        constructor = SwinIRConfig.from_dict(entry["constructor"])
        assert card.config == constructor, card.id
        for name in ("url", "size_bytes", "sha256", "state_dict_key"):
            assert getattr(card, name) == entry[name], (card.id, name)
        assert card.licence == entry["license"]
        assert card.patch_size == entry["training_patch_size"]
        assert (card.task, card.real) == TASKS[entry["task"]]
        assert card.size == {"S": "light", "M": "medium", "L": "large"}[entry["model_size"]]
        assert card.scale == entry["scale"]
        assert card.noise == entry.get("noise")
        assert card.quality == entry.get("jpeg_quality")
        assert card.parameters == entry["computed"]["parameters"]
        # The files with both dictionaries are of the same training as those with one.
        single = entry["file"].split("-with-dict-keys")[0].removesuffix(".pth") + ".pth"
        assert card.training_set == by_name[single]["training_set"]


def test_sr_figures_are_the_published_ones() -> None:
    paper = facts("paper.json")
    rows = [("classical_sr", row) for row in paper["classical_sr"]]
    rows += [("lightweight_sr", row) for row in paper["lightweight_sr"]]
    seen = 0
    for table, row in rows:
        if row["method"] != "SwinIR":
            continue
        if table == "lightweight_sr":
            name = f"light-sr-x{row['scale']}"
        else:
            suffix = "-div2k" if row["training_set"] == "DIV2K" else ""
            name = f"medium-sr-x{row['scale']}{suffix}"
        found = figures(load_catalog().get(name))
        for dataset, values in row["results"].items():
            assert found["psnr_y", dataset] == values["psnr"]
            assert found["ssim_y", dataset] == values["ssim"]
            seen += 2
    for row in paper["div2k_validation_readme"]:
        suffix = "-div2k" if row["training_set"] == "DIV2K" else ""
        found = figures(load_catalog().get(f"medium-sr-x{row['scale']}{suffix}"))
        for metric in ("psnr_rgb", "psnr_y", "ssim_rgb", "ssim_y"):
            assert found[metric, "DIV2K validation"] == row[metric]
            seen += 1
    stated = [card for card in OFFICIAL if card.task == "sr"]
    assert seen == sum(len(card.published) for card in stated)


@pytest.mark.parametrize("colour", ["gray", "color"])
def test_denoising_figures_are_the_published_ones(colour: str) -> None:
    rows = facts("paper.json")[f"{colour}_denoising"]
    metric = "psnr_gray" if colour == "gray" else "psnr_rgb"
    for row in rows:
        card = load_catalog().get(f"medium-denoise-{colour}-{row['sigma']}")
        assert figures(card)[metric, row["dataset"]] == row["psnr"]["SwinIR"]
        assert len(card.published) == len([r for r in rows if r["sigma"] == row["sigma"]])


def test_jpeg_figures_are_the_published_ones() -> None:
    paper = facts("paper.json")
    for row in paper["jpeg_gray"]:
        found = figures(load_catalog().get(f"medium-jpeg-gray-{row['quality']}"))
        for metric, value in row["results"]["SwinIR"].items():
            assert found[f"{metric}_gray", row["dataset"]] == value
        assert len(found) == 6
    for row in paper["jpeg_color_readme"]:
        found = figures(load_catalog().get(f"medium-jpeg-color-{row['quality']}"))
        metrics = ("psnr_rgb", "ssim_rgb", "psnr_b_rgb")
        assert found == {(metric, row["dataset"]): row[metric] for metric in metrics}


def test_every_figure_names_its_source() -> None:
    for card in CARDS:
        for figure in (*card.published, *card.measured):
            assert figure.source
            assert isinstance(figure.value, float)


def test_parameter_counts_are_those_of_the_network() -> None:
    torch = pytest.importorskip("torch")
    from swinir_deploy.network.swinir import SwinIR

    counted: dict[SwinIRConfig, int] = {}
    for card in CARDS:
        if card.config not in counted:
            with torch.device("meta"):
                network = SwinIR(card.config)
            counted[card.config] = sum(parameter.numel() for parameter in network.parameters())
        if card.parameters is not None:
            assert card.parameters == counted[card.config], card.id
    assert len(counted) >= 17


def test_ids_are_written_once() -> None:
    text = Path(catalog.__file__).with_name("models.yaml").read_text()
    keys = [line for line in text.splitlines() if line.startswith("  ") and line[2] not in " #"]
    assert [key for key, count in Counter(keys).items() if count > 1] == []


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.id)
def test_every_name_finds_its_card(card: ModelCard) -> None:
    catalog = load_catalog()
    stem = card.file.rsplit(".", 1)[0]
    for name in (card.id, card.id.upper(), card.file, stem, *card.aliases):
        assert catalog.get(name) is card
    assert catalog.by_file(card.file) is card
    assert catalog.by_file(f"some/folder/{card.file}") is card
    if card.sha256:
        assert catalog.by_sha256(card.sha256.upper()) is card
    assert card.id in card.describe()
    assert json.loads(json.dumps(card.to_dict()))["config"]["upscale"] == card.scale


def test_unknown_file_and_hash_give_none() -> None:
    assert load_catalog().by_file("my-finetune.pth") is None
    assert load_catalog().by_file("tiny-sr-x4") is None
    assert load_catalog().by_sha256("0" * 64) is None


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("medum-sr-x4", "'medium-sr-x4'"),
        ("tiny-sr-4x", "'tiny-sr-x4'"),
        ("002_lightweightSR_DIV2K_s64w8_SwinIR_S_x2.pth", "'light-sr-x2'"),
    ],
)
def test_a_wrong_name_gets_a_suggestion(name: str, nearest: str) -> None:
    with pytest.raises(CatalogError, match="Did you mean") as caught:
        load_catalog().get(name)
    assert name in str(caught.value)
    assert nearest in str(caught.value)


def test_a_name_that_is_like_no_other_gets_no_suggestion() -> None:
    with pytest.raises(CatalogError) as caught:
        load_catalog().get("qqq")
    assert "Did you mean" not in str(caught.value)
    assert "swinir-deploy models" in str(caught.value)


@pytest.mark.parametrize(
    ("request_", "model_id"),
    [
        ({"task": "sr", "scale": 4}, "tiny-sr-x4"),
        ({"task": "sr", "scale": 2}, "tiny-sr-x2"),
        ({"task": "sr", "scale": 2, "size": "light"}, "light-sr-x2"),
        ({"task": "sr", "scale": 8}, "medium-sr-x8"),
        ({"task": "sr", "scale": 4, "size": "medium"}, "medium-sr-x4"),
        ({"task": "sr", "scale": 4, "size": "tiny"}, "tiny-sr-x4"),
        ({"task": "sr", "scale": 4, "real": True}, "tiny-real-sr-x4"),
        ({"task": "sr", "scale": 4, "real": True, "size": "medium"}, "medium-real-sr-x4-gan"),
        ({"task": "sr", "scale": 2, "real": True}, "medium-real-sr-x2-gan"),
        ({"task": "sr", "scale": 4, "size": "large"}, "large-real-sr-x4-gan"),
        ({"task": "sr", "scale": 4, "gray": False, "real": False}, "tiny-sr-x4"),
        ({"task": "denoise", "noise": 25}, "tiny-denoise-color-25"),
        ({"task": "denoise", "noise": 25, "scale": 1}, "tiny-denoise-color-25"),
        ({"task": "denoise", "noise": 25, "gray": True}, "tiny-denoise-gray-25"),
        ({"task": "denoise", "noise": 25, "size": "medium"}, "medium-denoise-color-25"),
        ({"task": "denoise", "noise": 50, "gray": True}, "medium-denoise-gray-50"),
        ({"task": "jpeg", "quality": 10, "gray": True}, "medium-jpeg-gray-10"),
        ({"task": "jpeg", "quality": 40}, "tiny-jpeg-color-40"),
        ({"task": "jpeg", "quality": 40, "gray": True}, "tiny-jpeg-gray-40"),
        ({"noise": 15}, "medium-denoise-color-15"),
    ],
)
def test_select(request_: dict[str, Any], model_id: str) -> None:
    assert load_catalog().select(**request_).id == model_id


@pytest.mark.parametrize(
    ("request_", "possible", "absent"),
    [
        ({"task": "sr", "scale": 5}, "sr x4 (tiny, light, medium)", "denoise"),
        ({"task": "sr", "scale": 4, "gray": True}, "sr x8 (medium)", "jpeg"),
        ({"task": "denoise", "noise": 30}, "denoise 25, gray (tiny, medium)", "jpeg"),
        ({"task": "denoise", "noise": 15, "size": "tiny"}, "denoise 15 (medium)", "sr x2"),
        ({"task": "jpeg", "quality": 75}, "jpeg 40 (tiny, medium)", "sr x2"),
        ({"task": "superres"}, "sr x4, real-world (tiny, medium, large)", "superres ("),
        ({"task": "sr", "scale": 3, "real": True}, "sr x2, real-world (medium)", "jpeg"),
    ],
)
def test_an_impossible_request_lists_the_possible(
    request_: dict[str, Any], possible: str, absent: str
) -> None:
    with pytest.raises(CatalogError) as caught:
        load_catalog().select(**request_)
    message = str(caught.value)
    assert all(f"{name} {value}" in message for name, value in request_.items())
    assert possible in message
    assert absent not in message


@pytest.mark.parametrize(
    ("request_", "missing"),
    [
        ({"task": "sr"}, "scale values fit: 2, 3, 4, 8"),
        ({"task": "denoise", "gray": True}, "noise values fit: 15, 25, 50"),
        ({"task": "jpeg"}, "quality values fit: 10, 20, 30, 40"),
        ({}, "task values fit: denoise, jpeg, sr"),
    ],
)
def test_an_open_request_asks_for_what_is_missing(request_: dict[str, Any], missing: str) -> None:
    with pytest.raises(CatalogError) as caught:
        load_catalog().select(**request_)
    assert missing in str(caught.value)


def test_names_must_be_unique() -> None:
    with pytest.raises(CatalogError, match=CARDS[0].id):
        Catalog([CARDS[0], CARDS[0]])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("models: [", "Cannot read the catalogue"),
        ("models: {}", "official_release"),
        ("", "Cannot read the catalogue"),
        ("official_release: x\nmodels: {m: {task: sr}}", "model 'm'"),
        ("official_release: x\nmodels: {m: {task: sing, size: tiny, file: f}}", "'sing'"),
    ],
)
def test_a_damaged_catalogue_says_where(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "models.yaml"
    path.write_text(text)
    with pytest.raises(CatalogError) as caught:
        _read_catalog(path)
    assert reason in str(caught.value)
    assert str(path) in str(caught.value)
