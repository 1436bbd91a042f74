"""Which range of shapes a batch runs under."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from swinir_deploy.artifacts.shapes import ShapeProfile
from swinir_deploy.errors import InputError
from swinir_deploy.runtimes.tensorrt.profiles import (
    choose_profile,
    describe_profiles,
    fixed_sizes,
    widest_profile,
)

SMALL = ShapeProfile((1, 3, 64, 64), (1, 3, 128, 128), (1, 3, 256, 256))
WIDE = ShapeProfile((1, 3, 64, 64), (4, 3, 256, 256), (8, 3, 512, 512))
TILE = ShapeProfile((1, 3, 256, 256), (4, 3, 256, 256), (8, 3, 256, 256))


@pytest.mark.parametrize(
    ("profiles", "shape", "wanted"),
    [
        ((SMALL, WIDE), (1, 3, 200, 200), 0),  # both take it, the first has less to carry
        ((WIDE, SMALL), (1, 3, 200, 200), 1),
        ((SMALL, WIDE), (2, 3, 200, 200), 1),
        ((SMALL, WIDE), (1, 3, 300, 64), 1),
        ((WIDE, SMALL), (1, 3, 128, 128), 1),
        ((SMALL, WIDE), (4, 3, 256, 256), 1),
        ((WIDE, TILE), (8, 3, 256, 256), 1),
        ((TILE, TILE), (2, 3, 256, 256), 0),
    ],
)
def test_the_tightest_profile_is_chosen(
    profiles: tuple[ShapeProfile, ...], shape: tuple[int, ...], wanted: int
) -> None:
    assert choose_profile(profiles, shape) == wanted


def test_exactly_the_tuned_shape_comes_before_a_tighter_range() -> None:
    tuned = ShapeProfile((1, 3, 8, 8), (1, 3, 200, 200), (1, 3, 1024, 1024))
    assert choose_profile((SMALL, tuned), (1, 3, 200, 200)) == 1
    assert choose_profile((SMALL, tuned), (1, 3, 200, 208)) == 0


def test_of_equal_ranges_the_one_tuned_for_the_nearest_size() -> None:
    near = ShapeProfile((1, 3, 8, 8), (1, 3, 64, 64), (1, 3, 512, 512))
    far = ShapeProfile((1, 3, 8, 8), (1, 3, 512, 512), (1, 3, 512, 512))
    assert choose_profile((far, near), (1, 3, 72, 72)) == 1
    assert choose_profile((far, near), (1, 3, 500, 500)) == 0


@pytest.mark.parametrize("shape", [(9, 3, 256, 256), (1, 3, 255, 256), (1, 1, 256, 256), (3, 8, 8)])
def test_a_shape_that_fits_nowhere_is_refused_with_all_ranges(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"1\.\.8x3x256x256 \(tuned for 4x3x256x256\).*--tile"):
        choose_profile((TILE,), shape)
    assert " or " in describe_profiles((TILE, SMALL))


def test_sizes_that_leave_no_choice() -> None:
    assert fixed_sizes((TILE,)) == (None, 3, 256, 256)
    assert fixed_sizes((TILE, WIDE)) == (None, 3, None, None)
    other = ShapeProfile((1, 3, 128, 128), (1, 3, 128, 128), (1, 3, 128, 128))
    assert fixed_sizes((other, TILE)) == (None, 3, None, None)


def test_the_widest_profile_takes_the_most_shapes() -> None:
    assert widest_profile((SMALL, WIDE, TILE)) == WIDE
    assert widest_profile((TILE, SMALL)) == SMALL
    # One shape each: the larger.
    one = ShapeProfile((1, 3, 64, 64), (1, 3, 64, 64), (1, 3, 64, 64))
    four = ShapeProfile((4, 3, 64, 64), (4, 3, 64, 64), (4, 3, 64, 64))
    assert widest_profile((one, four)) == widest_profile((four, one)) == four


@st.composite
def profiles(draw: st.DrawFn) -> ShapeProfile:
    axes = [sorted(draw(st.tuples(*[st.integers(1, 40)] * 3))) for _ in range(4)]
    low, tuned, high = zip(*axes, strict=True)
    return ShapeProfile(low, tuned, high)  # type: ignore[arg-type]


SHAPES = st.tuples(*[st.integers(1, 40)] * 4)


@given(st.lists(profiles(), min_size=1, max_size=6), SHAPES)
def test_what_is_chosen_fits_and_nothing_beats_it(
    candidates: list[ShapeProfile], shape: tuple[int, int, int, int]
) -> None:
    fitting = [p for p in candidates if p.contains(shape)]
    if not fitting:
        with pytest.raises(InputError):
            choose_profile(candidates, shape)
        return
    chosen = candidates[choose_profile(candidates, shape)]
    assert chosen.contains(shape)
    if any(p.opt == shape for p in fitting):
        assert chosen.opt == shape
    else:
        assert math.prod(chosen.max) == min(math.prod(p.max) for p in fitting)


@given(st.lists(profiles(), min_size=1, max_size=6), SHAPES)
def test_the_order_of_the_profiles_does_not_matter(
    candidates: list[ShapeProfile], shape: tuple[int, int, int, int]
) -> None:
    assume(any(p.contains(shape) for p in candidates))
    turned = candidates[::-1]
    chosen = candidates[choose_profile(candidates, shape)]
    again = turned[choose_profile(turned, shape)]
    assert again.opt == shape or chosen.opt != shape
    assert math.prod(again.max) == math.prod(chosen.max)
    tuned = [math.prod(p.opt) / math.prod(shape) for p in (chosen, again)]
    assert math.isclose(abs(math.log(tuned[0])), abs(math.log(tuned[1])), abs_tol=1e-12)
