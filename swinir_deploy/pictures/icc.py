"""Colour profiles: what they are for, and one for the gamma and the primaries that a PNG names."""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

__all__ = ["colours_of", "is_about_srgb", "profile_of", "profile_of_png_colour"]

_SRGB_GAMMA = 45455
"""The gAMA of pictures in sRGB, in 1/100000."""

_SRGB_POINTS = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
_D50 = np.array([0.9642, 1.0, 0.8249])
_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)


def colours_of(profile: bytes) -> str:
    """Return what a profile is for, such as ``RGB`` or ``GRAY``; empty if it is damaged."""
    if len(profile) < 132 or profile[36:40] != b"acsp":
        return ""
    if struct.unpack_from(">I", profile)[0] > len(profile):
        return ""
    return profile[16:20].decode("latin-1").strip()


def is_about_srgb(gamma: int | None, points: tuple[float, ...] | None) -> bool:
    """Return whether gAMA and cHRM describe sRGB, as far as they can.

    Args:
        gamma: the content of gAMA, or None.
        points: the content of cHRM: x and y of white, red, green and blue; or None.
    """
    is_close = (
        points is None or max(abs(a - b) for a, b in zip(points, _SRGB_POINTS, strict=True)) < 2e-3
    )
    return is_close and (gamma is None or abs(gamma - _SRGB_GAMMA) < 1000)


def profile_of(gamma: int | None, points: tuple[float, ...] | None, is_gray: bool) -> bytes | None:
    """Return an ICC profile (version 2) with the meaning of gAMA and cHRM.

    Args:
        gamma: the content of gAMA in 1/100000; None means that of sRGB.
        points: the content of cHRM; None means the primaries of sRGB.
        is_gray: whether the profile is for gray pictures.

    Returns:
        The profile, or None if the primaries do not span a space of colours.
    """
    exponent = 1e5 / (gamma or _SRGB_GAMMA)
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, _u8_8(exponent)) + b"\0\0"
    tags = {
        b"desc": _description("gAMA and cHRM of a PNG"),
        b"cprt": b"text\0\0\0\0No copyright\0",
        b"wtpt": _xyz(_D50),
    }
    if is_gray:
        tags[b"kTRC"] = curve
    else:
        matrix = _matrix(points or _SRGB_POINTS)
        if matrix is None:
            return None
        for index, letter in enumerate((b"r", b"g", b"b")):
            tags[letter + b"XYZ"] = _xyz(matrix[:, index])
            tags[letter + b"TRC"] = curve
    return _assembled(tags, b"GRAY" if is_gray else b"RGB ")


def _u8_8(value: float) -> int:
    return max(1, min(round(value * 256), 65535))


def _xyz(values: NDArray[np.float64]) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(float(v) * 65536) for v in values))


def _description(text: str) -> bytes:
    ascii_text = text.encode("ascii") + b"\0"
    return b"desc\0\0\0\0" + struct.pack(">I", len(ascii_text)) + ascii_text + bytes(78)


def _matrix(points: tuple[float, ...]) -> NDArray[np.float64] | None:
    """Return the matrix [3, 3] from linear RGB to XYZ, adapted to D50 (Bradford)."""

    def tristimulus(x: float, y: float) -> NDArray[np.float64]:
        return np.array([x / y, 1.0, (1 - x - y) / y])

    if min(points[1::2]) <= 0:
        return None
    white, *primaries = (tristimulus(*points[i : i + 2]) for i in range(0, 8, 2))
    colours = np.stack(primaries, axis=1)
    if abs(np.linalg.det(colours)) < 1e-6 or min(_BRADFORD @ white) <= 0:
        return None
    colours = colours * np.linalg.solve(colours, white)
    ratio = (_BRADFORD @ _D50) / (_BRADFORD @ white)
    adapted: NDArray[np.float64] = np.linalg.inv(_BRADFORD) @ (ratio[:, None] * _BRADFORD) @ colours
    return adapted if np.abs(adapted).max() < 100 else None


def _assembled(tags: dict[bytes, bytes], space: bytes) -> bytes:
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        table += name + struct.pack(">II", start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    head = struct.pack(">I4xI4s4s4s", start + len(body), 0x02400000, b"mntr", space, b"XYZ ")
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28)
    head += struct.pack(">3i", *(round(float(v) * 65536) for v in _D50))
    return head.ljust(128, b"\0") + table + body


def profile_of_png_colour(chunks: dict[bytes, bytes], is_gray: bool) -> bytes | None:
    """Return an ICC profile for the gamma and the primaries of a PNG, or None if it is sRGB.

    Args:
        chunks: the contents of gAMA and cHRM, by name.
        is_gray: whether the picture is gray.
    """
    gamma = struct.unpack(">I", chunks[b"gAMA"])[0] if b"gAMA" in chunks else None
    points = None
    if b"cHRM" in chunks:
        points = tuple(value / 1e5 for value in struct.unpack(">8I", chunks[b"cHRM"]))
    if is_about_srgb(gamma, None if is_gray else points):
        return None
    return profile_of(gamma, points, is_gray)
