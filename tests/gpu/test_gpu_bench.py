"""Time by the GPU's own events, and ``bench`` with and without transfers."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gpu_backends import ENGINES, FLAVOURS_OF, MODEL

from swinir_deploy import open_runtime
from swinir_deploy.benchmarking.benchmark import Contender, benchmark
from swinir_deploy.comparison import compare, sample_picture
from swinir_deploy.errors import BackendUnavailableError, UsageError
from swinir_deploy.runtimes import Runtime
from swinir_deploy.runtimes.engine_runtime import EngineRuntime
from swinir_deploy.verification.parity import LIMITS

FP16_ENGINES = [name for name in ENGINES if name.endswith("fp16")]
SHAPE = (128, 128)


def on_host(result: Any) -> Any:
    """What lies in the GPU's memory, as an array."""
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip(f"torch {torch.__version__} has no CUDA")
    return torch.from_dlpack(result).cpu().numpy()


@pytest.mark.parametrize("name", [*FP16_ENGINES, "torch-fp16"])
def test_the_gpu_s_time_is_within_the_host_s(
    name: str, open_on_gpu: Callable[..., Runtime], reference: Runtime
) -> None:
    """Plain, recorded and replayed runs, with transfers and without."""
    picture = sample_picture(1, 3, *SHAPE)
    wanted = reference.run(picture)
    with open_on_gpu(name) as runtime:
        assert runtime.time_device()
        on_gpu = runtime.copy_to_gpu(picture)
        runs: list[tuple[Callable[[Any], Any], Any]] = [
            (runtime.run, picture),
            (runtime.run_on_gpu, on_gpu),
        ]
        for run, batch in runs:
            for _ in range(5):
                started = time.perf_counter()
                result = run(batch)
                host_ms = (time.perf_counter() - started) * 1e3
                device_ms = runtime.stats.device_ms
                assert device_ms is not None
                assert 0 < device_ms <= host_ms
        assert LIMITS["fp16"].holds(compare(on_host(result), wanted))
        if isinstance(runtime, EngineRuntime):
            assert runtime.graph_errors == ()


@pytest.mark.parametrize("name", FP16_ENGINES)
@pytest.mark.parametrize("transfers", [True, False])
def test_bench_of_an_engine(name: str, engine_file: Callable[..., Path], transfers: bool) -> None:
    engine = Contender(str(engine_file(FLAVOURS_OF[name.partition("-")[0]], "fp16")))
    (row,) = benchmark([engine], shapes=[SHAPE], runs=10, transfers=transfers).rows
    assert row.device_p50_ms is not None
    assert 0 < row.device_p50_ms <= row.p50_ms


def test_bench_of_torch_and_of_a_provider_without_events(
    onnx_file: Callable[[str, str], Path],
) -> None:
    network = Contender(MODEL, "torch", "cuda")
    provider = Contender(str(onnx_file("fp32", "any")), "ort", "cuda")
    try:
        for contender in (network, provider):
            open_runtime(contender.model, contender.backend, contender.device).close()
    except BackendUnavailableError as error:
        pytest.skip(str(error))
    first, second = benchmark([network, provider], shapes=[SHAPE], runs=10).rows
    assert first.device_p50_ms is not None
    assert 0 < first.device_p50_ms <= first.p50_ms
    assert second.device_p50_ms is None
    with pytest.raises(UsageError, match="transfers cannot be left out"):
        benchmark([network, provider], shapes=[SHAPE], runs=10, transfers=False)
