"""SIGTERM and SIGHUP in processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows ends processes without asking")

BEGIN = """
import hashlib, sys, time
from swinir_deploy.system import termination
from swinir_deploy.system.files import atomic_output
termination._GRACE_S = 0.5
termination.clean_up_when_terminated()
"""

WRITE = """
with atomic_output(sys.argv[1]) as partial:
    partial.write_bytes(b"half")
    print("writing", flush=True)
    {wait}
"""


def ended(code: str, target: Path, *signals: int, before: str = "") -> tuple[int, float, str]:
    """Run code until it prints a line, send signals; return exit code, seconds, and stderr."""
    process = subprocess.Popen(
        [sys.executable, "-c", before + BEGIN + code, target],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    time.sleep(0.5)  # until it is in its call: before, its own thread could still take the signal
    started = time.monotonic()
    for number in signals:
        process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    return process.returncode, time.monotonic() - started, stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_the_work_unwinds(tmp_path: Path, number: signal.Signals) -> None:
    target = tmp_path / "a.onnx"
    code, _, stderr = ended(WRITE.format(wait="time.sleep(60)"), target, number)
    assert code != 0 and f"Terminated: Ended by {number.name}" in stderr
    assert list(tmp_path.iterdir()) == []


def test_a_library_that_does_not_return_is_not_waited_for(tmp_path: Path) -> None:
    # Minutes in one call of C, which lets other threads run; handlers wait for its end.
    wait = "hashlib.pbkdf2_hmac('sha256', b'a', b'b', 2**31 - 1)"
    code, seconds, _ = ended(WRITE.format(wait=wait), tmp_path / "a.onnx", signal.SIGTERM)
    assert code == 128 + signal.SIGTERM
    assert seconds < 20
    assert list(tmp_path.iterdir()) == []


def test_a_second_signal_does_not_stop_the_cleaning(tmp_path: Path) -> None:
    code = """
try:
    with atomic_output(sys.argv[1]) as partial:
        partial.write_bytes(b"half")
        print("writing", flush=True)
        time.sleep(60)
finally:
    time.sleep(0.2)
    print("cleaned", file=sys.stderr)
"""
    _, _, stderr = ended(code, tmp_path / "a.onnx", signal.SIGTERM, signal.SIGTERM, signal.SIGHUP)
    assert "cleaned" in stderr
    assert list(tmp_path.iterdir()) == []


def test_nohup_is_respected(tmp_path: Path) -> None:
    before = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
    target = tmp_path / "a.onnx"
    wait = "time.sleep(1.5)"
    code, _, _ = ended(WRITE.format(wait=wait), target, signal.SIGHUP, before=before)
    assert code == 0 and target.read_bytes() == b"half"
