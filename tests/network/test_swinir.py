"""The network against the official one: every catalogued configuration, and what it leaves out."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import OFFICIAL_NUM_FEAT, OfficialSwinIR, official_network, official_state_dict
from strategies import configs
from torch import Tensor

from swinir_deploy.errors import InputError
from swinir_deploy.models.catalog import load_catalog
from swinir_deploy.models.hyperparameters import is_buffer
from swinir_deploy.network.config import SwinIRConfig
from swinir_deploy.network.swinir import SwinIR

LIMIT = 1e-5
"""Largest absolute difference in FP32 to outputs of order 1."""

CATALOGUED = {replace(card.config, img_size=48): card.id for card in reversed(load_catalog().all())}
"""Distinct configs -> the first model that has it; the training size shapes none of them."""

SMALL = SwinIRConfig(
    upscale=2,
    in_chans=3,
    window_size=8,
    img_range=1.0,
    depths=(2, 3),
    embed_dim=12,
    num_heads=(2, 3),
    upsampler="pixelshuffledirect",
)


def weights(config: SwinIRConfig, seed: int = 0) -> dict[str, Tensor]:
    """Of :func:`official_network`, without its buffers."""
    state_dict = official_state_dict(config, seed)
    return {name: tensor for name, tensor in state_dict.items() if not is_buffer(name)}


def picture(config: SwinIRConfig, batch: int, height: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(height * 1000 + width)
    return torch.rand(batch, config.in_chans, height, width, generator=generator)


def assert_same(
    network: SwinIR, oracle: OfficialSwinIR, batch: int, height: int, width: int
) -> None:
    """Equal outputs of both at one size, and outputs that say something."""
    config = network.config
    given_picture = picture(config, batch, height, width)
    with torch.inference_mode():
        wanted, found = oracle(given_picture), network(given_picture)
    scale = config.upscale
    assert found.shape == (batch, config.in_chans, height * scale, width * scale)
    assert 0.1 < wanted.abs().max() < 10, "the oracle's output is of order 1"
    assert wanted.std() > 0.02, "and no constant"
    assert (found - wanted).abs().max() <= LIMIT


def both(config: SwinIRConfig, seed: int = 0) -> tuple[SwinIR, OfficialSwinIR]:
    oracle = official_network(config, seed)
    network = SwinIR.from_state_dict(config, weights(config, seed)).eval()
    return network, oracle


@pytest.mark.parametrize("config", CATALOGUED, ids=CATALOGUED.values())
def test_every_catalogued_configuration(config: SwinIRConfig) -> None:
    network, oracle = both(config)
    window, least = config.window_size, config.min_side
    sizes = [(2, 13, 21), (1, window, window), (1, least, window - 1)]
    for batch, height, width in sizes:
        assert_same(network, oracle, batch, height, width)


def test_the_catalogue_has_every_official_kind() -> None:
    assert not any(card.config.ape for card in load_catalog().all())
    upsamplers = {(config.upsampler, config.upscale) for config in CATALOGUED}
    assert upsamplers >= {
        *(("pixelshuffle", scale) for scale in (2, 3, 4, 8)),
        *(("pixelshuffledirect", scale) for scale in (2, 3, 4)),
        *(("nearest+conv", scale) for scale in (2, 4)),
        ("", 1),
    }
    assert {config.in_chans for config in CATALOGUED} == {1, 3}
    assert {(config.window_size, config.img_range) for config in CATALOGUED} == {
        (8, 1.0),
        (7, 255.0),
    }
    assert {config.resi_connection for config in CATALOGUED} == {"1conv", "3conv"}


@pytest.mark.parametrize(
    ("height", "width"),
    [(5, 5), (5, 8), (7, 30), (8, 8), (8, 9), (16, 8), (17, 15), (1 + 64, 63), (24, 40)],
)
def test_sizes(height: int, width: int) -> None:
    assert_same(*both(SMALL), 2, height, width)


@pytest.mark.parametrize(
    "config",
    [
        replace(SMALL, ape=True, img_size=24),
        replace(SMALL, patch_norm=False),
        replace(SMALL, qkv_bias=False),
        replace(SMALL, depths=(1,), num_heads=(2,)),
        replace(SMALL, depths=(1, 1, 2), num_heads=(1, 4, 6)),
        replace(SMALL, mlp_ratio=4.0),
        replace(SMALL, mlp_ratio=0.7),
        replace(SMALL, window_size=4),
        replace(SMALL, window_size=7, img_range=255.0, upscale=1, upsampler=""),
        replace(SMALL, window_size=3, in_chans=1),
        replace(SMALL, upsampler="pixelshuffle", upscale=1),
        replace(SMALL, embed_dim=10, num_heads=(1, 2), resi_connection="3conv"),
    ],
    ids=lambda config: "-".join(
        str(value) for key, value in config.to_dict().items() if value != SMALL.to_dict()[key]
    ),
)
def test_what_no_official_checkpoint_uses(config: SwinIRConfig) -> None:
    network, oracle = both(config)
    free, fixed = [(2, 13, 21), (1, 8, config.min_side)], [(2, 24, 24), (1, 17, 23)]
    sizes = fixed if config.ape else free
    for batch, height, width in sizes:
        assert_same(network, oracle, batch, height, width)


@settings(max_examples=25, deadline=None)
@given(config=configs(), data=st.data(), seed=st.integers(0, 99))
def test_any_small_network_at_any_size(
    config: SwinIRConfig, data: st.DataObject, seed: int
) -> None:
    network, oracle = both(config, seed)
    if config.ape:
        sides = st.integers(config.img_size - config.window_size + 1, config.img_size)
    else:
        sides = st.integers(config.min_side, 3 * config.window_size + 1)
    given_picture = picture(
        config, data.draw(st.integers(1, 3)), data.draw(sides), data.draw(sides)
    )
    with torch.inference_mode():
        wanted, found = oracle(given_picture), network(given_picture)
    assert (found - wanted).abs().max() <= LIMIT * max(1.0, float(wanted.abs().max()))


@pytest.mark.parametrize("config", CATALOGUED, ids=CATALOGUED.values())
def test_official_names_and_shapes(config: SwinIRConfig) -> None:
    with torch.device("meta"):
        ours = {name: tensor.shape for name, tensor in SwinIR(config).state_dict().items()}
    official = OfficialSwinIR(config).network.state_dict()
    assert config.num_feat == OFFICIAL_NUM_FEAT
    assert ours == {name: tensor.shape for name, tensor in official.items() if not is_buffer(name)}


def test_masks_are_not_stored() -> None:
    names = SwinIR(SMALL).state_dict()
    assert not [name for name in names if is_buffer(name)]


@pytest.mark.parametrize("config", [SMALL, replace(SMALL, in_chans=1, ape=True, img_size=16)])
def test_from_state_dict_is_the_ordinary_way(config: SwinIRConfig) -> None:
    state_dict = weights(config)
    quick = SwinIR.from_state_dict(config, state_dict)
    ordinary = SwinIR(config)
    ordinary.load_state_dict(state_dict, strict=True)
    assert [name for name, _ in quick.named_modules()] == [
        name for name, _ in ordinary.named_modules()
    ]
    for kind in ("named_parameters", "named_buffers"):
        found = dict(getattr(quick, kind)())
        wanted = dict(getattr(ordinary, kind)())
        assert list(found) == list(wanted)
        for name, tensor in found.items():
            assert tensor.device.type == "cpu", name
            assert tensor.dtype == wanted[name].dtype, name
            assert torch.equal(tensor, wanted[name]), name
    assert {parameter.dtype for parameter in quick.parameters()} == {torch.float32}
    given_picture = picture(config, 2, 16, 16)
    assert torch.equal(quick.eval()(given_picture), ordinary.eval()(given_picture))
    assert quick.training is False
    assert SwinIR.from_state_dict(config, state_dict).training is True


def test_from_state_dict_draws_no_random_numbers() -> None:
    state_dict = weights(SMALL)
    before = torch.get_rng_state()
    SwinIR.from_state_dict(SMALL, state_dict)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("change", ["missing", "extra", "misshapen"])
def test_from_state_dict_is_strict(change: str) -> None:
    state_dict = weights(SMALL)
    name = "layers.0.conv.bias"
    if change == "extra":
        state_dict["layers.0.conv.scale"] = torch.zeros(1)
        name = "layers.0.conv.scale"
    else:
        bias = state_dict.pop(name)
        if change == "misshapen":
            state_dict[name] = bias[1:]
    with pytest.raises(RuntimeError, match=name):
        SwinIR.from_state_dict(SMALL, state_dict)


def test_a_new_network_is_initialised_as_the_official_one() -> None:
    torch.manual_seed(0)
    network = SwinIR(replace(SMALL, embed_dim=60, num_heads=(6, 6)))
    block = network.layers[0].residual_group.blocks[0]  # type: ignore[union-attr,index]
    assert block.attn.qkv.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert not block.mlp.fc1.bias.any()
    assert block.attn.relative_position_bias_table.std().item() == pytest.approx(0.02, rel=0.1)
    assert torch.equal(block.norm1.weight, torch.ones(60))
    out = network(torch.rand(1, 3, 9, 9))
    out.mean().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize(("height", "width"), [(4, 9), (9, 4), (1, 1)])
def test_a_side_too_short_to_reflect(height: int, width: int) -> None:
    with pytest.raises(InputError, match=f"has {width}x{height} pixels.*at least 5"):
        SwinIR(SMALL)(picture(SMALL, 1, height, width))


@pytest.mark.parametrize("shape", [(1, 1, 9, 9), (1, 4, 9, 9), (3, 9, 9)])
def test_channels_that_the_network_does_not_have(shape: tuple[int, ...]) -> None:
    # One channel would broadcast against the mean of three.
    with pytest.raises(InputError, match=r"takes \[batch, 3, height, width\]"):
        SwinIR(SMALL)(torch.zeros(shape))


def test_ape_fixes_the_size() -> None:
    network = SwinIR(replace(SMALL, ape=True, img_size=16))
    network(picture(SMALL, 1, 9, 16))
    with pytest.raises(InputError, match="for 16x16 pixels and cannot run at 24x16"):
        network(picture(SMALL, 1, 16, 17))
