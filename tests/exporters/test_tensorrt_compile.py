"""What a compilation tells the library and CUDA; the library here only takes notes."""

from __future__ import annotations

import enum
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from swinir_deploy.artifacts.metadata import ArtifactMetadata
from swinir_deploy.artifacts.shapes import ShapeProfile
from swinir_deploy.errors import BackendUnavailableError
from swinir_deploy.exporters.tensorrt.compile import Compilation, compile_model
from swinir_deploy.exporters.tensorrt.onnx_input import SourceModel
from swinir_deploy.exporters.tensorrt.options import BuildOptions
from swinir_deploy.exporters.tensorrt.target import Target
from swinir_deploy.nvidia.gpu import Gpu
from swinir_deploy.nvidia.tensorrt_library import FLAVOURS, Library

cuda = pytest.importorskip("cuda.bindings.runtime", reason="cuda-bindings is not installed")

GPU = Gpu(1, "NVIDIA L4", "8.9", 24 << 30)
TILE = ShapeProfile((1, 3, 16, 16), (1, 3, 16, 16), (1, 3, 16, 16))
METADATA = ArtifactMetadata(io="tensor", scale=2, in_chans=3, window_size=8, target="tensorrt")
SOURCE = SourceModel(Path("small.onnx"), b"", "0" * 64, METADATA, "input", 2)


class Severity(enum.IntEnum):
    ERROR = 1


class Cache:
    def __init__(self, content: bytes) -> None:
        self.content = content

    def serialize(self) -> bytes:
        return self.content + b" and measured"


class Config:
    """Refuses the timing caches that ``machine`` says."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.cache: Cache | None = None

    def set_flag(self, flag: str) -> None:
        self.machine.flags.append(flag)

    def add_optimization_profile(self, profile: Any) -> int:
        return 0

    def create_timing_cache(self, content: bytes) -> Cache | None:
        return None if content == b"damaged" else Cache(content)

    def set_timing_cache(self, cache: Cache, ignore_mismatch: bool) -> bool:
        assert isinstance(cache, Cache)
        assert not ignore_mismatch
        if cache.content in self.machine.refused:
            return False
        self.cache = cache
        return True

    def get_timing_cache(self) -> Cache | None:
        return self.cache


class Machine:
    """A library and its GPUs: which one each call finds current."""

    def __init__(self) -> None:
        self.current = threading.local()
        self.devices: list[tuple[str, int, bool]] = []  # call, device, in the main thread
        self.flags: list[str] = []
        self.refused: tuple[bytes, ...] = ()

    def set_device(self, index: int) -> tuple[Any]:
        if index > 1:
            return (cuda.cudaError_t.cudaErrorDevicesUnavailable,)
        self.current.index = index
        return (cuda.cudaError_t.cudaSuccess,)

    def note(self, call: str) -> None:
        main = threading.current_thread() is threading.main_thread()
        self.devices.append((call, getattr(self.current, "index", 0), main))

    def builder(self, logger: Any) -> Any:
        self.note("Builder")

        def build(network: Any, config: Any) -> bytes:
            self.note("build")
            return b"plan"

        return SimpleNamespace(
            create_network=lambda flags: SimpleNamespace(),
            create_builder_config=lambda: Config(self),
            create_optimization_profile=lambda: SimpleNamespace(set_shape=lambda *shapes: None),
            build_serialized_network=build,
        )

    def library(self) -> Library:
        api: Any = SimpleNamespace(
            __version__="10.13.0.35",
            Builder=self.builder,
            BuilderFlag=SimpleNamespace(STRIP_PLAN="strip", REFIT_IDENTICAL="identical"),
            ILogger=type("ILogger", (), {"Severity": Severity}),
            IProgressMonitor=type("IProgressMonitor", (), {}),
            NetworkDefinitionCreationFlag=SimpleNamespace(STRONGLY_TYPED=1),
            OnnxParser=lambda network, logger: SimpleNamespace(parse=lambda *_: True),
        )
        return Library(FLAVOURS["tensorrt"], api)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine()
    monkeypatch.setattr(cuda, "cudaSetDevice", made.set_device)
    return made


def compiled(machine: Machine, gpu: Gpu | None = GPU, **options: Any) -> Compilation:
    timing_cache = options.pop("timing_cache", b"")
    return compile_model(
        SOURCE,
        Target.parse("tensorrt"),
        machine.library(),
        [TILE],
        BuildOptions(**options),
        gpu=gpu,
        progress=False,
        timing_cache=timing_cache,
    )


def test_the_builder_and_its_thread_use_the_gpu_that_was_asked_for(machine: Machine) -> None:
    compiled(machine)
    assert machine.devices == [("Builder", 1, True), ("build", 1, False)]


def test_ahead_of_time_no_gpu_is_chosen(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "cudaSetDevice", lambda index: pytest.fail("a GPU was chosen"))
    assert compiled(machine, None).plan == b"plan"


def test_a_gpu_that_cuda_refuses_is_named(machine: Machine) -> None:
    with pytest.raises(BackendUnavailableError, match=r"GPU 2, busy .*DevicesUnavailable"):
        compiled(machine, Gpu(2, "busy", "8.9", 0))
    assert not machine.devices


def test_stripped_weights_are_those_that_come_back(machine: Machine) -> None:
    compiled(machine, strip_weights=True)
    assert sorted(machine.flags) == ["identical", "strip"]
    machine.flags.clear()
    compiled(machine)
    assert machine.flags == []


@pytest.mark.parametrize(
    ("given", "refused", "measured"),
    [
        (b"earlier", (), b"earlier and measured"),
        (b"", (), b" and measured"),
        (b"of another GPU", (b"of another GPU",), b" and measured"),
        (b"damaged", (), b" and measured"),
        (b"earlier", (b"earlier", b""), b""),
        (b"", (b"",), b""),
    ],
)
def test_a_timing_cache_that_is_refused_is_begun_anew(
    machine: Machine, given: bytes, refused: tuple[bytes, ...], measured: bytes
) -> None:
    machine.refused = refused
    assert compiled(machine, timing_cache=given).timing_cache == measured
