"""Options that ``build`` and ``inspect`` share: shapes and builder."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import click

from swinir_deploy.cli.options import MemorySize

__all__ = ["engine_options"]

Function = TypeVar("Function", bound=Callable[..., Any])

_OPTIONS = [
    click.option(
        "--tile",
        "tile_px",
        type=click.IntRange(1),
        multiple=True,
        metavar="PX",
        help="Side of the tiles. Several values make several profiles.  [default: 256]",
    ),
    click.option(
        "--batch",
        metavar="N,N,N",
        help="Number of tiles: minimum, optimum, maximum, such as 1,4,8.",
    ),
    click.option(
        "--min-shape",
        "min_shapes",
        multiple=True,
        metavar="SHAPE",
        help="Minimum shape, HxW or NxCxHxW. Several values make several profiles.",
    ),
    click.option(
        "--opt-shape",
        "opt_shapes",
        multiple=True,
        metavar="SHAPE",
        help="Shape that the kernels are chosen for.",
    ),
    click.option(
        "--max-shape", "max_shapes", multiple=True, metavar="SHAPE", help="Maximum shape."
    ),
    click.option(
        "--opt-level", type=click.IntRange(0, 5), help="How long the builder searches: 0 to 5."
    ),
    click.option(
        "--workspace",
        type=MemorySize(minimum=0),
        metavar="SIZE",
        help="Maximum memory for one kernel, with its unit: 4GiB.",
    ),
]


def engine_options(function: Function) -> Function:
    """Add the options, and pass ``shapes`` (ShapeRequest) and ``builder`` (for BuildOptions)."""

    @functools.wraps(function)
    def wrapper(
        *args: Any,
        tile_px: tuple[int, ...],
        batch: str | None,
        min_shapes: tuple[str, ...],
        opt_shapes: tuple[str, ...],
        max_shapes: tuple[str, ...],
        opt_level: int | None,
        workspace: int | None,
        **values: Any,
    ) -> Any:
        from swinir_deploy.exporters.tensorrt.shapes import ShapeRequest, parse_batch

        shapes = ShapeRequest(
            tile_px=tile_px,
            batch=None if batch is None else parse_batch(batch),
            min_shapes=min_shapes,
            opt_shapes=opt_shapes,
            max_shapes=max_shapes,
        )
        builder: dict[str, Any] = {"opt_level": opt_level}
        if workspace is not None:
            builder["workspace_bytes"] = workspace
        return function(*args, shapes=shapes, builder=builder, **values)

    decorated: Callable[..., Any] = wrapper
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return cast("Function", decorated)
