"""Which networks, precisions and devices the kernels serve, on a card that is not there."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
import torch

from swinir_deploy.kernels import served
from swinir_deploy.kernels.served import why_network_not_fused, why_not_fused
from swinir_deploy.models.catalog import load_catalog
from swinir_deploy.network.config import SwinIRConfig

LIGHT = SwinIRConfig(
    upscale=2,
    in_chans=3,
    window_size=8,
    img_range=1.0,
    depths=(6, 6, 6, 6),
    embed_dim=60,
    num_heads=(6, 6, 6, 6),
    upsampler="pixelshuffledirect",
)


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """An H100 with a Triton that serves; tests change what they ask about."""
    facts: dict[str, Any] = {"capability": (9, 0), "name": "NVIDIA H100", "triton": "3.6.0"}
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: facts["capability"])
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: facts["name"])
    monkeypatch.setattr(served, "is_importable", lambda name: facts["triton"] is not None)

    def version(name: str) -> str:
        if name != facts.get("distribution", "triton"):
            raise importlib.metadata.PackageNotFoundError(name)
        return str(facts["triton"])

    monkeypatch.setattr(importlib.metadata, "version", version)
    return facts


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
@pytest.mark.parametrize("capability", [(8, 0), (8, 6), (8, 9), (9, 0), (10, 0), (12, 0)])
def test_a_card_that_is_served(
    card: dict[str, Any], capability: tuple[int, int], precision: Any
) -> None:
    card["capability"] = capability
    assert why_not_fused(LIGHT, precision, "cuda:0") is None


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (
            {"capability": (7, 5), "name": "Tesla T4"},
            "Tesla T4 is sm75; the kernels need sm80 or newer.",
        ),
        ({"triton": None}, "Triton is not installed: pip install 'swinir-deploy[cuda]'."),
        (
            {"triton": "3.5.1"},
            "Triton 3.5.1 is installed; the kernels need 3.6 or newer: "
            "pip install 'swinir-deploy[cuda]'.",
        ),
        ({"triton": "3.10.0"}, None),
        ({"triton": "4.0"}, None),
        ({"triton": "3.7.0+git", "distribution": "pytorch-triton"}, None),
        ({"triton": "3.7.0", "distribution": "built-by-hand"}, None),
    ],
)
def test_cards_and_tritons(card: dict[str, Any], facts: dict[str, Any], reason: str | None) -> None:
    card.update(facts)
    assert why_not_fused(LIGHT, "fp16", torch.device("cuda", 0)) == reason


@pytest.mark.parametrize("device", ["cpu", "mps"])
def test_devices_of_others(card: dict[str, Any], device: str) -> None:
    reason = why_not_fused(LIGHT, "fp16", device)
    assert reason == f"The device is {device}; the kernels run on NVIDIA GPUs (--device cuda)."


def test_a_torch_for_amd(card: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Its devices are called cuda, too."""
    monkeypatch.setattr(torch.version, "hip", "6.4.1")
    reason = why_not_fused(LIGHT, "fp16", "cuda")
    assert reason == "This torch was built for AMD's ROCm 6.4.1; the kernels need CUDA."


def test_no_card(card: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "finds no CUDA device" in (why_not_fused(LIGHT, "fp16", "cuda") or "")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ape": True}, "absolute position embedding"),
        ({"window_size": 16}, "16 pixels a side; the kernels take up to 8"),
        ({"num_heads": (6, 6, 6, 1), "embed_dim": 66}, "66 channels; the kernels take up to 64"),
        ({"embed_dim": 300}, "300 channels (embed_dim); the kernels take up to 256"),
    ],
)
def test_networks(card: dict[str, Any], changes: dict[str, Any], words: str) -> None:
    reason = why_not_fused(replace(LIGHT, **changes), "bf16", "cuda")
    assert reason is not None and words in reason
    assert reason.endswith(".") and reason.count(". ") == 0, "one sentence"


@pytest.mark.parametrize(
    "changes",
    [
        {"window_size": 7},
        {"window_size": 4},
        {"embed_dim": 256, "num_heads": (8, 8, 8, 4)},
        {"embed_dim": 64, "num_heads": (1, 1, 1, 1)},
        {"qkv_bias": False},
        {"patch_norm": False},
    ],
)
def test_the_largest_and_the_strangest_that_are_served(
    card: dict[str, Any], changes: dict[str, Any]
) -> None:
    assert why_not_fused(replace(LIGHT, **changes), "fp16", "cuda") is None


def test_every_model_of_the_catalogue_is_served() -> None:
    for model in load_catalog().all():
        assert why_network_not_fused(model.config, "fp16") is None, model.id


def test_precisions(card: dict[str, Any]) -> None:
    reason = why_not_fused(LIGHT, "fp32", "cuda")
    assert reason == "The precision is fp32; the kernels compute in fp16 or bf16."
    reason = why_not_fused(LIGHT, "fp16", "cuda", keep_fp32=["conv_first", "conv_last"])
    assert reason is not None and "keeps conv_first, conv_last in FP32" in reason
    reason = why_not_fused(LIGHT, "fp16", "cuda", spare_channels=4)
    assert reason is not None and "4 spare channels" in reason


def test_the_reason_needs_no_triton() -> None:
    code = (
        "import sys; from swinir_deploy.kernels.served import *; "
        "from swinir_deploy.models.catalog import load_catalog; "
        "config = load_catalog().get('tiny-sr-x4').config; "
        "why_network_not_fused(config, 'fp16'); assert 'torch' not in sys.modules; "
        "why_not_fused(config, 'fp16', 'cuda'); assert 'triton' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
