import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swinir_deploy.errors import UsageError
from swinir_deploy.restoration.tiling import blend_strips, plan_axis, plan_tiles


@st.composite
def axes(draw):
    window = draw(st.sampled_from([2, 7, 8]))
    tile = window * draw(st.integers(1, 12))
    fixed = draw(st.booleans())
    if fixed:
        tile += draw(st.integers(0, window - 1))
    return plan_axis(
        draw(st.integers(1, 700)),
        tile,
        draw(st.integers(0, tile - window)),
        window,
        draw(st.integers(1, min(tile, 2 * window))),
        fixed,
    ), window


@given(axes(), st.sampled_from([1, 2, 3, 4]))
def test_weights_cover_every_pixel_and_sum_to_exactly_one(planned, scale):
    axis, _ = planned
    total = np.zeros(axis.padded * scale, np.float32)
    for start, weights in zip(axis.starts, axis.weights(scale), strict=True):
        assert weights.shape == (axis.tile * scale,)
        assert weights.min() >= 0 and weights.max() <= 1
        total[start * scale : (start + axis.tile) * scale] += weights
    assert (total == 1.0).all()


@given(axes())
def test_tiles_start_at_windows_and_end_with_the_padded_picture(planned):
    axis, window = planned
    assert axis.starts[0] == 0
    assert axis.starts[-1] + axis.tile == axis.padded >= axis.side
    assert all(start % window == 0 for start in axis.starts)
    assert all(a < b for a, b in zip(axis.starts, axis.starts[1:], strict=False))
    assert axis.starts[-1] < axis.side, "no tile of padding only"


@given(
    side=st.integers(1, 900),
    windows=st.integers(2, 32),
    window=st.sampled_from([7, 8]),
    overlap=st.floats(0, 0.5),
)
def test_overlap_is_at_least_what_was_asked_for(side, windows, window, overlap):
    tile = window * windows
    overlap_px = int(tile * overlap)
    axis = plan_axis(side, tile, overlap_px, window)
    if side > tile:
        gaps = np.diff(axis.starts)
        assert (axis.tile - gaps >= overlap_px).all()
        assert axis.padded == -(-side // window) * window, "padded as the official forward pads"
        # One tile fewer would not have been enough.
        step = (tile - overlap_px) // window * window
        assert (len(axis.starts) - 2) * step + tile < axis.padded
        # Nor would tiles a window smaller.
        assert axis.tile <= tile
        smaller = axis.tile - window
        step = max(0, smaller - overlap_px) // window * window
        assert (len(axis.starts) - 1) * step + smaller < axis.padded
    else:
        assert axis.starts == (0,)
        assert axis.tile == -(-side // window) * window


def test_weights_fade_smoothly_and_leave_out_the_outer_quarter():
    axis = plan_axis(96, 64, 32, 8)
    first, second = axis.weights()
    assert axis.starts == (0, 32)
    assert (first[:40] == 1).all() and (first[56:] == 0).all()
    assert (np.diff(first[40:56]) < 0).all()
    assert (second[:8] == 0).all() and (second[24:] == 1).all()
    assert np.abs(np.diff(first)).max() < 0.12
    assert first[47] + first[48] == 1, "half way in the middle of the overlap"


def test_no_overlap_is_a_clean_cut():
    axis = plan_axis(32, 16, 0, 8)
    assert [w.tolist() for w in axis.weights(2)] == [[1.0] * 32, [1.0] * 32]


@given(
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    tile=st.sampled_from([(16, 16), (24, 32), (64, 8)]),
    scale=st.sampled_from([1, 2, 3]),
    channels=st.sampled_from([1, 3]),
    seed=st.integers(0, 9),
)
def test_blending_tiles_of_a_picture_gives_the_picture(height, width, tile, scale, channels, seed):
    overlaps = (min(tile[0] // 2, tile[0] - 8), min(tile[1] // 2, tile[1] - 8))
    plan = plan_tiles(height, width, tile, overlaps, 8)
    shape = (plan.rows.padded * scale, plan.columns.padded * scale, channels)
    picture = np.random.default_rng(seed).random(shape, np.float32)
    outputs = [
        picture[
            t.top * scale : (t.top + t.height) * scale, t.left * scale : (t.left + t.width) * scale
        ]
        for t in plan.tiles
    ]
    strips = list(blend_strips(plan, scale, outputs))
    assert len(strips) == len(plan.rows.starts)
    joined = np.concatenate(strips)
    assert joined.dtype == np.float32
    assert joined.shape == (height * scale, width * scale, channels)
    assert np.abs(joined - picture[: height * scale, : width * scale]).max() < 3e-7


def test_strips_come_while_tiles_are_still_computed():
    plan = plan_tiles(64, 32, 32, 8, 8)
    asked = []

    def outputs():
        for tile in plan.tiles:
            asked.append(tile)
            yield np.ones((32, 32, 1))

    first = next(blend_strips(plan, 1, outputs()))
    assert len(asked) == 1 < len(plan.tiles)
    assert first.shape[0] == plan.rows.starts[1]


@pytest.mark.parametrize("outputs", [0, 3, 5])
def test_a_wrong_number_of_results_is_noticed(outputs):
    plan = plan_tiles(24, 24, 16, 8, 8)
    with pytest.raises(ValueError):
        list(blend_strips(plan, 1, [np.zeros((16, 16, 1))] * outputs))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"side": 0}, "side is 0"),
        ({"tile": 20}, "multiple of the model's window of 8. Try 16"),
        ({"tile": 4}, "Try 8"),
        ({"min_side": 65}, "takes no side below 65"),
        ({"overlap_px": -1}, "overlap is -1"),
        ({"overlap_px": 60}, "from 0 to 56"),
    ],
)
def test_impossible_plans_are_refused(change, says):
    with pytest.raises(UsageError, match=says):
        plan_axis(**{"side": 100, "tile": 64, "overlap_px": 16, "window": 8} | change)


def test_plans_of_two_axes_go_row_by_row():
    plan = plan_tiles(20, 40, (16, 24), 8, 8)
    assert [(t.row, t.column, t.top, t.left) for t in plan.tiles] == [
        (0, 0, 0, 0),
        (0, 1, 0, 16),
        (1, 0, 8, 0),
        (1, 1, 8, 16),
    ]
    assert {(t.height, t.width) for t in plan.tiles} == {(16, 24)}
