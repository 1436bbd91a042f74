"""Windows, order and mask against the official roll, partition and calculate_mask, written out."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from oracle import official_network
from torch import Tensor

from swinir_deploy.network.config import SwinIRConfig
from swinir_deploy.network.windows import (
    MASKED_LOGIT,
    image_to_windows,
    relative_position_index,
    reorder,
    shift_mask,
    shift_order,
    windows_to_image,
)

WINDOWS = [2, 3, 4, 7, 8]
GRIDS = [(1, 1), (1, 2), (3, 1), (2, 2), (2, 3), (4, 3)]
LIKE = torch.zeros(())


def cut(picture: Tensor, window: int) -> Tensor:
    """[H, W] -> [rows, columns, window**2], one window after the other, by slicing."""
    height, width = picture.shape
    return torch.stack(
        [
            torch.stack(
                [
                    picture[top : top + window, left : left + window].flatten()
                    for left in range(0, width, window)
                ]
            )
            for top in range(0, height, window)
        ]
    )


def official_mask(height: int, width: int, window: int, shift: int) -> Tensor:
    """``SwinTransformerBlock.calculate_mask``: [rows, columns, N, N]."""
    regions = torch.zeros(height, width)
    slices = (slice(0, -window), slice(-window, -shift), slice(-shift, None))
    count = 0
    for rows in slices:
        for columns in slices:
            regions[rows, columns] = count
            count += 1
    labels = cut(regions, window)
    difference = labels[:, :, None, :] - labels[:, :, :, None]
    return torch.where(difference != 0, -100.0, 0.0)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize(("rows", "columns"), GRIDS)
def test_windows_are_cut_and_put_back(rows: int, columns: int, window: int) -> None:
    image = torch.rand(2, 3, rows * window, columns * window)
    windows = image_to_windows(image, window)
    for batch in range(2):
        for channel in range(3):
            wanted = cut(image[batch, channel], window)
            assert torch.equal(windows[batch, ..., channel], wanted)
    assert torch.equal(windows_to_image(windows, window), image)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize(("rows", "columns"), GRIDS)
def test_order_is_roll_and_partition(rows: int, columns: int, window: int) -> None:
    shift = window // 2
    image = torch.rand(2, 3, rows * window, columns * window)
    rolled = torch.roll(image, shifts=(-shift, -shift), dims=(2, 3))
    plain, shifted = image_to_windows(image, window), image_to_windows(rolled, window)
    there = shift_order(rows, columns, window, shift, LIKE)
    back = shift_order(rows, columns, window, -shift, LIKE)
    assert there.dtype == back.dtype == torch.int64
    assert torch.equal(reorder(plain, there), shifted)
    assert torch.equal(reorder(shifted, back), plain)
    assert torch.equal(there.flatten().sort().values, torch.arange(there.numel()))


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize(("rows", "columns"), GRIDS)
def test_mask_is_calculate_mask(rows: int, columns: int, window: int) -> None:
    shift = window // 2
    mask = shift_mask(rows, columns, window, shift, LIKE)
    assert torch.equal(mask, official_mask(rows * window, columns * window, window, shift))
    assert set(mask.unique().tolist()) == {MASKED_LOGIT, 0.0}
    if rows > 1 and columns > 1:
        assert not mask[:-1, :-1].any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_mask_has_the_type_it_is_added_to(dtype: torch.dtype) -> None:
    mask = shift_mask(2, 2, 4, 2, torch.zeros((), dtype=dtype))
    assert mask.dtype == dtype
    assert torch.equal(mask.float(), shift_mask(2, 2, 4, 2, LIKE))


@pytest.mark.parametrize("window", [4, 7, 8])
def test_mask_and_index_are_the_official_buffers(window: int) -> None:
    config = SwinIRConfig(
        upscale=1,
        in_chans=1,
        window_size=window,
        img_range=1.0,
        depths=(2,),
        embed_dim=4,
        num_heads=(1,),
        img_size=3 * window,
    )
    for img_size, count in ((3 * window, 3), (5 * window, 5)):
        buffers = official_network(replace(config, img_size=img_size)).network.state_dict()
        place = "layers.0.residual_group.blocks."
        index = buffers[f"{place}0.attn.relative_position_index"]
        assert torch.equal(relative_position_index(window), index)
        stored = buffers[f"{place}1.attn_mask"]
        mask = shift_mask(count, count, window, window // 2, LIKE)
        assert torch.equal(mask.flatten(0, 1), stored)
