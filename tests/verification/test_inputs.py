"""What a back end is compared on keeps to what it takes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from swinir_deploy.errors import UsageError
from swinir_deploy.runtimes import RuntimeSpec
from swinir_deploy.verification.inputs import parity_inputs

OPEN = RuntimeSpec("fake", "cpu", "tensor", 2, 3, 8, min_side_px=5, model_id="small")


def shapes_for(spec: RuntimeSpec, **given: list[tuple[int, int]]) -> list[tuple[int, ...]]:
    inputs = parity_inputs(spec, given.get("shapes"), None)
    return [(picture.shape[0], *picture.shape[2:]) for _, picture in inputs]


def test_a_model_without_limits_gets_all() -> None:
    assert shapes_for(OPEN) == [
        (1, 5, 5),
        (1, 8, 8),
        (2, 9, 15),
        (1, 5, 40),
        (3, 19, 29),
        (1, 39, 34),
        (1, 64, 48),
        (1, 97, 121),
    ]


def test_default_sizes_are_moved_into_the_range() -> None:
    spec = replace(
        OPEN, min_side_px=64, max_batch=2, min_height=64, max_height=96, min_width=64, max_width=90
    )
    assert shapes_for(spec) == [
        (1, 64, 64),
        (1, 67, 67),
        (2, 68, 74),
        (1, 64, 90),
        (2, 78, 88),
        (1, 96, 90),
    ], "both ends, and odd sides between; the shipped picture is too large"


def test_the_smallest_batch_is_filled() -> None:
    batches = {shape[0] for shape in shapes_for(replace(OPEN, min_batch=2, max_batch=8))}
    assert batches == {2, 3}


def test_a_picture_or_shape_beyond_the_range_is_left_out() -> None:
    spec = replace(OPEN, max_height=64, max_width=64)
    assert shapes_for(spec, shapes=[(64, 64), (65, 64), (9, 70), (4, 8)]) == [(1, 64, 64)]


def test_nothing_left_is_an_error_that_names_the_range() -> None:
    spec = replace(OPEN, min_height=16, max_height=64, max_width=64)
    says = r"small, which takes \[batch, 3, 16\.\.64, 5\.\.64\].*--shape"
    with pytest.raises(UsageError, match=says):
        parity_inputs(spec, [(8, 8), (64, 65)], None)
