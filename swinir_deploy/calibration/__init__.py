"""Half precision made safe: measure a network on pictures and decide what must be done for it."""

from __future__ import annotations

from swinir_deploy.calibration.maxima import MARGIN, Calibration
from swinir_deploy.calibration.pictures import NamedPicture
from swinir_deploy.calibration.preparation import PreparedPrecision, prepare_precision

__all__ = [
    "MARGIN",
    "Calibration",
    "NamedPicture",
    "PreparedPrecision",
    "prepare_precision",
]
