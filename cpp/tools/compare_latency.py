"""How long a picture takes through the C library and through Python, in turns.

python compare_latency.py [--build FOLDER] [--sizes WIDTHxHEIGHT ...] [--runs N] [--threads N]
                          [--models FOLDER] [--export-only]

One run for all: the built-in tiny-sr-x4 and a light x2 with random weights (the time does not
depend on them), ONNX Runtime and OpenVINO in FP32, each from the graph that is exported for it,
through Python and through C. The four take turns, round by round, forwards and backwards, so that
the ratios hold on a noisy machine. The C library is called through ctypes, which takes
microseconds. Prints a table in Markdown for docs/embedding.md. --models keeps the exported models,
so that a machine can come to rest between the export and the measurement.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from swinir_deploy import Restorer, export_onnx, load_catalog, open_runtime
from swinir_deploy.network.swinir import SwinIR

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests/cpp"))
from c_library import CLibrary, back_end_library

REPOSITORY = Path(__file__).resolve().parents[2]
BACK_ENDS = {"ort": "onnxruntime", "openvino": "openvino"}
WARM_UP_ROUNDS = 2

# Thread pools spin for tens of milliseconds after a run, at the cost of who comes next.
PAUSE_S = 0.05


def write_models(folder: Path) -> dict[str, dict[str, Path]]:
    """Model -> back end -> its file; what is there is left as it is."""
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / "light.safetensors"
    if not checkpoint.exists():
        torch.manual_seed(0)
        save_file(SwinIR(load_catalog().get("light-sr-x2").config).state_dict(), checkpoint)
    models: dict[str, dict[str, Path]] = {}
    for name, source in (("tiny-sr-x4", "tiny-sr-x4"), ("light x2", checkpoint)):
        models[name] = {}
        for backend in BACK_ENDS:
            path = folder / f"{name.split()[0]}-{backend}.onnx"
            if not path.exists():
                export_onnx(source, path, io="image", target=backend)
            models[name][backend] = path
    return models


def timed(action: Callable[[], object]) -> float:
    """Milliseconds of one call."""
    time.sleep(PAUSE_S)
    started = time.perf_counter()
    action()
    return (time.perf_counter() - started) * 1e3


def compare(
    files: dict[str, Path], build: Path, sizes: list[str], runs: int, threads: int
) -> dict[tuple[str, str], list[tuple[float, float]]]:
    """(Size, back end) -> milliseconds of Python and C in each round."""
    with ExitStack() as stack:
        ways: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {}
        for backend, path in files.items():
            runtime = stack.enter_context(open_runtime(path, backend, threads=threads))
            c_library = CLibrary(build, backend, back_end_library(backend))
            model = stack.enter_context(c_library.model(path, threads))
            session = stack.enter_context(c_library.session(model))
            ways[backend] = (
                Restorer(runtime, progress=False).restore_array,
                partial(
                    c_library.restored_in, session, scale=runtime.spec.scale, format_name="rgb"
                ),
            )
        times: dict[tuple[str, str], list[tuple[float, float]]] = {}
        for size in sizes:
            width, height = map(int, size.split("x"))
            pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
            for round_number in range(runs + WARM_UP_ROUNDS):
                turns = [(backend, side) for backend in ways for side in (0, 1)]
                took = {
                    (backend, side): timed(partial(ways[backend][side], pixels))
                    for backend, side in (turns if round_number % 2 == 0 else reversed(turns))
                }
                if round_number < WARM_UP_ROUNDS:
                    continue
                for backend in ways:
                    pair = took[backend, 0], took[backend, 1]
                    times.setdefault((size, backend), []).append(pair)
    return times


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=Path, default=REPOSITORY / "build/cpp/default")
    parser.add_argument("--sizes", nargs="+", default=["64x64", "256x256"])
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--models", type=Path)
    parser.add_argument("--export-only", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        models = write_models(options.models or Path(name))
        if options.export_only:
            return
        versions = ", ".join(f"{p} {version(p)}" for p in BACK_ENDS.values())
        print(
            f"{platform.machine()}, {options.threads} threads, {versions}, Python "
            f"{platform.python_version()}; medians of {options.runs} rounds\n"
        )
        print("| model | size | back end | Python ms | C ms | C / Python |")
        print("|---|---|---|---|---|---|")
        for model, files in models.items():
            found = compare(files, options.build, options.sizes, options.runs, options.threads)
            for (size, backend), rounds in found.items():
                python, c = (statistics.median(side) for side in zip(*rounds, strict=True))
                ratio = statistics.median(b / a for a, b in rounds)
                print(f"| {model} | {size} | {backend} | {python:.1f} | {c:.1f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
