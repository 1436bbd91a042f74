from __future__ import annotations

from pathlib import Path

import platformdirs
import pytest

from swinir_deploy.artifacts.engine_cache import EngineCache
from swinir_deploy.system.cache_folder import CACHE_VARIABLE, cache_folder, is_no_folder


def test_the_first_that_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda *_, **__: str(tmp_path / "user"))
    monkeypatch.delenv(CACHE_VARIABLE, raising=False)
    assert cache_folder() == tmp_path / "user"
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "variable"))
    assert cache_folder() == tmp_path / "variable"
    assert cache_folder(tmp_path / "argument") == tmp_path / "argument"
    assert not is_no_folder(cache_folder())


def test_without_a_home_nothing_is_made_and_nothing_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """For a number without a name, as containers run, "~" stays "~"."""
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda *_, **__: "~/.cache/swinir-deploy")
    monkeypatch.delenv(CACHE_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    folder = cache_folder()
    assert folder.is_absolute() and is_no_folder(folder)
    with pytest.raises(OSError):
        folder.mkdir(parents=True)
    cache = EngineCache()
    with cache.lock("a" * 64):
        assert cache.get("a" * 64) is None and cache.entries() == []
    assert list(tmp_path.iterdir()) == []
