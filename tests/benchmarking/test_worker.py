"""Objects in processes of their own: results, errors, and processes that end too early."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from swinir_deploy.benchmarking.worker import WorkerProcess
from swinir_deploy.errors import (
    BackendUnavailableError,
    InferenceError,
    SwinIRDeployWarning,
    UsageError,
)

posix = pytest.mark.skipif(os.name != "posix", reason="signals are those of POSIX")


class Unpicklable(Exception):
    def __init__(self, lock: object, words: str) -> None:
        super().__init__(words)
        self.lock = lock


class Worker:
    """Made in the other process."""

    def __init__(self, trouble: str = "", folder: str = "") -> None:
        self.folder = folder
        if trouble == "usage":
            raise UsageError("no such option")
        if trouble == "unpicklable":
            raise Unpicklable(threading.Lock(), "holds a lock")
        if trouble == "exit":
            os._exit(7)
        if trouble == "warn":
            warnings.warn("the output may be wrong", SwinIRDeployWarning, stacklevel=2)
            warnings.warn("of a library", UserWarning, stacklevel=2)

    def where(self) -> tuple[int, list[str]]:
        return os.getpid(), sorted({name.partition(".")[0] for name in sys.modules})

    def double(self, batch: Any) -> Any:
        return 2 * batch

    def fail(self) -> None:
        raise BackendUnavailableError("no driver")

    def die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def close(self) -> None:
        if self.folder:
            Path(self.folder, "closed").touch()


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[WorkerProcess]:
    with closing(WorkerProcess(Worker, "", str(tmp_path))) as isolated:
        yield isolated


def process_of(worker: WorkerProcess) -> int:
    pid: int = worker.call("where")[0]
    return pid


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_calls_go_to_a_new_interpreter_which_closes_what_it_made(
    worker: WorkerProcess, tmp_path: Path
) -> None:
    assert "pytest" in sys.modules
    process, _ = worker.call("where")
    assert process != os.getpid()
    batch = np.arange(6).reshape(2, 3)
    np.testing.assert_array_equal(worker.call("double", batch), 2 * batch)
    worker.close()
    worker.close()
    assert (tmp_path / "closed").exists()
    assert not is_running(process)


def test_an_error_has_its_own_type_and_the_worker_goes_on(worker: WorkerProcess) -> None:
    with pytest.raises(BackendUnavailableError, match=r"^no driver$") as error:
        worker.call("fail")
    assert "in fail" in str(error.value.__cause__), "the traceback of the other process"
    assert worker.call("double", 2) == 4
    with pytest.raises(AttributeError, match="no_such"):
        worker.call("no_such")


@pytest.mark.parametrize(
    ("trouble", "kind", "message"),
    [
        ("usage", UsageError, r"^no such option$"),
        ("unpicklable", InferenceError, r"^Unpicklable: holds a lock$"),
        ("exit", InferenceError, r"ended by itself \(exit code 7;"),
    ],
)
def test_what_cannot_be_made_says_why(trouble: str, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        WorkerProcess(Worker, trouble)


@posix
def test_a_process_that_is_killed_is_an_error(worker: WorkerProcess) -> None:
    with pytest.raises(InferenceError, match=r"exit code -9; .*ran out of memory"):
        worker.call("die")
    with pytest.raises(InferenceError, match="ended by itself"):
        worker.call("double", 1)


def test_warnings_of_this_package_are_passed_on() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        WorkerProcess(Worker, "warn").close()
    assert [(w.category, str(w.message)) for w in caught] == [
        (SwinIRDeployWarning, "the output may be wrong")
    ]


@posix
def test_an_interrupted_call_is_not_waited_for(worker: WorkerProcess, tmp_path: Path) -> None:
    process = process_of(worker)
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    started = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        worker.call("sleep", 60)
    worker.close()
    assert time.perf_counter() - started < 10
    assert not is_running(process)


@posix
def test_ctrl_c_does_not_reach_it(worker: WorkerProcess) -> None:
    os.kill(process_of(worker), signal.SIGINT)
    assert worker.call("double", 3) == 6
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, []), "nor is it kept from this process"
