"""What the command line may ask of a build: targets, options, shapes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from swinir_deploy.artifacts.metadata import ArtifactMetadata
from swinir_deploy.errors import UsageError
from swinir_deploy.exporters.tensorrt.options import BuildOptions
from swinir_deploy.exporters.tensorrt.shapes import ShapeRequest, parse_batch, shape_profiles
from swinir_deploy.exporters.tensorrt.target import Target

MODEL = ArtifactMetadata(io="tensor", scale=4, in_chans=3, window_size=8, shape="Nx3xHxW")


@pytest.mark.parametrize(
    ("text", "flavour", "architectures"),
    [
        ("tensorrt", "tensorrt", ()),
        ("rtx", "rtx", ()),
        ("rtx:sm89", "rtx", ("sm89",)),
        ("RTX:SM120, sm75,sm89,sm75", "rtx", ("sm75", "sm89", "sm120")),
    ],
)
def test_targets(text: str, flavour: str, architectures: tuple[str, ...]) -> None:
    target = Target.parse(text)
    assert (target.flavour.name, target.architectures) == (flavour, architectures)
    assert target.needs_gpu == (not architectures)
    assert Target.parse(str(target)) == target


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tensort", "Did you mean 'tensorrt'"),
        ("cuda", "rtx:sm86"),
        ("rtx:", "''"),
        ("rtx:sm90", "sm89"),
        ("tensorrt:sm89", "rtx:sm89"),
    ],
)
def test_impossible_targets_name_the_next_step(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Target.parse(text)


@pytest.mark.parametrize(
    ("target", "options", "said"),
    [
        ("rtx:sm89", {"compat": "same-cc"}, "--target rtx:"),
        ("rtx", {"strip_weights": True}, "strip"),
        ("tensorrt", {"compat": "ampere"}, "Did you mean 'ampere\\+'"),
        ("tensorrt", {"opt_level": 6}, "from 0 to 5"),
        ("tensorrt", {"workspace_bytes": -1}, "negative"),
    ],
)
def test_options_that_a_library_lacks(target: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        BuildOptions(**options).checked_for(Target.parse(target))
    everything = BuildOptions("ampere+", 5, 2**30, strip_weights=True)
    assert everything.checked_for(Target.parse("tensorrt")) == everything


def test_batches() -> None:
    assert parse_batch("1,4,8") == (1, 4, 8)
    assert parse_batch("1, 8") == (1, 8, 8)
    assert parse_batch("4") == (4, 4, 4)
    for text in ("", "0", "8,4,1", "1,2,3,4", "a"):
        with pytest.raises(UsageError):
            parse_batch(text)


def shapes_of(request: ShapeRequest, model: ArtifactMetadata = MODEL) -> list[Any]:
    return [(p.min, p.opt, p.max) for p in shape_profiles(request, model)]


def test_by_default_tiles_of_256_in_batches_of_1_to_8() -> None:
    wanted = [((1, 3, 256, 256), (4, 3, 256, 256), (8, 3, 256, 256))]
    assert shapes_of(ShapeRequest()) == wanted
    image = replace(MODEL, io="image", in_chans=1)
    assert shapes_of(ShapeRequest(), image)[0][1] == (4, 256, 256, 1)
    assert shapes_of(ShapeRequest(), replace(MODEL, window_size=7))[0][0] == (1, 3, 252, 252)


def test_tiles_and_batches_that_are_asked_for() -> None:
    several = ShapeRequest(tile_px=(64, 128, 64), batch=(1, 2, 4))
    assert shapes_of(several) == [
        *shapes_of(ShapeRequest(tile_px=64, batch=(1, 2, 4))),
        *shapes_of(ShapeRequest(tile_px=128, batch=(1, 2, 4))),
    ]
    assert shapes_of(ShapeRequest(tile_px=())) == shapes_of(ShapeRequest())
    assert shapes_of(ShapeRequest(tile_px=64, batch=(2, 2, 3))) == [
        ((2, 3, 64, 64), (2, 3, 64, 64), (3, 3, 64, 64))
    ]


def test_ranges_of_sides_in_one_or_several_profiles() -> None:
    request = ShapeRequest(min_shapes=["64x48"], opt_shapes=["64x64"], max_shapes=["2x3x96x128"])
    assert shapes_of(request) == [((1, 3, 64, 48), (1, 3, 64, 64), (2, 3, 96, 128))]
    only_largest = ShapeRequest(max_shapes=["64x64", "128x128"])
    assert shapes_of(only_largest) == [((1, 3, 64, 64),) * 3, ((1, 3, 128, 128),) * 3]


def test_sides_that_the_export_fixed() -> None:
    fixed = replace(MODEL, shape="2x3x64xW")
    assert shapes_of(ShapeRequest(), fixed) == [((2, 3, 64, 256),) * 3]
    with pytest.raises(UsageError, match="height of 64"):
        shapes_of(ShapeRequest(tile_px=128), fixed)
    with pytest.raises(UsageError, match="batch of 2"):
        shapes_of(ShapeRequest(batch=(1, 2, 4)), fixed)


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (ShapeRequest(tile_px=4), "at least 5"),
        (ShapeRequest(tile_px=64, max_shapes=["64x64"]), "one or the other"),
        (ShapeRequest(min_shapes=["64x64"]), "--max-shape"),
        (ShapeRequest(min_shapes=["64x64"], max_shapes=["64x64"] * 2), "every profile"),
        (ShapeRequest(min_shapes=["128x64"], max_shapes=["64x64"]), "must grow"),
        (ShapeRequest(max_shapes=["1x1x64x64"]), "3"),
        (ShapeRequest(max_shapes=["64"]), "256x256"),
        (ShapeRequest(max_shapes=["64xH"]), "256x256"),
    ],
)
def test_impossible_shapes_name_the_next_step(request_: ShapeRequest, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        shape_profiles(request_, MODEL)
