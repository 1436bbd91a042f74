"""Time, use of the processors and peak memory of ``swinir-deploy restore``, each run a process.

    python tools/measure_restore.py RUNS IN OUT --model FILE [options of restore]

Busy is the time that the processors computed for the process over the time that they could have.
Threads that wait in a loop for work count as busy, so look at the time on the clock, too.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path


def measured(source: str, target: Path, options: list[str]) -> tuple[float, float, float]:
    """One run: seconds on the clock, share of the processors, 10^6 bytes of resident memory."""
    if target.is_dir():
        shutil.rmtree(target)
    command = [sys.executable, "-m", "swinir_deploy", "restore", source, str(target), *options]
    started = time.perf_counter()
    child = subprocess.Popen([*command, "--quiet", "--overwrite"])
    _, status, used = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - started
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(child.returncode)
    processors = len(os.sched_getaffinity(0))
    busy = (used.ru_utime + used.ru_stime) / seconds / processors
    return seconds, busy, used.ru_maxrss * 1024 / 1e6


def main() -> None:
    """Run, and print medians with their ranges."""
    runs, source, target, *options = sys.argv[1:]
    # OUT is emptied first: nothing that was there before may be lost.
    if Path(target).exists():
        sys.exit(f"{target} exists. Give a new name as OUT.")
    rows = [measured(source, Path(target), options) for _ in range(int(runs))]
    names = ("wall, s", "busy", "memory, MB")
    for name, values in zip(names, zip(*rows, strict=True), strict=True):
        middle, least, most = statistics.median(values), min(values), max(values)
        print(f"{name:10} {middle:9.3f} ({least:.3f} to {most:.3f})")


if __name__ == "__main__":
    main()
