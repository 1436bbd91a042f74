"""How strongly pictures are degraded, so that the model for it can be chosen."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import median

from swinir_deploy.errors import SwinIRDeployError
from swinir_deploy.pictures.jpeg_quality import jpeg_quality
from swinir_deploy.pictures.noise import noise_sigma
from swinir_deploy.pictures.read import read_picture
from swinir_deploy.restoration.folder_contents import find_pictures

__all__ = ["Estimate", "estimate_degradation"]

_SMALLEST_SIDE = 8
_MOST_DECODED = 8
"""Pictures of a folder that are decoded to estimate their noise, evenly spaced by name."""


@dataclass(frozen=True)
class Estimate:
    """What pictures are degraded by.

    Attributes:
        value: the median over the pictures: JPEG quality, or sigma of the noise on 0..255.
        lowest: the lowest of all pictures.
        highest: the highest of all pictures.
        measured: number of pictures that it could be estimated for.
        pictures: number of pictures that were looked at.
    """

    value: float
    lowest: float
    highest: float
    measured: int
    pictures: int


def estimate_degradation(task: str, source: Path, leave_out: Path | None = None) -> Estimate | None:
    """Estimate what a model must remove from a picture, or from the pictures of a folder.

    Args:
        task: ``jpeg`` reads the quantisation tables in the heads of all files; ``denoise`` decodes
            up to eight pictures.
        source: a picture, or a folder of pictures at any depth.
        leave_out: a folder below ``source`` that is not looked at.

    Returns:
        The estimate; None if no picture tells it.
    """
    paths = [source]
    if source.is_dir():
        paths = [source / name for name in find_pictures(source, leave_out=leave_out).pictures]
    if task == "denoise":
        step = max(1.0, len(paths) / _MOST_DECODED)
        paths = [paths[int(i * step)] for i in range(min(len(paths), _MOST_DECODED))]
    found = [jpeg_quality(path) if task == "jpeg" else _sigma_of(path) for path in paths]
    known = [float(value) for value in found if value is not None]
    if not known:
        return None
    return Estimate(median(known), min(known), max(known), len(known), len(paths))


def _sigma_of(path: Path) -> float | None:
    """Return the noise of one picture; None if it cannot be read, which the work will say."""
    try:
        pixels = read_picture(path).pixels
    except SwinIRDeployError:
        return None
    return noise_sigma(pixels) if min(pixels.shape[:2]) >= _SMALLEST_SIDE else None
