"""libswinir through ctypes: the C interface as any language sees it."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

FORMATS = {"gray": 1, "rgb": 2, "bgr": 3, "rgba": 4, "bgra": 5}
WHOLE, NO_OVERLAP = -1, -1


def folder_of(variable: str) -> Path:
    """The folder that ``make cpp-test`` names in an environment variable."""
    if variable not in os.environ:
        pytest.skip("the C library is tested by 'make cpp-test', which builds it")
    return Path(os.environ[variable])


def back_end_library(backend: str) -> Path:
    """This environment's ONNX Runtime or OpenVINO."""
    package, pattern = {
        "ort": ("onnxruntime", "capi/libonnxruntime.so.*"),
        "openvino": ("openvino", "libs/libopenvino_c.so.*"),
    }[backend]
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        pytest.skip(f"{package} is not installed")
    return next(Path(spec.origin).parent.glob(pattern))


class ModelOptions(ctypes.Structure):
    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("backend", ctypes.c_char_p),
        ("device", ctypes.c_char_p),
        ("library", ctypes.c_char_p),
        ("plugin_dir", ctypes.c_char_p),
        ("threads", ctypes.c_int32),
        ("log", ctypes.c_void_p),
        ("log_data", ctypes.c_void_p),
        ("log_level", ctypes.c_int32),
        ("precision", ctypes.c_int32),
    ]


class SessionOptions(ctypes.Structure):
    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("tile_px", ctypes.c_int32),
        ("overlap_px", ctypes.c_int32),
        ("batch", ctypes.c_int32),
        ("progress", ctypes.c_void_p),
        ("progress_data", ctypes.c_void_p),
    ]


class CPicture(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("width", ctypes.c_int32),
        ("height", ctypes.c_int32),
        ("format", ctypes.c_int32),
        ("type", ctypes.c_int32),
        ("stride", ctypes.c_ssize_t),
    ]


def picture(array: NDArray[Any], format_name: str) -> CPicture:
    """A view of an array [height, width(, channels)] with dense pixels; rows may have gaps."""
    return CPicture(
        array.ctypes.data,
        array.shape[1],
        array.shape[0],
        FORMATS[format_name],
        {"uint8": 1, "float32": 2}[array.dtype.name],
        array.strides[0],
    )


class CLibrary:
    """The shared library of a build folder, with a back end's library of this environment."""

    INVALID_MODEL = 3

    def __init__(self, build: Path, backend: str, library: Path) -> None:
        self._c = ctypes.CDLL(build / "lib/libswinir.so")
        self._c.swinir_last_error.restype = ctypes.c_char_p
        self._backend, self._library = backend.encode(), str(library).encode()

    def _check(self, status: int) -> None:
        assert status == 0, (status, self._c.swinir_last_error().decode())

    @contextmanager
    def model(self, path: Path, threads: int = 1) -> Iterator[ctypes.c_void_p]:
        """An opened model; the handle is for :meth:`restore`."""
        options = ModelOptions(ctypes.sizeof(ModelOptions))
        options.backend, options.library = self._backend, self._library
        options.threads = threads
        model = ctypes.c_void_p()
        self._check(
            self._c.swinir_model_open(
                str(path).encode(), ctypes.byref(options), ctypes.byref(model)
            )
        )
        try:
            yield model
        finally:
            self._c.swinir_model_close(model)

    def open_bytes(self, content: bytes, sidecar: str) -> tuple[int, str]:
        """Status and sentence that come of opening an engine from memory; it is closed again."""
        options = ModelOptions(ctypes.sizeof(ModelOptions))
        options.backend, options.library = self._backend, self._library
        model = ctypes.c_void_p()
        size = ctypes.c_size_t(len(content))
        status = self._c.swinir_model_open_memory(
            content, size, sidecar.encode(), ctypes.byref(options), ctypes.byref(model)
        )
        self._c.swinir_model_close(model)
        return int(status), self._c.swinir_last_error().decode() if status else ""

    @contextmanager
    def session(self, model: ctypes.c_void_p, **options: int) -> Iterator[ctypes.c_void_p]:
        """A session of a model, with fields of swinir_session_options."""
        asked = SessionOptions(ctypes.sizeof(SessionOptions), **options)
        session = ctypes.c_void_p()
        self._check(
            self._c.swinir_session_create(model, ctypes.byref(asked), ctypes.byref(session))
        )
        try:
            yield session
        finally:
            self._c.swinir_session_destroy(session)

    def restore(
        self, model: ctypes.c_void_p, source: CPicture, target: CPicture, **options: int
    ) -> None:
        """swinir_session_restore in a session of its own."""
        with self.session(model, **options) as session:
            self._restore(session, source, target)

    def _restore(self, session: ctypes.c_void_p, source: CPicture, target: CPicture) -> None:
        self._check(
            self._c.swinir_session_restore(session, ctypes.byref(source), ctypes.byref(target))
        )

    def run(
        self, session: ctypes.c_void_p, tensor: NDArray[Any], output_shape: tuple[int, ...]
    ) -> NDArray[Any]:
        """swinir_session_run."""
        result = np.empty(output_shape, tensor.dtype)
        self._check(
            self._c.swinir_session_run(
                session,
                tensor.ctypes.data_as(ctypes.c_void_p),
                (ctypes.c_int64 * 4)(*tensor.shape),
                result.ctypes.data_as(ctypes.c_void_p),
                ctypes.c_size_t(result.nbytes),
            )
        )
        return result

    def restored(
        self,
        model: ctypes.c_void_p,
        pixels: NDArray[Any],
        scale: int,
        format_name: str,
        **options: int,
    ) -> NDArray[Any]:
        """A new array of the same kind with ``scale`` times the sides."""
        with self.session(model, **options) as session:
            return self.restored_in(session, pixels, scale, format_name)

    def restored_in(
        self, session: ctypes.c_void_p, pixels: NDArray[Any], scale: int, format_name: str
    ) -> NDArray[Any]:
        """The same in a session that is there."""
        result = np.empty(
            (pixels.shape[0] * scale, pixels.shape[1] * scale, *pixels.shape[2:]), pixels.dtype
        )
        self._restore(session, picture(pixels, format_name), picture(result, format_name))
        return result
