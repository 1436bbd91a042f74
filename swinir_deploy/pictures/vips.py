"""Give Python streams to libvips, and take its pixels; libvips is loaded when it is first used."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from swinir_deploy.errors import BackendUnavailableError

__all__ = [
    "VipsStream",
    "image_of",
    "is_single_threaded",
    "libvips",
    "opened_by_vips",
    "operations",
    "samples_of",
    "with_blob",
]

_DTYPES = {
    "uchar": np.uint8,
    "char": np.int8,
    "ushort": np.uint16,
    "short": np.int16,
    "uint": np.uint32,
    "int": np.int32,
    "float": np.float32,
    "double": np.float64,
}
_FORMATS = {
    np.dtype(np.uint8): "uchar",
    np.dtype(np.uint16): "ushort",
    np.dtype(np.float32): "float",
}


@functools.cache
def libvips() -> Any:
    """Return the module pyvips.

    Raises:
        BackendUnavailableError: it, or the library that it binds, is not installed.
    """
    # Its log would be shown on stderr. What matters comes as an error.
    log = logging.getLogger("pyvips")
    log.addHandler(logging.NullHandler())
    log.propagate = False
    # Reading and writing from top to bottom gain nothing from more threads, which hold rows each.
    os.environ.setdefault("VIPS_CONCURRENCY", "1")
    os.environ.setdefault("VIPS_WARNING", "1")  # says that warnings are not printed
    try:
        import pyvips
    except (ImportError, OSError) as error:
        raise BackendUnavailableError(
            f"Pictures are read and written by libvips, which cannot be loaded ({error}): "
            "pip install pyvips pyvips-binary"
        ) from error
    pyvips.cache_set_max(0)  # no picture is used twice
    return pyvips


_text = threading.RLock()
"""Held while libvips' text of errors must not change; see :func:`operations`."""

_LOOKED_UP = "no property named"


@contextlib.contextmanager
def operations() -> Iterator[None]:
    """Hold back other threads while operations of libvips are put together.

    libvips has one text for the errors and warnings of all threads. To look up an operation by its
    name, as ``image.copy()`` does, writes into the text and empties it, and so would hide the
    warnings of a picture that another thread decodes, or pass for one.
    :func:`~swinir_deploy.pictures.vips.libvips`'s ``Operation.call`` leaves the text alone.
    """
    with _text:
        yield


def is_single_threaded() -> bool:
    """Return whether libvips computes each picture in one thread, which this module asks for.

    The environment, or a program that has loaded libvips before, may have decided otherwise.
    """
    return bool(libvips().concurrency_get() == 1)


class VipsStream:
    """A Python stream as libvips reads and writes it.

    Attributes:
        error: what the stream raised. libvips only learns that reading or writing failed.
    """

    def __init__(self, stream: BinaryIO) -> None:
        """Take a stream that can seek."""
        self._stream = stream
        self._in_use: list[Any] = []  # C calls what these hold as long as the stream lives
        self.error: BaseException | None = None

    def source(self) -> Any:
        """Return the stream as a source of libvips."""
        source = libvips().SourceCustom()
        source.on_read(lambda size: self._try(lambda: self._stream.read(size), b""))
        source.on_seek(
            lambda offset, whence: self._try(lambda: self._stream.seek(offset, whence), -1)
        )
        self._in_use.append(source)
        return source

    def target(self) -> Any:
        """Return the stream as a target of libvips."""
        target = libvips().TargetCustom()
        target.on_write(lambda data: self._try(lambda: self._stream.write(data), -1))
        target.on_read(lambda size: self._try(lambda: self._stream.read(size), b""))
        target.on_seek(
            lambda offset, whence: self._try(lambda: self._stream.seek(offset, whence), -1)
        )
        self._in_use.append(target)
        return target

    def _try(self, action: Callable[[], Any], failed: Any) -> Any:
        if self.error is not None:
            return failed
        try:
            return action()
        except BaseException as error:  # an exception cannot pass through C
            self.error = error
            return failed


def opened_by_vips(stream: VipsStream, loader: str, **options: Any) -> Any:
    """Return a lazy image of libvips: its head is read, its pixels are not.

    Args:
        stream: the file; it must live as long as the image.
        loader: the name of the format in libvips, such as ``png``.
        **options: options of the loader.
    """
    vips = libvips()
    return vips.Operation.call(
        f"{loader}load_source", stream.source(), access="sequential", **options
    )


def samples_of(image: Any) -> NDArray[Any]:
    """Return the pixels of an image of libvips as [height, width, bands]; they are decoded now.

    Raises:
        ValueError: the decoder warned of damage. libvips itself raises its error for warnings about
            all rows but the last ones.
    """
    vips = libvips()
    with _text:
        vips.vips_lib.vips_error_clear()
        memory = image.write_to_memory()
        warning = vips.ffi.string(vips.vips_lib.vips_error_buffer()).decode("utf-8", "replace")
        vips.vips_lib.vips_error_clear()
    # Another user of libvips in this process may look something up meanwhile.
    lines = [line for line in warning.splitlines() if _LOOKED_UP not in line]
    if lines:
        raise ValueError(" ".join(" ".join(lines).split()))
    samples: NDArray[Any] = np.frombuffer(memory, _DTYPES[image.format])
    return samples.reshape(image.height, image.width, image.bands)


def image_of(samples: NDArray[Any]) -> Any:
    """Return an image of libvips that reads from an array [height, width, 1 to 4].

    Args:
        samples: uint8, uint16 or float32: gray or RGB, then the opacity.
    """
    height, width, bands = samples.shape
    contiguous = np.ascontiguousarray(samples)
    image = libvips().Image.new_from_memory(
        contiguous.data, width, height, bands, _FORMATS[contiguous.dtype]
    )
    is_deep = contiguous.dtype == np.uint16
    meaning = ("b-w", "srgb", "grey16", "rgb16")[2 * is_deep + (bands > 2)]
    return libvips().Operation.call("copy", image, interpretation=meaning)


def with_blob(image: Any, name: str, content: bytes) -> Any:
    """Return an image of libvips with a block of metadata."""
    vips = libvips()
    changed = vips.Operation.call("copy", image)
    changed.set_type(vips.GValue.blob_type, name, content)
    return changed
