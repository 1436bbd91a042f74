"""What an engine's file launches, against the official network: read back and interpreted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from interpreter import Interpreter, interpreter
from oracle import official_network

from swinir_deploy.artifacts.cuda_engine import CudaEngine, read_cuda_engine, write_cuda_engine
from swinir_deploy.errors import UsageError
from swinir_deploy.models.load import LoadedModel
from swinir_deploy.network.config import SwinIRConfig
from swinir_deploy.network.swinir import SwinIR
from swinir_deploy.precision.plan import PrecisionPlan

__all__ = ["interpreter"]

pytest.importorskip("triton", reason="Triton is not installed")
from swinir_deploy.exporters.cuda.assemble import compile_engine, pack_model

BASE = SwinIRConfig(
    upscale=2,
    in_chans=3,
    window_size=8,
    img_range=1.0,
    depths=(2,),
    embed_dim=32,
    num_heads=(2,),
    upsampler="pixelshuffledirect",
)
WIDE = replace(BASE, embed_dim=180, num_heads=(6,))

KINDS: dict[str, tuple[SwinIRConfig, tuple[int, int, int]]] = {
    "light, odd sides, two pictures": (BASE, (2, 11, 13)),
    "medium x2": (replace(WIDE, upsampler="pixelshuffle"), (1, 8, 8)),
    "narrow x3": (replace(BASE, upscale=3, upsampler="pixelshuffle"), (1, 9, 8)),
    "real x4": (replace(BASE, upscale=4, upsampler="nearest+conv"), (1, 8, 7)),
    "denoise gray, 3conv": (
        replace(BASE, upscale=1, upsampler="", in_chans=1, resi_connection="3conv"),
        (1, 16, 9),
    ),
    "jpeg": (replace(BASE, upscale=1, upsampler="", window_size=7, img_range=255.0), (1, 14, 8)),
    "no patch norm": (replace(BASE, patch_norm=False, window_size=4), (1, 9, 8)),
}


def loaded(config: SwinIRConfig) -> tuple[torch.nn.Module, LoadedModel]:
    oracle = official_network(config, seed=3)
    generator = torch.Generator().manual_seed(7)
    for parameter in oracle.parameters():
        parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator))
    names = {name for name, _ in SwinIR(config).named_parameters()}
    state = {k: v for k, v in oracle.network.state_dict().items() if k in names}
    network = SwinIR.from_state_dict(config, state).eval().requires_grad_(False)
    return oracle, LoadedModel(network, config, None, "test", "sr", Path("test.pth"), "")


def engine_of(
    config: SwinIRConfig, half: str = "fp16", io: str = "tensor", k: int = 0
) -> tuple[torch.nn.Module, CudaEngine]:
    oracle, model = loaded(config)
    plan = PrecisionPlan(half, residual_scale_log2=k)  # type: ignore[arg-type]
    return oracle, compile_engine(pack_model(model, plan, io), [80])  # type: ignore[arg-type]


def interpreted(content: bytes, picture: torch.Tensor) -> torch.Tensor:
    """In the process where Triton interprets."""
    from engine_interpreter import run_engine

    return run_engine(read_cuda_engine(content), "sm80", picture)


def psnr_db(result: torch.Tensor, expected: torch.Tensor) -> float:
    error = (result.double() - expected.double()).square().mean()
    span = (expected.max() - expected.min()).double()
    return float(20 * torch.log10(span) - 10 * torch.log10(error))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_equals_the_official_network(kind: str, interpreter: Interpreter) -> None:
    config, (batch, height, width) = KINDS[kind]
    oracle, engine = engine_of(config)
    generator = torch.Generator().manual_seed(height * width)
    picture = torch.rand((batch, config.in_chans, height, width), generator=generator)
    result = interpreter(interpreted, write_cuda_engine(engine), picture)
    with torch.no_grad():
        expected = oracle(picture)
    assert result.shape == expected.shape
    assert psnr_db(result, expected) > 60


def test_a_scaled_stream_in_bf16(interpreter: Interpreter) -> None:
    oracle, engine = engine_of(BASE, half="bf16", k=4)
    picture = torch.rand((1, 3, 8, 9), generator=torch.Generator().manual_seed(1))
    result = interpreter(interpreted, write_cuda_engine(engine), picture)
    with torch.no_grad():
        assert psnr_db(result, oracle(picture)) > 40  # three bits less than FP16


def test_bytes_in_and_out(interpreter: Interpreter) -> None:
    oracle, engine = engine_of(BASE, io="image")
    generator = torch.Generator().manual_seed(1)
    picture = torch.randint(0, 256, (1, 9, 13, 3), dtype=torch.uint8, generator=generator)
    result = interpreter(interpreted, write_cuda_engine(engine), picture)
    with torch.no_grad():
        planar = oracle(picture.permute(0, 3, 1, 2).float() / 255)
    expected = planar.clamp(0, 1).mul(255).round().permute(0, 2, 3, 1)
    assert (result.int() - expected.int()).abs().max() <= 1


def test_machine_code_is_there_for_each_architecture() -> None:
    _, model = loaded(BASE)
    engine = compile_engine(pack_model(model, PrecisionPlan("fp16")), [80, 90])
    again = read_cuda_engine(write_cuda_engine(engine))
    assert again == engine
    assert list(again.architectures) == ["sm80", "sm90"]
    for architecture in again.architectures.values():
        assert {kernel.name for kernel in architecture.kernels} == {
            "first_convolution",
            "layer_norm",
            "swin_block",
            "convolution",
        }
    assert again.architecture_for("8.9") == "sm80"
    assert again.architecture_for("9.0") == "sm90"
    assert again.architecture_for("7.5") is None
    assert again.architecture_for("10.0") is None


def test_fp32_is_refused() -> None:
    _, model = loaded(BASE)
    with pytest.raises(UsageError, match="cannot be built for cuda"):
        pack_model(model, PrecisionPlan("fp32"))
