"""The engine cache: entries that are whole, a limit, least recently used first."""

from __future__ import annotations

import errno
import multiprocessing
import os
import time
from pathlib import Path

import pytest
from test_engine import METADATA, PLAN

from swinir_deploy.artifacts import engine as engine_files
from swinir_deploy.artifacts import kept_files
from swinir_deploy.artifacts.engine import sidecar_path
from swinir_deploy.artifacts.engine_cache import LIMIT_VARIABLE, EngineCache
from swinir_deploy.errors import InputError, UsageError
from swinir_deploy.system.files import sha256_of

KEYS = ["a" * 64, "b" * 64, "c" * 64]


def filled(folder: Path, limit_bytes: int = 10**9) -> EngineCache:
    """Three engines; the first is the oldest."""
    cache = EngineCache(folder, limit_bytes)
    with cache.lock(KEYS[0]):
        for age, key in zip((300, 200, 100), KEYS, strict=True):
            cache.put(key, PLAN, METADATA)
            used = time.time() - age
            os.utime(folder / f"{key}.engine", (used, used))
    return cache


def keys(cache: EngineCache) -> list[str]:
    return [entry.key for entry in cache.entries()]


def test_an_engine_comes_back_and_counts_as_used(tmp_path: Path) -> None:
    cache = filled(tmp_path)
    assert keys(cache) == [KEYS[2], KEYS[1], KEYS[0]]
    found = cache.get(KEYS[0])
    assert found is not None
    assert found.read_bytes() == PLAN
    assert keys(cache)[0] == KEYS[0]
    assert cache.get("d" * 64) is None


def test_a_damaged_entry_is_no_hit(tmp_path: Path) -> None:
    cache = filled(tmp_path)
    (tmp_path / f"{KEYS[0]}.engine").write_bytes(PLAN[::-1])
    sidecar_path(tmp_path / f"{KEYS[1]}.engine").write_text("{")
    assert cache.get(KEYS[0]) is None
    assert cache.get(KEYS[1]) is None
    assert {e.key: e.metadata is None for e in cache.entries()}[KEYS[1]]


def test_an_engine_that_goes_while_it_is_read_is_no_hit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process shrinks the cache between any two steps of a read."""
    cache = filled(tmp_path)
    found = cache.load(KEYS[2])
    assert found is not None
    assert found[0] == PLAN
    assert found[1].onnx_name == METADATA.onnx_name

    def hash_of_what_is_gone(path: Path) -> str:
        EngineCache._remove(path)
        return sha256_of(path)

    with monkeypatch.context() as patch:
        patch.setattr(engine_files, "sha256_of", hash_of_what_is_gone)
        assert cache.load(KEYS[0]) is None
    with monkeypatch.context() as patch:
        patch.setattr(os, "utime", lambda path: EngineCache._remove(path))
        assert cache.load(KEYS[1]) is None
    with monkeypatch.context() as patch:
        patch.setattr(os, "utime", lambda path: sidecar_path(path).unlink())
        assert cache.load(KEYS[2]) is None


def test_an_engine_that_goes_while_all_are_listed_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, is_file = filled(tmp_path), Path.is_file

    def gone_after_the_look(path: Path) -> bool:
        there = is_file(path)
        if path.name == f"{KEYS[1]}.engine.json":
            path.with_suffix("").unlink()
        return there

    monkeypatch.setattr(Path, "is_file", gone_after_the_look)
    assert keys(cache) == [KEYS[2], KEYS[0]]


def test_the_longest_unused_go_first(tmp_path: Path) -> None:
    cache = filled(tmp_path)
    one = cache.entries()[0].size_bytes
    small = EngineCache(tmp_path, limit_bytes=2 * one + 10)
    small.get(KEYS[0])
    small.put("d" * 64, PLAN, METADATA)
    assert set(keys(small)) == {"d" * 64, KEYS[0]}
    assert not sidecar_path(tmp_path / f"{KEYS[1]}.engine").exists()


def test_an_engine_beyond_the_limit_is_not_kept(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path, limit_bytes=100)
    with cache.lock(KEYS[0]):
        cache.put(KEYS[0], PLAN, METADATA)
    assert keys(cache) == []


def test_removing_by_the_beginning_of_a_key_and_all(tmp_path: Path) -> None:
    cache = filled(tmp_path)
    cache.put_timing("t", b"measured")
    assert [entry.key for entry in cache.remove("bb")] == [KEYS[1]]
    with pytest.raises(UsageError, match="'dd'"):
        cache.remove("dd")
    assert cache.timing("t") == b"measured"
    assert len(cache.remove()) == 2
    assert keys(cache) == []
    assert cache.timing("t") == b""


def test_leftovers_of_a_crash_go(tmp_path: Path) -> None:
    cache = filled(tmp_path)
    old, new = (
        tmp_path / f".swinir-00000000-{number}-0123abcd.partial.engine" for number in (1, 2)
    )
    for path in (old, new):
        path.write_bytes(b"half")
    long_ago = time.time() - 8 * 24 * 3600
    os.utime(old, (long_ago, long_ago))
    cache.put("d" * 64, PLAN, METADATA)
    assert not old.exists()
    assert new.exists()
    assert len(keys(cache)) == 4


def test_the_limit_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LIMIT_VARIABLE, "1.5")
    assert EngineCache(tmp_path).limit_bytes == 1_500_000_000
    for text in ("much", "-1", "nan"):
        monkeypatch.setenv(LIMIT_VARIABLE, text)
        with pytest.raises(UsageError, match=LIMIT_VARIABLE):
            EngineCache(tmp_path)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cache = EngineCache(tmp_path / "file")
    with pytest.raises(InputError, match="--no-cache"), cache.lock(KEYS[0]):
        pass
    cache.put(KEYS[0], PLAN, METADATA)  # says so in the log, and goes on


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_a_cache_that_may_only_be_read_gives_its_engines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    cache = filled(tmp_path)

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(kept_files, "file_lock", refuse)
    with cache.lock(KEYS[0]):
        assert cache.load(KEYS[0]) is not None
    with pytest.raises(RuntimeError, match="of the build"), cache.lock(KEYS[0]):
        raise RuntimeError("of the build")
    number = errno.ENOSPC
    with pytest.raises(InputError, match="--no-cache"), cache.lock(KEYS[0]):
        pass


def build_once(folder: str, queue: multiprocessing.Queue[bool]) -> None:
    """What a build does under the lock."""
    cache = EngineCache(folder)
    with cache.lock(KEYS[0]):
        hit = cache.get(KEYS[0]) is not None
        if not hit:
            time.sleep(0.3)
            cache.put(KEYS[0], PLAN, METADATA)
    queue.put(hit)


def test_two_processes_build_an_engine_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    processes = [context.Process(target=build_once, args=(str(tmp_path), queue)) for _ in "ab"]
    for process in processes:
        process.start()
    hits = [queue.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(60)
    assert sorted(hits) == [False, True]
