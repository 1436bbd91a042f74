"""Against files of a few bytes that claim absurd sizes (decompression bombs)."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from swinir_deploy.errors import PictureError

__all__ = ["DEFAULT_MAX_PIXELS", "check_size", "pillow_limit"]

DEFAULT_MAX_PIXELS = 178_956_970
"""Pictures with more pixels are refused unless asked for; Pillow refuses as many."""

_lock = threading.Lock()


def check_size(source: Path, width: int, height: int, max_pixels: int | None) -> None:
    """Refuse a picture before it is decoded.

    Raises:
        PictureError: no pixels at all, or more than ``max_pixels`` (None: no limit).
    """
    if min(width, height) < 1:
        raise PictureError(
            f"Cannot read {source}: its size is {width}x{height}; it must be at least 1x1."
        )
    if max_pixels is not None and width * height > max_pixels:
        raise PictureError(
            f"Cannot read {source}: {width}x{height} is {width * height:,} pixels; the limit is "
            f"{max_pixels:,}, against files that claim absurd sizes. If the file is to be "
            "trusted, raise the limit (max_pixels, --max-pixels)."
        )


@contextlib.contextmanager
def pillow_limit(max_pixels: int | None) -> Iterator[None]:
    """Replace Pillow's global limit while a file is opened, not while it is decoded.

    Several of its formats look at that global themselves, so that not calling ``Image.open`` is
    not enough. Other users of Pillow in the process see the change for as long.
    """
    with _lock:
        before = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = max_pixels
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before
