"""Describe the machine of a measurement, and measure its peak rate."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from swinir_deploy._version import __version__
from swinir_deploy.system.memory import highest_resident_bytes
from swinir_deploy.system.packages import is_importable

__all__ = [
    "DevicePeaks",
    "describe_machine",
    "device_peaks",
    "gemm_peak_gflops",
    "package_versions",
    "peak_rss_mb",
]

_TELLING_FLAGS = ("avx2", "f16c", "fma", "avx512", "avx_vnni", "amx", "asimd", "sve", "bf16")
_PACKAGES = (
    *("numpy", "torch", "onnx", "onnxruntime", "onnxruntime-gpu", "openvino"),
    *("tensorrt", "tensorrt-rtx-cu12", "tensorrt-rtx-cu13"),
)
_CPU_FREQUENCY = Path("/sys/devices/system/cpu/cpu0/cpufreq")
_DEVICE_SIDE = 8192
_GEMM_SIDE = 2048
_GEMM_SECONDS = 0.6


def describe_machine() -> dict[str, Any]:
    """Return the processor with its instruction sets and clock, the memory, system and GPUs."""
    fields = _cpu_info()
    flags = (fields.get("flags") or fields.get("Features") or "").split()
    facts: dict[str, Any] = {
        "processor": fields.get("model name") or platform.processor() or "unknown",
        "logical_cpus": os.cpu_count(),
        "usable_cpus": _usable_cpus(),
        "cpu_flags": [f for f in flags if any(mark in f for mark in _TELLING_FLAGS)],
        "system": f"{platform.system()} {platform.release()}",
        "architecture": platform.machine(),
    }
    if "cpu MHz" in fields:
        facts["cpu_mhz"] = float(fields["cpu MHz"])
    facts |= _cpu_frequency_policy()
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
        facts["memory_gb"] = round(pages * size / 1e9, 1)
    threads = {k: v for k, v in os.environ.items() if k.endswith("_NUM_THREADS")}
    if threads:
        facts["thread_settings"] = threads
    gpus = _gpus()
    if gpus:
        facts["gpus"] = gpus
    return facts


def package_versions() -> dict[str, str]:
    """Return name -> version of this package, Python, and the installed packages that compute."""
    facts = {"swinir-deploy": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            facts[package] = version(package)
        except PackageNotFoundError:
            continue
    return facts


def gemm_peak_gflops(precision: str = "fp32", threads: int | None = None) -> float | None:
    """Measure the highest rate at which this CPU multiplies matrices of 2048 x 2048.

    The rate is that of the fastest of three products: NumPy's and, if PyTorch is installed,
    PyTorch's (MKL for FP32) and oneDNN's. On CPUs that are not from Intel, MKL reaches half of
    their peak. A network of only large matrix products would reach this rate.

    FP16 is not measured: on a CPU, ONNX Runtime computes FP16 files in FP32, and PyTorch's FP16
    product takes seconds, so a share of either would have no meaning.

    Args:
        precision: ``fp32``, or ``bf16``, which needs PyTorch; ``fp16`` gives None.
        threads: number of threads of PyTorch; None is its default.

    Returns:
        The rate in GFLOP/s (10^9 operations a second), or None if it cannot be measured.
    """
    if precision == "fp16":
        return None
    products = _torch_products(precision, threads) if is_importable("torch") else []
    if precision == "fp32":
        matrix = np.ones((_GEMM_SIDE, _GEMM_SIDE), np.float32)
        products.append(lambda: matrix @ matrix)
    if not products:
        return None
    return 2 * _GEMM_SIDE**3 / min(map(_best_s, products)) / 1e9


def _best_s(multiply: Callable[[], object]) -> float:
    multiply()
    best, deadline = float("inf"), time.perf_counter() + _GEMM_SECONDS
    while time.perf_counter() < deadline:
        started = time.perf_counter()
        multiply()
        best = min(best, time.perf_counter() - started)
    return best


@dataclass(frozen=True)
class DevicePeaks:
    """What a GPU reaches in the two things that bound a network.

    Attributes:
        tera_flops: 10^12 operations a second of a large product of matrices.
        tera_bytes: 10^12 bytes a second of a large copy, read and written.
    """

    tera_flops: float
    tera_bytes: float


def device_peaks(device: str, precision: str) -> DevicePeaks | None:
    """Measure a CUDA device by PyTorch, in less than a second.

    Args:
        device: ``cuda`` or ``cuda:N``.
        precision: ``fp32`` (without TF32), ``fp16`` or ``bf16``: of the product.

    Returns:
        The peaks, or None where PyTorch is missing or does not reach the device.
    """
    if not device.startswith("cuda") or not is_importable("torch"):
        return None
    import torch

    if not torch.cuda.is_available():
        return None
    with torch.cuda.device(device):  # events belong to the current device
        peaks = _measured_peaks(torch, precision)
        torch.cuda.empty_cache()  # or it would count as a contender's memory
    return peaks


def _measured_peaks(torch: Any, precision: str) -> DevicePeaks:
    """Measure the current CUDA device; what it allocates is free again when it returns."""
    dtype = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[precision]
    matrix = torch.randn((_DEVICE_SIDE, _DEVICE_SIDE), device="cuda").to(dtype)
    source = torch.randn(2**27, device="cuda").to(torch.float16)
    target = torch.empty_like(source)
    product_ms = _median_ms(torch, lambda: matrix @ matrix)
    copy_ms = _median_ms(torch, lambda: target.copy_(source))
    moved = 2 * source.numel() * source.element_size()
    return DevicePeaks(2 * _DEVICE_SIDE**3 / product_ms / 1e9, moved / copy_ms / 1e9)


def _median_ms(torch: Any, work: Callable[[], object]) -> float:
    """Return the median of 11 runs by the device's events, after two that warm up."""
    times: list[float] = []
    for index in range(13):
        start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        work()
        stop.record()
        stop.synchronize()
        if index > 1:
            times.append(start.elapsed_time(stop))
    return sorted(times)[len(times) // 2]


def peak_rss_mb() -> float | None:
    """Return this process's maximum memory so far, in 10^6 bytes; None if it is unknown."""
    peak = highest_resident_bytes()
    return None if peak is None else peak / 1e6


def _torch_products(precision: str, threads: int | None) -> list[Callable[[], object]]:
    import torch

    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
    matrix = torch.ones(_GEMM_SIDE, _GEMM_SIDE, dtype=dtype)

    def with_threads(product: Callable[[], object]) -> Callable[[], object]:
        def multiply() -> None:
            before = torch.get_num_threads()
            try:
                torch.set_num_threads(threads or before)
                product()
            finally:
                torch.set_num_threads(before)

        return multiply

    def by_onednn() -> torch.Tensor:
        product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(
            matrix, matrix, None, "none", [], ""
        )
        return product

    products: list[Callable[[], object]] = [lambda: torch.mm(matrix, matrix)]
    try:
        by_onednn()
    except (AttributeError, RuntimeError, TypeError):  # a PyTorch without oneDNN
        pass
    else:
        products.append(by_onednn)
    return [with_threads(product) for product in products]


def _cpu_info() -> dict[str, str]:
    """Return the fields of the first processor in ``/proc/cpuinfo``; empty without that file."""
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return {}
    first = info.read_text(errors="replace").split("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _cpu_frequency_policy() -> dict[str, Any]:
    """Return governor and maximum clock of the first processor, if the system shows them."""
    facts: dict[str, Any] = {}
    with contextlib.suppress(OSError):
        facts["cpu_governor"] = (_CPU_FREQUENCY / "scaling_governor").read_text().strip()
    with contextlib.suppress(OSError, ValueError):
        facts["cpu_max_mhz"] = int((_CPU_FREQUENCY / "cpuinfo_max_freq").read_text()) / 1000
    return facts


def _usable_cpus() -> int | None:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _gpus() -> list[dict[str, str]]:
    """Return name, driver, clocks and power limit of each NVIDIA GPU, as ``nvidia-smi`` says."""
    if shutil.which("nvidia-smi") is None:
        return []
    names = ("name", "driver_version", "clocks.sm", "clocks.max.sm", "power.limit")
    try:
        answer = subprocess.run(
            ["nvidia-smi", f"--query-gpu={','.join(names)}", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    rows = (line.split(", ") for line in answer.stdout.strip().splitlines())
    return [dict(zip(names, row, strict=False)) for row in rows]
