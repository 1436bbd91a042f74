"""Timing against sleeps whose length is known."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from swinir_deploy.benchmarking import benchmark as module
from swinir_deploy.benchmarking import contenders
from swinir_deploy.benchmarking import contenders as footprint
from swinir_deploy.benchmarking.benchmark import Contender, benchmark
from swinir_deploy.benchmarking.machine import DevicePeaks
from swinir_deploy.benchmarking.timing import latency
from swinir_deploy.errors import ArtifactError, UsageError
from swinir_deploy.runtimes import BACKENDS, Backend, Runtime, RuntimeSpec
from swinir_deploy.system.memory import forget_peak
from swinir_deploy.verification.parity import target_note

CALLS: list[str] = []
PEAKS = {"fp32": 2.0}  # GFLOP/s
CONFIG = {
    "upscale": 2,
    "in_chans": 3,
    "window_size": 2,
    "img_range": 1.0,
    "depths": [1],
    "embed_dim": 4,
    "num_heads": [1],
    "upsampler": "pixelshuffledirect",
}


class Sleeper(Runtime):
    def __init__(self, name: str, sleep_ms: float, io: str) -> None:
        self.name, self.sleep_ms, self.io = name, sleep_ms, io
        super().__init__()

    def _load(self) -> RuntimeSpec:
        return RuntimeSpec(self.name, "cpu", self.io, 2, 3, 8, model_id=self.name)  # type: ignore[arg-type]

    def _infer(self, batch: NDArray[Any]) -> NDArray[Any]:
        CALLS.append(self.name)
        time.sleep(self.sleep_ms / 1e3)
        return np.zeros(self._spec.output_shape(batch.shape), batch.dtype)

    def _unload(self) -> None:
        CALLS.append(f"close {self.name}")


@pytest.fixture(autouse=True)
def sleepers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Contenders that sleep, on a machine whose peak is given: measuring it takes seconds."""
    CALLS.clear()
    monkeypatch.setattr(module, "gemm_peak_gflops", lambda precision, threads: PEAKS.get(precision))

    def opened(model: str, backend: str, device: str | None, **options: Any) -> Sleeper:
        return Sleeper(backend, float(model), options.get("io", "tensor"))

    monkeypatch.setattr(contenders, "open_runtime", opened)


def test_times_and_ratios_are_those_of_the_sleeps() -> None:
    report = benchmark(
        [Contender("40", "slow"), Contender("20", "fast")], shapes=[(16, 24)], runs=8
    )
    slow, fast = report.rows
    assert slow.runs == fast.runs == 8
    assert slow.ratio == slow.ratio_low == slow.ratio_high == 1.0
    assert 40 <= slow.p50_ms < 60
    assert 20 <= fast.p50_ms < 35
    assert 1.4 < fast.ratio < 2.2
    assert fast.ratio_low <= fast.ratio <= fast.ratio_high
    assert (slow.p90_ms, slow.p99_ms) == (None, None), "8 runs are too few"
    assert slow.mpix_per_s == pytest.approx(16 * 24 * 4 / 1e6 / (slow.p50_ms / 1e3))


@pytest.mark.parametrize(("runs", "known"), [(1, 0), (9, 0), (10, 1), (99, 1), (100, 2)])
def test_percentiles_need_runs_beyond_them(runs: int, known: int) -> None:
    times = np.random.default_rng(runs).permutation(np.arange(1.0, runs + 1))
    found = latency(times)
    assert found.p50_ms == (runs + 1) / 2
    assert [found.p90_ms is not None, found.p99_ms is not None] == [known >= 1, known == 2]
    if found.p90_ms is not None:
        assert sum(times <= found.p90_ms) == pytest.approx(0.9 * runs, abs=1)
    if found.p99_ms is not None:
        assert sum(times <= found.p99_ms) == pytest.approx(0.99 * runs, abs=1)


def test_contenders_take_turns_and_are_closed() -> None:
    benchmark([Contender("1", "a"), Contender("1", "b")], runs=4)
    counted = [name for name in CALLS if not name.startswith("close")][-8:]
    rounds = [counted[i : i + 2] for i in range(0, 8, 2)]
    assert all(sorted(names) == ["a", "b"] for names in rounds)
    assert [names[0] for names in rounds] == ["a", "b", "a", "b"], "the order rotates"
    assert CALLS[-2:] == ["close b", "close a"]


@pytest.mark.serial
def test_a_duration_bounds_the_rounds() -> None:
    started = time.perf_counter()
    report = benchmark([Contender("5", "a")], duration_s=0.3)
    assert report.rows[0].runs >= 3
    assert time.perf_counter() - started < 2.0


def test_three_rounds_are_the_least() -> None:
    assert benchmark([Contender("30", "a")], duration_s=0.001).rows[0].runs == 3


def test_byte_models_get_bytes() -> None:
    report = benchmark([Contender("1", "a", options={"io": "image"})], runs=1, batch=2)
    assert report.rows[0].batch == 2


def test_the_report_says_where_it_was_measured() -> None:
    report = benchmark([Contender("1", "a")], runs=1, threads=None)
    values = json.loads(json.dumps(report.to_dict()))
    assert values["machine"]["logical_cpus"] >= 1
    assert values["versions"]["numpy"] == np.__version__
    assert values["rows"][0]["label"] == "a"


@pytest.mark.parametrize(
    "wrong",
    [{"shapes": []}, {"runs": 0}, {"batch": 0}, {"duration_s": 0}],
)
def test_impossible_requests_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        benchmark([Contender("1", "a")], **wrong)
    with pytest.raises(UsageError):
        benchmark([])


def test_an_error_closes_what_was_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(model: str, backend: str, *_: Any, **__: Any) -> Sleeper:
        if backend == "b":
            raise UsageError("no b")
        return Sleeper(backend, float(model), "tensor")

    monkeypatch.setattr(contenders, "open_runtime", opened)
    with pytest.raises(UsageError, match="no b"):
        benchmark([Contender("1", "a"), Contender("1", "b")])
    assert CALLS == ["close a"]


def test_labels_tell_contenders_apart(tmp_path: Path) -> None:
    report = benchmark([Contender("1", "a"), Contender("2", "a"), Contender("1", "c")], runs=1)
    assert [row.label for row in report.rows] == ["a 1", "a 2", "c"]


def test_operations_are_the_networks_and_the_peak_is_the_machines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One 3x3 convolution from 3 to 4 channels and so on: counted by hand for one window."""
    for_a_pixel = (
        9 * 3 * 4  # conv_first
        + 3 * 4 * 4 + 2 * 4 * 4 + 4 * 4  # qkv, two products with four keys, proj
        + 2 * 4 * 8  # MLP
        + 2 * 9 * 4 * 4  # the convolutions after the RSTB and after the body
        + 9 * 4 * 3 * 4  # upsample
    )  # fmt: skip
    plain = Sleeper._load
    monkeypatch.setattr(Sleeper, "_load", lambda self: replace(plain(self), config=CONFIG))
    row = benchmark([Contender("5", "a")], shapes=[(3, 4)], runs=3, batch=2).rows[0]
    padded = 4 * 4
    assert row.gflops == pytest.approx(2 * 2 * padded * for_a_pixel / (row.p50_ms * 1e6))
    assert row.peak_share == pytest.approx(row.gflops / PEAKS["fp32"])


def test_fp16_on_a_cpu_has_no_share_of_a_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    half, plain = {"config": CONFIG, "precision": "fp16"}, Sleeper._load
    monkeypatch.setattr(Sleeper, "_load", lambda self: replace(plain(self), **half))
    report = benchmark([Contender("1", "a")], runs=1)
    assert report.rows[0].gflops is not None
    assert report.rows[0].peak_share is None
    assert report.gemm_peak_gflops == {}


def test_threads_are_given_to_those_that_take_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the signatures of the real back ends; an engine's file is not looked for."""
    given: dict[str, Any] = {}

    def opened(model: str, backend: str, device: str | None, **options: Any) -> Sleeper:
        given[model] = options
        return Sleeper(backend, 1, "tensor")

    monkeypatch.setattr(contenders, "open_runtime", opened)
    monkeypatch.setattr(contenders, "backend_for", lambda model, backend: BACKENDS[backend])
    monkeypatch.setattr(Backend, "missing", lambda self: None)
    asked = [
        Contender("a.onnx", "ort", options={"provider": "cpu"}),
        Contender("b.onnx", "ort", options={"threads": 1}),
        Contender("c.engine", "tensorrt", options={"contexts": 1}),
        Contender("d.engine", "rtx"),
    ]
    assert benchmark(asked, runs=1, threads=2).threads == 2
    assert given == {
        "a.onnx": {"provider": "cpu", "threads": 2},
        "b.onnx": {"threads": 1},
        "c.engine": {"contexts": 1},
        "d.engine": {},
    }


def test_without_a_configuration_there_are_no_operations() -> None:
    row = benchmark([Contender("1", "a")], runs=1).rows[0]
    assert row.gflops is None
    assert row.peak_share is None


def test_the_roofline_of_a_gpu_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two windows of a network of 4 channels, stored as 64, on a device of round figures."""
    plain = Sleeper._load
    changes = {"config": CONFIG, "device": "cuda:0", "precision": "fp16"}
    monkeypatch.setattr(Sleeper, "_load", lambda self: replace(plain(self), **changes))
    asked: list[tuple[str, str]] = []

    def peaks(device: str, precision: str) -> DevicePeaks:
        asked.append((device, precision))
        return DevicePeaks(tera_flops=1000.0, tera_bytes=1e-9)  # 1 kB a second: copies bound it

    monkeypatch.setattr(module, "device_peaks", peaks)
    row = benchmark([Contender("5", "a")], shapes=[(2, 4)], runs=3).rows[0]
    stream, picture = 2 * 4 * 64 * 2, 2 * 4 * 3 * 4
    moved = (
        picture + stream  # conv_first
        + 2 * stream  # the norm that opens the stream
        + 2 * stream  # the block
        + 3 * stream  # the RSTB's convolution and its residual
        + 2 * stream  # the last norm
        + 3 * stream  # the body's convolution and the long skip
        + stream + 4 * picture  # upsample
    )  # fmt: skip
    assert asked == [("cuda:0", "fp16")]
    assert row.bound_ms == pytest.approx(moved / 1e3 * 1e3)
    assert row.roofline_share == pytest.approx(row.bound_ms / row.p50_ms)
    assert row.peak_share is None


def test_a_cpu_has_no_roofline(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Sleeper._load
    monkeypatch.setattr(Sleeper, "_load", lambda self: replace(plain(self), config=CONFIG))
    row = benchmark([Contender("1", "a")], runs=1).rows[0]
    assert (row.bound_ms, row.roofline_share) == (None, None)


# ------------------------------------------------------------------------------------ on a GPU


class OnGpu(Sleeper):
    """Says of every run how many milliseconds its GPU took: 100, 101, ..."""

    def _load(self) -> RuntimeSpec:
        return replace(super()._load(), device="cuda:0")

    def _takes_gpu_memory(self) -> bool:
        return self.name != "no memory"

    def _copy_to_gpu(self, batch: NDArray[Any]) -> Any:
        CALLS.append(f"{self.name} copied")
        return OnFakeGpu(batch)

    def _describe_on_gpu(self, tensor: Any) -> Any:
        return tensor.batch.shape, tensor.batch.dtype

    def _infer_on_gpu(self, tensor: Any, shape: tuple[int, ...]) -> NDArray[Any]:
        CALLS.append(f"{self.name} stays")
        return self._result(tensor.batch)

    def _infer(self, batch: NDArray[Any]) -> NDArray[Any]:
        CALLS.append(f"{self.name} copies")
        return self._result(batch)

    def _result(self, batch: NDArray[Any]) -> NDArray[Any]:
        assert self._times_device == self._takes_gpu_memory()
        self._device_ms = 100.0 + self.stats.runs if self._times_device else None
        return np.zeros(self._spec.output_shape(batch.shape), batch.dtype)


class OnFakeGpu:
    def __init__(self, batch: NDArray[Any]) -> None:
        self.batch = batch

    def __dlpack__(self, **_: Any) -> Any:
        raise AssertionError("only its runtime knows it")

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, 0


@pytest.fixture
def with_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(model: str, backend: str, device: str | None, **options: Any) -> Sleeper:
        return (Sleeper if device == "cpu" else OnGpu)(backend, float(model), "tensor")

    monkeypatch.setattr(contenders, "open_runtime", opened)
    monkeypatch.setattr(module, "gemm_peak_gflops", lambda *_: None)


@pytest.mark.usefixtures("with_gpu")
@pytest.mark.parametrize("transfers", [True, False])
def test_transfers_are_counted_or_not(transfers: bool) -> None:
    asked = [Contender("1", "gpu"), Contender("1", "host", "cpu")]
    shapes = [(8, 8), (8, 16)]
    report = benchmark(asked, shapes=shapes, runs=3, transfers=transfers)
    assert report.transfers is transfers
    ran = [call for call in CALLS if not call.startswith("close")]
    if transfers:
        assert set(ran) == {"gpu copies", "host"}
    else:
        assert set(ran) == {"gpu copied", "gpu stays", "host"}
        assert ran.count("gpu copied") == len(shapes), "once for a shape"


@pytest.mark.usefixtures("with_gpu")
def test_the_gpu_s_time_is_that_of_the_runs_that_count() -> None:
    asked = [Contender("1", "gpu"), Contender("1", "host", "cpu"), Contender("1", "no memory")]
    gpu, host, other = benchmark(asked, runs=5).rows
    runs = CALLS.count("gpu copies")
    assert gpu.device_p50_ms == 100 + runs - 3  # the last five: 100 + runs - 5 to 100 + runs - 1
    assert host.device_p50_ms is None
    assert other.device_p50_ms is None, "no events"


@pytest.mark.usefixtures("with_gpu")
def test_transfers_that_cannot_be_left_out_are_refused() -> None:
    asked = [Contender("1", "gpu"), Contender("1", "no memory")]
    with pytest.raises(UsageError, match=r"'no memory' on cuda:0 takes and gives host memory only"):
        benchmark(asked, transfers=False)
    assert CALLS == ["close no memory", "close gpu"], "nothing ran, all is closed"


# ----------------------------------------------------------------------------------------- memory


class Hungry(Sleeper):
    """Takes memory when it is opened and gives it back; keeps some; takes more when it runs."""

    def _load(self) -> RuntimeSpec:
        np.ones(80_000_000, np.uint8)
        self.kept = np.ones(40_000_000, np.uint8)
        return super()._load()

    def _infer(self, batch: NDArray[Any]) -> NDArray[Any]:
        self.kept += 1  # in use, as weights are: some systems take idle pages out of memory
        np.ones(int(self.sleep_ms * 1e6), np.uint8)
        return np.zeros(self._spec.output_shape(batch.shape), batch.dtype)


@pytest.mark.skipif(not forget_peak(), reason="the peak cannot be set back here")
@pytest.mark.parametrize(("running_mb", "wanted_mb"), [(10, 80), (90, 130)])
def test_memory_is_that_of_one_contender(
    monkeypatch: pytest.MonkeyPatch, running_mb: int, wanted_mb: int
) -> None:
    """The larger of opening and of what is kept (40 MB) with a run on top.

    Opening takes 80 MB, then 40: the first block is given back at once. Blocks above 32 MB come
    from the system and go back to it; smaller ones may stay in the heap.
    """
    ran: list[Runtime] = []

    def opened(model: str, backend: str, device: str | None, **options: Any) -> Runtime:
        kind = Hungry if backend == "hungry" else Sleeper
        ran.append(kind(backend, float(model), "tensor"))
        return ran[-1]

    monkeypatch.setattr(contenders, "open_runtime", opened)
    report = benchmark([Contender(str(running_mb), "hungry"), Contender("1", "modest")], runs=3)
    hungry, modest = report.rows
    assert hungry.rss_growth_mb == pytest.approx(wanted_mb, abs=12)
    assert modest.rss_growth_mb is not None and modest.rss_growth_mb < 12
    assert report.peak_rss_mb is not None and report.peak_rss_mb > hungry.rss_growth_mb
    assert hungry.device_memory_mb is None


def test_memory_of_a_gpu_is_what_became_less_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    free = {0: 8_000_000_000, 1: 4_000_000_000}
    monkeypatch.setattr(footprint, "free_memory_bytes", free.get)
    measured = footprint.MemoryUse()
    measured.opened(RuntimeSpec("fake", "cuda:1", "tensor", 2, 3, 8))

    def job() -> None:
        free[1] -= 700_000_000

    assert measured.first_run(job)[1] == 700.0


def test_the_opened_file_is_named_by_its_hash(tmp_path: Path, monkeypatch: Any) -> None:
    file = tmp_path / "a.onnx"
    file.write_bytes(b"model")
    monkeypatch.setattr(contenders, "open_runtime", lambda *_, **__: Sleeper("ort", 1, "tensor"))
    (row,) = benchmark([Contender(str(file), "ort")], runs=3).rows
    assert row.model_sha256 == hashlib.sha256(b"model").hexdigest()


# ---------------------------------------------------------------------------------------- targets


@pytest.mark.parametrize(
    ("backend", "provider", "target", "wanted"),
    [
        ("ort", "CPUExecutionProvider", "openvino", "ort"),
        ("ort", "CPUExecutionProvider", "ort", None),
        ("ort", "CPUExecutionProvider", "any", None),
        ("ort", "TensorrtExecutionProvider", "tensorrt", None),
        ("ort", "NvTensorRTRTXExecutionProvider", "ort", "tensorrt"),
        ("openvino", "", "tensorrt", "openvino"),
        ("openvino", "", "openvino", None),
        ("tensorrt", "", "tensorrt", None),
        ("rtx", "", "ort", "tensorrt"),
        ("torch", "", "any", None),
    ],
)
def test_a_file_on_a_target_that_it_was_not_made_for_is_noted(
    backend: str, provider: str, target: str, wanted: str | None
) -> None:
    spec = RuntimeSpec(backend, "cpu", "tensor", 2, 3, 8, target=target, provider=provider)
    note = target_note(spec)
    if wanted is None:
        assert note is None
    else:
        assert note is not None and f"exported for {target}" in note
        assert note.endswith(f"swinir-deploy export CHECKPOINT.pth --for {wanted}")


def test_the_note_names_the_model_and_its_edges() -> None:
    spec = RuntimeSpec("ort", "cpu", "image", 4, 3, 8, target="openvino", model_id="tiny-sr-x4")
    command = "swinir-deploy export tiny-sr-x4 --io image --for ort"
    assert (target_note(spec) or "").endswith(command)


# -------------------------------------------------------------------------- processes of their own


@pytest.mark.slow
def test_contenders_of_their_own_processes(fp32: Path, fp16: Path) -> None:
    """Two files on a real back end; the peak is that of a process, not its growth."""
    pytest.importorskip("onnxruntime")
    onnx_files = {"full": fp32, "half": fp16}
    asked = [Contender(str(path), "ort", label=name) for name, path in onnx_files.items()]
    shapes = [(8, 8), (9, 12)]
    report = benchmark(asked, shapes=shapes, runs=4, threads=1, isolate=True)
    assert report.isolated and report.peak_rss_mb is None
    assert [(r.label, r.height, r.runs) for r in report.rows] == [
        (name, height, 4) for height, _ in shapes for name in onnx_files
    ]
    for row in report.rows:
        assert 0 < row.p50_ms < 1000
        assert row.peak_rss_mb is not None and row.rss_growth_mb is not None
        assert row.peak_rss_mb > row.rss_growth_mb
        assert row.backend == "ort" and row.model_sha256


def test_one_process_says_no_peak_of_a_row() -> None:
    report = benchmark([Contender("1", "a")], runs=1)
    assert not report.isolated
    assert report.rows[0].peak_rss_mb is None
    assert report.peak_rss_mb is not None


def test_an_error_in_another_process_is_the_same_error(tmp_path: Path) -> None:
    missing = Contender(str(tmp_path / "none.onnx"), "ort")
    with pytest.raises(ArtifactError, match=r"none\.onnx: no such file"):
        benchmark([missing], isolate=True)
