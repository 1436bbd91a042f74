"""Which of an engine's ranges of shapes a batch runs under."""

from __future__ import annotations

import math
from collections.abc import Sequence

from swinir_deploy.artifacts.shapes import ShapeProfile
from swinir_deploy.errors import InputError

__all__ = ["choose_profile", "describe_profiles", "fixed_sizes", "widest_profile"]


def choose_profile(profiles: Sequence[ShapeProfile], shape: tuple[int, ...]) -> int:
    """Number of the profile that suits a shape best.

    One that was tuned for exactly this shape; else the one with the smallest largest shape, whose
    kernels and memory are nearest to what is needed; of those the one tuned for the nearest size;
    else the first.

    Raises:
        InputError: none takes the shape.
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
    """The profile that takes the most shapes; of those the one with the largest; else the first.

    The sizes of one profile go together in any way. Those of several do not, so that a range
    joined from them would promise shapes that the engine refuses.
    """

    def width(profile: ShapeProfile) -> tuple[int, int]:
        sizes = (high - low + 1 for low, high in zip(profile.min, profile.max, strict=True))
        return math.prod(sizes), math.prod(profile.max)

    return max(profiles, key=width)


def describe_profiles(profiles: Sequence[ShapeProfile]) -> str:
    """For messages, such as ``1..8x3x256x256 (tuned for 4x3x256x256)``."""
    return " or ".join(profile.describe() for profile in profiles)


def fixed_sizes(profiles: Sequence[ShapeProfile]) -> tuple[int | None, ...]:
    """Size of every axis if all profiles leave no choice, else None for it."""
    return tuple(
        profiles[0].min[axis]
        if len({size for p in profiles for size in (p.min[axis], p.max[axis])}) == 1
        else None
        for axis in range(4)
    )
