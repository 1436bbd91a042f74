"""Execution providers: found by name, given their options, never replaced by the CPU in silence."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest

from swinir_deploy import open_runtime
from swinir_deploy.comparison import sample_picture
from swinir_deploy.errors import BackendUnavailableError, UsageError
from swinir_deploy.runtimes import providers
from swinir_deploy.runtimes.providers import PROVIDERS, create_session, find_provider

REAL_SESSION = onnxruntime.InferenceSession


class Sessions:
    """Stands where ``InferenceSession`` was: computes on the CPU, says what it was told to say."""

    def __init__(self, running: list[str] | None, failure: str = "") -> None:
        self.running, self.failure = running, failure
        self.asked: list[Any] = []

    def __call__(self, model: Any, options: Any = None, **extra: Any) -> Any:
        chain = extra.get("providers")
        if chain == ["CPUExecutionProvider"]:
            return REAL_SESSION(model, options, providers=chain)
        self.asked.append((chain, options))
        assert chain is None or extra["enable_fallback"] is False
        if self.failure:
            raise RuntimeError(self.failure)
        session = REAL_SESSION(model, options, providers=["CPUExecutionProvider"])
        session.get_providers = lambda: self.running  # type: ignore[method-assign]
        return session


@pytest.fixture
def gpu_build(monkeypatch: pytest.MonkeyPatch) -> None:
    """An onnxruntime that was built for GPUs, as its wheel says of itself."""
    names = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: names)
    monkeypatch.setattr(providers, "_preload_cuda_libraries", lambda: None)


@pytest.mark.parametrize("name", ["cuda", "tensorrt"])
def test_the_names_are_those_of_onnxruntime(name: str) -> None:
    assert PROVIDERS[name].name in onnxruntime.get_all_providers()


def test_the_plug_in_has_the_name_that_onnxruntime_documents() -> None:
    assert PROVIDERS["rtx"].name == "NvTensorRTRTXExecutionProvider"


@pytest.mark.parametrize("name", ["cpu", "CPU", "CPUExecutionProvider", "cpuexecutionprovider"])
def test_a_provider_has_several_names(name: str) -> None:
    assert find_provider(name) is PROVIDERS["cpu"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cuda", r"no CUDAExecutionProvider; it has .*ort-gpu"),
        ("tensorrt", r"no TensorrtExecutionProvider.*ort-gpu"),
        ("rtx", r"no NvTensorRTRTXExecutionProvider.*ort-rtx"),
        ("tensorrtt", "Did you mean 'tensorrt'"),
        ("Warp", "has no Warp; it has CPUExec.* or cpu, cuda, tensorrt, rtx"),
    ],
)
def test_a_provider_that_is_not_there_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, name: str, message: str
) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    monkeypatch.setattr(providers, "is_importable", lambda _: False)
    with pytest.raises(BackendUnavailableError, match=message) as error:
        find_provider(name)
    assert error.value.exit_code == 3


def test_the_provider_in_use_is_read_back(models: dict[str, Path]) -> None:
    with open_runtime(models["tensor"], provider="cpu") as runtime:
        assert runtime.spec.provider == "CPUExecutionProvider"
        assert runtime.spec.device == "cpu"


@pytest.mark.usefixtures("gpu_build")
def test_the_silent_step_back_to_the_cpu_is_refused(
    models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxruntime, "InferenceSession", Sessions(["CPUExecutionProvider"]))
    with pytest.raises(BackendUnavailableError, match=r"took CPUExecutionProvider.*cuDNN 9"):
        open_runtime(models["tensor"], device="cuda")


@pytest.mark.usefixtures("gpu_build")
def test_a_provider_that_fails_is_told_from_a_broken_file(
    models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = Sessions(None, "Please install TensorRT libraries as mentioned")
    monkeypatch.setattr(onnxruntime, "InferenceSession", failing)
    with pytest.raises(BackendUnavailableError, match=r"Please install.*libnvinfer\.so\.10"):
        open_runtime(models["tensor"], provider="tensorrt")


@pytest.mark.usefixtures("gpu_build")
def test_options_reach_the_provider_and_the_session(
    models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = Sessions(["TensorrtExecutionProvider", "CUDAExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "InferenceSession", sessions)
    options = {"trt_engine_cache_enable": True, "trt_engine_cache_path": "engines"}
    session_options = {"ep.context_enable": "1", "ep.context_file_path": "x_ctx.onnx"}
    with open_runtime(
        models["tensor"],
        device="cuda:1",
        provider="tensorrt",
        provider_options={**options, **session_options},
    ) as runtime:
        assert runtime.spec.device == "cuda:1"
        assert runtime.spec.provider == "TensorrtExecutionProvider"
    ((chain, used),) = sessions.asked
    assert chain == [
        (
            "TensorrtExecutionProvider",
            {
                "trt_engine_cache_enable": "1",
                "trt_engine_cache_path": "engines",
                "device_id": "1",
            },
        ),
        ("CUDAExecutionProvider", {"device_id": "1"}),
    ]
    for key, value in session_options.items():
        assert used.get_session_config_entry(key) == value


@pytest.mark.usefixtures("gpu_build")
@pytest.mark.parametrize(("device", "provider"), [("cpu", "cuda"), ("cuda:0", "cpu")])
def test_a_device_that_contradicts_the_provider_is_refused(
    models: dict[str, Path], device: str, provider: str
) -> None:
    with pytest.raises(UsageError, match="Give one of the two"):
        open_runtime(models["tensor"], device=device, provider=provider)


# ------------------------------------------------------------------- a provider as a plug-in


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The wheel of the RTX plug-in, with the functions that it documents, and two GPUs."""
    name = PROVIDERS["rtx"].name
    state = SimpleNamespace(devices=[], registered=[], gpus=2, given=[])
    module: Any = ModuleType("onnxruntime_ep_nv_tensorrt_rtx")
    module.get_ep_name = lambda: name
    module.get_library_path = lambda: "libplugin.so"

    def register(ep_name: str, path: str) -> None:
        state.registered.append((ep_name, path))
        state.devices = [SimpleNamespace(ep_name=name, index=n) for n in range(state.gpus)]

    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(providers, "is_importable", lambda wanted: wanted == module.__name__)
    monkeypatch.setattr(onnxruntime, "register_execution_provider_library", register)
    monkeypatch.setattr(onnxruntime, "get_ep_devices", lambda: state.devices)
    monkeypatch.setattr(onnxruntime, "InferenceSession", Sessions([name]))
    monkeypatch.setattr(
        onnxruntime,
        "SessionOptions",
        lambda: _Options(state.given),
    )
    return state


class _Options(onnxruntime.SessionOptions):
    def __init__(self, given: list[Any]) -> None:
        super().__init__()
        self._given = given

    def add_provider_for_devices(self, devices: Any, options: Any) -> None:
        self._given.append((devices, options))


def test_a_plug_in_is_registered_once_and_gets_the_device(
    models: dict[str, Path], plugin: SimpleNamespace
) -> None:
    for _ in range(2):
        with open_runtime(
            models["tensor"],
            device="cuda:1",
            provider="rtx",
            provider_options={"nv_runtime_cache_path": "kernels", "enable_cuda_graph": True},
        ) as runtime:
            assert runtime.spec.provider == "NvTensorRTRTXExecutionProvider"
            picture = sample_picture(1, 3, 8, 9)
            assert runtime.run(picture).shape == (1, 3, 16, 18)
    assert plugin.registered == [("NvTensorRTRTXExecutionProvider", "libplugin.so")]
    devices, options = plugin.given[0]
    assert [device.index for device in devices] == [1]
    assert options == {"nv_runtime_cache_path": "kernels", "enable_cuda_graph": "1"}


@pytest.mark.parametrize(
    ("gpus", "device", "error", "message"),
    [
        (0, "cuda", BackendUnavailableError, "finds no device.*Ampere"),
        (2, "cuda:2", UsageError, "no device 2 .* it has 2"),
    ],
)
def test_a_plug_in_without_the_device_says_so(
    models: dict[str, Path],
    plugin: SimpleNamespace,
    gpus: int,
    device: str,
    error: type[Exception],
    message: str,
) -> None:
    plugin.gpus = gpus
    with pytest.raises(error, match=message):
        open_runtime(models["tensor"], device=device, provider="rtx")


def test_a_plug_in_that_cannot_be_loaded_says_why(
    models: dict[str, Path], plugin: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: str) -> None:
        raise RuntimeError("libcuda.so.1: cannot open shared object file")

    monkeypatch.setattr(onnxruntime, "register_execution_provider_library", fail)
    with pytest.raises(BackendUnavailableError, match=r"libcuda\.so\.1.*NVIDIA driver"):
        open_runtime(models["tensor"], provider="rtx")


@pytest.mark.parametrize(
    "name",
    [
        "get_available_providers",
        "get_ep_devices",
        "preload_dlls",
        "register_execution_provider_library",
    ],
)
def test_onnxruntime_has_what_the_fakes_stand_for(name: str) -> None:
    assert callable(getattr(onnxruntime, name))
    assert hasattr(onnxruntime.SessionOptions, "add_provider_for_devices")
    assert hasattr(onnxruntime.InferenceSession, "disable_fallback")


def test_bytes_are_a_model_too(models: dict[str, Path]) -> None:
    session = create_session(models["tensor"].read_bytes(), find_provider("cpu"))
    (result,) = session.run(None, {session.get_inputs()[0].name: np.zeros((1, 3, 8, 8), "f4")})
    assert result.shape == (1, 3, 16, 16)
