"""load_model: names, aliases and paths; the cache is filled by hand, so no network is needed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from oracle import official_network

from swinir_deploy.errors import CatalogError, CheckpointError, DownloadError, UsageError
from swinir_deploy.models import checkpoint, checkpoint_file, find, weights_cache
from swinir_deploy.models import load as loading
from swinir_deploy.models.catalog import Catalog, ModelCard, load_catalog
from swinir_deploy.models.checkpoint import save_checkpoint
from swinir_deploy.models.load import load_model
from swinir_deploy.network.config import SwinIRConfig
from swinir_deploy.system.files import sha256_of

SMALL = SwinIRConfig(
    upscale=2,
    in_chans=3,
    window_size=8,
    img_range=1.0,
    depths=(2, 2),
    embed_dim=12,
    num_heads=(2, 3),
    upsampler="pixelshuffledirect",
)
DENOISE = replace(SMALL, upscale=1, upsampler="")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    target = tmp_path / "weights" / "mine.pth"
    target.parent.mkdir()
    torch.save({"params": official_network(SMALL, 5).network.state_dict()}, target)
    return target


@pytest.fixture
def card(path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelCard:
    """One official model whose file is small and in the cache folder ``path.parent``."""
    made = replace(
        load_catalog().get("light-sr-x2"),
        file="mine.pth",
        config=SMALL,
        size_bytes=path.stat().st_size,
        sha256=sha256_of(path),
    )
    for module in (find, checkpoint):
        monkeypatch.setattr(module, "load_catalog", lambda: Catalog([made]))
    return made


def test_a_file(path: Path) -> None:
    for given in (path, str(path)):
        model = load_model(given)
        assert model.path == path
        assert model.model_id == "mine"
        assert model.card is None
        assert model.task == "sr"
        assert model.source_sha256 == sha256_of(path)
        assert model.config == SMALL


def test_the_network_computes_what_the_official_one_does(path: Path) -> None:
    model = load_model(path)
    assert not model.network.training
    assert not any(parameter.requires_grad for parameter in model.network.parameters())
    assert {parameter.dtype for parameter in model.network.parameters()} == {torch.float32}
    image = torch.rand(2, 3, 13, 21, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted = official_network(SMALL, 5)(image)
        assert (model.network(image) - wanted).abs().max() <= 1e-5


@pytest.mark.parametrize("name", ["light-sr-x2", "LIGHT-SR-X2", "mine.pth", "mine"])
def test_a_name_of_the_catalogue(card: ModelCard, path: Path, name: str) -> None:
    model = load_model(name, cache_dir=path.parent, offline=True)
    assert model.path == path
    assert model.card is card
    assert model.model_id == "light-sr-x2"
    assert model.task == "sr"


def test_an_official_file_is_hashed_once(
    card: ModelCard, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed = []

    def counted(file: Path) -> str:
        hashed.append(file)
        return sha256_of(file)

    for module in (weights_cache, checkpoint_file):
        monkeypatch.setattr(module, "sha256_of", counted)
    model = load_model("light-sr-x2", cache_dir=path.parent, offline=True)
    assert model.source_sha256 == sha256_of(path)
    assert hashed == [path]
    load_model(path)
    assert hashed == [path, path], "nobody has checked a file that is named by its path"


def test_the_hash_finds_the_card_of_a_renamed_file(card: ModelCard, path: Path) -> None:
    other = path.with_name("renamed.pth")
    path.rename(other)
    assert load_model(other).card is card


def test_a_file_that_exists_wins(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny-sr-x4").write_bytes(path.read_bytes())
    model = load_model("tiny-sr-x4")
    assert model.config == SMALL
    assert model.path == Path("tiny-sr-x4")


def test_offline_and_not_there(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="offline"):
        load_model("light-sr-x3", cache_dir=tmp_path, offline=True)


def test_the_task_is_as_known(tmp_path: Path) -> None:
    state = official_network(DENOISE).network.state_dict()
    path = save_checkpoint(tmp_path / "m.safetensors", state, DENOISE, "my-denoiser")
    assert load_model(path).task == ""
    assert load_model(path).model_id == "my-denoiser"
    assert load_model(path, task="denoise").task == "denoise"
    with pytest.raises(UsageError, match=r"'clean'.*denoise"):
        load_model(path, task="clean")


def test_img_range_and_key_are_passed_on(path: Path) -> None:
    assert load_model(path, img_range=255.0).network.config.img_range == 255.0
    with pytest.raises(CheckpointError, match="'params_ema'"):
        load_model(path, key="params_ema")


@pytest.mark.parametrize(
    ("name", "error", "parts"),
    [
        ("folder/none.pth", CheckpointError, ("no file folder/none.pth",)),
        ("./tiny-sr-x4", CheckpointError, ("no file tiny-sr-x4", "'tiny-sr-x4'")),
        ("none.pth", CheckpointError, ("no file none.pth",)),
        (
            "001_classicalSR_DF2K_s64w8_SwinIR_M_x4.pth",
            CheckpointError,
            ("no file", "Did you mean", "'medium-sr-x4'"),
        ),
        ("tiny-sr-x5", CatalogError, ("no model 'tiny-sr-x5'", "'tiny-sr-x4'")),
        ("weights", CheckpointError, ("is a folder",)),
        ("", CheckpointError, ("is a folder",)),
    ],
)
def test_what_does_not_exist(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    error: type[Exception],
    parts: tuple[str, ...],
) -> None:
    (tmp_path / "weights").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error) as caught:
        load_model(name)
    for part in parts:
        assert part in str(caught.value)


def test_the_built_in_model_loads_offline() -> None:
    tiny = load_catalog().get("tiny-sr-x4")
    weights = Path(loading.__file__).with_name("weights") / tiny.file
    if not weights.is_file():
        pytest.skip("tiny-sr-x4 is not trained yet")
    model = load_model("tiny-sr-x4", offline=True)
    facts: dict[str, Any] = {"sha256": model.source_sha256, "config": model.config}
    facts["parameters"] = sum(parameter.numel() for parameter in model.network.parameters())
    facts["size_bytes"] = weights.stat().st_size
    assert {name: getattr(tiny, name) for name in facts} == facts
    assert model.card is tiny
    assert tiny.measured, "models.yaml states no measured figure for the built-in model"
