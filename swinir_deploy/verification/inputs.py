"""Pictures for the comparison of back ends: synthetic ones of odd shapes, and real ones."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.resources import as_file, files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swinir_deploy.artifacts.metadata import ArtifactMetadata
from swinir_deploy.artifacts.shapes import ShapePattern, min_side_px
from swinir_deploy.comparison import sample_picture
from swinir_deploy.errors import UsageError
from swinir_deploy.pictures.read import read_picture
from swinir_deploy.pictures.values import nhwc_levels, to_levels, to_values
from swinir_deploy.runtimes import RuntimeSpec

__all__ = ["in_levels", "layer_input", "parity_inputs"]


def parity_inputs(
    spec: RuntimeSpec,
    shapes: Sequence[tuple[int, int]] | None,
    pictures: Sequence[str | os.PathLike[str]] | None,
) -> list[tuple[str, NDArray[np.float32]]]:
    """Return named inputs: NCHW float32 in 0..1, each value a multiple of 1/255.

    Such values are exact in uint8 too, so models with either kind of input get the same picture.

    Args:
        spec: specification of the model; inputs outside its ranges are left out.
        shapes: heights and widths in pixels of synthetic pictures; None takes seven odd sizes,
            moved into the model's ranges.
        pictures: files, which are used whole; None takes a crop of the picture in the package.

    Raises:
        UsageError: the model takes none of the inputs.
    """
    batches, heights, widths = spec.ranges
    if shapes is not None:
        sizes = [(1, height, width) for height, width in shapes]
    else:
        window, minimum = spec.window_size, min_side_px(spec.window_size)
        sizes = [
            (1, minimum, minimum),
            (1, window, window),
            (2, window + 1, 2 * window - 1),
            (1, minimum, 5 * window),
            (3, 2 * window + 3, 3 * window + 5),
            (1, 5 * window - 1, 4 * window + 2),
            (1, 8 * window, 6 * window),
        ]
        # Sizes start at the smallest side of the range, so that a range from 64 has odd sides too.
        sizes = [
            (
                batch,
                _within(height + heights[0] - minimum, heights),
                _within(width + widths[0] - minimum, widths),
            )
            for batch, height, width in sizes
        ]
    sizes = [
        (_within(batch, batches), spec.height or height, spec.width or width)
        for batch, height, width in sizes
    ]
    named = [
        ("synthetic", in_levels(sample_picture(batch, spec.in_chans, height, width)))
        for batch, height, width in dict.fromkeys(sizes)
        if spec.takes(batch, height, width)
    ]
    if pictures is None:
        with as_file(files("swinir_deploy") / "demo" / "chelsea.png") as path:
            crop = _read_batch(path, spec.in_chans)[:, :, 60:157, 90:211]
        named.append(("chelsea.png (crop)", crop))
    else:
        named += [(os.fspath(path), _read_batch(path, spec.in_chans)) for path in pictures]
    taken = [
        (name, picture)
        for name, picture in named
        if spec.takes(picture.shape[0], *picture.shape[2:])
    ]
    if not taken:
        raise UsageError(
            f"No input fits {spec.model_id or 'the model'}, which takes {spec.describe_input()}. "
            "Give others with --shape or --picture."
        )
    return taken


def _within(size: int, limits: tuple[int, int | None]) -> int:
    """Return the nearest size within the limits."""
    minimum, maximum = limits
    return max(minimum, size if maximum is None else min(size, maximum))


def _read_batch(path: str | os.PathLike[str], channels: int) -> NDArray[np.float32]:
    """Read a picture as [1, channels, height, width] in 0..1, multiples of 1/255, no alpha."""
    values = to_values(read_picture(path).pixels)
    if values.shape[2] != channels:
        gray = values.mean(axis=2, keepdims=True)
        values = np.repeat(gray, channels, axis=2)
    return in_levels(np.ascontiguousarray(values.transpose(2, 0, 1)[None], np.float32))


def in_levels(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return values in 0..1 rounded to multiples of 1/255."""
    return to_values(to_levels(values))


def layer_input(
    metadata: ArtifactMetadata,
    picture: str | os.PathLike[str] | None,
    shape: tuple[int, int] | None,
) -> NDArray[Any]:
    """Return a small picture for a comparison tensor by tensor, in a model's input layout.

    Args:
        metadata: metadata of the exported file.
        picture: a file, of which the middle is taken; None makes a synthetic picture.
        shape: height and width in pixels; None is a small odd size that needs padding. Sides
            that the export fixed take precedence.

    Returns:
        [N, C, H, W] float32 in 0..1, or [N, H, W, C] uint8, as the metadata's ``io`` says.
    """
    window = metadata.window_size
    # Small, but padded on both sides and with shifted windows in both directions.
    height, width = shape or (2 * window + 1, 3 * window - 1)
    pattern = ShapePattern.of_artifact(metadata.shape)
    batch = pattern.batch or 1
    height, width = pattern.height or height, pattern.width or width
    if picture is None:
        values = in_levels(sample_picture(batch, metadata.in_chans, height, width))
    else:
        values = _middle(_read_batch(picture, metadata.in_chans), height, width)
        values = np.repeat(values, batch, axis=0)
    if metadata.io == "tensor":
        return np.ascontiguousarray(values)
    return nhwc_levels(values)


def _middle(batch: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """Return the middle of a picture; a side that is smaller stays whole."""
    top = max(0, (batch.shape[2] - height) // 2)
    left = max(0, (batch.shape[3] - width) // 2)
    return batch[:, :, top : top + height, left : left + width]
