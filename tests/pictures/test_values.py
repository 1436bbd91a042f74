"""Levels and values, against exact fractions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from swinir_deploy.pictures.values import nchw_values, nhwc_levels, to_levels, to_values


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_values_are_the_nearest_to_the_fraction(dtype: type[np.unsignedinteger]) -> None:
    top = int(np.iinfo(dtype).max)
    levels = np.arange(top + 1, dtype=dtype)
    values = to_values(levels)
    assert values.dtype == np.float32
    exact = [float(np.float32(Fraction(int(level), top))) for level in levels]
    assert values.tolist() == exact


def test_there_and_back() -> None:
    levels = np.arange(256, dtype=np.uint8)
    assert np.array_equal(to_levels(to_values(levels)), levels)


def test_values_are_clamped_and_rounded_half_to_even() -> None:
    values = np.array([-1, 0, 0.5, 2.5, 3.5, 255, 300], np.float32) / np.float32(255)
    assert to_levels(values).tolist() == [0, 0, 0, 2, 4, 255, 255]
    assert to_levels(values).dtype == np.uint8


def test_layouts() -> None:
    levels = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 3), np.uint8)
    values = nchw_values(levels)
    assert values.shape == (2, 3, 3, 4)
    assert values.flags.c_contiguous
    assert values[1, 2, 0, 3] == np.float32(levels[1, 0, 3, 2]) / np.float32(255)
    assert np.array_equal(nhwc_levels(values), levels)
    assert nhwc_levels(values).flags.c_contiguous
