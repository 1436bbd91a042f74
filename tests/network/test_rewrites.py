from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from oracle import official_network
from torch import Tensor

from swinir_deploy.models.hyperparameters import is_buffer
from swinir_deploy.network.config import SwinIRConfig
from swinir_deploy.network.rewrites import (
    REWRITES,
    align_heads,
    align_near_heads,
    apply_rewrites,
    expand_position_bias,
    fold_attention_scale,
    fold_norms,
)
from swinir_deploy.network.swinir import SwinIR, WindowAttention

LIMIT = 1e-5


def config_with_heads(head_dim: int, heads: int = 2, qkv_bias: bool = True) -> SwinIRConfig:
    return SwinIRConfig(
        upscale=2,
        in_chans=3,
        window_size=4,
        img_range=1.0,
        depths=(2,),
        embed_dim=head_dim * heads,
        num_heads=(heads,),
        upsampler="pixelshuffledirect",
        qkv_bias=qkv_bias,
    )


def networks(config: SwinIRConfig) -> tuple[SwinIR, Tensor, Tensor]:
    """A network with random weights, a picture, and the official network's output for it."""
    oracle = official_network(config, seed=3)
    state_dict = oracle.network.state_dict()
    network = SwinIR.from_state_dict(
        config, {name: tensor for name, tensor in state_dict.items() if not is_buffer(name)}
    )
    picture = torch.rand(2, 3, 9, 14, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        return network.eval().requires_grad_(False), picture, oracle(picture)


def attentions(network: SwinIR) -> list[WindowAttention]:
    return [module for module in network.modules() if isinstance(module, WindowAttention)]


def parameters(network: SwinIR) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.named_parameters()}


@pytest.mark.parametrize("qkv_bias", [True, False])
@pytest.mark.parametrize("head_dim", [5, 10, 16, 30, 32])
@pytest.mark.parametrize("rewrite", REWRITES.values(), ids=REWRITES)
def test_the_function_stays(
    rewrite: Callable[[SwinIR], None], head_dim: int, qkv_bias: bool
) -> None:
    network, picture, wanted = networks(config_with_heads(head_dim, qkv_bias=qkv_bias))
    rewrite(network)
    assert (network(picture) - wanted).abs().max() <= LIMIT
    rewrite(network)  # once more changes nothing
    assert (network(picture) - wanted).abs().max() <= LIMIT


@pytest.mark.parametrize("qkv_bias", [True, False])
@pytest.mark.parametrize(
    "names", [names for count in (2, 3) for names in itertools.combinations(REWRITES, count)]
)
def test_every_pair_and_triple(names: tuple[str, ...], qkv_bias: bool) -> None:
    """In the order of the table: apply_rewrites knows no other."""
    network, picture, wanted = networks(config_with_heads(10, qkv_bias=qkv_bias))
    apply_rewrites(network, names)
    assert (network(picture) - wanted).abs().max() <= LIMIT


def test_several_stages_with_heads_of_their_own() -> None:
    config = replace(config_with_heads(30), depths=(2, 1, 3), num_heads=(2, 6, 4))
    network, picture, wanted = networks(config)
    apply_rewrites(network, REWRITES)
    assert (network(picture) - wanted).abs().max() <= LIMIT
    assert [attention.head_dim for attention in attentions(network)] == [32] * 2 + [16] * 4


def test_norms_keep_nothing_but_ones_and_zeros() -> None:
    network, picture, wanted = networks(config_with_heads(10))
    fold_norms(network)
    block = network.layers[0].residual_group.blocks[1]
    for norm in (block.norm1, block.norm2):
        assert torch.equal(norm.weight, torch.ones(20))
        assert torch.equal(norm.bias, torch.zeros(20))
    assert not torch.equal(network.norm.bias, torch.zeros(20))  # a convolution pads with zeros
    assert (network(picture) - wanted).abs().max() <= LIMIT


def test_a_form_of_attention_has_three_projections() -> None:
    network, _, _ = networks(config_with_heads(16))
    packed = attentions(network)[1].qkv.weight.clone()
    REWRITES["split_projections"](network)
    attention = attentions(network)[1]
    split = [attention.query.weight, attention.key.weight, attention.value.weight]
    assert torch.equal(torch.cat(split), packed)
    assert not hasattr(attention, "qkv")


def test_scale_goes_into_the_query_only() -> None:
    network, _, _ = networks(config_with_heads(16))
    before = parameters(network)
    fold_attention_scale(network)
    changed = {
        name for name, old in before.items() if not torch.equal(old, parameters(network)[name])
    }
    assert changed and all(name.endswith(("qkv.weight", "qkv.bias")) for name in changed)
    assert len(changed) == 4
    for name in changed:
        old, new = before[name], parameters(network)[name]
        assert torch.equal(new[:32], old[:32] / 4)
        assert torch.equal(new[32:], old[32:])
    assert [attention.scale for attention in attentions(network)] == [1.0, 1.0]


def test_position_bias_is_the_table_looked_up() -> None:
    network, _, _ = networks(config_with_heads(16))
    attention = attentions(network)[0]
    assert attention.position_bias is None
    expand_position_bias(network)
    bias = attention.position_bias
    assert bias is not None
    assert bias.shape == (2, 16, 16)
    table = attention.relative_position_bias_table
    for first, second in [(0, 0), (0, 15), (6, 9), (15, 0)]:
        rows = first // 4 - second // 4 + 3
        columns = first % 4 - second % 4 + 3
        assert torch.equal(bias[:, first, second], table[rows * 7 + columns])
    # From here on the table is not read.
    table.zero_()
    assert torch.equal(attention.expanded_position_bias(), bias)


@pytest.mark.parametrize(("head_dim", "aligned"), [(5, 8), (10, 16), (16, 16), (30, 32), (32, 32)])
def test_heads_are_padded_with_zeros(head_dim: int, aligned: int) -> None:
    network, _, _ = networks(config_with_heads(head_dim))
    before = parameters(network)
    align_heads(network)
    for attention in attentions(network):
        assert attention.head_dim == aligned
        assert attention.scale == head_dim**-0.5
        assert attention.qkv.weight.shape == (3 * 2 * aligned, 2 * head_dim)
        assert attention.proj.weight.shape == (2 * head_dim, 2 * aligned)
        assert attention.qkv.weight.is_contiguous() and attention.proj.weight.is_contiguous()
        rows = attention.qkv.weight.view(6, aligned, -1)
        assert not rows[:, head_dim:].any()
        assert not attention.qkv.bias.view(6, aligned)[:, head_dim:].any()
        assert not attention.proj.weight.view(-1, 2, aligned)[:, :, head_dim:].any()
    name = "layers.0.residual_group.blocks.1.attn.qkv.weight"
    kept = dict(network.named_parameters())[name].view(6, aligned, -1)[:, :head_dim]
    assert torch.equal(kept.flatten(0, 1), before[name])


def test_another_multiple() -> None:
    network, picture, wanted = networks(config_with_heads(10))
    align_heads(network, multiple=32)
    assert {attention.head_dim for attention in attentions(network)} == {32}
    assert (network(picture) - wanted).abs().max() <= LIMIT


@pytest.mark.parametrize(("head_dim", "kept"), [(30, 32), (10, 10), (15, 16), (14, 14)])
def test_heads_are_aligned_where_it_costs_little(head_dim: int, kept: int) -> None:
    network, picture, wanted = networks(config_with_heads(head_dim))
    align_near_heads(network)
    assert {attention.head_dim for attention in attentions(network)} == {kept}
    assert (network(picture) - wanted).abs().max() <= LIMIT


def test_a_copy_is_a_copy() -> None:
    """The exporter rewrites a deep copy; the network itself must not notice."""
    network, picture, _ = networks(config_with_heads(10))
    before, output = parameters(network), network(picture)
    apply_rewrites(copy.deepcopy(network), REWRITES)
    assert torch.equal(network(picture), output)
    after = parameters(network)
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert all(attention.position_bias is None for attention in attentions(network))


def test_names() -> None:
    network, picture, _ = networks(config_with_heads(10))
    with pytest.raises(KeyError, match=r"Unknown rewrites .*polish"):
        apply_rewrites(network, ["align_heads", "polish"])
    assert {attention.head_dim for attention in attentions(network)} == {10}
    output = network(picture)
    apply_rewrites(network, [])
    assert torch.equal(network(picture), output)
    # However they are listed, they are applied in the order of the table.
    apply_rewrites(network, ["align_heads", "fold_attention_scale"])
    assert {(a.head_dim, a.scale) for a in attentions(network)} == {(16, 1.0)}
