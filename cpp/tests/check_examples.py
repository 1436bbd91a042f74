"""Run the examples and compare what they write with what Python makes of the same pictures.

python check_examples.py PROGRAMS LIBSWINIR MODEL LIBRARY [LAUNCHER]

PROGRAMS is the folder they were built in, LIBSWINIR the installed library, LIBRARY that of ONNX
Runtime. LAUNCHER runs programs that were compiled for Windows.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from swinir_deploy import Restorer, open_runtime

PROGRAMS, LIBSWINIR, MODEL, LIBRARY = (Path(argument).resolve() for argument in sys.argv[1:5])
LAUNCHER = sys.argv[5:]
SUFFIX = ".exe" if LAUNCHER else ""
EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
WIDTH, HEIGHT = 33, 20


def picture(seed: int, *shape: int) -> NDArray[np.uint8]:
    """Return noise, the same in every run."""
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def run(*command: object, data: bytes | None = None) -> bytes:
    """Run a command; return what it writes to stdout."""
    words = [str(word) for word in command]
    return subprocess.run(words, input=data, stdout=subprocess.PIPE, check=True).stdout


def run_example(name: str, *arguments: object, data: bytes | None = None) -> bytes:
    """Run one of the programs."""
    return run(*LAUNCHER, PROGRAMS / f"{name}{SUFFIX}", *arguments, data=data)


def expect(found: NDArray[np.uint8], wanted: NDArray[np.uint8], what: str) -> None:
    """End with an error where they are more than one level apart."""
    if found.shape != wanted.shape or np.abs(found.astype(int) - wanted).max() > 1:
        sys.exit(f"{what}: not the picture that Python makes")


def check_y4m(restore: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]) -> None:
    """Compare a stream of YUV4MPEG2 with the equations of BT.601 in the limited range."""
    levels = np.random.default_rng(4).integers(60, 190, (2, 3, HEIGHT, WIDTH), dtype=np.uint8)
    head = b"YUV4MPEG2 W%d H%d F30000:1001 Ip A4:3 C444\n" % (WIDTH, HEIGHT)
    data = head + b"".join(b"FRAME\n" + frame.tobytes() for frame in levels)
    stream = run_example("swinir-filter", MODEL, "y4m", LIBRARY, data=data)
    line, _, rest = stream.partition(b"\n")
    if line != b"YUV4MPEG2 W%d H%d F30000:1001 Ip A4:3 C444" % (2 * WIDTH, 2 * HEIGHT):
        sys.exit(f"swinir-filter y4m: the head is {line!r}")
    size = 12 * HEIGHT * WIDTH
    if len(rest) != 2 * (6 + size):
        sys.exit("swinir-filter y4m: the frames have another length")
    to_luma = np.array([0.299, 0.587, 0.114])
    for index, frame in enumerate(levels.astype(float)):
        y, cb, cr = (frame[0] - 16) / 219, (frame[1] - 128) / 224, (frame[2] - 128) / 224
        red, blue = y + 1.402 * cr, y + 1.772 * cb
        rgb = np.stack([red, (y - 0.299 * red - 0.114 * blue) / 0.587, blue], axis=-1)
        large = restore(np.rint(np.clip(rgb, 0, 1) * 255).astype(np.uint8)) / 255
        luma = large @ to_luma
        planes = [16 + 219 * luma, 128 + 224 / 1.772 * (large[..., 2] - luma)]
        planes.append(128 + 224 / 1.402 * (large[..., 0] - luma))
        start = index * (6 + size) + 6
        found = np.frombuffer(rest[start : start + size], np.uint8)
        wanted = np.rint(np.stack(planes)).astype(np.uint8)
        expect(found.reshape(3, 2 * HEIGHT, 2 * WIDTH), wanted, "swinir-filter y4m")


def main() -> None:
    """Run all of them."""
    names = ["swinir-filter", "restore_folder"]
    with open_runtime(MODEL) as runtime, tempfile.TemporaryDirectory() as name:
        folder, restore = Path(name), Restorer(runtime, progress=False).restore_array
        rgb, gray = picture(0, HEIGHT, WIDTH, 3), picture(1, HEIGHT, WIDTH)

        frames = np.stack([rgb, picture(2, HEIGHT, WIDTH, 3), picture(3, HEIGHT, WIDTH, 3)])
        stream = run_example("swinir-filter", MODEL, WIDTH, HEIGHT, LIBRARY, data=frames.tobytes())
        result = np.frombuffer(stream, np.uint8).reshape(3, 2 * HEIGHT, 2 * WIDTH, 3)
        for found, frame in zip(result, frames, strict=True):
            expect(found, restore(frame), "swinir-filter")

        check_y4m(restore)

        source = folder / "in"
        source.mkdir()
        Image.fromarray(rgb).save(source / "rgb.ppm")
        Image.fromarray(gray).save(source / "gray.pgm")
        run_example("restore_folder", MODEL, source, folder / "out", 2, LIBRARY)
        for file, pixels in (("rgb.ppm", rgb), ("gray.pgm", gray)):
            expect(np.array(Image.open(folder / "out" / file)), restore(pixels), file)

        before, after = folder / "before.png", folder / "after.png"
        Image.fromarray(rgb).save(before)
        if not LAUNCHER:  # Python would have to run there too
            names.append("restore.py")
            script = EXAMPLES / "restore.py"
            run(sys.executable, script, LIBSWINIR, MODEL, LIBRARY, before, after)
            expect(np.array(Image.open(after)), restore(rgb), "restore.py")

        if (PROGRAMS / f"restore_png{SUFFIX}").exists():  # it needs libpng
            names.append("restore_png")
            run_example("restore_png", MODEL, before, after, LIBRARY)
            expect(np.array(Image.open(after).convert("RGB")), restore(rgb), "restore_png")
    print("right:", ", ".join(names))


if __name__ == "__main__":
    main()
