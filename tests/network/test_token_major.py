"""Token-major windows hold what window-major ones hold, with the axes the other way round."""

from __future__ import annotations

import pytest
import torch

from swinir_deploy.network.token_major import TOKEN_MAJOR
from swinir_deploy.network.windows import WINDOW_MAJOR

GRIDS = [(1, 1), (1, 3), (2, 1), (3, 4)]
WINDOWS = [2, 3, 7, 8]


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize(("rows", "columns"), GRIDS)
def test_the_axes_are_what_the_layout_says(rows: int, columns: int, window: int) -> None:
    image = torch.rand(2, 3, rows * window, columns * window)
    plain, turned = WINDOW_MAJOR.from_image(image, window), TOKEN_MAJOR.from_image(image, window)
    places = [WINDOW_MAJOR.axes.index(axis) for axis in TOKEN_MAJOR.axes]
    assert torch.equal(turned, plain.permute(*places, 4))
    assert torch.equal(TOKEN_MAJOR.to_image(turned, window), image)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize(("rows", "columns"), GRIDS)
def test_order_is_roll_and_partition(rows: int, columns: int, window: int) -> None:
    shift = window // 2
    image = torch.rand(2, 3, rows * window, columns * window)
    rolled = torch.roll(image, shifts=(-shift, -shift), dims=(2, 3))
    plain, shifted = (TOKEN_MAJOR.from_image(picture, window) for picture in (image, rolled))
    there = TOKEN_MAJOR.shift_order(rows, columns, window, shift, image)
    back = TOKEN_MAJOR.shift_order(rows, columns, window, -shift, image)
    assert there.shape == (window**2, rows, columns)
    assert torch.equal(TOKEN_MAJOR.reorder(plain, there), shifted)
    assert torch.equal(TOKEN_MAJOR.reorder(shifted, back), plain)
