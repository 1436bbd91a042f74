"""What is optional stays optional. That imports go down is held by import-linter."""

from __future__ import annotations

import subprocess
import sys

import pytest


def imported_by(statement: str) -> set[str]:
    """Top-level modules that a fresh interpreter has loaded after ``statement``."""
    code = f"{statement}\nimport sys\nprint(*sorted({{m.split('.')[0] for m in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


HEAVY = {
    "torch",
    "onnx",
    "onnxruntime",
    "onnxsim",
    "onnxscript",
    "tensorrt",
    "tensorrt_rtx",
    "openvino",
    "pyvips",
    "pillow_heif",
    "pillow_jxl",
}


def test_importing_the_package_imports_nothing_heavy() -> None:
    loaded = imported_by("import swinir_deploy")
    assert not loaded & (HEAVY | {"numpy", "PIL", "yaml", "click"})


@pytest.mark.parametrize(
    ("statement", "allowed"),
    [
        ("import swinir_deploy.restoration.restorer", set()),
        ("import swinir_deploy.pictures.write", set()),
        ("import swinir_deploy.runtimes", set()),
        ("import swinir_deploy.models.catalog", set()),
        ("from swinir_deploy import restore", set()),
        ("import swinir_deploy.runtimes.ort_runtime", {"onnxruntime"}),
        ("import swinir_deploy.benchmarking.benchmark", set()),
        ("import swinir_deploy.verification.parity", set()),
    ],
)
def test_running_an_exported_file_needs_no_torch(statement: str, allowed: set[str]) -> None:
    assert imported_by(statement) & HEAVY <= allowed
