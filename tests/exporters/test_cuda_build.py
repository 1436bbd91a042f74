"""Engines for ``cuda`` from built-in models: written, described, kept in the cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from swinir_deploy.artifacts.cuda_engine import read_cuda_engine
from swinir_deploy.artifacts.engine import read_engine_metadata, rebuild_command, write_engine
from swinir_deploy.artifacts.engine_cache import EngineCache
from swinir_deploy.artifacts.info import read_engine
from swinir_deploy.bundling import make_bundle
from swinir_deploy.cli.describe import describe
from swinir_deploy.errors import ArtifactError, UsageError
from swinir_deploy.kernels.settings import ARCHITECTURES
from swinir_deploy.models.load import LoadedModel, load_model
from swinir_deploy.runtimes import backend_for

pytest.importorskip("triton", reason="Triton is not installed")
from swinir_deploy.exporters.cuda.build import (
    architectures_of,
    build_cuda_engine,
    is_cuda_target,
)


@pytest.fixture(scope="module")
def tiny() -> LoadedModel:
    return load_model("tiny-denoise-gray-25")


def test_an_engine_and_its_sidecar(tiny: LoadedModel, tmp_path: Path) -> None:
    cache, path = EngineCache(tmp_path / "cache"), tmp_path / "x.engine"
    said: list[str] = []
    report = build_cuda_engine(tiny, "cuda:sm90,sm80", path, cache=cache, say=said.append)
    assert not report.from_cache
    assert {"Compiling swin_block, sm80", "Compiling swin_block, sm90"} <= set(said)
    metadata = read_engine_metadata(path, check_hash=True)
    assert metadata == report.metadata
    assert (metadata.flavour, metadata.architectures) == ("cuda", ("sm80", "sm90"))
    assert metadata.target == "cuda:sm80,sm90"
    assert metadata.model.precision == "fp16"
    assert metadata.onnx_sha256 == tiny.source_sha256
    assert "--target cuda:sm80,sm90 --precision fp16 --io tensor" in rebuild_command(metadata, path)
    assert backend_for(path).name == "cuda"
    engine = read_cuda_engine(path)
    assert (engine.io, engine.half) == ("tensor", "fp16")
    facts = read_engine(path)
    assert set(facts.kernels) == {"sm80", "sm90"}
    assert {kernel["name"] for kernel in facts.kernels["sm90"]} >= {"swin_block", "convolution"}
    text = describe(facts)
    assert "by the CUDA kernels of swinir-deploy" in text
    assert "sm90: " in text
    again = build_cuda_engine(tiny, "cuda:sm80,sm90", tmp_path / "y.engine", cache=cache)
    assert again.from_cache
    assert (tmp_path / "y.engine").read_bytes() == path.read_bytes()
    other = build_cuda_engine(tiny, "cuda:sm80", tmp_path / "z.engine", io="image", cache=cache)
    assert not other.from_cache
    assert read_cuda_engine(tmp_path / "z.engine").io == "image"


@pytest.mark.slow
def test_two_builds_give_the_same_bytes(tiny: LoadedModel, tmp_path: Path) -> None:
    for name in ("a", "b"):
        build_cuda_engine(tiny, "cuda:sm80", tmp_path / name, precision="bf16")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_targets() -> None:
    assert is_cuda_target("CUDA:sm80")
    assert not is_cuda_target("rtx:sm89")
    assert not is_cuda_target(None)
    assert architectures_of("cuda") == ARCHITECTURES
    assert architectures_of("cuda:sm90, sm80,sm90") == (80, 90)
    with pytest.raises(UsageError, match=r"Unknown architecture 'sm75'\. Choose sm80"):
        architectures_of("cuda:sm75")


def test_full_precision_is_refused_before_any_work(tiny: LoadedModel, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Choose fp16 or bf16"):
        build_cuda_engine(tiny, "cuda", tmp_path / "x.engine", precision="fp32")
    assert not list(tmp_path.iterdir())


def test_info_checks_all_of_the_file(tiny: LoadedModel, tmp_path: Path) -> None:
    """Also where the sidecar knows the damaged file."""
    report = build_cuda_engine(tiny, "cuda:sm80", tmp_path / "x.engine")
    content = bytearray(report.path.read_bytes())
    content[-1] ^= 1
    write_engine(report.path, content, report.metadata)
    with pytest.raises(ArtifactError, match="is damaged"):
        read_engine(report.path)


@pytest.mark.slow
def test_a_bundle_names_the_plug_in(tiny: LoadedModel, tmp_path: Path) -> None:
    report = build_cuda_engine(tiny, "cuda:sm80", tmp_path / "x.engine")
    bundle = make_bundle(report.path, tmp_path / "bundle")
    assert bundle.target == "cuda"
    assert {"x.engine", "x.engine.json"} <= set(bundle.files)
    assert "libswinir_cuda.so" in (tmp_path / "bundle" / "README.md").read_text()
