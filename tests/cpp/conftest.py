"""The built library and its models; without them these tests are skipped."""

from __future__ import annotations

from pathlib import Path

import pytest
from c_library import CLibrary, back_end_library, folder_of


@pytest.fixture(scope="session")
def models() -> Path:
    """The folder that cpp/tests/make_models.py wrote."""
    return folder_of("SWINIR_CPP_MODELS")


@pytest.fixture(scope="session")
def c_library() -> CLibrary:
    """libswinir as built by ``make cpp-test``, with this environment's ONNX Runtime."""
    return CLibrary(folder_of("SWINIR_CPP_BUILD"), "ort", back_end_library("ort"))


@pytest.fixture(scope="session")
def c_openvino() -> CLibrary:
    """The same with this environment's OpenVINO."""
    return CLibrary(folder_of("SWINIR_CPP_BUILD"), "openvino", back_end_library("openvino"))
