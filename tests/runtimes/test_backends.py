"""Opening models, and the same pixels from every back end."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from swinir_deploy import Runtime, export_onnx, open_runtime
from swinir_deploy.comparison import sample_picture
from swinir_deploy.errors import (
    ArtifactError,
    BackendUnavailableError,
    CheckpointError,
    DeviceMemoryError,
    DownloadError,
    InputError,
    RuntimeClosedError,
    UsageError,
)
from swinir_deploy.runtimes import BACKENDS, available_backends, backend_for

BACKENDS_OF = {"torch": "torch", "ort": "tensor", "openvino": "tensor"}
"""Back end -> which of the ``models`` it opens."""


def opened(models: dict[str, Path], backend: str, **options: Any) -> Runtime:
    return open_runtime(models[BACKENDS_OF[backend]], backend, **options)


@pytest.mark.parametrize("backend", BACKENDS_OF)
@pytest.mark.parametrize("shape", [(1, 3, 5, 5), (2, 3, 8, 8), (1, 3, 13, 30), (3, 3, 17, 9)])
def test_float_back_ends_give_the_official_output(
    models: dict[str, Path], official: nn.Module, backend: str, shape: tuple[int, int, int, int]
) -> None:
    picture = sample_picture(*shape)
    with torch.no_grad():
        wanted = official(torch.from_numpy(picture)).numpy()
    with opened(models, backend) as runtime:
        found = runtime.run(picture)
    assert found.dtype == np.float32
    assert np.abs(found - wanted).max() <= 1e-4


@pytest.mark.parametrize("backend", ["ort", "openvino"])
@pytest.mark.parametrize("size", [(1, 5, 5), (2, 13, 30)])
def test_byte_models_give_the_official_levels(
    models: dict[str, Path], official: nn.Module, size: tuple[int, int, int], backend: str
) -> None:
    batch, height, width = size
    levels = np.round(sample_picture(batch, 3, height, width) * 255).astype(np.uint8)
    with torch.no_grad():
        wanted = official(torch.from_numpy(levels).float() / 255).clamp(0, 1).numpy()
    with open_runtime(models["image"], backend) as runtime:
        found = runtime.run(np.ascontiguousarray(levels.transpose(0, 2, 3, 1)))
    difference = found.astype(int) - np.round(wanted * 255).astype(int).transpose(0, 2, 3, 1)
    assert np.abs(difference).max() <= 1
    assert np.mean(difference != 0) < 0.01


@pytest.mark.parametrize("backend", ["ort", "openvino"])
def test_the_spec_tells_what_the_file_says(models: dict[str, Path], backend: str) -> None:
    with (
        open_runtime(models["image"], backend) as runtime,
        open_runtime(models["torch"]) as reference,
    ):
        spec = runtime.spec
        assert (spec.backend, spec.device, spec.io) == (backend, "cpu", "image")
        assert (spec.scale, spec.in_chans, spec.window_size) == (2, 3, 8)
        assert spec.min_side_px == 5
        assert spec.source_sha256 == reference.spec.source_sha256
        assert spec.model_id == "small"
        assert (spec.batch, spec.height, spec.width) == (None, None, None)


def test_fixed_sides_are_read_from_the_graph(checkpoint: Path, tmp_path: Path) -> None:
    path = tmp_path / "fixed.onnx"
    export_onnx(checkpoint, path, shape="1x3x16xW")
    for backend in ("ort", "openvino"):
        check_fixed_sides(path, backend)


def check_fixed_sides(path: Path, backend: str) -> None:
    with open_runtime(path, backend) as runtime:
        assert (runtime.spec.batch, runtime.spec.height, runtime.spec.width) == (1, 16, None)
        assert runtime.run(sample_picture(1, 3, 16, 21)).shape == (1, 3, 32, 42)
        with pytest.raises(InputError, match=r"takes \[1, 3, 16, width\]"):
            runtime.run(sample_picture(1, 3, 17, 21))


@pytest.mark.parametrize("backend", BACKENDS_OF)
def test_threads_share_a_runtime(models: dict[str, Path], backend: str) -> None:
    pictures = [sample_picture(1, 3, 8 + n, 12) for n in range(4)]
    with opened(models, backend, threads=1) as runtime:
        wanted = [runtime.run(p) for p in pictures]
        found: dict[tuple[int, int], Any] = {}

        def work(thread: int) -> None:
            for index, picture in enumerate(pictures):
                found[thread, index] = runtime.run(picture)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for (_, index), result in found.items():
        np.testing.assert_allclose(result, wanted[index], atol=1e-6)
    assert len(found) == 16


@pytest.mark.parametrize("backend", BACKENDS_OF)
def test_a_closed_back_end_says_so(models: dict[str, Path], backend: str) -> None:
    runtime = opened(models, backend)
    runtime.close()
    with pytest.raises(RuntimeClosedError):
        runtime.run(sample_picture(1, 3, 8, 8))


def test_the_input_is_not_changed(models: dict[str, Path]) -> None:
    picture = sample_picture(1, 3, 9, 9)
    picture.flags.writeable = False
    for backend in BACKENDS_OF:
        with opened(models, backend) as runtime:
            runtime.run(picture)


# ------------------------------------------------------------------------------- choosing


def test_the_file_chooses_the_back_end() -> None:
    assert backend_for("a/model.ONNX").name == "ort"
    assert backend_for("tiny-sr-x4").name == "torch"
    assert backend_for("model.pth").name == "torch"


@pytest.mark.parametrize(
    ("model", "backend", "message"),
    [
        ("model.onnx", "ortt", "Did you mean 'ort'"),
        ("model.onnx", "quantum", "Choose ort, openvino, tensorrt, rtx, cuda or torch"),
        ("model.pth", "ort", "Export the model first"),
        ("model.onnx", "torch", "--backend ort"),
    ],
)
def test_a_back_end_that_does_not_fit_is_refused(model: str, backend: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_runtime(model, backend)


def test_unknown_options_are_named(models: dict[str, Path]) -> None:
    with pytest.raises(UsageError, match=r"no option thread; it has .*threads"):
        open_runtime(models["tensor"], thread=2)


def test_offline_never_downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWINIR_DEPLOY_CACHE", str(tmp_path))
    with pytest.raises(DownloadError):
        open_runtime("light-sr-x2", offline=True)


@pytest.mark.parametrize("backend", BACKENDS_OF)
def test_no_threads_is_refused(models: dict[str, Path], backend: str) -> None:
    with pytest.raises(UsageError, match="at least 1"):
        opened(models, backend, threads=0)


@pytest.mark.parametrize("kind", ["torch", "tensor"])
def test_a_missing_device_is_exit_code_3(models: dict[str, Path], kind: str) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    with pytest.raises(BackendUnavailableError, match=r"CUDA|cuda") as error:
        open_runtime(models[kind], device="cuda")
    assert error.value.exit_code == 3


@pytest.mark.parametrize("backend", BACKENDS_OF)
@pytest.mark.parametrize("device", ["tpu", "cuda:x", "cpu,cuda"])
def test_a_device_that_is_none_is_refused(
    models: dict[str, Path], backend: str, device: str
) -> None:
    with pytest.raises(UsageError, match="Unknown device"):
        opened(models, backend, device=device)


def test_a_provider_can_be_named(models: dict[str, Path]) -> None:
    with open_runtime(models["tensor"], provider="cpu") as runtime:
        assert runtime.spec.device == "cpu"
    with pytest.raises(BackendUnavailableError, match="has no Warp"):
        open_runtime(models["tensor"], provider="Warp")


def test_a_missing_package_says_which_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swinir_deploy.system.packages.is_importable", lambda name: False)
    assert set(available_backends()) == set(BACKENDS)
    with pytest.raises(BackendUnavailableError, match=r"pip install 'swinir-deploy\[ort\]'"):
        open_runtime("model.onnx")
    with pytest.raises(BackendUnavailableError, match="torch, safetensors"):
        open_runtime("tiny-sr-x4")


# -------------------------------------------------------------------------- broken files


def broken(kind: str, good: Path, folder: Path) -> Path:
    path = folder / "broken.onnx"
    data = good.read_bytes()
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "cut short":
        path.write_bytes(data[: len(data) // 2])
    elif kind == "text":
        path.write_text("<html>404</html>")
    elif kind == "folder":
        path.mkdir()
    elif kind != "missing":
        model = onnx.load(good)
        props = {p.key: p.value for p in model.metadata_props}
        if kind == "no metadata":
            props = {}
        elif kind == "newer schema":
            props["swinir_deploy.schema_version"] = "99"
        elif kind == "other io":
            props["swinir_deploy.io"] = "image"
        elif kind == "other channels":
            props["swinir_deploy.in_chans"] = "1"
        elif kind == "no JSON":
            props["swinir_deploy.scale"] = "four"
        elif kind == "impossible scale":
            props["swinir_deploy.scale"] = "99"
        del model.metadata_props[:]
        onnx.helper.set_model_props(model, props)
        path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("backend", ["ort", "openvino"])
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "no such file"),
        ("folder", "is a folder"),
        ("empty", "is empty"),
        ("cut short", "damaged or no ONNX model"),
        ("text", "is a web page"),
        ("no metadata", "not made by swinir-deploy"),
        ("newer schema", "metadata schema 99"),
        ("other io", "changed after its export"),
        ("other channels", "changed after its export"),
        ("no JSON", "not JSON"),
        ("impossible scale", "must be from 1 to 16"),
    ],
)
def test_a_broken_file_is_an_artifact_error(
    models: dict[str, Path], tmp_path: Path, kind: str, message: str, backend: str
) -> None:
    path = broken(kind, models["tensor"], tmp_path)
    with pytest.raises(ArtifactError, match=message) as error:
        open_runtime(path, backend)
    assert path.name in str(error.value)
    assert error.value.exit_code == 4


def test_a_file_with_a_wrong_scale_is_caught_at_the_first_run(
    models: dict[str, Path], tmp_path: Path
) -> None:
    model = onnx.load(models["tensor"])
    props = {p.key: p.value for p in model.metadata_props}
    props["swinir_deploy.scale"] = "3"
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, props)
    path = tmp_path / "wrong.onnx"
    path.write_bytes(model.SerializeToString())
    with open_runtime(path) as runtime, pytest.raises(InputError, match="does not match"):
        runtime.run(sample_picture(1, 3, 8, 8))


def test_a_broken_checkpoint_is_a_checkpoint_error(tmp_path: Path) -> None:
    path = tmp_path / "broken.pth"
    path.write_bytes(b"no checkpoint")
    with pytest.raises(CheckpointError):
        open_runtime(path)


def test_memory_that_runs_out_has_its_own_error(
    models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("bad allocation: Failed to allocate memory for requested buffer")

    with open_runtime(models["tensor"]) as runtime:
        monkeypatch.setattr(runtime, "_session", type("Session", (), {"run": fail})())
        with pytest.raises(DeviceMemoryError, match="smaller tiles"):
            runtime.run(sample_picture(1, 3, 8, 8))
    with open_runtime(models["torch"]) as runtime:

        def exhausted(_: object) -> None:
            raise torch.OutOfMemoryError("CUDA out of memory")

        monkeypatch.setattr(runtime, "_network", exhausted)
        with pytest.raises(DeviceMemoryError, match="smaller tiles"):
            runtime.run(sample_picture(1, 3, 8, 8))
