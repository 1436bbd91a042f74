"""Pictures on a model that takes ranges of sides and batches, as an engine does."""

import numpy as np
import pytest
from fake_runtimes import FakeRuntime, LittleMemoryRuntime, nearest
from hypothesis import given
from hypothesis import strategies as st

from swinir_deploy.errors import DeviceMemoryError
from swinir_deploy.restoration.restorer import Restorer


def noise(*shape):
    return np.random.default_rng(sum(shape)).integers(0, 256, shape, np.uint8)


def ranges(batch=(1, None), height=(1, None), width=(1, None)):
    names = (("batch", batch), ("height", height), ("width", width))
    return {
        f"{end}_{name}": limit
        for name, limits in names
        for end, limit in zip(("min", "max"), limits, strict=True)
    }


@pytest.mark.parametrize(
    ("size", "limits", "batch", "wanted"),
    [
        # A side above the range is cut, whether or not the picture would go through whole: 88
        # windows by two tiles that share 4 of them.
        ((150, 700), ranges(height=(64, 512), width=(64, 512)), 1, [(1, 152, 368)] * 2),
        ((300, 300), ranges(height=(64, 128), width=(64, 128)), 1, [(1, 128, 128)] * 9),
        ((10, 70), ranges(height=(64, 128), width=(64, 128)), 1, [(1, 64, 72)]),
        # Each side has its own range; 136 x 500 needs no second row.
        ((130, 500), ranges(height=(64, 136), width=(256, 512)), 1, [(1, 136, 504)]),
        ((10, 10), ranges(height=(64, 136), width=(256, 512)), 1, [(1, 64, 256)]),
        # Batches: 9 tiles of 128 as before.
        ((300, 300), ranges((1, 8), (64, 128), (64, 128)), 16, [(8, 128, 128), (1, 128, 128)]),
        ((300, 300), ranges((2, 8), (64, 128), (64, 128)), 8, [(8, 128, 128), (2, 128, 128)]),
        ((300, 300), ranges((2, 8), (64, 128), (64, 128)), 1, [(2, 128, 128)] * 5),
        # No multiple of the window within the range.
        ((40, 20), ranges(height=(33, 39), width=(33, 39)), 1, [(1, 39, 39)] * 2),
    ],
)
def test_tiles_and_batches_keep_to_the_range(size, limits, batch, wanted):
    pixels = noise(*size, 3)
    with FakeRuntime(scale=1, **limits) as runtime:
        assert np.array_equal(Restorer(runtime, batch=batch).restore_array(pixels), pixels)
    assert runtime.shapes == wanted


def test_a_large_picture_is_cut_to_the_largest_tile():
    pixels = noise(2000, 2000, 3)
    limits = ranges((1, 8), (64, 128), (64, 128))
    with FakeRuntime(scale=1, **limits) as runtime:
        assert np.array_equal(Restorer(runtime).restore_array(pixels), pixels)
    assert set(runtime.shapes) == {(1, 128, 128)}


def test_planes_of_a_colour_picture_are_split_at_the_largest_batch():
    pixels = noise(70, 70, 3)
    with FakeRuntime(scale=1, in_chans=1, **ranges((1, 2))) as runtime:
        assert np.array_equal(Restorer(runtime).restore_array(pixels), pixels)
    assert runtime.shapes == [(2, 72, 72), (1, 72, 72)]


TILES_OF_128 = ((1, 4), (128, 128), (128, 128))
TILES_OF_256 = ((1, 4), (256, 256), (256, 256))


def two_tiles(**changes):
    """As an engine with two tile profiles has it; the larger one is the widest."""
    given = dict(zip(("batch", "height", "width"), TILES_OF_256, strict=True))
    return {**ranges(**given), "other_ranges": (TILES_OF_128,), **changes}


@pytest.mark.parametrize(
    ("size", "tile", "wanted"),
    [
        # As few pixels as possible: one of 256 holds four of 128.
        ((100, 120), None, [(1, 128, 128)]),
        ((100, 200), None, [(2, 128, 128)]),
        ((200, 200), None, [(1, 256, 256)]),
        ((250, 130), None, [(1, 256, 256)]),
        # 10 tiles of 128, each 96 rows below the last, against 4 of 256.
        ((900, 128), None, [(4, 128, 128)] * 2 + [(2, 128, 128)]),
        # What was asked for comes first.
        ((200, 200), 128, [(4, 128, 128)]),
        ((100, 100), 256, [(1, 256, 256)]),
        ((100, 100), 0, [(1, 128, 128)]),
    ],
)
def test_the_best_of_several_tile_profiles_is_taken(size, tile, wanted):
    pixels = noise(*size, 3)
    with FakeRuntime(scale=1, **two_tiles()) as runtime:
        assert np.array_equal(Restorer(runtime, tile, batch=4).restore_array(pixels), pixels)
    assert runtime.shapes == wanted


def test_when_memory_runs_out_the_smaller_profile_is_taken():
    pixels = noise(500, 500, 3)
    with LittleMemoryRuntime(128 * 128, MemoryError("no"), scale=1, **two_tiles()) as runtime:
        assert np.array_equal(Restorer(runtime, batch=4).restore_array(pixels), pixels)
    assert runtime.shapes[-1] == (1, 128, 128)
    with (
        LittleMemoryRuntime(128 * 128 - 1, MemoryError("no"), scale=1, **two_tiles()) as runtime,
        pytest.raises(DeviceMemoryError, match="one tile of 128x128"),
    ):
        Restorer(runtime).restore_array(pixels)


def test_profiles_for_other_batches_are_left_alone():
    """Tiles are put together for one range of batches."""
    other = ((1, 1), *TILES_OF_128[1:])
    pixels = noise(100, 100, 3)
    with FakeRuntime(scale=1, **two_tiles(other_ranges=(other,))) as runtime:
        assert np.array_equal(Restorer(runtime, batch=4).restore_array(pixels), pixels)
    assert runtime.shapes == [(1, 256, 256)]


@st.composite
def limits(draw, least, most):
    low = draw(st.integers(least, most))
    return low, draw(st.one_of(st.none(), st.integers(low, most)))


@given(
    size=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    batches=limits(1, 6),
    heights=limits(8, 60),
    widths=limits(8, 60),
    tile=st.sampled_from([None, 0, 1, 24, 100]),
    batch=st.integers(1, 9),
    channels=st.sampled_from([1, 3]),
    io=st.sampled_from(["tensor", "image"]),
)
def test_identity_on_any_range(size, batches, heights, widths, tile, batch, channels, io):
    pixels = noise(*size, channels)
    given_limits = ranges(batches, heights, widths)
    with FakeRuntime(io=io, in_chans=1, **given_limits) as runtime:
        result = Restorer(runtime, tile, 8, batch).restore_array(pixels)
    assert np.array_equal(result, nearest(pixels, 2))
    for shape in runtime.shapes:
        for used, (low, high) in zip(shape, (batches, heights, widths), strict=True):
            assert low <= used and (high is None or used <= high)


def test_when_memory_runs_out_the_range_is_still_kept_to():
    pixels = noise(300, 300, 3)
    limits = ranges((2, 8), (64, 256), (64, 256))
    with LittleMemoryRuntime(2 * 64 * 64, MemoryError("no"), scale=1, **limits) as runtime:
        assert np.array_equal(Restorer(runtime, batch=4).restore_array(pixels), pixels)
    assert runtime.shapes[-1] == (2, 64, 64)


def test_memory_that_never_suffices_ends_with_an_error_though_one_side_cannot_shrink():
    limits = ranges(height=(128, 256), width=(32, 256))
    with (
        LittleMemoryRuntime(128 * 32 - 1, MemoryError("no"), scale=1, **limits) as runtime,
        pytest.raises(DeviceMemoryError, match="one tile of 32x128"),
    ):
        Restorer(runtime).restore_array(noise(300, 300, 3))
    assert runtime.shapes[-1] == (1, 128, 32)
