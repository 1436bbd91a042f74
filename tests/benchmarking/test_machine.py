"""What is said about the machine, against what the system itself says."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from swinir_deploy.benchmarking import machine
from swinir_deploy.benchmarking.machine import describe_machine, gemm_peak_gflops, package_versions


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_machine_is_described_as_the_system_does() -> None:
    found = describe_machine()
    assert found["logical_cpus"] == os.cpu_count()
    assert found["usable_cpus"] == len(os.sched_getaffinity(0))
    assert set(found["cpu_flags"]) <= set(Path("/proc/cpuinfo").read_text().split())
    total_kb = int(Path("/proc/meminfo").read_text().split()[1])
    assert found["memory_gb"] == pytest.approx(total_kb * 1024 / 1e9, rel=0.02)


def test_the_clock_that_the_system_sets_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files of Linux's cpufreq, whose clocks are in kHz; a virtual machine has none."""
    monkeypatch.setattr(machine, "_CPU_FREQUENCY", tmp_path)
    assert "cpu_governor" not in describe_machine()
    (tmp_path / "scaling_governor").write_text("performance\n")
    (tmp_path / "cpuinfo_max_freq").write_text("3400000\n")
    found = describe_machine()
    assert (found["cpu_governor"], found["cpu_max_mhz"]) == ("performance", 3400.0)


def test_thread_settings_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert describe_machine()["thread_settings"]["OMP_NUM_THREADS"] == "1"


def test_graphics_cards_are_read_from_nvidias_tool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'NVIDIA L4, 580.1, 210 MHz, 2040 MHz, 72.00 W'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    (card,) = describe_machine()["gpus"]
    assert card["name"] == "NVIDIA L4"
    assert card["clocks.max.sm"] == "2040 MHz"
    tool.write_text("#!/bin/sh\nexit 9\n")
    assert "gpus" not in describe_machine()


def test_versions_are_those_of_the_packages() -> None:
    found = package_versions()
    assert found["numpy"] == np.__version__
    assert found["python"] == sys.version.split()[0]


@pytest.mark.serial
def test_the_peak_is_about_what_numpy_reaches() -> None:
    """Two libraries on one machine: within a factor of five even while others use it."""
    ours = gemm_peak_gflops("fp32")
    assert ours is not None
    matrix = np.random.default_rng(0).random((1024, 1024), np.float32)
    times = []
    for _ in range(5):
        started = time.perf_counter()
        matrix @ matrix
        times.append(time.perf_counter() - started)
    assert 0.2 < ours / (2 * 1024**3 / min(times) / 1e9) < 5


def test_without_torch_only_full_precision_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "is_importable", lambda name: False)
    assert gemm_peak_gflops("bf16") is None
    peak = gemm_peak_gflops("fp32")
    assert peak is not None
    assert peak > 1


def test_half_precision_has_no_peak_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(*_: object) -> None:
        raise AssertionError("a product in FP16 takes seconds")

    monkeypatch.setattr(machine, "_torch_products", measured)
    assert gemm_peak_gflops("fp16") is None


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_peak_of_memory_is_this_processs() -> None:
    """320 MB more than without them, whatever the process that started it holds."""
    code = (
        "import numpy; numpy.ones({}); "
        "from swinir_deploy.benchmarking.machine import peak_rss_mb; print(peak_rss_mb())"
    )
    small, large = (
        float(subprocess.check_output([sys.executable, "-c", code.format(count)]))
        for count in (1, 40_000_000)
    )
    assert large - small == pytest.approx(320, abs=30)
    assert small < 200
