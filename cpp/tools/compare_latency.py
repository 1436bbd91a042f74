"""How long a picture takes through the C library and through Python, in turns.

python compare_latency.py BUILD_FOLDER MODEL.onnx [WIDTHxHEIGHT ...] [--runs N] [--threads N]

Both sides use this environment's ONNX Runtime with the same number of threads, so that what is
left is the way there and back: tiles, colours, copies. They take turns, so that the ratio holds on
a noisy machine. The C library is called through ctypes, which takes microseconds.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime

from swinir_deploy import Restorer, open_runtime

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests/cpp"))
from c_library import CLibrary


def timed(action: Callable[[], object]) -> float:
    """Milliseconds of one call."""
    started = time.perf_counter()
    action()
    return (time.perf_counter() - started) * 1e3


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", type=Path, help="the folder that cmake built in")
    parser.add_argument("model", type=Path)
    parser.add_argument("sizes", nargs="*", default=["64x64", "256x256", "640x360"])
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    runtime_library = next(Path(onnxruntime.__file__).parent.glob("capi/libonnxruntime.so.*"))
    c_library = CLibrary(options.build, "ort", runtime_library)
    print("size      Python ms     C ms   C / Python (median of the rounds)")
    with (
        open_runtime(options.model, threads=options.threads) as runtime,
        c_library.model(options.model, options.threads) as model,
    ):
        restorer, scale = Restorer(runtime, progress=False), runtime.spec.scale
        for size in options.sizes:
            width, height = map(int, size.split("x"))
            shape = (height, width, runtime.spec.in_chans)
            pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
            kind = "rgb" if shape[2] == 3 else "gray"
            in_python = partial(restorer.restore_array, pixels)
            in_c = partial(c_library.restored, model, pixels, scale, kind)
            rounds = [(timed(in_python), timed(in_c)) for _ in range(options.runs + 2)]
            python, c = (statistics.median(side) for side in zip(*rounds[2:], strict=True))  # warm
            ratio = statistics.median(b / a for a, b in rounds[2:])
            print(f"{size:9} {python:9.2f} {c:8.2f} {ratio:8.2f}")


if __name__ == "__main__":
    main()
