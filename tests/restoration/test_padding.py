import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swinir_deploy.restoration.padding import crop, pad_to_window, padded_side, reflect_indices

SIDES = st.integers(1, 70)


@given(side=SIDES, more=st.integers(0, 150))
def test_reflection_is_numpys_for_any_size(side, more):
    line = np.arange(side)
    assert np.array_equal(
        line[reflect_indices(side, side + more)], np.pad(line, (0, more), mode="reflect")
    )


@given(height=SIDES, width=SIDES, window=st.sampled_from([7, 8]), least=st.integers(1, 40))
def test_padded_array_is_whole_windows_and_numpys(height, width, window, least):
    array = np.arange(2 * height * width).reshape(2, height, width)
    padded = pad_to_window(array, window, least)
    more = [padded.shape[1] - height, padded.shape[2] - width]
    assert padded.shape[1] % window == padded.shape[2] % window == 0
    assert min(padded.shape[1:]) >= least
    assert all(m < window or padded.shape[i + 1] < least + window for i, m in enumerate(more)), (
        "no more than needed"
    )
    oracle = np.pad(array, ((0, 0), (0, more[0]), (0, more[1])), mode="reflect")
    assert np.array_equal(padded, oracle)
    assert np.array_equal(crop(padded, height, width), array)


@pytest.mark.parametrize("window", [7, 8])
@pytest.mark.parametrize("height", [5, 8, 9, 13, 21])
@pytest.mark.parametrize("width", [5, 7, 16, 30])
def test_padding_is_torchs_where_torch_can(height, width, window):
    torch = pytest.importorskip("torch")
    array = np.random.default_rng(0).random((2, 3, height, width), np.float32)
    more = [padded_side(side, window) - side for side in (height, width)]
    oracle = torch.nn.functional.pad(
        torch.from_numpy(array), (0, more[1], 0, more[0]), mode="reflect"
    )
    assert np.array_equal(pad_to_window(array, window), oracle.numpy())


def test_axes_can_be_height_and_width_of_hwc():
    array = np.arange(9 * 10 * 3).reshape(9, 10, 3)
    padded = pad_to_window(array, 8, axes=(0, 1))
    assert padded.shape == (16, 16, 3)
    assert np.array_equal(padded, np.pad(array, ((0, 7), (0, 6), (0, 0)), mode="reflect"))
    assert np.array_equal(crop(padded, 9, 10, axes=(0, 1)), array)


def test_a_whole_window_is_not_copied():
    array = np.zeros((1, 3, 16, 24))
    assert pad_to_window(array, 8) is array


def test_one_pixel_repeats():
    assert np.array_equal(pad_to_window(np.array([[7]]), 8), np.full((8, 8), 7))
