"""This project against what users would otherwise do, in one interleaved run.

    make bench-peers                     # everything, about half an hour
    python tools/bench_peers.py -o result.json --models light --sides 64

The peers are the official network (from the vsswinir wheel, Apache-2.0) in eager PyTorch and under
torch.compile, and its naive export with a fixed size, the way that most guides show it, in ONNX
Runtime and OpenVINO. All have the same random weights; every output is compared with the official
network's. The result says on which machine and with which versions it was measured.

Every contender has a process of its own, as a user would have it: in a common one, a contender
finds memory that others have taken from the system already, and their threads. Only one computes
at a time; they take turns round by round.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from oracle import OfficialSwinIR, official_network, official_state_dict  # noqa: E402

from swinir_deploy import export_onnx, load_model, open_runtime  # noqa: E402
from swinir_deploy.benchmarking.machine import (  # noqa: E402
    describe_machine,
    gemm_peak_gflops,
    package_versions,
)
from swinir_deploy.benchmarking.timing import interleave, latency, ratio  # noqa: E402
from swinir_deploy.benchmarking.worker import WorkerProcess  # noqa: E402
from swinir_deploy.comparison import compare, sample_picture  # noqa: E402
from swinir_deploy.models.catalog import load_catalog  # noqa: E402
from swinir_deploy.models.hyperparameters import is_buffer  # noqa: E402
from swinir_deploy.network.config import SwinIRConfig  # noqa: E402
from swinir_deploy.network.flops import count_flops  # noqa: E402
from swinir_deploy.system.files import atomic_output  # noqa: E402
from swinir_deploy.system.telemetry import without_telemetry  # noqa: E402

with without_telemetry():
    import openvino

MODELS = {"light": "light-sr-x2", "medium": "medium-sr-x4"}
SETTLE_S = 0.05
_NAIVE_OPSET = 17

Job = Callable[[], NDArray[Any]]


@dataclass(frozen=True)
class Peer:
    """Something to time.

    Attributes:
        label: in tables and plots.
        ours: of this project.
        precision: of its arithmetic.
        open: gives a job for a picture, and keeps what it opens in the stack.
    """

    label: str
    ours: bool
    precision: str
    open: Callable[[Bench, ExitStack], Job]


class Bench:
    """One model at one side: its weights, its files and its picture."""

    def __init__(self, model_id: str, side: int, folder: Path) -> None:
        self.config: SwinIRConfig = load_catalog().get(model_id).config
        self.model_id, self.side, self.folder = model_id, side, folder
        self.picture = sample_picture(1, self.config.in_chans, side, side)
        self.checkpoint = folder / f"{model_id}.pth"
        if not self.checkpoint.exists():
            state = official_state_dict(self.config)
            weights = {name: tensor for name, tensor in state.items() if not is_buffer(name)}
            torch.save({"params": weights}, self.checkpoint)

    @functools.cached_property
    def official(self) -> OfficialSwinIR:
        """The official network with these weights."""
        return official_network(self.config)

    def naive(self) -> Path:
        """Return the static export that most guides show, traced at this side."""
        path = self.folder / f"{self.model_id}-naive-{self.side}.onnx"
        if not path.exists():
            with quiet():
                torch.onnx.export(
                    self.official,
                    (torch.from_numpy(self.picture),),
                    str(path),
                    dynamo=False,
                    opset_version=_NAIVE_OPSET,
                    input_names=["input"],
                    output_names=["output"],
                )
        return path

    def exported(self, target: str) -> Path:
        """Return this project's export for a target."""
        path = self.folder / f"{self.model_id}-{target}.onnx"
        if not path.exists():
            export_onnx(load_model(self.checkpoint), path, target=target)
        return path


def eager(bench: Bench, _stack: ExitStack) -> Job:
    """Return the official network as it is."""
    return torch_job(bench, bench.official)


def compiled(bench: Bench, _stack: ExitStack) -> Job:
    """Return the same under torch.compile, for this side."""
    return torch_job(bench, torch.compile(bench.official))


def torch_job(bench: Bench, network: Callable[[torch.Tensor], torch.Tensor]) -> Job:
    """From array to array."""
    picture = torch.from_numpy(bench.picture)

    def job() -> NDArray[Any]:
        with torch.inference_mode():
            return np.asarray(network(picture).numpy())

    return job


def naive_onnxruntime(bench: Bench, _stack: ExitStack) -> Job:
    """Return the naive export in ONNX Runtime, as it comes."""
    with without_telemetry():
        import onnxruntime

    session = onnxruntime.InferenceSession(bench.naive(), providers=["CPUExecutionProvider"])
    return lambda: np.asarray(session.run(None, {"input": bench.picture})[0])


def naive_openvino(bench: Bench, _stack: ExitStack) -> Job:
    """Return the naive export in OpenVINO, in FP32, for latency."""
    properties = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    model = openvino.Core().compile_model(bench.naive(), "CPU", properties)
    request = model.create_infer_request()

    def job() -> NDArray[Any]:
        request.infer([bench.picture], share_inputs=True)
        return np.array(request.get_output_tensor().data)

    return job


def ours(backend: str, **options: Any) -> Callable[[Bench, ExitStack], Job]:
    """Return a back end of this project, with the graph that is made for it."""

    def open_it(bench: Bench, stack: ExitStack) -> Job:
        file = bench.checkpoint if backend == "torch" else bench.exported(backend)
        runtime = stack.enter_context(open_runtime(file, backend, **options))
        return lambda: runtime.run(bench.picture)

    return open_it


PEERS = (
    Peer("official, eager PyTorch", False, "fp32", eager),
    Peer("official, torch.compile", False, "fp32", compiled),
    Peer("naive export, ONNX Runtime", False, "fp32", naive_onnxruntime),
    Peer("naive export, OpenVINO f32", False, "fp32", naive_openvino),
    Peer("ours, PyTorch", True, "fp32", ours("torch")),
    Peer("ours, torch.compile", True, "fp32", ours("torch", compile=True)),
    Peer("ours, ONNX Runtime", True, "fp32", ours("ort")),
    Peer("ours, OpenVINO f32", True, "fp32", ours("openvino", cache=False)),
    Peer("ours, OpenVINO bf16", True, "bf16", ours("openvino", cache=False, precision="bf16")),
)
"""The first is what ratios refer to."""


class OpenPeer:
    """A peer that is open and has run once, in the process of its own that this is made in."""

    def __init__(self, index: int, model_id: str, side: int, folder: str) -> None:
        self._stack = ExitStack()
        started = time.perf_counter()
        with quiet():
            self._job = PEERS[index].open(Bench(model_id, side, Path(folder)), self._stack)
            self._job()
        self._ready_s = time.perf_counter() - started

    def ready_s(self) -> float:
        """How long it took to open it and to run once."""
        return self._ready_s

    def output(self) -> NDArray[Any]:
        """Return what it makes of the picture."""
        return self._job()

    def run(self) -> float:
        """Compute once; how long that took, in milliseconds."""
        started = time.perf_counter()
        self._job()
        return (time.perf_counter() - started) * 1e3

    def close(self) -> None:
        """Close what was opened."""
        self._stack.close()


def measure(bench: Bench, seconds: float, peaks: dict[str, float | None]) -> list[dict[str, Any]]:
    """Rows of one model at one side."""
    rows = []
    where = (bench.model_id, bench.side, str(bench.folder))
    with ExitStack() as stack:
        workers = []
        for index, peer in enumerate(PEERS):
            workers.append(stack.enter_context(closing(WorkerProcess(OpenPeer, index, *where))))
            ready_s = workers[-1].call("ready_s")
            print(f"  {peer.label}: ready in {ready_s:.1f} s", flush=True)
        reference = workers[0].call("output")
        compared = [compare(worker.call("output"), reference) for worker in workers]
        jobs = [functools.partial(worker.call, "run") for worker in workers]
        times = interleave(jobs, duration_s=seconds, settle_s=SETTLE_S)
    flops = count_flops(bench.config, bench.side, bench.side)
    for peer, own_ms, difference in zip(PEERS, times, compared, strict=True):
        own, against = latency(own_ms), ratio(times[0], own_ms)
        peak = peaks[peer.precision]
        gflops = flops / own.p50_ms / 1e6
        rows.append(
            {
                "model": bench.model_id,
                "side": bench.side,
                "peer": peer.label,
                "ours": peer.ours,
                "precision": peer.precision,
                "rounds": own.runs,
                "p50_ms": own.p50_ms,
                "min_ms": float(own_ms.min()),
                "ratio": against.value,
                "ratio_low": against.low,
                "ratio_high": against.high,
                "gflops": gflops,
                "peak_share": None if peak is None else gflops / peak,
                "max_abs": difference.max_abs,
                "psnr_db": difference.psnr_db if np.isfinite(difference.psnr_db) else None,
            }
        )
        print(f"  {peer.label:28} {own.p50_ms:9.1f} ms  {against.value:5.2f}x", flush=True)
    return rows


def plot(rows: Sequence[dict[str, Any]], target: Path) -> None:
    """Ratios to the official eager network, a panel for each model and side."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "swinir-deploy"
    from matplotlib import pyplot

    panels = list(dict.fromkeys((row["model"], row["side"]) for row in rows))
    figure, axes = pyplot.subplots(
        len(panels), 1, figsize=(8, 2.6 * len(panels)), constrained_layout=True, squeeze=False
    )
    for axis, panel in zip(axes[:, 0], panels, strict=True):
        own = [row for row in rows if (row["model"], row["side"]) == panel][::-1]
        bars = axis.barh(
            [row["peer"] for row in own],
            [row["ratio"] for row in own],
            color=["#2a6f97" if row["ours"] else "#b0b7bf" for row in own],
        )
        axis.bar_label(bars, [f"{r['ratio']:.2f}x  {r['p50_ms']:.0f} ms" for r in own], padding=3)
        axis.set_title(f"{panel[0]}, {panel[1]}x{panel[1]} pixels", loc="left", fontsize=10)
        axis.set_xlim(0, 1.25 * max(row["ratio"] for row in own))
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
    axes[-1, 0].set_xlabel("times as fast as the official network in eager PyTorch")
    figure.savefig(target, metadata={"Date": None})


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the tracers' remarks."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--plot", type=Path, help="SVG file to write; needs matplotlib")
    parser.add_argument("--models", default=",".join(MODELS), help="of: " + ", ".join(MODELS))
    parser.add_argument("--sides", default="64,256", help="of the input, in pixels")
    parser.add_argument("--seconds", type=float, default=60, help="for each model and side")
    arguments = parser.parse_args()
    peaks = {name: gemm_peak_gflops(name) for name in ("fp32", "bf16")}
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="bench-peers-") as folder:
        for name in arguments.models.split(","):
            for side in map(int, arguments.sides.split(",")):
                print(f"{MODELS[name]}, {side}x{side}", flush=True)
                bench = Bench(MODELS[name], side, Path(folder))
                rows += measure(bench, arguments.seconds, peaks)
    document = {
        "what": "one picture, from array to array; ratio: the official eager network's time "
        "divided by this one's, median over interleaved rounds, with a 95 % interval",
        "machine": describe_machine(),
        "versions": package_versions(),
        "threads": torch.get_num_threads(),
        "gemm_peak_gflops": peaks,
        "pause_between_contenders_s": SETTLE_S,
        "rows": rows,
    }
    with atomic_output(arguments.output) as temporary:
        temporary.write_text(json.dumps(document, indent=1) + "\n")
    if arguments.plot is not None:
        plot(rows, arguments.plot)


if __name__ == "__main__":
    main()
