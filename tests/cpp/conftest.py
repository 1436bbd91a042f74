"""The built library and its models; without them these tests are skipped."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import pytest
from c_library import CLibrary


def _folder(variable: str) -> Path:
    if variable not in os.environ:
        pytest.skip("the C library is tested by 'make cpp-test', which builds it")
    return Path(os.environ[variable])


@pytest.fixture(scope="session")
def models() -> Path:
    """The folder that cpp/tests/make_models.py wrote."""
    return _folder("SWINIR_CPP_MODELS")


def _library(package: str, pattern: str) -> Path:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        pytest.skip(f"{package} is not installed")
    return next(Path(spec.origin).parent.glob(pattern))


@pytest.fixture(scope="session")
def c_library() -> CLibrary:
    """libswinir as built by ``make cpp-test``, with this environment's ONNX Runtime."""
    build = _folder("SWINIR_CPP_BUILD")
    return CLibrary(build, "ort", _library("onnxruntime", "capi/libonnxruntime.so.*"))


@pytest.fixture(scope="session")
def c_openvino() -> CLibrary:
    """The same with this environment's OpenVINO."""
    build = _folder("SWINIR_CPP_BUILD")
    return CLibrary(build, "openvino", _library("openvino", "libs/libopenvino_c.so.*"))
