"""What the program takes before it does anything: processor time of processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from swinir_deploy import open_runtime

pytestmark = [
    pytest.mark.serial,
    pytest.mark.skipif(not hasattr(os, "wait4"), reason="asks for a child's own time"),
]

HELP_S = 0.3
OVERHEAD_S = 1.0
"""Bars of time on the clock. Processor time, which other programs change little, is not below it
here: nothing waits, and threads only add to it."""


def processor_seconds(*arguments: object) -> float:
    """The least of three runs of the program."""
    command = [sys.executable, "-m", "swinir_deploy", *map(str, arguments)]
    best = float("inf")
    for _ in range(3):
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        assert child.returncode == 0
        best = min(best, used.ru_utime + used.ru_stime)
    return best


@pytest.mark.parametrize("arguments", [["--help"], ["restore", "--help"]])
def test_help_is_there_at_once(arguments: list[str]) -> None:
    assert processor_seconds(*arguments) < HELP_S


def test_restoring_a_small_picture_takes_little_besides_the_inference(
    onnx_file: Path, tmp_path: Path
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (48, 48, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "in.png")
    with open_runtime(onnx_file) as runtime:
        batch = pixels.transpose(2, 0, 1)[None].astype(np.float32) / 255
        runtime.run(batch)
        started = time.process_time()
        runtime.run(batch)
        inference_s = time.process_time() - started
    arguments = ("restore", tmp_path / "in.png", tmp_path / "out.png", "--model", onnx_file)
    assert processor_seconds(*arguments, "--overwrite", "--quiet") < OVERHEAD_S + inference_s
