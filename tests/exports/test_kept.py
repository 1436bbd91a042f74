"""Exports of named models are made once, kept, and made again where anything has changed."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from swinir_deploy.artifacts.export_cache import (
    EXPORT_LIMIT_VARIABLE,
    ExportCache,
    KeptExport,
    export_key,
)
from swinir_deploy.artifacts.info import read_metadata
from swinir_deploy.comparison import compare, sample_picture
from swinir_deploy.errors import BackendUnavailableError, SwinIRDeployWarning, UsageError
from swinir_deploy.exporters.onnx import export as onnx_export
from swinir_deploy.exports import kept
from swinir_deploy.exports.kept import kept_export, recipe_for
from swinir_deploy.models.checkpoint import save_checkpoint
from swinir_deploy.models.find import FoundModel, find_model
from swinir_deploy.models.load import load_model
from swinir_deploy.network import SwinIR, SwinIRConfig
from swinir_deploy.system.cache_folder import CACHE_VARIABLE

CONFIG = SwinIRConfig(
    upscale=2,
    in_chans=1,
    window_size=4,
    img_range=1.0,
    depths=(2,),
    embed_dim=8,
    num_heads=(2,),
    upsampler="pixelshuffledirect",
)


def checkpoint(path: Path, seed: int = 0, config: SwinIRConfig = CONFIG) -> FoundModel:
    torch.manual_seed(seed)
    save_checkpoint(path, SwinIR(config).state_dict(), config, path.stem)
    return find_model(path)


@pytest.fixture
def cache(tmp_path: Path) -> ExportCache:
    return ExportCache(tmp_path / "cache")


@pytest.fixture
def no_export(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Lets a test forbid further exports."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("exported again")

    monkeypatch.setattr(onnx_export, "export_onnx", refuse)
    return monkeypatch


@pytest.mark.slow
def test_an_export_is_made_once(tmp_path: Path, cache: ExportCache) -> None:
    model, said = checkpoint(tmp_path / "a.safetensors"), []
    first = kept_export(model, cache=cache, say=said.append)
    written = first.stat().st_mtime_ns
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnx_export, "export_onnx", lambda *_, **__: pytest.fail("exported again"))
        assert kept_export(model, cache=cache, say=said.append) == first
    assert len(said) == 1
    assert "a (any, fp32)" in said[0]
    assert first.stat().st_mtime_ns >= written
    values = sample_picture(1, 1, 13, 18)
    found = onnxruntime.InferenceSession(first).run(None, {"input": values})[0]
    with torch.inference_mode():
        expected = load_model(model.name).network(torch.from_numpy(values)).numpy()
    assert compare(found, expected).psnr_db > 90


@pytest.mark.slow
def test_what_decides_the_contents_is_in_the_key(tmp_path: Path, cache: ExportCache) -> None:
    model = checkpoint(tmp_path / "a.safetensors")
    renamed = checkpoint(tmp_path / "b.safetensors")
    other = checkpoint(tmp_path / "c.safetensors", seed=1)
    paths = [
        kept_export(model, cache=cache),
        kept_export(other, cache=cache),
        kept_export(model, "openvino", cache=cache),
        kept_export(model, precision="bf16", cache=cache),
        kept_export(model, load_options={"img_range": 255.0}, cache=cache),
    ]
    assert len(set(paths)) == len(paths)
    assert [read_metadata(path).precision for path in paths].count("bf16") == 1  # type: ignore[union-attr]
    record = KeptExport("a", "0" * 64, "any", "fp32", "1")
    assert export_key(record) == export_key(KeptExport("b", "0" * 64, "any", "fp32", "1"))
    assert export_key(record) != export_key(KeptExport("a", "0" * 64, "any", "fp32", "2"))
    del renamed


def test_a_guess_is_said_each_time(
    tmp_path: Path, cache: ExportCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = checkpoint(tmp_path / "a.safetensors")

    def guessing(*arguments: object, **options: object) -> object:
        warnings.warn("1 is taken", SwinIRDeployWarning, stacklevel=2)
        return load_model(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("swinir_deploy.models.load.load_model", guessing)
    for _ in range(2):
        with pytest.warns(SwinIRDeployWarning, match="1 is taken"):
            kept_export(model, cache=cache)


def test_a_damaged_file_is_made_again(tmp_path: Path, cache: ExportCache) -> None:
    model = checkpoint(tmp_path / "a.safetensors")
    path = kept_export(model, cache=cache)
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert kept_export(model, cache=cache).read_bytes() == content
    path.with_name(path.name + ".json").write_text("{")
    assert cache.entries()[0].metadata is None
    assert kept_export(model, cache=cache).read_bytes() == content


@pytest.mark.slow
def test_two_processes_export_once(tmp_path: Path) -> None:
    model = checkpoint(tmp_path / "a.safetensors")
    code = (
        "import sys; from swinir_deploy.exports.kept import kept_export\n"
        "from swinir_deploy.models.find import find_model\n"
        "print(kept_export(find_model(sys.argv[1]), say=lambda line: print(line, file=sys.stderr)))"
    )
    environment = {**os.environ, CACHE_VARIABLE: str(tmp_path / "cache")}
    both = [
        subprocess.Popen(
            [sys.executable, "-c", code, model.name],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    results = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], results
    assert len({out for out, _ in results}) == 1
    assert sum("Exporting" in error for _, error in results) == 1


def test_a_cache_that_cannot_be_written_is_no_reason_to_fail(
    tmp_path: Path, cache: ExportCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_path: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("swinir_deploy.artifacts.export_cache.atomic_output", full)
    path = kept_export(checkpoint(tmp_path / "a.safetensors"), cache=cache)
    assert path.is_file()
    assert cache.entries() == []


def test_the_longest_unused_go_first(
    tmp_path: Path, cache: ExportCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = kept_export(checkpoint(tmp_path / "a.safetensors"), cache=cache)
    os.utime(first, (1, 1))
    small = ExportCache(cache.folder, limit_bytes=first.stat().st_size + 1000)
    second = kept_export(checkpoint(tmp_path / "b.safetensors", seed=1), cache=small)
    assert [entry.path for entry in small.entries()] == [second]
    monkeypatch.setenv(EXPORT_LIMIT_VARIABLE, "much")
    with pytest.raises(UsageError, match=EXPORT_LIMIT_VARIABLE):
        ExportCache()


def test_the_wheel_has_the_built_in_models(cache: ExportCache, no_export: object) -> None:
    path = kept_export(find_model("tiny-sr-x4"), cache=cache)
    assert path.name == "tiny-sr-x4.onnx"
    assert cache.entries() == []


def test_without_torch_a_kept_export_serves(
    tmp_path: Path, cache: ExportCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = checkpoint(tmp_path / "a.safetensors")
    path = kept_export(model, cache=cache)

    def missing(*_: object) -> None:
        raise BackendUnavailableError("needs torch")

    monkeypatch.setattr(kept, "require", missing)
    assert kept_export(model, cache=cache) == path
    with pytest.raises(BackendUnavailableError):
        kept_export(model, "openvino", cache=cache)


def test_the_recipe_of_a_back_end(monkeypatch: pytest.MonkeyPatch) -> None:
    assert recipe_for("openvino") == "openvino"
    assert recipe_for("ort", on_cpu=False) == "any"
    monkeypatch.setattr(kept, "ort_version", lambda: (1, 20))
    assert recipe_for("ort") == "any"
    monkeypatch.setattr(kept, "ort_version", lambda: (1, 32))
    assert recipe_for("ort") == "ort"


@pytest.mark.slow
def test_a_position_embedding_fixes_the_sides(tmp_path: Path, cache: ExportCache) -> None:
    from dataclasses import replace

    config = replace(CONFIG, ape=True, img_size=16)
    path = kept_export(checkpoint(tmp_path / "ape.safetensors", config=config), cache=cache)
    metadata = read_metadata(path)
    assert metadata is not None
    assert metadata.shape == "Nx1x16x16"
    out = onnxruntime.InferenceSession(path).run(None, {"input": sample_picture(1, 1, 16, 16)})[0]
    assert np.isfinite(out).all()
