"""What the compiler makes of a model's kernels: which model, which GPUs, what is said."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from swinir_deploy.errors import BackendUnavailableError, InputError, UsageError
from swinir_deploy.kernels import inspect as module
from swinir_deploy.kernels.compile import CompiledKernel
from swinir_deploy.kernels.inspect import inspect_kernels, parse_target
from swinir_deploy.kernels.settings import SHARED_BYTES
from swinir_deploy.models.checkpoint import save_checkpoint
from swinir_deploy.network.config import SwinIRConfig
from swinir_deploy.network.swinir import SwinIR
from swinir_deploy.system import packages

SMALL = SwinIRConfig(
    upscale=2,
    in_chans=3,
    window_size=8,
    img_range=1.0,
    depths=(2,),
    embed_dim=12,
    num_heads=(2,),
    upsampler="pixelshuffledirect",
)


def save(path: Path, config: SwinIRConfig) -> Path:
    torch.manual_seed(1)
    return save_checkpoint(path, SwinIR(config).state_dict(), config, "small")


class Compiler:
    """In the place of compile_kernels: notes what it was asked for."""

    def __init__(self) -> None:
        self.calls: list[tuple[SwinIRConfig, list[int], str]] = []

    def __call__(
        self, config: SwinIRConfig, architectures: Sequence[int], *, half: str
    ) -> list[CompiledKernel]:
        self.calls.append((config, list(architectures), half))
        parts = ["block"] if config.embed_dim <= 64 else ["attention", "mlp"]
        (number,) = architectures
        return [
            CompiledKernel(f"{part}_kernel", f"sm{number}", part, {"SIDE": 8}, 168, 8, 4096, 4, 2)
            for part in ["edge", *parts, "head"]
        ]


@pytest.fixture
def compiler(monkeypatch: pytest.MonkeyPatch) -> Compiler:
    found = Compiler()
    monkeypatch.setattr(module, "compile_kernels", found)
    monkeypatch.setattr(packages, "is_importable", lambda name: True)
    return found


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("cuda:sm80,sm90", (80, 90)),
        ("CUDA:SM_90", (90,)),
        (" cuda: sm120 , sm89, sm120", (120, 89)),
    ],
)
def test_targets(text: str, wanted: tuple[int, ...]) -> None:
    assert parse_target(text) == wanted


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cuda", "names no GPU to compile for. Give some of cuda:sm80,"),
        ("cuda:", "names no GPU"),
        ("rtx:sm89", "names no GPU to compile for. Give some of cuda:"),
        ("cuda:sm75", "Unknown architecture 'sm75'. Choose sm80,"),
        ("cuda:sm80,", "Unknown architecture ''"),
        ("cuda:90", "Unknown architecture '90'"),
    ],
)
def test_what_is_no_target(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_target(text)
    assert message in str(caught.value)


def test_a_model_of_the_catalogue_is_not_downloaded(
    compiler: Compiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    found = inspect_kernels("medium-sr-x4", "cuda:sm80,sm90", precision="bf16", say=lines.append)
    assert [call[1:] for call in compiler.calls] == [([80], "bf16"), ([90], "bf16")]
    assert compiler.calls[0][0].embed_dim == 180
    assert found.kernels_per_block == 2
    assert list(found.kernels) == ["sm80", "sm90"]
    assert lines == [f"Compiling the kernels of medium-sr-x4 for sm{n} ..." for n in (80, 90)]


def test_the_document(compiler: Compiler, tmp_path: Path) -> None:
    path = save(tmp_path / "small.safetensors", SMALL)
    document = inspect_kernels(path, "cuda:sm86").to_dict()
    assert compiler.calls == [(SMALL, [86], "fp16")]
    assert document["model"] == os.fspath(path)
    assert (document["target"], document["precision"]) == ("cuda:sm86", "fp16")
    assert document["kernels_per_block"] == 1
    (entries,) = document["architectures"].values()
    assert [entry["kernel"] for entry in entries] == ["edge_kernel", "block_kernel", "head_kernel"]
    for entry in entries:
        assert (entry["registers"], entry["spill_bytes"], entry["shared_bytes"]) == (168, 8, 4096)


def test_a_network_that_is_not_served_is_refused(compiler: Compiler, tmp_path: Path) -> None:
    path = save(tmp_path / "ape.safetensors", replace(SMALL, ape=True, img_size=16))
    with pytest.raises(UsageError, match=r"has no fused kernels\. The network has an absolute"):
        inspect_kernels(path, "cuda:sm80")
    assert compiler.calls == []


def test_an_exported_file_is_refused(compiler: Compiler, tmp_path: Path) -> None:
    path = tmp_path / "x4.onnx"
    path.write_bytes(b"")
    with pytest.raises(InputError, match=r"an ONNX file, not a checkpoint\. Give the checkpoint"):
        inspect_kernels(path, "cuda:sm80")


def test_without_triton(compiler: Compiler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "is_importable", lambda name: name != "triton")
    with pytest.raises(BackendUnavailableError, match=r"needs triton.*swinir-deploy\[cuda\]"):
        inspect_kernels("tiny-sr-x4", "cuda:sm80")


@pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") == "1", reason="Triton interprets here")
def test_the_real_compiler(tmp_path: Path) -> None:
    pytest.importorskip("triton", reason="Triton is not installed")
    path = save(tmp_path / "small.safetensors", SMALL)
    found = inspect_kernels(path, "cuda:sm80")
    assert found.kernels_per_block == 1
    block = next(k for k in found.kernels["sm80"] if k.part == "block")
    assert block.kernel == "swin_block"
    assert block.launches == 2
    for kernel in found.kernels["sm80"]:
        assert 0 < kernel.registers <= 255
        assert 0 <= kernel.shared_bytes <= SHARED_BYTES[80]


def test_the_target_of_a_report_is_the_target_that_was_asked_for(compiler: Compiler) -> None:
    found: Any = inspect_kernels("tiny-sr-x4", "cuda:sm100,sm_90").to_dict()
    assert found["target"] == "cuda:sm100,sm90"
