"""Nothing leaves the machine: no command looks up a host or leaves anything in HOME.

ONNX Runtime and OpenVINO send usage data of their own accord. The first test shows that this
machinery sees them do it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from isolation import Seen, run_isolated
from PIL import Image

from swinir_deploy.system.telemetry import ORT_VARIABLE

pytestmark = pytest.mark.slow

PROGRAM = (sys.executable, "-m", "swinir_deploy")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.onnx"
    subprocess.run([*PROGRAM, "export", "--model", "tiny-sr-x2", "-o", path, "-q"], check=True)
    return path


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    pixels = np.random.default_rng(0).integers(0, 256, (48, 40, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "photo.png")
    return folder / "photo.png"


def silent(seen: Seen, *written: str) -> None:
    assert seen.code == 0, seen.output
    assert seen.questions == ()
    assert seen.home == ()
    assert seen.work == written


def test_what_is_imported_without_this_package_is_seen(tmp_path: Path) -> None:
    """Else the other tests would pass wherever they cannot see."""
    before = {ORT_VARIABLE: "0"}
    code = "import onnxruntime as o, time; o.SessionOptions(); time.sleep(3)"
    ort = run_isolated([sys.executable, "-c", code], tmp_path / "ort", **before)
    code = "import openvino, time; time.sleep(1)"
    openvino = run_isolated([sys.executable, "-c", code], tmp_path / "openvino", **before)
    if not (ort.questions or ort.home or openvino.questions or openvino.home):
        pytest.skip("neither ONNX Runtime nor OpenVINO sends anything in these versions")


@pytest.mark.parametrize("backend", ["ort", "openvino", "torch"])
def test_restore(model: Path, photo: Path, tmp_path: Path, backend: str) -> None:
    named = "tiny-sr-x2" if backend == "torch" else model
    seen = run_isolated(
        [*PROGRAM, "restore", photo, "out.png", "-m", named, "--backend", backend], tmp_path
    )
    silent(seen, "out.png")


def test_export(tmp_path: Path) -> None:
    silent(run_isolated([*PROGRAM, "export", "-m", "tiny-sr-x2"], tmp_path), "tiny-sr-x2.onnx")


@pytest.mark.parametrize("backend", ["ort", "openvino"])
def test_verify(model: Path, tmp_path: Path, backend: str) -> None:
    options = ["--backend", backend, "--shape", "16x16"]
    silent(run_isolated([*PROGRAM, "verify", model, *options], tmp_path))


def test_verify_layers(model: Path, tmp_path: Path) -> None:
    pytest.importorskip("polygraphy")
    options = ["--layers", "--backend", "openvino", "--shape", "16x16"]
    silent(run_isolated([*PROGRAM, "verify", model, *options], tmp_path))


def test_bench(tmp_path: Path) -> None:
    options = ["--backend", "ort,openvino,torch", "--shape", "16x16", "--runs", 1]
    silent(run_isolated([*PROGRAM, "bench", "-m", "tiny-sr-x2", *options], tmp_path))


def test_processes_of_bench(model: Path, tmp_path: Path) -> None:
    options = ["--backend", "ort,openvino", "--shape", "16x16", "--runs", 1, "--isolate"]
    silent(run_isolated([*PROGRAM, "bench", "-m", model, *options], tmp_path))


def test_info_without_the_package_onnx(model: Path, tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['onnx'] = None; sys.argv[1:] = ['info', sys.argv[1]]; "
        "from swinir_deploy.cli.main import main; main()"
    )
    silent(run_isolated([sys.executable, "-c", code, model], tmp_path))


def test_the_c_library(tmp_path: Path) -> None:
    for name in ("SWINIR_CPP_BUILD", "SWINIR_CPP_MODELS"):
        if name not in os.environ:
            pytest.skip("the C library is tested by 'make cpp-test', which builds it")
    here = Path(__file__).parents[1] / "cpp"
    for backend in ("ort", "openvino"):
        code = f"""
import os, sys, time
sys.path.insert(0, {str(here)!r})
from pathlib import Path
from c_library import CLibrary, back_end_library
library = CLibrary(Path(os.environ["SWINIR_CPP_BUILD"]), {backend!r}, back_end_library({backend!r}))
with library.model(Path(os.environ["SWINIR_CPP_MODELS"]) / "image.onnx"):
    time.sleep(2)
"""
        silent(run_isolated([sys.executable, "-c", code], tmp_path / backend))
