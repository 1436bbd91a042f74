"""Hyper-parameters from shapes: what the network itself does not already check."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import configs

from swinir_deploy.errors import CheckpointError
from swinir_deploy.models.catalog import ModelCard, load_catalog
from swinir_deploy.models.hyperparameters import config_from_shapes, is_buffer
from swinir_deploy.network.config import SwinIRConfig
from swinir_deploy.network.swinir import SwinIR

SMALL = SwinIRConfig(
    upscale=4,
    in_chans=3,
    window_size=8,
    img_range=1.0,
    depths=(2, 1),
    embed_dim=12,
    num_heads=(2, 3),
    upsampler="pixelshuffle",
)


def shapes_of(config: SwinIRConfig) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        network = SwinIR(config)
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


@pytest.mark.parametrize("card", load_catalog().all(), ids=lambda card: card.id)
def test_every_catalogue_config_is_read_back(card: ModelCard) -> None:
    found = config_from_shapes(shapes_of(card.config), card.file, card.config.img_range)
    assert replace(found, img_size=card.config.img_size) == card.config


@settings(max_examples=40, deadline=None)
@given(config=configs(), num_feat=st.sampled_from([16, 64]))
def test_random_configs_are_read_back(config: SwinIRConfig, num_feat: int) -> None:
    if config.upsampler in ("pixelshuffle", "nearest+conv"):
        config = replace(config, num_feat=num_feat)
    found = config_from_shapes(shapes_of(config), "file", config.img_range)
    assert found.mlp_hidden_dim == config.mlp_hidden_dim
    same = replace(found, mlp_ratio=config.mlp_ratio)
    if not config.ape:
        same = replace(same, img_size=config.img_size)
    assert same == config


@given(embed_dim=st.integers(1, 400), hidden=st.integers(1, 1600))
def test_the_mlp_ratio_gives_the_hidden_channels_again(embed_dim: int, hidden: int) -> None:
    shapes = shapes_of(SMALL)
    shapes["conv_first.weight"] = (embed_dim, 3, 3, 3)
    for layer in (0, 1):
        table = f"layers.{layer}.residual_group.blocks.0.attn.relative_position_bias_table"
        shapes[table] = (225, 1)
    shapes["layers.0.residual_group.blocks.0.mlp.fc1.weight"] = (hidden, embed_dim)
    assert config_from_shapes(shapes, "file").mlp_hidden_dim == hidden


@pytest.mark.parametrize(
    ("name", "shape", "wanted"),
    [
        ("conv_first.weight", (12, 17, 3, 3), "1 to 16 input channels"),
        ("conv_first.weight", (12, 3), "4 sizes"),
        ("conv_first.weight", (0, 3, 3, 3), "at least 1"),
        (
            "layers.0.residual_group.blocks.0.attn.relative_position_bias_table",
            (224, 2),
            "225 for window 8",
        ),
        (
            "layers.0.residual_group.blocks.0.attn.relative_position_bias_table",
            (256, 2),
            "(2 * window - 1)**2",
        ),
        ("upsample.0.weight", (100, 64, 3, 3), "256 (x2) or 576 (x3)"),
        ("upsample.2.weight", (576, 64, 3, 3), "upscale is 6"),
        (
            "layers.0.residual_group.blocks.0.attn.relative_position_bias_table",
            (225, 5),
            "embed_dim is 12",
        ),
        ("absolute_pos_embed", (1, 65, 12), "square number"),
        ("layers.0.residual_group.blocks.7.norm1.weight", (12,), "blocks.2.*"),
        ("layers.3.residual_group.blocks.0.norm1.weight", (12,), "layers.2."),
        ("layers.999999999.residual_group.blocks.0.norm1.weight", (12,), "layers.2."),
    ],
)
def test_impossible_shapes(name: str, shape: tuple[int, ...], wanted: str) -> None:
    shapes = {**shapes_of(SMALL), name: shape}
    with pytest.raises(CheckpointError) as caught:
        config_from_shapes(shapes, "some.pth")
    assert "some.pth" in str(caught.value)
    assert wanted in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "conv_first.weight",
        "layers.0.residual_group.blocks.0.attn.relative_position_bias_table",
        "layers.0.residual_group.blocks.0.mlp.fc1.weight",
        "layers.0.conv.weight",
    ],
)
def test_missing_tensors_that_tell_the_architecture(name: str) -> None:
    shapes = shapes_of(SMALL)
    del shapes[name]
    with pytest.raises(CheckpointError, match=name.replace(".", r"\.")):
        config_from_shapes(shapes, "some.pth")


def test_no_head() -> None:
    shapes = {name: s for name, s in shapes_of(SMALL).items() if not name.startswith("conv_")}
    shapes["conv_first.weight"] = (12, 3, 3, 3)
    shapes = {name: s for name, s in shapes.items() if not name.startswith("upsample")}
    with pytest.raises(CheckpointError, match=r"conv_last\.weight"):
        config_from_shapes(shapes, "some.pth")


def test_a_direct_head_of_no_square_scale() -> None:
    config = replace(SMALL, upsampler="pixelshuffledirect")
    shapes = {**shapes_of(config), "upsample.0.weight": (50, 12, 3, 3)}
    with pytest.raises(CheckpointError, match=r"scale\*\*2 \* 3 outputs"):
        config_from_shapes(shapes, "some.pth")


def test_swin2sr_is_named() -> None:
    name = "layers.0.residual_group.blocks.0.attn.cpb_mlp.0.weight"
    with pytest.raises(CheckpointError, match="Swin2SR"):
        config_from_shapes({**shapes_of(SMALL), name: (512, 2)}, "some.pth")


def test_another_network_is_named() -> None:
    with pytest.raises(CheckpointError, match=r"not a SwinIR.*body\.0\.weight"):
        config_from_shapes({"body.0.weight": (3, 3)}, "some.pth")
    with pytest.raises(CheckpointError, match=r"0 tensors \(none\)"):
        config_from_shapes({}, "some.pth")


def test_the_training_side_comes_from_a_mask() -> None:
    mask = "layers.0.residual_group.blocks.1.attn_mask"
    shapes = {**shapes_of(SMALL), mask: (36, 64, 64)}
    assert config_from_shapes(shapes, "file").img_size == 48
    assert config_from_shapes({**shapes, mask: (35, 64, 64)}, "file").img_size == 64


def test_buffers() -> None:
    assert is_buffer("mean")
    assert is_buffer("layers.0.residual_group.blocks.1.attn_mask")
    assert is_buffer("layers.0.residual_group.blocks.1.attn.relative_position_index")
    assert not is_buffer("layers.0.residual_group.blocks.1.attn.relative_position_bias_table")
    assert not is_buffer("other.attn_mask")
