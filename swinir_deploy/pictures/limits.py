"""Refuse small files that claim enormous sizes (decompression bombs)."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from swinir_deploy.errors import PictureError

__all__ = ["DEFAULT_MAX_PIXELS", "check_size", "pillow_limit"]

DEFAULT_MAX_PIXELS = 178_956_970
"""Pictures with more pixels are refused by default; Pillow has the same limit."""

_lock = threading.Lock()


def check_size(source: Path, width: int, height: int, max_pixels: int | None) -> None:
    """Check the size of a picture before it is decoded.

    Args:
        source: the file, for messages.
        width: width in pixels.
        height: height in pixels.
        max_pixels: the largest accepted number of pixels; None for no limit.

    Raises:
        PictureError: the picture has no pixels, or more than ``max_pixels``.
    """
    if min(width, height) < 1:
        raise PictureError(
            f"Cannot read {source}: its size is {width}x{height}; it must be at least 1x1."
        )
    if max_pixels is not None and width * height > max_pixels:
        raise PictureError(
            f"Cannot read {source}: {width}x{height} is {width * height:,} pixels; the limit is "
            f"{max_pixels:,}, as a protection from files that claim enormous sizes. If you trust "
            "the file, raise the limit (max_pixels, --max-pixels)."
        )


@contextlib.contextmanager
def pillow_limit(max_pixels: int | None) -> Iterator[None]:
    """Replace Pillow's global limit during the block, which should only open a file.

    Several of Pillow's formats read the global themselves, so it is not enough to avoid
    ``Image.open``. Other users of Pillow in this process see the change during the block.

    Args:
        max_pixels: the limit during the block; None for no limit.
    """
    with _lock:
        before = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = max_pixels
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before
