"""What only engines on a real GPU can show: graphs, threads, memory, DLPack, the Restorer."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gpu_backends import ENGINES, FLAVOURS_OF

from swinir_deploy import Restorer, open_runtime
from swinir_deploy.artifacts.engine import read_engine_metadata, write_engine
from swinir_deploy.comparison import compare, sample_picture
from swinir_deploy.errors import ArtifactError, InputError
from swinir_deploy.nvidia.gpu import Gpu
from swinir_deploy.runtimes import Runtime
from swinir_deploy.runtimes.engine_runtime import EngineRuntime
from swinir_deploy.verification.parity import LIMITS

FP16 = [name for name in ENGINES if name.endswith("fp16")]


def used_bytes() -> int:
    """Of the GPU's memory, by everybody."""
    from cuda.bindings import driver

    status, free, total = driver.cuMemGetInfo()
    assert status == driver.CUresult.CUDA_SUCCESS
    return int(total - free)


@pytest.mark.parametrize("name", FP16)
def test_a_replayed_graph_gives_the_pixels_of_the_plain_run(
    name: str, open_on_gpu: Callable[..., Runtime]
) -> None:
    pictures = [sample_picture(1, 3, 64, 64 + 8 * n) for n in range(3)]
    with open_on_gpu(name, cuda_graphs=0) as plain, open_on_gpu(name) as runtime:
        assert isinstance(runtime, EngineRuntime)
        wanted = [plain.run(picture) for picture in pictures]
        runtime.run(sample_picture(3, 3, 128, 128))  # all memory, so that nothing moves later
        for _ in range(5):
            for picture, result in zip(pictures, wanted, strict=True):
                np.testing.assert_allclose(runtime.run(picture), result, atol=2e-3)
        assert runtime.graph_errors == ()
        if runtime.spec.backend != "rtx":
            assert runtime.captured_graphs == 3


@pytest.mark.parametrize("name", FP16)
def test_threads_do_not_disturb_each_other(
    name: str, open_on_gpu: Callable[..., Runtime], reference: Runtime
) -> None:
    pictures = [sample_picture(1, 3, 32 + 8 * n, 48) for n in range(4)]
    wanted = [reference.run(picture) for picture in pictures]
    failures: list[str] = []
    with open_on_gpu(name, contexts=3) as runtime:

        def work(number: int) -> None:
            for turn in range(25):
                index = (number + turn) % len(pictures)
                found = compare(runtime.run(pictures[index]), wanted[index])
                if not LIMITS["fp16"].holds(found):
                    failures.append(f"thread {number}, turn {turn}: {found}")

        threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not failures


@pytest.mark.parametrize("name", FP16)
def test_memory_does_not_grow_over_500_runs(name: str, open_on_gpu: Callable[..., Runtime]) -> None:
    pictures = [sample_picture(1, 3, 32 + 8 * n, 64) for n in range(12)]
    with open_on_gpu(name, cuda_graphs=4) as runtime:
        for picture in pictures * 4:
            runtime.run(picture)
        before = used_bytes()
        for turn in range(500):
            runtime.run(pictures[turn % len(pictures)])
        grown = used_bytes() - before
    assert grown <= 32 << 20, f"{grown / 2**20:.0f} MiB more after 500 runs"


@pytest.mark.parametrize("name", FP16)
def test_closing_gives_the_memory_back(name: str, open_on_gpu: Callable[..., Runtime]) -> None:
    def once() -> None:
        with open_on_gpu(name) as runtime:
            for _ in range(3):
                runtime.run(sample_picture(1, 3, 128, 128))

    for _ in range(2):
        once()
    before = used_bytes()
    for _ in range(5):
        once()
    assert used_bytes() - before <= 32 << 20


@pytest.mark.parametrize("name", FP16)
def test_a_torch_tensor_is_computed_on_where_it_lies(
    name: str, open_on_gpu: Callable[..., Runtime], reference: Runtime
) -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip(f"torch {torch.__version__} has no CUDA")
    picture = sample_picture(2, 3, 40, 64)
    tensor = torch.from_numpy(picture).cuda()
    with open_on_gpu(name) as runtime:
        for _ in range(4):
            result = torch.from_dlpack(runtime.run_on_gpu(tensor))
            assert result.device == tensor.device
            found = compare(result.cpu().numpy(), reference.run(picture))
            assert LIMITS["fp16"].holds(found)
        with pytest.raises(InputError, match="contiguous"):
            runtime.run_on_gpu(tensor[:, :, :, ::2])


def test_a_cupy_array_is_computed_on_where_it_lies(
    open_on_gpu: Callable[..., Runtime], reference: Runtime
) -> None:
    cupy = pytest.importorskip("cupy", reason="cupy is not installed")
    picture = sample_picture(1, 3, 40, 64)
    with open_on_gpu("trt-fp16") as runtime:
        result = cupy.from_dlpack(runtime.run_on_gpu(cupy.asarray(picture)))
        assert LIMITS["fp16"].holds(compare(cupy.asnumpy(result), reference.run(picture)))


@pytest.mark.parametrize("name", FP16)
def test_pictures_of_any_size_go_through_tiles(
    name: str, open_on_gpu: Callable[..., Runtime], reference: Runtime
) -> None:
    levels = np.round(sample_picture(1, 3, 300, 211)[0].transpose(1, 2, 0) * 255)
    picture: Any = levels.astype(np.uint8)
    with open_on_gpu(name) as runtime:
        found = Restorer(runtime, tile=96).restore_array(picture)
    wanted = Restorer(reference, tile=96).restore_array(picture)
    assert np.abs(found.astype(int) - wanted.astype(int)).max() <= 3


@pytest.mark.parametrize("name", [name for name in FP16 if not name.startswith("cuda-")])
def test_an_engine_of_another_gpu_or_version_is_refused(
    name: str, gpu: Gpu, engine_file: Callable[[str, str], Path], tmp_path: Path
) -> None:
    source = engine_file(FLAVOURS_OF[name.partition("-")[0]], "fp16")
    metadata = read_engine_metadata(source)
    path = tmp_path / "other.engine"
    for changed in (
        replace(metadata, library_version="1.0.0.0"),
        replace(metadata, gpu_name="another", gpu_capability="5.0"),
    ):
        write_engine(path, source.read_bytes(), changed)
        with pytest.raises(ArtifactError, match=r"does not fit.*swinir-deploy build"):
            open_runtime(path)
    write_engine(path, source.read_bytes()[:-1000], metadata)
    with pytest.raises(ArtifactError, match="swinir-deploy build"):
        open_runtime(path)


@pytest.mark.parametrize("flavour", ["rtx"])
def test_compiled_kernels_are_kept(
    flavour: str, engine_file: Callable[[str, str], Path], tmp_path: Path
) -> None:
    cache = tmp_path / "kernels"
    for _ in range(2):
        with open_runtime(engine_file(flavour, "fp16"), runtime_cache=cache) as runtime:
            runtime.run(sample_picture(1, 3, 64, 64))
        assert cache.stat().st_size > 0
