"""The fused kernels on a GPU, against the FP32 network on the CPU."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from oracle import official_network

from swinir_deploy.comparison import MIN_PSNR_DB, compare, psnr_limit_db, sample_picture
from swinir_deploy.kernels.fused import FusedSwinIR
from swinir_deploy.kernels.served import why_not_fused
from swinir_deploy.models.load import load_model
from swinir_deploy.network.config import SwinIRConfig
from swinir_deploy.network.swinir import SwinIR
from swinir_deploy.runtimes.torch_runtime import TorchRuntime

LIGHT = SwinIRConfig(
    upscale=2,
    in_chans=3,
    window_size=8,
    img_range=1.0,
    depths=(2, 2),
    embed_dim=60,
    num_heads=(6, 6),
    upsampler="pixelshuffledirect",
)
MEDIUM = replace(LIGHT, embed_dim=180)
CONFIGS = {
    "tiny": replace(LIGHT, embed_dim=32, num_heads=(2, 2), upscale=4),
    "light": LIGHT,
    "medium": replace(MEDIUM, upscale=4, upsampler="pixelshuffle"),
    "large": replace(
        MEDIUM,
        embed_dim=240,
        num_heads=(8, 8),
        resi_connection="3conv",
        upscale=4,
        upsampler="nearest+conv",
    ),
    "denoise-gray": replace(MEDIUM, in_chans=1, upscale=1, upsampler=""),
    "jpeg": replace(MEDIUM, window_size=7, img_range=255.0, upscale=1, upsampler=""),
}
SIZES = [(1, 8, 8), (2, 9, 13), (1, 64, 64), (1, 37, 101), (3, 40, 24)]
FP16_DB = 60.0


@pytest.fixture(scope="module")
def card() -> str:
    """The GPU's name for torch, or the reason why the kernels do not serve it."""
    reason = why_not_fused(LIGHT, "fp16", "cuda")
    if reason is not None:
        pytest.skip(reason)
    return "cuda:0"


@pytest.fixture
def runtime(card: str) -> Iterator[TorchRuntime]:
    with TorchRuntime("tiny-sr-x2", card, precision="bf16", kernels="fused") as opened:
        yield opened


def pair(config: SwinIRConfig) -> tuple[SwinIR, Any]:
    """Our network and the official one, with the same random weights."""
    oracle = official_network(config, seed=7)
    names = {name for name, _ in SwinIR(config).named_parameters()}
    state = {k: v for k, v in oracle.network.state_dict().items() if k in names}
    return SwinIR.from_state_dict(config, state).eval().requires_grad_(False), oracle


def check_pixels(
    config: SwinIRConfig, precision: Any, io: Any, device: str, sizes: list[tuple[int, int, int]]
) -> None:
    """Compare all sizes with the official network in FP32."""
    network, oracle = pair(config)
    dtype = {"fp16": torch.float16, "bf16": torch.bfloat16}[precision]
    fused = FusedSwinIR(network, dtype, device=device, io=io)
    limit = psnr_limit_db(precision, io)
    if (precision, io) == ("fp16", "tensor"):
        limit = FP16_DB
    for batch, height, width in sizes:
        picture = sample_picture(batch, config.in_chans, height, width)
        if io == "image":
            picture = np.round(picture * 255) / np.float32(255)
        with torch.no_grad():
            wanted = oracle(torch.from_numpy(picture)).numpy()
        given = torch.from_numpy(picture)
        if io == "image":
            wanted = np.round(np.clip(wanted, 0, 1) * 255).transpose(0, 2, 3, 1)
            given = (given * 255).round().byte().permute(0, 2, 3, 1).contiguous()
        found = fused(given.to(device)).cpu().numpy()
        if io == "image":
            assert found.dtype == np.uint8
            found = found.astype(np.float32) / 255
            wanted = wanted.astype(np.float32) / 255
        result = compare(found, wanted)
        assert result.psnr_db >= limit, f"{batch}x{height}x{width}: {result}"


@pytest.mark.parametrize("io", ["tensor", "image"])
@pytest.mark.parametrize("precision", ["fp16", "bf16"])
@pytest.mark.parametrize("name", CONFIGS)
def test_pixels_are_those_of_the_official_network(
    card: str, name: str, precision: Any, io: Any
) -> None:
    check_pixels(CONFIGS[name], precision, io, card, SIZES)


@pytest.mark.parametrize("precision", sorted(MIN_PSNR_DB))
def test_a_replayed_graph_gives_the_pixels_of_the_first_run(card: str, precision: Any) -> None:
    sizes = [(1, 64, 64), (2, 40, 24), (1, 37, 101)]
    pictures = [sample_picture(b, 3, h, w) for b, h, w in sizes]
    with TorchRuntime("tiny-sr-x2", card, precision=precision, kernels="fused") as runtime:
        assert runtime.spec.kernels == "fused"
        first = [runtime.run(picture) for picture in pictures]
        kept = [result.copy() for result in first]
        for _ in range(5):
            for picture, wanted in zip(pictures, first, strict=True):
                np.testing.assert_array_equal(runtime.run(picture), wanted)
                on_gpu = runtime.run_on_gpu(runtime.copy_to_gpu(picture))
                np.testing.assert_array_equal(on_gpu.cpu().numpy(), wanted)
        assert runtime.captured_graphs == len(sizes)
        assert runtime.graph_errors == ()
        for result, copy in zip(first, kept, strict=True):
            np.testing.assert_array_equal(result, copy)


def test_results_on_the_gpu_are_not_written_to_again(runtime: TorchRuntime) -> None:
    pictures = [runtime.copy_to_gpu(sample_picture(1, 3, 32, 32) * f) for f in (1.0, 0.5, 0.25)]
    for picture in pictures:
        runtime.run_on_gpu(picture)
    results = [runtime.run_on_gpu(picture) for picture in pictures]
    copies = [result.clone() for result in results]
    for picture in pictures:
        runtime.run_on_gpu(picture)
    for result, copy in zip(results, copies, strict=True):
        assert torch.equal(result, copy)
    assert not torch.equal(results[0], results[1])


def test_at_most_eight_graphs_are_kept(runtime: TorchRuntime) -> None:
    sides = range(8, 8 + 12 * 8, 8)
    for side in [*reversed(sides), *sides, *sides]:
        runtime.run(sample_picture(1, 3, side, side))
    assert runtime.captured_graphs == 8


def test_threads_do_not_disturb_each_other(runtime: TorchRuntime) -> None:
    pictures = [sample_picture(1, 3, 24 + 8 * n, 32) for n in range(4)]
    wanted = [runtime.run(picture) for picture in pictures]
    failures: list[BaseException] = []

    def work(index: int) -> None:
        try:
            for _ in range(30):
                np.testing.assert_array_equal(runtime.run(pictures[index]), wanted[index])
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(pictures))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_closing_gives_the_memory_back(card: str) -> None:
    torch.cuda.synchronize(card)
    before = torch.cuda.memory_allocated(card)
    for _ in range(2):
        with TorchRuntime("tiny-sr-x2", card, precision="bf16", kernels="fused") as runtime:
            for side in (64, 128, 64, 128):
                runtime.run(sample_picture(1, 3, side, side))
        assert torch.cuda.memory_allocated(card) == before


@pytest.mark.parametrize("precision", sorted(MIN_PSNR_DB))
def test_nan_comes_out_where_it_does_in_pytorch(card: str, precision: Any) -> None:
    """And nowhere in the batch's other picture."""
    network, oracle = pair(LIGHT)
    dtype = {"fp16": torch.float16, "bf16": torch.bfloat16}[precision]
    fused = FusedSwinIR(network, dtype, device=card)
    picture = torch.from_numpy(sample_picture(2, 3, 64, 64))
    picture[0, 1, 10, 12] = torch.nan
    with torch.no_grad():
        wanted = oracle(picture).isnan()
    found = fused(picture.to(card)).cpu().isnan()
    assert wanted[0].any() and not wanted[1].any()
    assert found[wanted].all()
    assert not found[1].any()


def test_compiled_and_exported_programs(card: str) -> None:
    network, _ = pair(LIGHT)
    fused = FusedSwinIR(network, torch.bfloat16, device=card)
    picture = torch.from_numpy(sample_picture(1, 3, 24, 40)).to(card)
    wanted = fused(picture)
    compiled: Callable[..., Any] = torch.compile(fused, fullgraph=True)
    assert torch.equal(compiled(picture), wanted)
    program = torch.export.export(fused, (picture,))
    assert torch.equal(program.module()(picture), wanted)


def test_medium_x4_at_640x480_takes_500_mb_at_most(card: str) -> None:
    """Weights, activations, input and output."""
    config = load_config("medium-sr-x4")
    torch.manual_seed(0)
    network = SwinIR(config).eval().requires_grad_(False)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(card)
    before = torch.cuda.memory_allocated(card)
    fused = FusedSwinIR(network, torch.float16, device=card)
    with torch.inference_mode():
        fused(torch.rand(1, 3, 480, 640, device=card))
    torch.cuda.synchronize(card)
    assert torch.cuda.max_memory_allocated(card) - before <= 500e6


def load_config(model_id: str) -> SwinIRConfig:
    from swinir_deploy.models.catalog import load_catalog

    return load_catalog().get(model_id).config


def test_the_built_in_models_run_fused_by_default(card: str) -> None:
    for model_id in ("tiny-sr-x4", "tiny-denoise-gray-25", "tiny-jpeg-color-40"):
        loaded = load_model(model_id)
        picture = sample_picture(1, loaded.config.in_chans, 50, 67)
        wanted = loaded.network(torch.from_numpy(picture)).numpy()
        with TorchRuntime(loaded, card, precision="fp16") as runtime:
            assert runtime.spec.kernels == "fused", runtime.spec.kernels_reason
            assert compare(runtime.run(picture), wanted).psnr_db >= FP16_DB
