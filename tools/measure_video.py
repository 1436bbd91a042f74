"""Measure what the video path costs, for docs/video.md. Needs ffmpeg.

Three figures: the share of the time in which the model computed; the processor time of a frame with
a model that only enlarges, beside ffmpeg that decodes, enlarges and encodes the same clip; the
memory of a process over 10,000 frames. Processor time is reported because it hardly depends on what
else the machine does; runs of both programs take turns, and medians are printed.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]

CHILD = """
import json, resource, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from fake_runtimes import FakeRuntime
from swinir_deploy.restoration.frames import FrameRestorer
from swinir_deploy.restoration.tiled_model import TiledModel
from swinir_deploy.system.memory import resident_bytes
from swinir_deploy.video.encoding import Encoding
from swinir_deploy.video.job import VideoOptions
from swinir_deploy.video.restore import restore_file
from swinir_deploy.video.source import Reading

source, target, frames = sys.argv[2], sys.argv[3], int(sys.argv[4])
held, restoring = [], []
restore = FrameRestorer.restore

def timed(self, frames):
    before = time.thread_time()
    try:
        return restore(self, frames)
    finally:
        restoring.append(time.thread_time() - before)

FrameRestorer.restore = timed

class Counting(FakeRuntime):
    seen = 0

    def _infer(self, batch):
        Counting.seen += 1
        self.shapes.clear()
        if Counting.seen % 2000 == 0 or Counting.seen == frames - 100:
            held.append(resident_bytes())
        return super()._infer(batch)

before = resource.getrusage(resource.RUSAGE_SELF)
with Counting(scale=2) as runtime:
    encoding = Encoding("h264", 16, options={"preset": "ultrafast"})
    model = TiledModel(runtime, 0, 8, None, progress=False)
    options = VideoOptions(Reading(frames=frames), encoding, dedupe=False, progress=False)
    report = restore_file(model, Path(source), Path(target), options)
after = resource.getrusage(resource.RUSAGE_SELF)
used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
found = {"cpu_s": used, "restoring_s": sum(restoring), "held": held}
print(json.dumps(found | {"frames": report.frames}))
"""


def clip(path: Path, size: str, frames: int) -> Path:
    """Write a clip in H.264."""
    source = f"testsrc2=s={size}:r=25:d={frames / 25}"
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", source, "-pix_fmt", "yuv420p"]
    subprocess.run([*command, "-c:v", "libx264", "-colorspace", "bt709", str(path)], check=True)
    return path


def through_package(source: Path, target: Path, frames: int) -> dict[str, Any]:
    """Return what a child found that restored a clip with a model that only enlarges."""
    command = [sys.executable, "-c", CHILD, str(ROOT / "tests" / "fakes")]
    done = subprocess.run(
        [*command, str(source), str(target), str(frames)], check=True, capture_output=True
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def through_ffmpeg(source: Path, target: Path, frames: int) -> float:
    """Return the processor time in seconds of ffmpeg on the same frames."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = ["ffmpeg", "-v", "error", "-y", "-i", str(source), "-frames:v", str(frames)]
    command += ["-vf", "scale=iw*2:ih*2:flags=neighbor", "-c:v", "libx264", "-crf", "16"]
    subprocess.run([*command, "-preset", "ultrafast", str(target)], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def overhead(folder: Path, rounds: int) -> None:
    """Print the processor time of a frame of both programs, without what they take to start."""
    few, many = 50, 250
    source = clip(folder / "clip.mp4", "320x180", many)
    times: dict[str, list[float]] = {"the video path": [], "tiles and model": [], "ffmpeg": []}
    for _ in range(rounds):
        short, long = (through_package(source, folder / "o.mp4", n) for n in (few, many))
        spent, restoring = (long[k] - short[k] for k in ("cpu_s", "restoring_s"))
        times["the video path"].append(spent - restoring)
        times["tiles and model"].append(restoring)
        lengths = [through_ffmpeg(source, folder / "f.mp4", n) for n in (few, many)]
        times["ffmpeg"].append(lengths[1] - lengths[0])
    for name, taken in times.items():
        median = statistics.median(taken) / (many - few) * 1e3
        print(f"{name}: {median:.2f} ms of processor time a frame (320x180 -> 640x360)")


def busy(folder: Path, rounds: int) -> None:
    """Print the share of the time in which the model computed."""
    source = clip(folder / "clip.mkv", "320x180", 40)
    shares = []
    for _ in range(rounds):
        command = [sys.executable, "-m", "swinir_deploy", "restore", str(source)]
        command += [str(folder / "b.mp4"), "--model", "tiny-sr-x2", "--overwrite", "--json"]
        done = subprocess.run([*command, "--no-dedupe"], check=True, capture_output=True, cwd=ROOT)
        shares.append(json.loads(done.stdout)["video"]["model_share"])
    print(f"model busy: {statistics.median(shares):.1%} of the time ({shares})")


def memory(folder: Path) -> None:
    """Print the memory of a process over a long clip."""
    source = clip(folder / "long.mp4", "64x48", 10_000)
    found = through_package(source, folder / "m.mp4", 10_000)
    print("MB held after 2,000 frames and so on:", [round(b / 1e6, 1) for b in found["held"]])


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("figures", nargs="*", default=["busy", "overhead", "memory"])
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if "busy" in asked.figures:
            busy(folder, asked.rounds)
        if "overhead" in asked.figures:
            overhead(folder, asked.rounds)
        if "memory" in asked.figures:
            memory(folder)


if __name__ == "__main__":
    main()
