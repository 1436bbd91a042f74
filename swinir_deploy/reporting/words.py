"""Numbers and names of reports as text that a page can hold."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

__all__ = [
    "FP16_MAX",
    "Number",
    "decibels",
    "number",
    "printable",
    "quantity",
    "shape",
    "share",
    "size",
    "small",
]

FP16_MAX = 65504.0
"""The largest number of half precision."""

Number = float | str | None
"""A number of a JSON report: one that is not finite is a text there, or null."""

_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_TURNING = re.compile("[\u202a-\u202e\u2066-\u2069\u200e\u200f]")


def printable(value: Any) -> Any:
    """Return JSON values whose texts have no control characters, also inside lists and objects.

    A file name may hold bytes that are no text, escape codes, or marks that turn the direction of
    what follows. Each becomes the replacement character.
    """
    if isinstance(value, str):
        return _TURNING.sub("\ufffd", _UNPRINTABLE.sub("\ufffd", value))
    if isinstance(value, dict):
        return {printable(str(key)): printable(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [printable(entry) for entry in value]
    return value


def number(value: Number) -> float:
    """Return a number of a JSON report: text such as ``inf`` becomes one, null becomes NaN."""
    if value is None:
        return math.nan
    try:
        return float(value)
    except (ValueError, OverflowError):
        return math.nan


def small(value: Number) -> str:
    """Return a difference as text, such as ``1.2e-06``."""
    found = number(value)
    if not math.isfinite(found):
        return "not finite"
    return "0" if found == 0 else f"{found:.1e}"


def decibels(value: Number, digits: int = 1) -> str:
    """Return a PSNR as text, such as ``61.3 dB``; ``equal`` where it is infinite."""
    found = number(value)
    if found == math.inf:
        return "equal"
    return f"{found:.{digits}f} dB" if math.isfinite(found) else "not finite"


def quantity(value: Number, digits: int = 1, unit: str = "") -> str:
    """Return a number with its unit; ``-`` where there is none."""
    found = number(value)
    return f"{found:,.{digits}f}{unit}" if math.isfinite(found) else "-"


def share(value: Number) -> str:
    """Return a share as percent; ``-`` where there is none."""
    found = number(value)
    return f"{found:.0%}" if math.isfinite(found) else "-"


def shape(sides: Sequence[Any]) -> str:
    """Return a shape as text, such as ``1x3x64x64``."""
    return "x".join(map(str, sides)) or "scalar"


def size(size_bytes: Number) -> str:
    """Return a size in decimal units, such as ``1.2 MB``; ``-`` where there is none."""
    found = number(size_bytes)
    if not math.isfinite(found):
        return "-"
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if found >= factor:
            return f"{found / factor:.1f} {unit}"
    return f"{found:.0f} bytes"
