"""The degradations of real-world super-resolution, seeded; needs OpenCV.

Photographs are blurred, reduced, noisy and compressed, in an order that nobody knows. BSRGAN (Zhang
et al., "Designing a Practical Degradation Model for Deep Blind Image Super-Resolution", ICCV 2021)
shuffles these steps; SwinIR's real-world models were trained so. Here is one round of them, with
the Poisson noise of its public code (utils_blindsr.py) for the noise of a camera. How often noise
is gray is as in Real-ESRGAN (Wang et al., ICCVW 2021).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from swinir_deploy.errors import UsageError
from swinir_deploy.evaluation.degradations import bicubic_resize_to, jpeg_compress
from swinir_deploy.system.packages import require

__all__ = [
    "Blur",
    "GaussianNoise",
    "Jpeg",
    "PoissonNoise",
    "Resize",
    "Step",
    "degrade",
    "draw_steps",
]

Values = npt.NDArray[np.float32]
Random = np.random.RandomState
"""NumPy's legacy generator: its stream is promised to stay as it is."""

BLUR_PX = (0.2, 2.8)
"""Standard deviation of the blur, in pixels of the good picture. BSRGAN: up to 2 + 0.2 * 4."""
SIGMA = (1.0, 25.0)
"""Standard deviation of the Gaussian noise on 0..255."""
PHOTONS = (1e2, 1e4)
"""Photons of a white pixel, drawn evenly in their logarithm."""
QUALITY = (30, 95)
"""JPEG quality."""
_HAS_EARLY_JPEG, _IS_GRAY = 0.5, 0.4
"""How often there is a JPEG before the last one, and how often noise is gray."""
_INTERPOLATIONS = ("area", "bilinear", "bicubic", "antialiased bicubic")


class Step(Protocol):
    """One degradation with its parameters drawn."""

    def apply(self, picture: Values, random: Random) -> Values:
        """Return the degraded picture, [height, width, channels] in 0..1."""
        ...


@dataclass(frozen=True)
class Blur:
    """Blur by a Gaussian kernel, isotropic or not.

    Attributes:
        sigma_px: standard deviations along both axes of the kernel, in pixels.
        angle: of the first axis to the picture's rows, in radians.
    """

    sigma_px: tuple[float, float]
    angle: float = 0.0

    def kernel(self) -> npt.NDArray[np.float64]:
        """Return the kernel, [side, side] with an odd side; it adds up to 1."""
        radius = math.ceil(3 * max(self.sigma_px))
        y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1].astype(np.float64)
        cosine, sine = math.cos(self.angle), math.sin(self.angle)
        along, across = cosine * x + sine * y, cosine * y - sine * x
        exponent = (along / self.sigma_px[0]) ** 2 + (across / self.sigma_px[1]) ** 2
        kernel = np.exp(-0.5 * exponent)
        return np.asarray(kernel / kernel.sum())

    def apply(self, picture: Values, random: Random) -> Values:
        """Return the blurred picture; edges are reflected."""
        import cv2

        blurred = cv2.filter2D(picture, -1, self.kernel(), borderType=cv2.BORDER_REFLECT_101)
        # OpenCV filters with large kernels in the frequency domain: black may come out below 0.
        return np.asarray(blurred, np.float32).reshape(picture.shape).clip(0, 1)


@dataclass(frozen=True)
class Resize:
    """Resize as a program for pictures does, with antialiasing or without.

    Attributes:
        height: of the result, in pixels.
        width: of the result, in pixels.
        interpolation: ``area``, ``bilinear`` or ``bicubic`` of OpenCV, of which only the first is
            antialiased, or ``antialiased bicubic``, MATLAB's.
    """

    height: int
    width: int
    interpolation: str

    def apply(self, picture: Values, random: Random) -> Values:
        """Return the picture with the new sides."""
        import cv2

        sides = (self.height, self.width)
        if self.interpolation == "antialiased bicubic":
            return np.ascontiguousarray(bicubic_resize_to(picture, sides).clip(0, 1))
        kinds = {
            "area": cv2.INTER_AREA,
            "bilinear": cv2.INTER_LINEAR,
            "bicubic": cv2.INTER_CUBIC,
        }
        resized = cv2.resize(picture, sides[::-1], interpolation=kinds[self.interpolation])
        return np.asarray(resized, np.float32).reshape(*sides, -1).clip(0, 1)


@dataclass(frozen=True)
class GaussianNoise:
    """Add white Gaussian noise.

    Attributes:
        sigma: standard deviation on 0..255.
        is_gray: True for the same noise in all channels.
    """

    sigma: float
    is_gray: bool

    def apply(self, picture: Values, random: Random) -> Values:
        """Return the noisy picture, clipped."""
        channels = 1 if self.is_gray else picture.shape[2]
        noise = random.normal(0, self.sigma / 255, (*picture.shape[:2], channels))
        return np.asarray((picture + noise).clip(0, 1), np.float32)


@dataclass(frozen=True)
class PoissonNoise:
    """Replace light by a count of photons.

    Attributes:
        photons: mean count of a white pixel; fewer photons are more noise.
        is_gray: True for the noise of the mean of the channels in all of them.
    """

    photons: float
    is_gray: bool

    def apply(self, picture: Values, random: Random) -> Values:
        """Return the noisy picture, clipped."""
        light = picture.mean(axis=2, keepdims=True) if self.is_gray else picture
        noise = random.poisson(light * self.photons) / self.photons - light
        return np.asarray((picture + noise).clip(0, 1), np.float32)


@dataclass(frozen=True)
class Jpeg:
    """Compress and decompress.

    Attributes:
        quality: JPEG quality, 1 to 100.
    """

    quality: int

    def apply(self, picture: Values, random: Random) -> Values:
        """Return the picture after compression."""
        compressed = jpeg_compress(_levels(picture), self.quality)
        return compressed.astype(np.float32) / np.float32(255)


def draw_steps(height: int, width: int, scale: int, random: Random) -> list[Step]:
    """Draw the steps for one picture, in their order.

    Blur, reduction, Gaussian and Poisson noise, and half of the time a JPEG, in random order; JPEG
    at the end.

    Args:
        height: of the picture, in pixels; the scale divides it.
        width: of the picture, in pixels; the scale divides it.
        scale: side of the picture divided by side of the result.
        random: the generator.
    """
    names = ["blur", "reduction", "Gaussian", "Poisson"]
    names += ["JPEG"] * (random.uniform() < _HAS_EARLY_JPEG)
    steps: list[Step] = []
    pixel = 1.0  # side of a pixel, in pixels of the good picture
    for index in random.permutation(len(names)):
        name = names[index]
        if name == "blur":
            steps.append(_draw_blur(pixel, random))
        elif name == "reduction":
            kind = _INTERPOLATIONS[random.randint(len(_INTERPOLATIONS))]
            steps.append(Resize(height // scale, width // scale, kind))
            pixel = float(scale)
        elif name == "Gaussian":
            steps.append(GaussianNoise(random.uniform(*SIGMA), random.uniform() < _IS_GRAY))
        elif name == "Poisson":
            photons = math.exp(random.uniform(*np.log(PHOTONS)))
            steps.append(PoissonNoise(photons, random.uniform() < _IS_GRAY))
        else:
            steps.append(_draw_jpeg(random))
    return [*steps, _draw_jpeg(random)]


def degrade(
    picture: npt.NDArray[Any], scale: int, seed: int | Sequence[int]
) -> npt.NDArray[np.uint8]:
    """Make the input of a real-world super-resolution model from a good picture.

    Args:
        picture: [height, width, 1 or 3] RGB uint8; the scale divides both sides.
        scale: side of the picture divided by side of the result.
        seed: same seed and picture, same result, as long as OpenCV's JPEG stays the same.

    Returns:
        [height / scale, width / scale, 1 or 3] uint8.

    Raises:
        BackendUnavailableError: OpenCV is not installed.
        UsageError: shape or dtype is another one.
    """
    require("eval", "Real-world degradation")
    is_picture = picture.ndim == 3 and picture.shape[2] in (1, 3) and picture.dtype == np.uint8
    if not is_picture or 0 in picture.shape or any(side % scale for side in picture.shape[:2]):
        raise UsageError(
            f"degrade: the array is {picture.shape} {picture.dtype}; it must be [H, W, 1 or 3] "
            f"uint8, with sides that {scale} divides."
        )
    random = Random(seed)
    values = picture.astype(np.float32) / np.float32(255)
    for step in draw_steps(picture.shape[0], picture.shape[1], scale, random):
        values = step.apply(values, random)
    return _levels(values)


def _draw_blur(pixel: float, random: Random) -> Blur:
    """Draw a blur for pixels of this side: isotropic half of the time."""
    first, second = random.uniform(BLUR_PX[0] / pixel, BLUR_PX[1] / pixel, 2)
    if random.uniform() < 0.5:
        return Blur((first, first))
    return Blur((first, second), random.uniform(0, math.pi))


def _draw_jpeg(random: Random) -> Jpeg:
    return Jpeg(int(random.randint(QUALITY[0], QUALITY[1] + 1)))


def _levels(picture: Values) -> npt.NDArray[np.uint8]:
    return np.rint(picture * 255).clip(0, 255).astype(np.uint8)
