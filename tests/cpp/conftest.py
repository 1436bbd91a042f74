"""The built library and its models; without them these tests are skipped."""

from __future__ import annotations

import os
from pathlib import Path

import onnxruntime
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


@pytest.fixture(scope="session")
def c_library() -> CLibrary:
    """libswinir as built by ``make cpp-test``, with this environment's ONNX Runtime."""
    runtime = Path(onnxruntime.__file__).parent / "capi"
    return CLibrary(_folder("SWINIR_CPP_BUILD"), next(runtime.glob("libonnxruntime.so.*")))
