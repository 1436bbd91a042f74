"""Choose the profile of an engine, which is a range of shapes, for a batch."""

from __future__ import annotations

import math
from collections.abc import Sequence

from swinir_deploy.artifacts.shapes import ShapeProfile
from swinir_deploy.errors import InputError

__all__ = ["choose_profile", "describe_profiles", "fixed_sizes", "widest_profile"]


def choose_profile(profiles: Sequence[ShapeProfile], shape: tuple[int, ...]) -> int:
    """Return the number of the profile that suits a shape best.

    That is a profile that was tuned for exactly this shape. If there is none, it is the profile
    with the smallest maximum shape, because its kernels and memory are nearest to what is needed.
    Of equal ones it is the profile that was tuned for the nearest size, then the first.

    Args:
        profiles: the profiles of the engine.
        shape: shape of the input, in the layout of the engine.

    Raises:
        InputError: no profile takes the shape.
    """
    fitting = [number for number, profile in enumerate(profiles) if profile.contains(shape)]
    if not fitting:
        raise InputError(
            f"The engine takes no input of {list(shape)}; it was built for "
            f"{describe_profiles(profiles)}. Use tiles of a size that it takes (--tile), or build "
            "it with a wider --min-shape, --opt-shape and --max-shape."
        )

    def distance(number: int) -> tuple[bool, int, float, int]:
        profile = profiles[number]
        tuned_for = abs(math.log(math.prod(profile.opt) / math.prod(shape)))
        return profile.opt != shape, math.prod(profile.max), tuned_for, number

    return min(fitting, key=distance)


def widest_profile(profiles: Sequence[ShapeProfile]) -> ShapeProfile:
    """Return the profile that takes the most shapes.

    Of equal ones it is the profile with the largest maximum shape, then the first. Profiles are
    not joined to one range, because such a range would contain shapes that the engine refuses.
    """

    def width(profile: ShapeProfile) -> tuple[int, int]:
        sizes = (high - low + 1 for low, high in zip(profile.min, profile.max, strict=True))
        return math.prod(sizes), math.prod(profile.max)

    return max(profiles, key=width)


def describe_profiles(profiles: Sequence[ShapeProfile]) -> str:
    """Return a description such as ``1..8x3x256x256 (tuned for 4x3x256x256)``."""
    return " or ".join(profile.describe() for profile in profiles)


def fixed_sizes(profiles: Sequence[ShapeProfile]) -> tuple[int | None, ...]:
    """Return, for each axis, the only size that all profiles take, or None if there are more."""
    return tuple(
        profiles[0].min[axis]
        if len({size for p in profiles for size in (p.min[axis], p.max[axis])}) == 1
        else None
        for axis in range(4)
    )
