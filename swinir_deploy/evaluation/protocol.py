"""The paper's test protocol for one picture, with the same steps as main_test_swinir.py."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swinir_deploy.errors import DeviceMemoryError, InputError
from swinir_deploy.evaluation.degradations import bicubic_resize, gaussian_noise, jpeg_compress
from swinir_deploy.evaluation.metrics import MIN_SIDE_PX, psnr, psnr_b, rgb_to_y, ssim
from swinir_deploy.evaluation.real_world import degrade
from swinir_deploy.models.catalog import Task
from swinir_deploy.pictures.values import to_levels, to_values
from swinir_deploy.restoration.adapter import MemoryRanOutError, ModelBridge
from swinir_deploy.restoration.restorer import Restorer
from swinir_deploy.runtimes import Runtime

__all__ = ["Candidate", "Protocol", "Sample", "pad_by_mirror"]

Bytes = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Sample:
    """One test picture.

    Attributes:
        truth: the picture to compare results with, [height, width, channels] uint8.
        degraded: the model's input, [height / scale, width / scale, channels] float32. Its values
            are in 0..1; noise may go beyond.
        baseline: the result without a model, in the shape and dtype of ``truth``: the bicubic
            enlargement, or the degraded picture, clamped and rounded.
    """

    truth: Bytes
    degraded: NDArray[np.float32]
    baseline: Bytes


@dataclass(frozen=True)
class Protocol:
    """The test of a model of one kind.

    Attributes:
        task: ``sr``, ``denoise`` or ``jpeg``.
        gray: True for one channel, False for three.
        scale: output side divided by input side.
        noise: standard deviation of the noise on 0..255, for ``denoise``.
        quality: JPEG quality, 1 to 100, for ``jpeg``.
        real: True for a model for real-world pictures. The official script has no pictures to
            compare with for them, and leaves out no border. Here the input is made by
            :func:`~swinir_deploy.evaluation.real_world.degrade`.
        seed: of these degradations. With one seed, each picture has a degradation of its own.
    """

    task: Task
    gray: bool
    scale: int = 1
    noise: float | None = None
    quality: int | None = None
    real: bool = False
    seed: int = 0

    @property
    def border_px(self) -> int:
        """Return the number of pixels to leave out on each side: the scale for super-resolution."""
        return self.scale if self.task == "sr" and not self.real else 0

    @property
    def metrics(self) -> tuple[str, ...]:
        """Return the names of the metrics that the paper gives for the task, PSNR first."""
        space = "gray" if self.gray else "y" if self.task == "sr" else "rgb"
        names = {"sr": ("psnr", "ssim"), "denoise": ("psnr",), "jpeg": ("psnr", "ssim", "psnr_b")}
        return tuple(f"{name}_{space}" for name in names[self.task])

    @property
    def baseline(self) -> str:
        """Return the name of the baseline: ``bicubic``, ``noisy`` or ``JPEG``."""
        return {"sr": "bicubic", "denoise": "noisy", "jpeg": "JPEG"}[self.task]

    @property
    def title(self) -> str:
        """Return the degradation as text, such as ``x4`` or ``noise 25``."""
        amount = {"sr": f"x{self.scale}", "denoise": f"noise {self.noise or 0:g}"}
        return amount.get(self.task, f"JPEG quality {self.quality}")

    def truth(self, pixels: NDArray[Any]) -> Bytes:
        """Return the picture to compare results with, as OpenCV would read its file.

        16-bit values become 8-bit ones by dropping the lower bits. For JPEG, gray from colour is
        MATLAB's Y, rounded; otherwise it is that of OpenCV's ``IMREAD_GRAYSCALE`` for a PNG file.

        Args:
            pixels: [height, width, 1 or 3] uint8 or uint16, RGB.

        Returns:
            [height, width, 1] uint8 for a gray protocol, else [height, width, 3] uint8.
        """
        if pixels.dtype == np.float32:
            pixels = to_levels(pixels)
        levels: Bytes = (pixels >> 8 if pixels.dtype == np.uint16 else pixels).astype(np.uint8)
        if not self.gray:
            return levels.repeat(3, axis=2) if levels.shape[2] == 1 else levels
        if levels.shape[2] == 1:
            return levels
        if self.task == "jpeg":
            luma: Bytes = np.rint(rgb_to_y(levels)).astype(np.uint8)
        else:
            weighted = levels.astype(np.int64) @ np.array([9797, 19234, 3737])
            luma = (weighted >> 15).astype(np.uint8)
        return luma[..., None]

    def sample(self, pixels: NDArray[Any], reduced: NDArray[Any] | None = None) -> Sample:
        """Make the model's input and the baseline from a picture.

        Args:
            pixels: the original picture, [height, width, 1 or 3] uint8 or uint16, RGB.
            reduced: the reduced picture for super-resolution, in the same layout; None makes it
                from the part of ``pixels`` whose sides the scale divides, by
                :func:`bicubic_resize` or, for a real-world model, by its degradations.

        Raises:
            InputError: ``pixels`` is too small, or the sides of ``reduced`` are not those of
                ``pixels`` divided by the scale and rounded down.
            BackendUnavailableError: OpenCV is not installed, which JPEG and the degradations of
                real-world pictures need.
        """
        truth = self.truth(pixels)
        if self.task == "denoise":
            noisy = gaussian_noise(truth, self.noise or 0.0).astype(np.float32)
            return Sample(truth, noisy, to_levels(noisy))
        if self.task == "jpeg":
            compressed = jpeg_compress(truth, self.quality or 0)
            return Sample(truth, to_values(compressed), compressed)
        height, width = (side // self.scale for side in truth.shape[:2])
        if min(height, width) < 1:
            raise InputError(
                f"The picture has {truth.shape[1]}x{truth.shape[0]} pixels. Give one with at least "
                f"{self.scale}x{self.scale}, so that it can be reduced by {self.scale}."
            )
        truth = truth[: height * self.scale, : width * self.scale]
        small = self._reduced(truth) if reduced is None else self.truth(reduced)
        if small.shape[:2] != (height, width):
            raise InputError(
                f"The low-resolution picture has {small.shape[1]}x{small.shape[0]} pixels; beside "
                f"a picture of {pixels.shape[1]}x{pixels.shape[0]} a model of x{self.scale} needs "
                f"{width}x{height}. Give the pictures reduced by {self.scale}."
            )
        return Sample(truth, to_values(small), bicubic_resize(small, self.scale))

    def _reduced(self, truth: Bytes) -> Bytes:
        if self.real:
            # By its own pixels, so that a picture's figure does not depend on those beside it.
            own = zlib.crc32(truth.tobytes())
            return degrade(truth, self.scale, (self.seed, own))
        small: Bytes = bicubic_resize(truth, 1 / self.scale)
        return small

    def score(self, result: Bytes, truth: Bytes) -> dict[str, float]:
        """Return every metric that the official script prints; the paper's are among them.

        SSIM needs at least 11x11 pixels inside the border, PSNR-B 16x16. For a smaller picture,
        they are left out.

        Args:
            result: the model's result, [height, width, 1 or 3] uint8.
            truth: the picture to compare with, in the same shape, uint8.

        Returns:
            Name of a metric (``psnr_y``, ``ssim_rgb``, ``psnr_b_gray`` ...) -> value; PSNR in dB.

        Raises:
            UsageError: no pixel is left inside the border.
        """
        space = "gray" if self.gray else "rgb"
        functions = {"psnr": psnr, "ssim": ssim}
        if self.task == "jpeg":
            functions["psnr_b"] = psnr_b
        border = self.border_px
        side = min(truth.shape[:2]) - 2 * border
        functions = {n: f for n, f in functions.items() if n == "psnr" or side >= MIN_SIDE_PX[n]}
        scores = {f"{n}_{space}": f(result, truth, border) for n, f in functions.items()}
        if not self.gray:
            scores |= {f"{n}_y": f(result, truth, border, True) for n, f in functions.items()}
        return scores


class Candidate:
    """An open runtime that restores whole pictures as the official script does."""

    def __init__(
        self, runtime: Runtime, tile: int | None = None, self_ensemble: bool = False
    ) -> None:
        """Remember how to restore pictures. This computes nothing.

        Args:
            runtime: an open runtime; the caller closes it.
            tile: side of a tile in input pixels, for
                :class:`~swinir_deploy.restoration.restorer.Restorer`; None restores the whole
                picture at once, unless the runtime has fixed sides.
            self_ensemble: True takes the mean over the eight flips and rotations of a picture.

        Raises:
            UsageError: the tile is negative.
        """
        self._spec = runtime.spec
        self._bridge = ModelBridge(runtime)
        is_fixed = runtime.spec.height is not None or runtime.spec.width is not None
        is_tiled = bool(tile) or is_fixed
        self._tiler = Restorer(runtime, tile=tile, progress=False) if is_tiled else None
        self._self_ensemble = self_ensemble

    def restore(self, degraded: NDArray[np.float32]) -> Bytes:
        """Restore a picture.

        The picture is padded by :func:`pad_by_mirror`, restored and cropped; the result is averaged
        for self-ensemble, clamped, and rounded half to even. A runtime with uint8 input gets the
        picture clamped and rounded.

        Args:
            degraded: [height, width, channels] float32 in 0..1; noise may go beyond.

        Returns:
            [height * scale, width * scale, channels] uint8.

        Raises:
            InputError: a side is too short for the padding.
            DeviceMemoryError: the picture does not fit into the device's memory.
        """
        if not self._self_ensemble:
            return to_levels(self._run(degraded))
        total = np.zeros((), np.float64)
        for turns, is_flipped in _eight_ways():
            view = np.rot90(degraded, turns)
            result = self._run(view[:, ::-1] if is_flipped else view)
            total = total + np.rot90(result[:, ::-1] if is_flipped else result, -turns)
        return to_levels((total / 8).astype(np.float32))

    def _run(self, picture: NDArray[np.float32]) -> NDArray[np.float32]:
        """Restore one view as float32 on the scale 0..1; it is clamped only if it was tiled."""
        height, width = picture.shape[:2]
        padded = pad_by_mirror(picture, self._spec.window_size)
        if self._tiler is not None:
            result = self._tiler.restore_array(padded)
        else:
            try:
                result = self._bridge.run(padded[None])[0]
            except MemoryRanOutError as error:
                raise DeviceMemoryError(
                    f"{self._spec.device} has too little memory for a whole picture of "
                    f"{width}x{height} pixels. Measure in tiles: --tile "
                    f"{32 * self._spec.window_size}."
                ) from error.__cause__
            if self._spec.io == "image":
                result = result / np.float32(255)
        scale = self._spec.scale
        cut: NDArray[np.float32] = result[: height * scale, : width * scale]
        return cut


def pad_by_mirror(picture: NDArray[Any], window: int) -> NDArray[Any]:
    """Pad both sides to the *next* multiple of the window, even if they are a multiple already.

    The padding is the picture's mirror image (the edge row is repeated), first below and then on
    the right. This is the official script's padding. The network's own padding is a reflection
    (restoration.padding).

    Args:
        picture: [height, width, channels], any dtype.
        window: side of an attention window in pixels.

    Returns:
        The padded picture, in the same dtype.

    Raises:
        InputError: a side is shorter than its padding; a mirror image can only double the side.
    """
    height, width = picture.shape[:2]
    for axis, side in enumerate((height, width)):
        padding = (side // window + 1) * window - side
        if padding > side:
            raise InputError(
                f"The input has {width}x{height} pixels; the protocol's padding needs sides of at "
                f"least {-(-window // 2)}. Leave out this picture."
            )
        mirrored = np.concatenate([picture, np.flip(picture, axis)], axis)
        picture = mirrored.take(range(side + padding), axis)
    return picture


def _eight_ways() -> Iterator[tuple[int, bool]]:
    """Return the eight views: the number of quarter turns, and whether the result is flipped."""
    return ((turns, is_flipped) for turns in range(4) for is_flipped in (False, True))
