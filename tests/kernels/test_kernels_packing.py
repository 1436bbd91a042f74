"""Weights in the form in which the kernels read them; no kernel runs here."""

from __future__ import annotations

import pytest
import torch

from swinir_deploy.kernels.packing import pack, round_centred
from swinir_deploy.kernels.widths import stored_channels, stored_head
from swinir_deploy.network.config import SwinIRConfig
from swinir_deploy.network.swinir import SwinIR

CONFIG = SwinIRConfig(
    upscale=2,
    in_chans=3,
    window_size=7,
    img_range=1.0,
    depths=(2,),
    embed_dim=60,
    num_heads=(6,),
    upsampler="pixelshuffle",
)


def network() -> SwinIR:
    torch.manual_seed(2)
    made = SwinIR(CONFIG).eval().requires_grad_(False)
    for parameter in made.parameters():
        parameter.add_(0.05 * torch.randn_like(parameter))
    return made


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_columns_that_sum_to_zero_still_do_when_rounded(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn((180, 96), generator=generator) * 0.1
    matrix -= matrix.mean(0)
    nearest, centred = matrix.to(dtype), round_centred(matrix, dtype)
    sums = centred.double().sum(0).abs()
    assert sums.max() < 0.02 * nearest.double().sum(0).abs().max()
    # And no entry is further than one unit from where it was.
    size = matrix.abs().clamp_min(torch.finfo(dtype).smallest_normal)
    unit = torch.finfo(dtype).eps * torch.exp2(torch.floor(torch.log2(size)))
    assert bool(((centred.double() - matrix.double()).abs() <= unit * 1.0001).all())


def test_a_matrix_of_zeros_stays() -> None:
    assert not round_centred(torch.zeros(64, 3), torch.float16).any()


@pytest.mark.parametrize(
    ("channels", "stored"), [(12, 64), (60, 64), (64, 64), (180, 192), (240, 256)]
)
def test_channels_are_stored_in_groups_of_64(channels: int, stored: int) -> None:
    assert stored_channels(channels) == stored


@pytest.mark.parametrize(("channels", "stored"), [(6, 16), (10, 16), (16, 16), (30, 32), (40, 64)])
def test_heads_are_powers_of_two(channels: int, stored: int) -> None:
    assert stored_head(channels) == stored


def test_layer_norm_and_attention_survive_the_packing() -> None:
    """Logits and outputs of one head, computed from the packed weights in FP64 as a kernel does,
    against the network's own layers."""
    made = network()
    block = made.layers[0].residual_group.blocks[0]
    packed = pack(made, torch.float32)  # no rounding: the algebra alone
    name = "layers.0.residual_group.blocks.0"
    tokens = torch.randn(49, 60, dtype=torch.float64) * 3 + 5
    double = lambda key: packed.weights[f"{name}.{key}"].double()  # noqa: E731

    padded = torch.nn.functional.pad(tokens, (0, 4))
    deviation = (tokens.var(1, unbiased=False) + 1e-5).sqrt()
    projected = (padded @ double("attn.qkv.weight")).view(49, 6, 4, 16) / deviation[
        :, None, None, None
    ]
    query = projected[:, :, 0] + double("attn.qkv.bias").view(6, 16)
    key, value = projected[:, :, 1], projected[:, :, 2]
    logits = torch.einsum("ihd,jhd->hij", query, key) + double("attn.position_bias")[0, :, :49, :49]
    shares = torch.softmax(logits * torch.log(torch.tensor(2.0, dtype=torch.float64)), -1)
    mixed = torch.einsum("hij,jhd->ihd", shares, value).reshape(49, -1)
    result = mixed @ double("attn.proj.weight") * packed.numbers[f"{name}.scale"]
    result = (result + double("attn.proj.bias"))[:, :60]

    block = block.double()
    expected = block.attn(block.norm1(tokens), 49, None)
    assert (result - expected).abs().max() < 2e-3 * expected.abs().max()  # the table is FP16


def test_windows_of_49_tokens_do_not_see_the_others() -> None:
    packed = pack(network(), torch.float16)
    plain = packed.weights["layers.0.residual_group.blocks.0.attn.position_bias"]
    shifted = packed.weights["layers.0.residual_group.blocks.1.attn.position_bias"]
    assert plain.shape == (1, 6, 64, 64)
    assert shifted.shape == (4, 6, 64, 64)
    for table in (plain, shifted):
        assert table[:, :, :, 49:].max() < -50000
        assert table[:, :, :, :49].min() > -50000


def test_the_shift_mask_is_the_official_one() -> None:
    """The four kinds of windows against the mask of a picture of 2 x 2 windows, official code."""
    from oracle import official_network

    packed = pack(network(), torch.float16)
    table = packed.weights["layers.0.residual_group.blocks.1.attn.position_bias"].float()
    official = official_network(CONFIG, seed=0).network
    block = official.layers[0].residual_group.blocks[1]
    mask = block.calculate_mask((14, 14))  # windows: inside, right, below, both
    for kind, window in ((0, 0), (2, 1), (1, 2), (3, 3)):
        apart = (table[kind] - table[0])[0, :49, :49] < -100
        assert torch.equal(apart, mask[window] < -50)
