"""Shared by all tests; this file also puts ``tests/`` on the import path, for ``oracle``."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from shared_traces import share_between_processes, shared_traces

from swinir_deploy.system.telemetry import refuse_onnxruntime_telemetry

# The tests' networks are small: more threads than one only wait for each other, and pytest-xdist
# already gives every core a process of its own. What the tests start keeps to it, too.
torch.set_num_threads(1)
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Tests import ONNX Runtime and OpenVINO by themselves; who runs them sends nothing either.
refuse_onnxruntime_telemetry()
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type] # its import fails

GPU_SUITE = Path(__file__).parent / "gpu"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave the GPU suite to ``make test-gpu``, which names its folder."""
    if collection_path == GPU_SUITE and not _is_named(config):
        return True
    return None


def pytest_report_header(config: pytest.Config) -> str | None:
    return None if _is_named(config) else "not collected: tests/gpu (make test-gpu)"


def _is_named(config: pytest.Config) -> bool:
    named = [Path(config.invocation_params.dir, arg.partition("::")[0]) for arg in config.args]
    return any(GPU_SUITE in (path.resolve(), *path.resolve().parents) for path in named)


@pytest.fixture(scope="session", autouse=True)
def traces_are_shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What one process of this run has traced, no other traces again."""
    base = tmp_path_factory.getbasetemp()
    is_worker = "PYTEST_XDIST_WORKER" in os.environ  # whose folder lies in the run's
    share_between_processes((base.parent if is_worker else base) / "traces")
    with shared_traces():
        yield


if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # A shell that starts the tests in the background has them ignore Ctrl-C, and the processes
    # that they start would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
