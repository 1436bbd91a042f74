"""What PyTorch's back end computes with on a CPU, beside the official network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from oracle import official_network
from torch import Tensor, nn

from swinir_deploy.models.hyperparameters import is_buffer
from swinir_deploy.models.load import LoadedModel
from swinir_deploy.network import attention as cpu_attention
from swinir_deploy.network import onednn
from swinir_deploy.network.attention import CpuAttention, replace_attentions
from swinir_deploy.network.config import SwinIRConfig
from swinir_deploy.network.onednn import OneDnnLinear, onednn_is_faster, use_onednn
from swinir_deploy.network.swinir import Mlp, SwinIR, WindowAttention
from swinir_deploy.runtimes.torch_runtime import TorchRuntime

CONFIG = SwinIRConfig(
    upscale=2,
    in_chans=3,
    window_size=4,
    img_range=1.0,
    depths=(2, 2),
    embed_dim=20,
    num_heads=(2, 2),
    upsampler="pixelshuffledirect",
)
LIMIT = 1e-5


def networks(config: SwinIRConfig) -> tuple[SwinIR, Tensor, Tensor]:
    """A network with random weights, two pictures, the official network's output for them."""
    oracle = official_network(config, seed=5)
    state = {k: v for k, v in oracle.network.state_dict().items() if not is_buffer(k)}
    pictures = torch.rand(2, config.in_chans, 19, 26, generator=torch.Generator().manual_seed(2))
    network = SwinIR.from_state_dict(config, state).eval().requires_grad_(False)
    with torch.inference_mode():
        return network, pictures, oracle(pictures)


@pytest.mark.parametrize("qkv_bias", [True, False])
@pytest.mark.parametrize("logits_bytes", [1, 5 * 2 * 16 * 16 * 4, 2**30])
def test_windows_in_groups_give_the_same(
    logits_bytes: int, qkv_bias: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu_attention, "_LOGITS_BYTES", logits_bytes)  # 1, 5 and all 70 windows
    network, pictures, wanted = networks(replace(CONFIG, qkv_bias=qkv_bias))
    replace_attentions(network, CpuAttention)
    assert sum(isinstance(module, CpuAttention) for module in network.modules()) == 4
    with torch.inference_mode():
        assert (network(pictures) - wanted).abs().max() <= LIMIT


def test_onednn_gives_the_same() -> None:
    network, pictures, wanted = networks(CONFIG)
    replace_attentions(network, CpuAttention)
    use_onednn(network)
    assert sum(isinstance(module, OneDnnLinear) for module in network.modules()) == 4 * 6
    assert not any(isinstance(module, Mlp) for module in network.modules())
    with torch.inference_mode():
        assert (network(pictures) - wanted).abs().max() <= LIMIT


def test_gelu_is_the_exact_one() -> None:
    layer = nn.Linear(3, 3)
    with torch.inference_mode():
        layer.weight.copy_(torch.eye(3))
        layer.bias.zero_()
        values = torch.tensor([[-1.0, 0.5, 2.0]])
        # x * Phi(x), by hand: -1 * 0.158655, 0.5 * 0.691462, 2 * 0.977250.
        wanted = torch.tensor([[-0.158655, 0.345731, 1.954500]])
        assert torch.allclose(OneDnnLinear(layer, gelu=True)(values), wanted, atol=1e-5)
        assert torch.equal(OneDnnLinear(layer)(values), values)


@pytest.mark.parametrize("error", [AttributeError, RuntimeError, TypeError])
def test_a_torch_without_the_kernel_keeps_its_own(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(_layer: OneDnnLinear, _tokens: Tensor) -> Tensor:
        raise error("no such kernel")

    monkeypatch.setattr(onednn.OneDnnLinear, "forward", missing)
    assert onednn_is_faster.__wrapped__() is False


def test_a_kernel_that_computes_something_else_is_not_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        onednn.OneDnnLinear, "forward", lambda layer, tokens: tokens @ layer.weight.t() + 1
    )
    assert onednn_is_faster.__wrapped__() is False


@pytest.mark.parametrize("fast", [True, False])
def test_the_back_end_takes_onednn_where_it_is_faster(
    fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("swinir_deploy.runtimes.torch_runtime.onednn_is_faster", lambda: fast)
    network, pictures, wanted = networks(CONFIG)
    loaded = LoadedModel(network, CONFIG, None, "x", "sr", Path("x.pth"), "0" * 64)
    with TorchRuntime(loaded) as runtime:
        used = [type(module) for module in runtime._network.modules()]
        assert (OneDnnLinear in used) is fast
        assert CpuAttention in used
        assert np.abs(runtime.run(pictures.numpy()) - wanted.numpy()).max() <= LIMIT
    with TorchRuntime(loaded, as_trained=True) as runtime:
        used = [type(module) for module in runtime._network.modules()]
        assert OneDnnLinear not in used and WindowAttention in used
        assert np.abs(runtime.run(pictures.numpy()) - wanted.numpy()).max() <= LIMIT
    # What was loaded stays as it was.
    assert not any(isinstance(module, CpuAttention) for module in network.modules())
