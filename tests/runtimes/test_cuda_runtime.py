"""The back end ``cuda`` on a GPU that is not there (see fake_gpu.py and fake_cuda_engine.py)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import fake_gpu
import numpy as np
import pytest
from fake_cuda_engine import cuda_engine_file as engine_file
from fake_cuda_engine import know_kernels
from fake_gpu import FakeTensor
from fake_machine import GPU, machine

from swinir_deploy import open_runtime
from swinir_deploy.artifacts.engine import sidecar_path
from swinir_deploy.errors import (
    ArtifactError,
    DeviceMemoryError,
    InferenceError,
    InputError,
    RuntimeClosedError,
    UsageError,
)
from swinir_deploy.nvidia import cuda as cuda_module
from swinir_deploy.restoration.restorer import Restorer
from swinir_deploy.runtimes import backend_for


@pytest.fixture(autouse=True)
def one_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    know_kernels(monkeypatch)
    with machine(monkeypatch):
        yield


def picture(*shape: int) -> Any:
    return np.random.default_rng(sum(shape)).random(shape, np.float32)


def enlarged(batch: Any) -> Any:
    return np.kron(batch, np.ones((1, 1, 2, 2), batch.dtype))


# ------------------------------------------------------------------------------- opening


def test_the_sidecar_chooses_the_back_end(tmp_path: Path) -> None:
    path = engine_file(tmp_path)
    assert backend_for(path).name == "cuda"
    with open_runtime(path) as runtime:
        spec = runtime.spec
        assert (spec.backend, spec.device, spec.scale) == ("cuda", "cuda:0", 2)
        assert spec.ranges == ((1, None), (spec.min_side_px, None), (spec.min_side_px, None))
        assert "code for sm80" in spec.kernels_reason
    message = r"was built by the CUDA kernels of swinir-deploy.*Use --backend cuda"
    with pytest.raises(UsageError, match=message):
        open_runtime(path, "trt")


def test_code_of_the_nearest_architecture_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hopper = replace(GPU, name="NVIDIA H100", capability="9.0")
    monkeypatch.setattr(cuda_module, "find_gpu", lambda index: hopper)
    with open_runtime(engine_file(tmp_path)) as runtime:
        assert "code for sm90" in runtime.spec.kernels_reason
    message = r"code for sm80; here is NVIDIA H100 .sm90.*cuda:sm90"
    with pytest.raises(ArtifactError, match=message):
        open_runtime(engine_file(tmp_path, ("sm80",)))


@pytest.mark.parametrize("what", ["weights", "code", "manifest", "cut"])
def test_a_damaged_file_is_refused_before_anything_is_on_the_gpu(tmp_path: Path, what: str) -> None:
    """Also where the sidecar has the hash of the damaged file."""
    whole = engine_file(tmp_path).read_bytes()
    damaged = bytearray(whole)
    if what == "cut":
        del damaged[-1]
    else:
        place = {"weights": whole.index(bytes(256)) + 3, "code": len(whole) - 2, "manifest": 80}
        damaged[place[what]] ^= 1
    path = engine_file(tmp_path, content=bytes(damaged))
    with pytest.raises(ArtifactError, match="damaged"):
        open_runtime(path)
    assert not fake_gpu.Buffer.alive
    assert not fake_gpu.MODULES


def test_another_file_than_the_sidecar_s_is_refused(tmp_path: Path) -> None:
    path = engine_file(tmp_path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"is not the plan that small.engine.json describes"):
        open_runtime(path)


def test_a_sidecar_with_another_layout_is_refused(tmp_path: Path) -> None:
    path = engine_file(tmp_path)
    sidecar = sidecar_path(path)
    sidecar.write_text(sidecar.read_text().replace('"io": "tensor"', '"io": "image"'))
    with pytest.raises(ArtifactError, match=r"takes io='tensor', its sidecar says 'image'.*--io"):
        open_runtime(path)


def test_too_much_shared_memory_for_the_gpu_is_said(tmp_path: Path) -> None:
    path = engine_file(tmp_path, second={"shared_bytes": 200_000})
    with pytest.raises(InferenceError, match="giving enlarge 200,000 bytes of shared memory"):
        open_runtime(path)
    assert not fake_gpu.Buffer.alive


def test_weights_that_do_not_fit_leave_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = engine_file(tmp_path)
    monkeypatch.setattr(fake_gpu, "CAPACITY_BYTES", 100)
    with pytest.raises(DeviceMemoryError):
        open_runtime(path)
    assert not fake_gpu.Buffer.alive


# ------------------------------------------------------------------------------- running


@pytest.mark.parametrize("graphs", [0, 8])
def test_shapes_in_any_order(tmp_path: Path, graphs: int) -> None:
    """Larger, smaller and known ones: the arena grows, and graphs are bound to its address."""
    shapes = [(1, 8, 8), (2, 8, 11), (1, 8, 8), (1, 8, 8), (1, 30, 20), (1, 8, 8), (2, 8, 11)]
    with open_runtime(engine_file(tmp_path), cuda_graphs=graphs) as runtime:
        for batch, height, width in shapes * 2:
            values = picture(batch, 3, height, width)
            np.testing.assert_allclose(runtime.run(values), enlarged(values), rtol=1e-6)
        assert (runtime.captured_graphs > 0) == (graphs > 0)
        assert (fake_gpu.Graph.launches > 0) == (graphs > 0)
        assert not runtime.graph_errors
    assert not fake_gpu.Buffer.alive


def test_launches_are_those_of_the_file(tmp_path: Path) -> None:
    with open_runtime(engine_file(tmp_path), cuda_graphs=0) as runtime:
        runtime.run(picture(2, 3, 8, 16))
    assert fake_gpu.LAUNCHES == [
        ("halve", (2 * 3 * 8 * 16, 1, 1), 128, 1024),
        ("enlarge", (8, 3, 1), 128, 1024),
    ]


def test_a_tensor_on_the_gpu_is_read_where_it_lies(tmp_path: Path) -> None:
    values = picture(1, 3, 8, 9)
    with open_runtime(engine_file(tmp_path)) as runtime:
        for _ in range(3):
            result = runtime.run_on_gpu(FakeTensor(values))
            np.testing.assert_allclose(result.array, enlarged(values), rtol=1e-6)
        del result


def test_a_launch_that_fails_is_an_error_and_the_next_run_works(tmp_path: Path) -> None:
    values = picture(1, 3, 8, 8)
    with open_runtime(engine_file(tmp_path)) as runtime:
        fake_gpu.REFUSED.append("enlarge")
        with pytest.raises(InferenceError, match=r"launching enlarge .*LAUNCH_OUT_OF_RESOURCES"):
            runtime.run(values)
        np.testing.assert_allclose(runtime.run(values), enlarged(values), rtol=1e-6)


def test_out_of_memory_gives_all_back_and_smaller_ones_run(tmp_path: Path) -> None:
    small, large = picture(1, 3, 8, 8), picture(4, 3, 900, 900)
    with open_runtime(engine_file(tmp_path)) as runtime:
        runtime.run(small)
        with pytest.raises(DeviceMemoryError):
            runtime.run(large)
        assert sum(fake_gpu.Buffer.alive.values()) < 1 << 20
        np.testing.assert_allclose(runtime.run(small), enlarged(small), rtol=1e-6)


def test_a_shape_beyond_the_kernels_integers_is_refused(tmp_path: Path) -> None:
    with open_runtime(engine_file(tmp_path)) as runtime:
        batch = np.broadcast_to(np.float32(0), (1, 3, 40_000, 30_000))
        with pytest.raises(InputError, match=r"too large for one run on the GPU. Use tiles"):
            runtime.run(batch)


def test_the_restorer_s_tiles_give_the_whole(tmp_path: Path) -> None:
    levels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    with open_runtime(engine_file(tmp_path)) as runtime:
        tiled = Restorer(runtime, tile=16, overlap_px=4, progress=False).restore_array(levels)
    assert np.abs(tiled.astype(int) - np.kron(levels, np.ones((2, 2, 1), np.uint8))).max() <= 1


def test_threads_share_an_engine(tmp_path: Path) -> None:
    shapes = [(1, 3, 8 + n, 9) for n in range(6)]
    wrong: list[int] = []
    with open_runtime(engine_file(tmp_path), contexts=2) as runtime:

        def work(number: int) -> None:
            values = picture(*shapes[number])
            for _ in range(20):
                if not np.allclose(runtime.run(values), enlarged(values), rtol=1e-6):
                    wrong.append(number)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(len(shapes))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong
    assert not fake_gpu.Buffer.alive


def test_a_closed_runtime_says_so(tmp_path: Path) -> None:
    runtime = open_runtime(engine_file(tmp_path))
    runtime.close()
    with pytest.raises(RuntimeClosedError):
        runtime.run(picture(1, 3, 8, 8))


def test_the_gpu_s_time_is_that_of_its_events(tmp_path: Path) -> None:
    with open_runtime(engine_file(tmp_path), cuda_graphs=0) as runtime:
        assert runtime.time_device()
        runtime.run(picture(1, 3, 8, 8))
        assert runtime.stats.device_ms == 2 * fake_gpu.KERNEL_MS + 2 * fake_gpu.COPY_MS
