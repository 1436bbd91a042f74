"""The path of the checkpoint that a file was exported from."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from swinir_deploy.models.catalog import load_catalog
from swinir_deploy.models.origin import find_checkpoint, model_argument, remember_checkpoint
from swinir_deploy.system.cache_folder import CACHE_VARIABLE

CARD = load_catalog().get("tiny-sr-x4")


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))


def _checkpoint(path: Path, content: bytes = b"weights") -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def test_a_checkpoint_is_found_while_it_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "my run" / "net_g.pth"
    sha256 = _checkpoint(path)
    assert find_checkpoint(sha256) is None
    remember_checkpoint(path, sha256)
    assert find_checkpoint(sha256) == path
    assert model_argument("net_g", sha256) == f"'{path}'"  # as a shell needs it
    path.write_bytes(b"trained on")
    assert find_checkpoint(sha256) is None
    path.unlink()
    assert find_checkpoint(sha256) is None
    assert model_argument("net_g", sha256) == "CHECKPOINT.pth"


def test_models_of_the_catalogue_need_no_path() -> None:
    assert model_argument("whatever", CARD.sha256 or "") == CARD.id
    assert model_argument(CARD.id, "") == CARD.id
    # A file of that name with another hash is not that model.
    assert model_argument(CARD.id, "0" * 64) == "CHECKPOINT.pth"
    assert model_argument("", "") == "CHECKPOINT.pth"


def test_old_ones_are_forgotten_and_damage_is_no_error(tmp_path: Path) -> None:
    for number in range(205):
        remember_checkpoint(tmp_path / f"{number}.pth", f"{number:064d}")
    record = tmp_path / "cache" / "exported-from.json"
    kept = json.loads(record.read_text())
    assert len(kept) == 200
    assert f"{204:064d}" in kept
    record.write_text("{")
    assert find_checkpoint(f"{204:064d}") is None
    sha256 = _checkpoint(tmp_path / "a.pth")
    remember_checkpoint(tmp_path / "a.pth", sha256)
    assert find_checkpoint(sha256) == tmp_path / "a.pth"


def test_a_cache_that_cannot_be_written_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    monkeypatch.setenv(CACHE_VARIABLE, str(blocked / "cache"))
    remember_checkpoint(tmp_path / "a.pth", "0" * 64)
    assert find_checkpoint("0" * 64) is None
