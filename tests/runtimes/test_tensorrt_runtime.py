"""The control flow of the TensorRT back ends, on a GPU that is not there (see fake_gpu.py)."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fake_gpu
import fake_tensorrt
import numpy as np
import onnx
import pytest
from fake_gpu import FakeTensor
from fake_machine import WIDE, engine_file, machine
from opened_files import opened_files

from swinir_deploy import open_runtime
from swinir_deploy.artifacts.engine import EngineMetadata, sidecar_path, write_engine
from swinir_deploy.artifacts.shapes import ShapeProfile
from swinir_deploy.errors import (
    ArtifactError,
    BackendUnavailableError,
    DeviceMemoryError,
    InferenceError,
    InputError,
    RuntimeClosedError,
    UsageError,
)
from swinir_deploy.nvidia import cuda as cuda_module
from swinir_deploy.nvidia.gpu import Gpu
from swinir_deploy.restoration.restorer import Restorer
from swinir_deploy.runtimes import backend_for
from swinir_deploy.runtimes.tensorrt.runtime import TensorRtRuntime

TILE = ShapeProfile((1, 3, 32, 32), (2, 3, 32, 32), (4, 3, 32, 32))


@pytest.fixture(autouse=True)
def one_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with machine(monkeypatch):
        yield


def picture(*shape: int) -> Any:
    return np.random.default_rng(sum(shape)).random(shape, np.float32)


def enlarged(batch: Any) -> Any:
    return np.kron(batch, np.ones((1, 1, 2, 2), batch.dtype))


@pytest.fixture(params=["tensorrt", "rtx"])
def flavour(request: pytest.FixtureRequest) -> str:
    return str(request.param)


# ------------------------------------------------------------------------------- opening


def test_the_sidecar_chooses_the_back_end(tmp_path: Path, flavour: str) -> None:
    path = engine_file(tmp_path, flavour=flavour)
    wanted = {"tensorrt": "tensorrt", "rtx": "rtx"}
    assert backend_for(path).name == wanted[flavour]
    with open_runtime(path) as runtime:
        assert runtime.spec.backend == wanted[flavour]
        assert runtime.spec.device == "cuda:0"
    other = {"tensorrt": "rtx", "rtx": "tensorrt"}[flavour]
    with pytest.raises(UsageError, match=f"Use --backend {wanted[flavour]}"):
        open_runtime(path, other)


def test_opening_reads_sidecar_and_plan_once(tmp_path: Path, flavour: str) -> None:
    path = engine_file(tmp_path, flavour=flavour)
    with opened_files() as opened, open_runtime(path):
        pass
    assert opened[str(path.resolve())] == 1
    assert opened[str(sidecar_path(path).resolve())] == 1


def test_the_spec_is_that_of_sidecar_and_profiles(tmp_path: Path) -> None:
    with open_runtime(engine_file(tmp_path, (TILE,))) as runtime:
        spec = runtime.spec
        assert (spec.scale, spec.in_chans, spec.window_size) == (2, 3, 8)
        assert (spec.batch, spec.height, spec.width) == (None, 32, 32)
        assert spec.min_side_px == 32
    with open_runtime(engine_file(tmp_path, (TILE, WIDE))) as runtime:
        assert (runtime.spec.height, runtime.spec.width) == (None, None)
        assert runtime.spec.min_side_px == 8
        assert runtime.spec.ranges == ((1, 4), (8, 64), (8, 64))


def test_the_spec_s_ranges_go_together_and_run_takes_the_other_profiles_too(
    tmp_path: Path,
) -> None:
    wide = ShapeProfile((1, 3, 16, 24), (1, 3, 16, 24), (2, 3, 64, 48))
    with open_runtime(engine_file(tmp_path, (TILE, wide))) as runtime:
        assert runtime.spec.ranges == ((1, 2), (16, 64), (24, 48))
        assert runtime.run(picture(4, 3, 32, 32)).shape == (4, 3, 64, 64)
        with pytest.raises(InputError, match=r"1\.\.4x3x32x32 .* or 1\.\.2x3x16\.\.64x24\.\.48"):
            runtime.run(picture(4, 3, 64, 48))


@pytest.mark.parametrize("io", ["tensor", "image"])
def test_an_engine_with_two_tile_profiles_gets_the_better_one(tmp_path: Path, io: str) -> None:
    def profile(side: int) -> ShapeProfile:
        sizes = [(n, 3, side, side) if io == "tensor" else (n, side, side, 3) for n in (1, 2, 4)]
        return ShapeProfile(*sizes)

    levels = np.random.default_rng(0).integers(0, 256, (100, 30, 3), np.uint8)
    with open_runtime(engine_file(tmp_path, (profile(32), profile(64)), io=io)) as runtime:
        assert runtime.spec.ranges == ((1, 4), (64, 64), (64, 64))
        assert runtime.spec.other_ranges == (((1, 4), (32, 32), (32, 32)),)
        assert (runtime.spec.batch, runtime.spec.height, runtime.spec.width) == (None, None, None)
        shapes: list[tuple[int, ...]] = []
        run = runtime.run
        runtime.run = lambda batch: (shapes.append(batch.shape), run(batch))[1]  # type: ignore[method-assign]
        restored = Restorer(runtime, overlap_px=8, batch=4).restore_array(levels)
    np.testing.assert_array_equal(restored, levels.repeat(2, axis=0).repeat(2, axis=1))
    assert {max(shape[1:]) for shape in shapes} == {32}


@pytest.mark.parametrize("io", ["tensor", "image"])
@pytest.mark.parametrize("size", [(10, 9), (64, 70), (150, 40)])
def test_pictures_of_any_size_go_through_an_engine_for_a_range(
    tmp_path: Path, io: str, size: tuple[int, int]
) -> None:
    sizes = ((2, 16, 24), (2, 16, 24), (3, 64, 48))
    shapes = [(n, 3, h, w) if io == "tensor" else (n, h, w, 3) for n, h, w in sizes]
    levels = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    with open_runtime(engine_file(tmp_path, (ShapeProfile(*shapes),), io=io)) as runtime:
        restored = Restorer(runtime, overlap_px=8, batch=16).restore_array(levels)
    np.testing.assert_array_equal(restored, levels.repeat(2, axis=0).repeat(2, axis=1))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gpu_capability": "8.6", "gpu_name": "RTX 3090"}, r"GPU: built on RTX 3090 \(sm86\)"),
        ({"library_version": "10.9.0.34"}, r"TensorRT version: built with 10\.9\.0\.34"),
        ({"machine": "aarch64"}, "processor: built with aarch64"),
    ],
)
def test_an_engine_that_does_not_fit_says_what_differs_and_how_to_build_it(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ArtifactError, match=message) as error:
        open_runtime(engine_file(tmp_path, **changes))
    assert "swinir-deploy build small.onnx --target tensorrt" in str(error.value)
    assert "--opt-shape 1x3x16x16" in str(error.value)
    assert not fake_tensorrt.Runtime.opened


def test_an_engine_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"--strip-weights.*Refit it first") as error:
        open_runtime(engine_file(tmp_path, options={"strip_weights": True}))
    _, _, command = str(error.value).partition("swinir-deploy build")
    assert "small.onnx" in command
    assert "--strip-weights" not in command
    assert not fake_tensorrt.Runtime.opened


def test_an_engine_of_another_model_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.onnx"
    onnx.save(onnx.ModelProto(ir_version=10), other)
    with pytest.raises(ArtifactError, match="model: built from one with SHA-256 111111111111"):
        open_runtime(engine_file(tmp_path), onnx=other)
    other.write_bytes(b"no model")
    with pytest.raises(InputError, match="damaged or no ONNX file"):
        open_runtime(engine_file(tmp_path), onnx=other)
    with pytest.raises(InputError, match=r"Cannot read .*missing\.onnx"):
        open_runtime(engine_file(tmp_path), onnx=tmp_path / "missing.onnx")


def test_an_engine_of_a_model_with_external_weights_fits_it(tmp_path: Path) -> None:
    model, weights = tmp_path / "small.onnx", tmp_path / "weights.bin"
    weights.write_bytes(bytes(4))
    tensor = onnx.TensorProto(name="w", data_type=onnx.TensorProto.FLOAT, dims=[1])
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=weights.name)
    graph = onnx.GraphProto(name="g", initializer=[tensor])
    model.write_bytes(onnx.ModelProto(ir_version=10, graph=graph).SerializeToString())
    parts = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (model, weights)]
    both = hashlib.sha256("".join(parts).encode()).hexdigest()
    path = engine_file(tmp_path, onnx_sha256=both)
    open_runtime(path, onnx=model).close()
    weights.write_bytes(b"\1" * 4)
    with pytest.raises(ArtifactError, match="model: built from one"):
        open_runtime(path, onnx=model)
    weights.unlink()
    with pytest.raises(InputError, match=r"Cannot read .*weights\.bin"):
        open_runtime(path, onnx=model)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.unlink(), "Missing engine"),
        (lambda path: sidecar_path(path).unlink(), "has no description"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1] + b"!"), "is not the plan"),
    ],
)
def test_files_that_do_not_belong_together_are_refused(
    tmp_path: Path, damage: Any, message: str
) -> None:
    path = engine_file(tmp_path)
    damage(path)
    with pytest.raises(ArtifactError, match=message):
        open_runtime(path)


def test_a_plan_that_the_library_refuses_gives_its_reason(tmp_path: Path) -> None:
    path = engine_file(tmp_path)
    metadata = EngineMetadata.from_dict(json.loads(sidecar_path(path).read_text()), "test")
    write_engine(path, b"no plan at all", metadata)
    with pytest.raises(ArtifactError, match=r"could not load it \(the plan has a wrong magic tag"):
        open_runtime(path)


def test_an_engine_with_other_inputs_than_the_sidecar_says_is_refused(tmp_path: Path) -> None:
    path = engine_file(tmp_path)
    sidecar = sidecar_path(path)
    sidecar.write_text(sidecar.read_text().replace('"io": "tensor"', '"io": "image"'))
    with pytest.raises(ArtifactError, match="the engine has input FLOAT, output FLOAT"):
        open_runtime(path)


def test_a_gpu_is_looked_for_before_anything_of_tensorrt_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(_: int) -> Gpu:
        raise BackendUnavailableError("There is an NVIDIA driver, but no GPU that it may use.")

    monkeypatch.setattr(cuda_module, "find_gpu", nothing)
    monkeypatch.setattr(fake_tensorrt.Runtime, "__init__", lambda *_: pytest.fail("too early"))
    with pytest.raises(BackendUnavailableError, match="no GPU") as error:
        open_runtime(engine_file(tmp_path))
    assert error.value.exit_code == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "cpu"}, "Unknown device 'cpu' for an engine"),
        ({"device": "cuda:x"}, "Unknown device"),
        ({"contexts": 0}, "at least 1"),
        ({"cuda_graphs": -1}, "at least 1"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        open_runtime(engine_file(tmp_path), **options)


@pytest.mark.parametrize(
    ("model", "backend", "message"),
    [
        ("model.onnx", "tensorrt", "swinir-deploy build model.onnx --target tensorrt"),
        ("model.pth", "rtx", "swinir-deploy build model.pth --target rtx"),
        ("x.engine", "ort", "opens .onnx files"),
        ("x.engine", "torch", "opens checkpoints"),
    ],
)
def test_a_file_of_another_kind_is_refused(model: str, backend: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        backend_for(model, backend)


# ------------------------------------------------------------------------------- running


def test_pictures_of_changing_size_come_out_right(tmp_path: Path, flavour: str) -> None:
    with open_runtime(engine_file(tmp_path, (TILE, WIDE), flavour)) as runtime:
        for shape in [(1, 3, 8, 9), (4, 3, 32, 32), (1, 3, 64, 64), (1, 3, 8, 9), (2, 3, 9, 8)]:
            for _ in range(4):
                batch = picture(*shape)
                np.testing.assert_array_equal(runtime.run(batch), enlarged(batch))


def test_bytes_come_out_right(tmp_path: Path) -> None:
    profile = ShapeProfile((1, 8, 8, 3), (1, 16, 16, 3), (2, 32, 32, 3))
    levels = np.random.default_rng(0).integers(0, 256, (2, 9, 8, 3), np.uint8)
    with open_runtime(engine_file(tmp_path, (profile,), io="image")) as runtime:
        wanted = levels.repeat(2, axis=1).repeat(2, axis=2)
        np.testing.assert_array_equal(runtime.run(levels), wanted)


def test_a_result_is_not_overwritten_by_the_next_run(tmp_path: Path) -> None:
    first, second = picture(1, 3, 8, 8), 1 - picture(1, 3, 8, 8)
    with open_runtime(engine_file(tmp_path)) as runtime:
        result = runtime.run(first)
        runtime.run(second)
        np.testing.assert_array_equal(result, enlarged(first))


def test_a_shape_outside_all_profiles_is_refused(tmp_path: Path) -> None:
    with open_runtime(engine_file(tmp_path)) as runtime:
        with pytest.raises(InputError, match=r"1\.\.4x3x8\.\.64x8\.\.64"):
            runtime.run(picture(1, 3, 8, 65))
        assert runtime.run(picture(1, 3, 8, 64)).shape == (1, 3, 16, 128)


def test_a_repeated_shape_becomes_a_graph_and_is_replayed(tmp_path: Path) -> None:
    batch = picture(1, 3, 16, 16)
    with open_runtime(engine_file(tmp_path)) as runtime:
        assert isinstance(runtime, TensorRtRuntime)
        for run in range(1, 6):
            np.testing.assert_array_equal(runtime.run(batch + run), enlarged(batch + run))
            assert runtime.captured_graphs == (0 if run < 2 else 1)
            assert fake_gpu.Graph.launches == max(0, run - 2)
        assert fake_tensorrt.Runtime.opened[-1].runs == 5
        assert runtime.graph_errors == ()


def test_graphs_are_bounded_and_the_oldest_goes(tmp_path: Path) -> None:
    with open_runtime(engine_file(tmp_path), cuda_graphs=2) as runtime:
        assert isinstance(runtime, TensorRtRuntime)
        runtime.run(picture(1, 3, 64, 64))  # memory for all that follow
        for width in (8, 16, 24):
            for _ in range(3):
                runtime.run(picture(1, 3, 16, width))
        assert runtime.captured_graphs == 2
        before = fake_gpu.Graph.launches
        runtime.run(picture(1, 3, 16, 24))
        runtime.run(picture(1, 3, 16, 16))
        assert fake_gpu.Graph.launches == before + 2
        runtime.run(picture(1, 3, 16, 8))  # gone, so recorded anew
        assert fake_gpu.Graph.launches == before + 2


def test_memory_that_moves_takes_its_graphs_along(tmp_path: Path) -> None:
    with open_runtime(engine_file(tmp_path)) as runtime:
        assert isinstance(runtime, TensorRtRuntime)
        small = picture(1, 3, 8, 8)
        for _ in range(3):
            runtime.run(small)
        assert runtime.captured_graphs == 1
        runtime.run(picture(4, 3, 64, 64))
        assert runtime.captured_graphs == 0
        for _ in range(3):
            np.testing.assert_array_equal(runtime.run(small), enlarged(small))


def test_without_graphs_nothing_is_recorded(tmp_path: Path) -> None:
    with open_runtime(engine_file(tmp_path), cuda_graphs=0) as runtime:
        assert isinstance(runtime, TensorRtRuntime)
        for _ in range(4):
            runtime.run(picture(1, 3, 8, 8))
        assert runtime.captured_graphs == 0
        assert len(fake_tensorrt.Runtime.opened[-1].contexts) == 1


def test_what_cannot_be_captured_is_computed_without(tmp_path: Path) -> None:
    with open_runtime(engine_file(tmp_path, fails="capture")) as runtime:
        assert isinstance(runtime, TensorRtRuntime)
        for _ in range(4):
            batch = picture(1, 3, 8, 8)
            np.testing.assert_array_equal(runtime.run(batch), enlarged(batch))
        assert runtime.captured_graphs == 0
        assert len(runtime.graph_errors) == 1
        assert "CAPTURE_UNSUPPORTED" in runtime.graph_errors[0]


def test_rtx_is_left_to_capture_by_itself(tmp_path: Path) -> None:
    with open_runtime(engine_file(tmp_path, flavour="rtx")) as runtime:
        assert isinstance(runtime, TensorRtRuntime)
        for _ in range(4):
            runtime.run(picture(1, 3, 8, 8))
        assert runtime.captured_graphs == 0
        (config,) = fake_tensorrt.Runtime.opened[-1].contexts
        assert config.cuda_graph_strategy.name == "WHOLE_GRAPH_CAPTURE"


@pytest.mark.parametrize(
    ("fails", "message"),
    [
        ("profile", "could not choose profile 1"),
        ("memory", r"could not tell what memory an input of \[1, 3, 8, 8\] takes"),
        ("execute", r"could not run .*small\.engine"),
    ],
)
def test_a_refusal_of_the_library_is_an_error(tmp_path: Path, fails: str, message: str) -> None:
    path = engine_file(tmp_path, (TILE, WIDE), fails=fails)
    with open_runtime(path) as runtime, pytest.raises(InferenceError, match=message):
        runtime.run(picture(1, 3, 8, 8))


def test_a_context_that_is_refused_is_an_error(tmp_path: Path) -> None:
    with (
        open_runtime(engine_file(tmp_path, fails="context")) as runtime,
        pytest.raises(ArtifactError, match="could not create an execution context"),
    ):
        runtime.run(picture(1, 3, 8, 8))


def test_memory_that_runs_out_leaves_a_runtime_that_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = picture(1, 3, 8, 8)
    with open_runtime(engine_file(tmp_path)) as runtime:
        for _ in range(3):
            runtime.run(small)
        monkeypatch.setattr(fake_gpu, "CAPACITY_BYTES", 100_000)
        with pytest.raises(DeviceMemoryError, match="smaller tiles"):
            runtime.run(picture(4, 3, 64, 64))
        for _ in range(3):
            np.testing.assert_array_equal(runtime.run(small), enlarged(small))


def test_a_failed_copy_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = (fake_gpu.CUresult.CUDA_ERROR_ILLEGAL_ADDRESS,)
    with open_runtime(engine_file(tmp_path)) as runtime:
        monkeypatch.setattr(fake_gpu.driver, "cuMemcpyAsync", lambda *_: failed)
        with pytest.raises(InferenceError, match="CUDA_ERROR_ILLEGAL_ADDRESS"):
            runtime.run(picture(1, 3, 8, 8))


def test_closing_gives_all_memory_back(tmp_path: Path, flavour: str) -> None:
    runtime = open_runtime(engine_file(tmp_path, flavour=flavour))
    for _ in range(3):
        runtime.run(picture(1, 3, 16, 16))
    assert fake_gpu.Buffer.alive
    runtime.close()
    runtime.close()
    assert not fake_gpu.Buffer.alive
    with pytest.raises(RuntimeClosedError):
        runtime.run(picture(1, 3, 8, 8))


def test_memory_does_not_grow_with_the_number_of_runs(tmp_path: Path) -> None:
    shapes = [(1, 3, 8 + 4 * n, 64 - 4 * n) for n in range(12)]
    with open_runtime(engine_file(tmp_path), cuda_graphs=4) as runtime:
        for shape in shapes * 2:
            runtime.run(picture(*shape))
        before = dict(fake_gpu.Buffer.alive)
        for shape in shapes * 40:
            runtime.run(picture(*shape))
        assert fake_gpu.Buffer.alive == before


# ------------------------------------------------------------------------------- threads


def test_threads_get_contexts_of_their_own_up_to_the_limit(tmp_path: Path, flavour: str) -> None:
    batches = [picture(1, 3, 8 + n, 12) for n in range(6)]
    wrong: list[int] = []
    with open_runtime(engine_file(tmp_path, flavour=flavour), contexts=3) as runtime:
        barrier = threading.Barrier(6)

        def work(number: int) -> None:
            barrier.wait()
            for turn in range(20):
                batch = batches[(number + turn) % 6]
                if not np.array_equal(runtime.run(batch), enlarged(batch)):
                    wrong.append(number)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert runtime.stats.runs == 120
        assert isinstance(runtime, TensorRtRuntime)
        assert 1 <= len(runtime._lanes) <= 3
    assert not wrong


def test_closing_waits_for_a_run_that_has_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = open_runtime(engine_file(tmp_path))
    inside, go_on = threading.Event(), threading.Event()
    copy = fake_gpu.driver.cuMemcpyAsync

    def slow(*args: Any) -> Any:
        inside.set()
        assert go_on.wait(10)
        return copy(*args)

    monkeypatch.setattr(fake_gpu.driver, "cuMemcpyAsync", slow)
    batch, results = picture(1, 3, 8, 8), []
    worker = threading.Thread(target=lambda: results.append(runtime.run(batch)))
    worker.start()
    assert inside.wait(10)
    closer = threading.Thread(target=runtime.close)
    closer.start()
    closer.join(0.2)
    assert closer.is_alive()
    go_on.set()
    closer.join(10)
    worker.join(10)
    np.testing.assert_array_equal(results[0], enlarged(batch))


# ------------------------------------------------------------------- tensors on the GPU


def test_a_tensor_on_the_gpu_is_read_where_it_lies(
    tmp_path: Path, flavour: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = picture(2, 3, 8, 9)
    with open_runtime(engine_file(tmp_path, flavour=flavour)) as runtime:
        monkeypatch.setattr(fake_gpu.driver, "cuMemcpyAsync", lambda *_: pytest.fail("copied"))
        result = runtime.run_on_gpu(FakeTensor(batch))
        np.testing.assert_array_equal(result.array, enlarged(batch))
        assert result.device_id == 0
        assert runtime.stats.pictures == 2


def test_a_tensor_that_stays_where_it_is_gets_a_graph(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensor = FakeTensor(picture(1, 3, 8, 8))
    with open_runtime(engine_file(tmp_path)) as runtime:
        assert isinstance(runtime, TensorRtRuntime)
        runtime.run(picture(4, 3, 64, 64))  # takes the memory that all need
        output = fake_gpu.Buffer(3 * 16 * 16 * 4, "gpu")
        monkeypatch.setattr(fake_gpu.Device, "allocate", lambda *_, **__: output)
        for _ in range(4):
            result = runtime.run_on_gpu(tensor)
            np.testing.assert_array_equal(result.array, enlarged(tensor.array))
        assert runtime.captured_graphs == 1
        assert fake_gpu.Graph.launches == 2


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (lambda: FakeTensor(picture(1, 3, 8, 8), device_id=1), "on device 1, the engine on GPU 0"),
        (lambda: FakeTensor(picture(1, 3, 16, 8)[:, :, ::2]), "must be contiguous"),
        (lambda: FakeTensor(picture(1, 3, 8, 8).astype(np.float64)), "dtype float64"),
        (lambda: FakeTensor(picture(1, 1, 8, 8)), r"got shape \[1, 1, 8, 8\]"),
        (lambda: FakeTensor(picture(1, 3, 8, 8), device_type=1), "not in CUDA memory"),
        (lambda: picture(1, 3, 8, 8), "not in CUDA memory"),
    ],
)
def test_a_tensor_that_cannot_be_read_there_is_refused(
    tmp_path: Path, tensor: Any, message: str
) -> None:
    with (
        open_runtime(engine_file(tmp_path)) as runtime,
        pytest.raises(InputError, match=message),
    ):
        runtime.run_on_gpu(tensor())


def test_a_batch_that_was_put_on_the_gpu_is_computed_on_there(
    tmp_path: Path, flavour: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = picture(2, 3, 8, 9)
    with open_runtime(engine_file(tmp_path, flavour=flavour)) as runtime:
        assert runtime.takes_gpu_memory
        tensor = runtime.copy_to_gpu(batch)
        runtime.run(picture(2, 3, 8, 9) * 0)  # it has memory of its own
        monkeypatch.setattr(fake_gpu.driver, "cuMemcpyAsync", lambda *_: pytest.fail("copied"))
        for _ in range(4):
            result = runtime.run_on_gpu(tensor)  # its memory is there as long as it is
            np.testing.assert_array_equal(result.array, enlarged(batch))
        assert runtime.stats.runs == 5
        with pytest.raises(InputError, match=r"got shape \[1, 1, 8, 8\]"):
            runtime.copy_to_gpu(picture(1, 1, 8, 8))


# ------------------------------------------------------------------- time by the GPU's events


@pytest.mark.parametrize("graphs", [0, 8])
def test_the_gpu_s_time_is_that_of_copies_and_kernels(
    tmp_path: Path, flavour: str, graphs: int
) -> None:
    """The third run on is a replayed graph; the second one is recorded after its time was taken."""
    batch = picture(1, 3, 8, 8)
    path = engine_file(tmp_path, flavour=flavour)
    with open_runtime(path, cuda_graphs=graphs, contexts=1) as runtime:
        assert isinstance(runtime, TensorRtRuntime)
        assert runtime.time_device()
        assert runtime.stats.device_ms is None
        for _ in range(4):
            runtime.run(batch)
            assert runtime.stats.device_ms == 2 * fake_gpu.COPY_MS + fake_gpu.KERNEL_MS
        assert runtime.captured_graphs == (1 if graphs and flavour == "tensorrt" else 0)
        assert runtime.graph_errors == ()
        tensor = runtime.copy_to_gpu(batch)
        for _ in range(2):
            runtime.run_on_gpu(tensor)
            assert runtime.stats.device_ms == fake_gpu.KERNEL_MS
        assert fake_gpu.Event.alive == 2, "one pair for the only lane"


def test_no_event_is_made_unless_it_is_asked_for(tmp_path: Path) -> None:
    batch = picture(1, 3, 8, 8)
    with open_runtime(engine_file(tmp_path)) as runtime:
        for _ in range(3):
            runtime.run(batch)
        assert runtime.stats.device_ms is None
        assert fake_gpu.Event.alive == 0
        runtime.time_device()
        runtime.run(batch)
        assert runtime.stats.device_ms is not None
        assert not runtime.time_device(False)
        runtime.run(batch)
        assert runtime.stats.device_ms is None


def test_a_run_that_fails_leaves_a_timer_that_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = picture(1, 3, 8, 8)
    with open_runtime(engine_file(tmp_path)) as runtime:
        runtime.time_device()
        with monkeypatch.context() as patch:
            failed = (fake_gpu.CUresult.CUDA_ERROR_ILLEGAL_ADDRESS,)
            patch.setattr(fake_gpu.driver, "cuMemcpyAsync", lambda *_: failed)
            with pytest.raises(InferenceError):
                runtime.run(batch)
        assert runtime.stats.device_ms is None
        runtime.run(batch)
        assert runtime.stats.device_ms == 2 * fake_gpu.COPY_MS + fake_gpu.KERNEL_MS


# ------------------------------------------------------------------- RTX's runtime cache


def test_compiled_kernels_are_kept_beside_the_engine(tmp_path: Path) -> None:
    path = engine_file(tmp_path, flavour="rtx")
    cache = path.with_name("small.engine.runtime-cache")
    with open_runtime(path) as runtime:
        runtime.run(picture(1, 3, 8, 8))
        assert not cache.exists()
    assert cache.read_bytes() == b"kernels"
    cache.write_bytes(b"kernels of the last time")
    with open_runtime(path):
        pass
    assert cache.read_bytes() == b"kernels of the last time"


def test_a_cache_that_does_not_fit_is_replaced(tmp_path: Path) -> None:
    path, cache = engine_file(tmp_path, flavour="rtx"), tmp_path / "elsewhere"
    cache.write_bytes(b"of another driver")
    with open_runtime(path, runtime_cache=cache) as runtime:
        runtime.run(picture(1, 3, 8, 8))
    assert cache.read_bytes() == b"kernels"


@pytest.mark.parametrize("options", [{"runtime_cache": False}, {"runtime_cache": "no/such/folder"}])
def test_no_cache_and_no_place_for_it_are_no_errors(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    path = engine_file(tmp_path, flavour="rtx")
    with open_runtime(path, **options) as runtime:
        runtime.run(picture(1, 3, 8, 8))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["small.engine", "small.engine.json"]
