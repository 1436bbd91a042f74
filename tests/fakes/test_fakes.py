"""The fake GPU has nothing that the real packages lack."""

from __future__ import annotations

import enum
import inspect
import re

import fake_gpu
import fake_tensorrt
import fake_torch
import numpy as np
import pytest
import torch

TENSORRT = pytest.importorskip("tensorrt_rtx", reason="TensorRT for RTX is not installed")
CORE = pytest.importorskip("cuda.core", reason="cuda-core is not installed")
pytest.importorskip("cuda.core.utils")
GRAPH = pytest.importorskip("cuda.core.graph")
DRIVER = pytest.importorskip("cuda.bindings.driver")

CLASSES = {
    fake_gpu.Buffer: CORE.Buffer,
    fake_gpu.Device: CORE.Device,
    fake_gpu.Event: CORE.Event,
    fake_gpu.EventOptions: CORE.EventOptions,
    fake_gpu.Graph: GRAPH.Graph,
    fake_gpu.GraphBuilder: GRAPH.GraphBuilder,
    fake_gpu.LegacyPinnedMemoryResource: CORE.LegacyPinnedMemoryResource,
    fake_gpu.Stream: CORE.Stream,
    fake_gpu.StridedMemoryView: CORE.utils.StridedMemoryView,
    fake_torch.CUDAGraph: torch.cuda.CUDAGraph,
    fake_torch.Event: torch.cuda.Event,
    fake_torch.Stream: torch.cuda.Stream,
    **{
        getattr(fake_tensorrt, name): getattr(TENSORRT, name)
        for name in (
            "ICudaEngine",
            "IExecutionContext",
            "ILogger",
            "IRuntimeCache",
            "IRuntimeConfig",
            "Runtime",
        )
    },
}

FOR_THE_TESTS = {"alive", "array", "cache", "contexts", "current", "fails", "io", "kernels"} | {
    "happened_ms",
    "launches",
    "opened",
    "profiles",
    "recording",
    "runs",
    "work",
    "scale",
    "submit",
}
"""What only the tests use, not the code under test."""


def members(cls: type) -> set[str]:
    """Public members of a class: its own, and those that its methods set."""
    found = set(vars(cls))
    for function in vars(cls).values():
        if inspect.isfunction(function):
            found |= set(re.findall(r"\bself\.(\w+)", inspect.getsource(function)))
    return {name for name in found if not name.startswith("_")} - FOR_THE_TESTS


@pytest.mark.parametrize("fake", CLASSES, ids=lambda cls: f"{cls.__module__}.{cls.__name__}")
def test_every_member_is_real(fake: type) -> None:
    real = CLASSES[fake]
    assert members(fake)
    missing = sorted(name for name in members(fake) if not hasattr(real, name))
    assert not missing, f"{real.__name__} has no {missing}"


@pytest.mark.parametrize(
    "fake",
    [
        fake_tensorrt.TensorIOMode,
        fake_tensorrt.ExecutionContextAllocationStrategy,
        fake_tensorrt.CudaGraphStrategy,
        fake_tensorrt.DataType,
    ],
)
def test_every_enumeration_is_real(fake: type[enum.Enum]) -> None:
    real = getattr(TENSORRT, fake.__name__)
    for member in fake:
        assert getattr(real, member.name).name == member.name


def test_the_functions_of_the_driver_are_real() -> None:
    for name, function in vars(fake_gpu.driver).items():
        if inspect.isfunction(function):
            real = getattr(DRIVER, name).__doc__ or ""
            first = real.splitlines()[0]
            taken = [part.split(":")[0].split()[-1] for part in first.split("(")[1].split(",")]
            ours = list(inspect.signature(function).parameters)
            assert len(taken) == len(ours), f"{name} takes {first}"
    attribute = "CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES"
    real_value = getattr(DRIVER.CUfunction_attribute, attribute).value
    assert getattr(fake_gpu.CUfunction_attribute, attribute).value == real_value
    for member in fake_gpu.CUresult:
        assert getattr(DRIVER.CUresult, member.name).value == member.value
    assert CORE.LEGACY_DEFAULT_STREAM is not None


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Device.allocate(", "size: int, *, stream"),
        ("Device.create_stream(", "options"),
        ("Device.create_event(", "options: EventOptions"),
        ("Stream.record(", "event: Event"),
    ],
)
def test_what_the_real_functions_take(text: str, wanted: str) -> None:
    owner, _, name = text.rstrip("(").partition(".")
    signature = (getattr(getattr(CORE, owner), name).__doc__ or "").splitlines()[0]
    assert signature.startswith(text)
    assert wanted in signature


def test_events_are_timed_and_subtracted() -> None:
    assert CORE.EventOptions(timing_enabled=True).timing_enabled
    assert "__sub__" in vars(CORE.Event)


def test_a_view_can_be_viewed_again() -> None:
    """As the runtime does with a batch that it put on the GPU itself; here, in host memory."""
    view = CORE.utils.StridedMemoryView
    first = view.from_dlpack(np.zeros((1, 3, 4, 5), np.float32), stream_ptr=-1)
    assert first.__dlpack_device__() == (1, 0)
    again = view.from_dlpack(first, stream_ptr=-1)
    assert (again.ptr, again.shape, again.dtype) == (first.ptr, (1, 3, 4, 5), np.float32)


def test_torch_s_events_can_be_timed() -> None:
    assert "enable_timing" in inspect.signature(torch.cuda.Event.__new__).parameters
    assert "stream" in inspect.signature(torch.cuda.Event.record).parameters
    assert "device" in inspect.signature(torch.cuda.current_stream).parameters
    parameters = inspect.signature(torch.cuda.graph).parameters
    assert {"cuda_graph", "stream", "capture_error_mode"} <= set(parameters)
