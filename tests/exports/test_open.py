"""Which back end opens what is named, and in which precision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_kept import CONFIG, checkpoint

from swinir_deploy.comparison import compare, sample_picture
from swinir_deploy.errors import BackendUnavailableError, UsageError
from swinir_deploy.exports import open as exports_open
from swinir_deploy.exports.open import open_model
from swinir_deploy.runtimes import BACKENDS
from swinir_deploy.system.cache_folder import CACHE_VARIABLE


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))


@pytest.fixture
def small(tmp_path: Path) -> str:
    return checkpoint(tmp_path / "small.safetensors").name


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backend", "options", "expected"),
    [
        (None, {}, ("ort", "fp32", "ort")),
        (None, {"precision": "fp32"}, ("ort", "fp32", "ort")),
        ("ort", {"precision": "fp16"}, ("ort", "fp16", "ort")),
        ("openvino", {}, ("openvino", "fp32", "openvino")),
        (None, {"precision": "bf16"}, ("torch", "bf16", "any")),
        (None, {"kernels": "plain"}, ("torch", "fp32", "any")),
        ("torch", {}, ("torch", "fp32", "any")),
    ],
)
def test_a_checkpoint_on_each_back_end(
    small: str, backend: str | None, options: dict[str, Any], expected: tuple[str, str, str]
) -> None:
    values = sample_picture(1, 1, 13, 18)
    with open_model(small, "torch") as network:
        wanted = network.run(values)
    with open_model(small, backend, **options) as runtime:
        spec = runtime.spec
        assert (spec.backend, spec.precision, spec.target) == expected
        limit = {"fp32": 90.0, "fp16": 50.0, "bf16": 35.0}[spec.precision]
        assert compare(runtime.run(values), wanted).psnr_db > limit


def test_openvino_computes_a_name_in_bf16(small: str) -> None:
    """What docs/performance.md promises: no file has to be exported first."""
    with open_model(small, "openvino", precision="bf16") as runtime:
        assert np.isfinite(runtime.run(sample_picture(1, 1, 13, 18))).all()
        assert runtime.spec.precision in ("fp32", "bf16")  # what the processor has


def test_a_built_in_model_needs_no_export(tmp_path: Path) -> None:
    said: list[str] = []
    with open_model("tiny-sr-x4", say=said.append) as runtime:
        assert (runtime.spec.backend, runtime.spec.model_id) == ("ort", "tiny-sr-x4")
    assert said == []
    assert not (tmp_path / "cache").exists()


def test_evaluation_prefers_torch(small: str) -> None:
    with open_model(small, prefers="torch") as runtime:
        assert runtime.spec.backend == "torch"


def test_what_cannot_be_had_is_told(small: str, tmp_path: Path) -> None:
    with pytest.raises(BackendUnavailableError, match="BF16"):
        open_model(small, "ort", precision="bf16")
    with open_model(small) as runtime:
        assert runtime.spec.in_chans == CONFIG.in_chans
    (file,) = (tmp_path / "cache" / "exports").glob("*.onnx")
    with pytest.raises(UsageError, match="its own precision"):
        open_model(file, precision="bf16")
    with pytest.raises(UsageError, match="Unknown back end"):
        open_model(small, "onnx")


def test_without_onnxruntime_it_is_torch(small: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Missing:
        opens = (".onnx",)

        @staticmethod
        def missing() -> str:
            return "onnxruntime is not installed"

    monkeypatch.setitem(exports_open.BACKENDS, "ort", Missing)  # type: ignore[arg-type]
    with open_model(small) as runtime:
        assert runtime.spec.backend == "torch"
    assert set(BACKENDS) >= {"ort", "torch"}
