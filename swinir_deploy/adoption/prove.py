"""Prove an adopted copy: against the original, in tiles, and against a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from swinir_deploy.adoption.probe import Judge, Probe, Sizes
from swinir_deploy.comparison import Comparison, compare, psnr_limit_db
from swinir_deploy.errors import CheckFailedError
from swinir_deploy.pictures.values import nchw_values, nhwc_levels
from swinir_deploy.restoration.padding import pad_to_window
from swinir_deploy.restoration.restorer import Restorer
from swinir_deploy.runtimes import Runtime, open_runtime

__all__ = ["AdoptionProof", "prove_copy"]

_FLOAT_LIMIT = 1e-4
"""Largest difference of FP32 outputs, relative to their largest value (at least 1)."""

_HALF_DB = 50.0
"""Lowest PSNR of a copy in half precision against the original: ONNX Runtime places casts as it
likes."""

_TILES_DB = 25.0
"""Lowest PSNR of a picture in tiles against the whole. Right models have more than 40 dB; where
windows are masked in the wrong places there are seams."""


@dataclass(frozen=True)
class AdoptionProof:
    """What an adopted copy was compared with.

    Attributes:
        copy: the copy against the original file, whose conversions NumPy did.
        tiles_db: PSNR in dB of a picture in tiles against the same picture as a whole; None where
            the model takes only one size.
        network: the copy against the network of a checkpoint, at the worst size; None without one.
        shapes: heights and widths of the comparisons.
    """

    copy: Comparison
    tiles_db: float | None
    network: Comparison | None
    shapes: tuple[tuple[int, int], ...]


def prove_copy(path: Path, probe: Probe, sizes: Sizes, judge: Judge | None) -> AdoptionProof:
    """Open the copy in ONNX Runtime and compare.

    Args:
        path: the copy.
        probe: the original, with the convention that was found.
        sizes: the sizes that it takes.
        judge: the network that it came from, if that is known.

    Raises:
        CheckFailedError: a comparison is beyond its limit, or the outputs are not finite.
    """
    batch = sizes.batch or 2
    shapes = _shapes(sizes)
    with open_runtime(path, "ort") as runtime:
        own, network = [], []
        for height, width in shapes:
            values = _in_levels(probe.picture(height, width, batch))
            restored = _run(runtime, values)
            if not np.isfinite(restored).all():
                raise CheckFailedError(
                    f"{probe.foreign.path} gives values that are not finite for a picture of "
                    f"{width}x{height} pixels. It overflows in {probe.foreign.precision}: give an "
                    "fp32 file."
                )
            own.append(_compared(runtime, restored, _original(probe, values, sizes)))
            if judge is not None:
                network.append(_compared(runtime, restored, judge(values)))
        worst = max(own, key=lambda found: found.relative_max)
        _judge_copy(runtime, worst, probe)
        against = min(network, key=lambda found: found.psnr_db) if network else None
        if against is not None:
            _judge_network(runtime, against, probe)
        tiles_db = None if sizes.height or sizes.width else _tiles_db(runtime, probe)
    return AdoptionProof(worst, tiles_db, against, tuple(shapes))


def _shapes(sizes: Sizes) -> list[tuple[int, int]]:
    """Return sizes to compare at: whole multiples, and others where the copy pads them."""
    height, width = sizes.example(48)
    found = [(height, width), (sizes.height or height + 5, sizes.width or 2 * width - 3)]
    return list(dict.fromkeys(found))


def _in_levels(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return values that are exact in bytes too."""
    return nchw_values(nhwc_levels(values))


def _run(runtime: Runtime, values: NDArray[np.float32]) -> NDArray[np.float32]:
    if runtime.spec.io == "tensor":
        result: NDArray[np.float32] = runtime.run(values)
        return result
    return nchw_values(runtime.run(nhwc_levels(values)))


def _original(probe: Probe, values: NDArray[np.float32], sizes: Sizes) -> NDArray[np.float32]:
    """Return what the original makes of a picture that NumPy pads, one at a time if need be."""
    height, width = values.shape[2:]
    padded = pad_to_window(values, sizes.multiple) if sizes.multiple > 1 else values
    results = probe.run(padded)
    if results is None:
        raise CheckFailedError(
            f"{probe.foreign.path} fails on {width}x{height} pixels ({probe.last_error}), although "
            "it took other sizes. Give the size that it was made for with --shape HxW."
        )
    scale = results.shape[3] // padded.shape[3]
    return results[:, :, : height * scale, : width * scale]


def _compared(
    runtime: Runtime, restored: NDArray[np.float32], expected: NDArray[np.float32]
) -> Comparison:
    if restored.shape != expected.shape:
        raise CheckFailedError(
            f"The adopted copy gives {list(restored.shape)} where {list(expected.shape)} is "
            "right. Nothing was written. Please report this with the file."
        )
    if runtime.spec.io == "image":
        return compare(nhwc_levels(restored), nhwc_levels(expected))
    return compare(restored, expected)


def _judge_copy(runtime: Runtime, found: Comparison, probe: Probe) -> None:
    is_half = runtime.spec.precision != "fp32" or "16" in probe.convention.input_dtype
    limit = 1.0 / 255 if runtime.spec.io == "image" else _FLOAT_LIMIT
    if found.psnr_db >= _HALF_DB if is_half else found.relative_max <= limit:
        return
    raise CheckFailedError(
        f"The adopted copy differs from {probe.foreign.path} by {found.relative_max:.1e} of the "
        f"range ({found.psnr_db:.1f} dB). Nothing was written. Please report this with the file."
    )


def _judge_network(runtime: Runtime, found: Comparison, probe: Probe) -> None:
    spec = runtime.spec
    limit = 1.0 / 255 if spec.io == "image" else _FLOAT_LIMIT
    if spec.precision == "fp32" and found.relative_max <= limit:
        return
    if spec.precision != "fp32" and found.psnr_db >= psnr_limit_db(spec.precision, spec.io):
        return
    raise CheckFailedError(
        f"{probe.foreign.path} differs from the checkpoint by {found.relative_max:.1e} of the "
        f"range ({found.psnr_db:.1f} dB). Give the checkpoint that it was exported from, or leave "
        "out --model."
    )


def _tiles_db(runtime: Runtime, probe: Probe) -> float:
    """Return the PSNR in dB of a picture in six tiles against the whole, and judge it."""
    window = runtime.spec.window_size
    tile = max(64, 4 * window) // window * window
    pixels = probe.picture(tile + window, 2 * tile - window)[0].transpose(1, 2, 0)
    pixels = np.ascontiguousarray(pixels)
    whole = Restorer(runtime, tile=0, progress=False).restore_array(pixels)
    parts = Restorer(runtime, tile=tile, progress=False).restore_array(pixels)
    found = compare(parts, whole).psnr_db
    if found < _TILES_DB:
        raise CheckFailedError(
            f"A picture in tiles differs from the same picture as a whole by {found:.1f} dB "
            f"with {probe.foreign.path}; the limit is {_TILES_DB:g} dB. What it makes of pixels "
            "depends on the size of the picture. Give the size that it was made for with "
            "--shape HxW."
        )
    return found
