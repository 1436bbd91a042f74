"""Time and peak memory of reading and writing pictures, by format, each from a fresh process.

    python tools/measure_pictures.py [--package FOLDER] [--megapixels 12 48] [--runs 3] [-o FILE]

``--package`` names a checkout to measure, by default this one, so that two states of the project
can be compared. The picture is the one of the demo, enlarged, with noise of a photograph. Memory is
how much the peak of the process grew (VmHWM): with the picture when it is read, without it when it
is written.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
KINDS = {
    "PNG 8": ("png", "uint8"),
    "PNG 16": ("png", "uint16"),
    "JPEG": ("jpg", "uint8"),
    "TIFF 8": ("tif", "uint8"),
    "TIFF 16": ("tif", "uint16"),
    "WebP": ("webp", "uint8"),
    "BMP": ("bmp", "uint8"),
}
JOBS = ("read", "write", "stream")

CHILD = """
import sys, time, json
import numpy as np
from swinir_deploy.pictures.picture import Picture, PictureLayout
from swinir_deploy.pictures.read import read_picture
from swinir_deploy.pictures.write import stream_picture, write_picture

job, warm, path, pixels_path = sys.argv[1:]

def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) * 1024

def stream(path, pixels):
    layout = PictureLayout(pixels.shape[1], pixels.shape[0], 3, False, pixels.dtype)
    with stream_picture(path, layout) as sink:
        for top in range(0, pixels.shape[0], 16):
            sink.write_rows(np.array(pixels[top : top + 16]))

small = read_picture(warm)
suffix = path.rpartition(".")[2]
write_picture(warm + "." + suffix, small)
if job == "stream":
    stream(warm + "." + suffix, small.pixels)
class Rows:
    # Rows from a file, without a mapping, whose pages would count as memory.

    def __init__(self, path):
        self.file = open(path, "rb")
        version = np.lib.format.read_magic(self.file)
        self.shape, _, self.dtype = np.lib.format.read_array_header_1_0(self.file)
        self.start = self.file.tell()
        self.row = int(np.prod(self.shape[1:])) * self.dtype.itemsize

    def __getitem__(self, rows):
        self.file.seek(self.start + rows.start * self.row)
        stop = min(rows.stop, self.shape[0])
        data = self.file.read((stop - rows.start) * self.row)
        return np.frombuffer(data, self.dtype).reshape(stop - rows.start, *self.shape[1:])

if job == "read":
    pixels = None
elif job == "write":
    pixels = np.load(pixels_path)
else:
    pixels = Rows(pixels_path)
before, started = peak(), time.perf_counter()
busy = time.process_time()
if job == "read":
    read_picture(path)
elif job == "write":
    write_picture(path, Picture(pixels))
else:
    stream(path, pixels)
seconds, busy = time.perf_counter() - started, time.process_time() - busy
grown = peak() - before
print(json.dumps([seconds, busy, grown]))
"""


def photograph(megapixels: int, dtype: str) -> np.ndarray:
    """Return [height, width, 3] pixels of a picture of 4:3."""
    width = {12: 4000, 48: 8000}.get(megapixels, round((megapixels * 4 / 3 * 1e6) ** 0.5))
    height = width * 3 // 4
    with Image.open(ROOT / "swinir_deploy" / "demo" / "chelsea.png") as image:
        large = image.convert("RGB").resize((width, height), Image.Resampling.BICUBIC)
    noise = np.random.default_rng(0).normal(0, 1.5, (height, width, 1)).astype(np.float32)
    values = np.clip(np.asarray(large).astype(np.float32) + noise, 0, 255) / 255
    return np.rint(values * np.iinfo(dtype).max).astype(dtype)


def stored(path: Path, pixels: np.ndarray) -> None:
    """Write a file to read, by libraries that are not measured where there are such."""
    import cv2
    import tifffile

    if path.suffix == ".tif":
        tifffile.imwrite(
            path, pixels, photometric="rgb", compression="zlib", predictor=True, rowsperstrip=64
        )
    else:
        cv2.imwrite(str(path), pixels[..., ::-1])


def measured(package: Path, job: str, folder: Path, path: Path, pixels: Path) -> list[float | None]:
    """Return seconds on the clock, seconds of the processors, and bytes of memory."""
    warm = folder / "warm.png"
    Image.new("RGB", (300, 200), "gray").save(warm)
    environment = dict(os.environ, PYTHONPATH=str(package))
    done = subprocess.run(
        [sys.executable, "-c", CHILD, job, str(warm), str(path), str(pixels)],
        capture_output=True,
        text=True,
        env=environment,
        cwd=folder,
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--package", type=Path, default=ROOT)
    parser.add_argument("--megapixels", type=int, nargs="+", default=[12, 48])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--kinds", nargs="+", default=list(KINDS))
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for megapixels in options.megapixels:
            for kind in options.kinds:
                suffix, dtype = KINDS[kind]
                pixels = photograph(megapixels, dtype)
                np.save(folder / "pixels.npy", pixels)
                source = folder / f"in.{suffix}"
                stored(source, pixels)
                del pixels
                for job in JOBS:
                    if job == "stream" and suffix not in ("png", "tif", "jpg"):
                        continue
                    path = source if job == "read" else folder / f"out.{suffix}"
                    runs = [
                        measured(options.package, job, folder, path, folder / "pixels.npy")
                        for _ in range(options.runs)
                    ]
                    seconds, busy = (statistics.median(run[i] for run in runs) for i in (0, 1))
                    memory = None if runs[0][2] is None else max(run[2] for run in runs)
                    row = {
                        "megapixels": megapixels,
                        "kind": kind,
                        "job": job,
                        "seconds": seconds,
                        "busy": busy,
                        "memory_mb": memory and memory / 1e6,
                        "file_mb": path.stat().st_size / 1e6,
                    }
                    rows.append(row)
                    print(
                        *(f"{v:.2f}" if isinstance(v, float) else v for v in row.values()),
                        flush=True,
                    )
    if options.output:
        options.output.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
