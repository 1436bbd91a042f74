"""Show the progress of a build, and stop it at Ctrl-C."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar, cast

from tqdm import tqdm

from swinir_deploy.nvidia.tensorrt_api import TensorRTModule

__all__ = ["BuildProgress", "interruptible", "make_monitor"]

Result = TypeVar("Result")

_POLL_S = 0.1


class BuildProgress:
    """A progress bar for what the library's progress monitor reports, from several threads.

    The bar counts the steps of all phases that have begun. Its text names the innermost phase.
    """

    def __init__(self, show: bool | None = None) -> None:
        """Create the bar; ``show`` None shows it if stderr is a terminal."""
        self._bar: tqdm[Any] = tqdm(
            total=0,
            disable=None if show is None else not show,
            leave=False,
            unit="step",
            bar_format="{desc}: {percentage:3.0f}% |{bar}| {elapsed}",
        )
        self._steps: dict[str, tuple[int, int]] = {}  # phase -> (steps done, all steps)
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self.steps_done = 0

    def stop(self) -> None:
        """Stop the build at its next step."""
        self._stopped.set()

    @property
    def stopped(self) -> bool:
        """Whether :meth:`stop` was called."""
        return self._stopped.is_set()

    def phase_start(self, name: str, parent: str | None, steps: int) -> None:
        """Note that a phase with ``steps`` steps begins inside the phase ``parent``."""
        with self._lock:
            self._steps[name] = (0, steps)
            self._bar.total = (self._bar.total or 0) + steps
            self._bar.set_description_str(name if parent is None else f"{parent}: {name}")

    def step_complete(self, name: str, step: int) -> bool:
        """Note that step number ``step`` has ended; return False to stop the build."""
        with self._lock:
            done, total = self._steps.get(name, (0, step + 1))
            self._advance(max(0, step + 1 - done))
            self._steps[name] = (max(done, step + 1), total)
        return not self._stopped.is_set()

    def phase_finish(self, name: str) -> None:
        """Note that a phase has ended; skipped steps count as done."""
        with self._lock:
            done, total = self._steps.pop(name, (0, 0))
            self._advance(max(0, total - done))

    def close(self) -> None:
        """Remove the bar."""
        with self._lock:
            self._bar.close()

    def _advance(self, steps: int) -> None:
        self.steps_done += steps
        self._bar.update(steps)


def make_monitor(api: TensorRTModule, progress: BuildProgress) -> Any:
    """Create a monitor, a subclass of the library's IProgressMonitor, that updates ``progress``."""
    base: Any = api.IProgressMonitor

    def initialise(self: Any) -> None:
        base.__init__(self)

    def phase_start(self: Any, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
        progress.phase_start(phase_name, parent_phase, num_steps)

    def step_complete(self: Any, phase_name: str, step: int) -> bool:
        return progress.step_complete(phase_name, step)

    def phase_finish(self: Any, phase_name: str) -> None:
        progress.phase_finish(phase_name)

    members = {
        "__init__": initialise,
        "phase_start": phase_start,
        "step_complete": step_complete,
        "phase_finish": phase_finish,
    }
    return type("Monitor", (base,), members)()


def interruptible(work: Callable[[], Result], stop: Callable[[], None]) -> Result:
    """Run ``work`` in a thread, so that Ctrl-C works while a library computes.

    Python handles signals in the main thread only, between its own instructions. A main thread
    inside a library would not notice them.

    Args:
        work: function that returns the result, or raises.
        stop: function that makes ``work`` end soon; called after Ctrl-C.

    Returns:
        The result of ``work``.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed. It is raised only after ``work`` has ended, because
            the objects in use must not be released before.
    """
    results: list[Any] = []
    errors: list[BaseException] = []

    def target() -> None:
        try:
            results.append(work())
        except BaseException as error:
            errors.append(error)
        finally:
            ended.set()

    # Before Python 3.13, an interrupted join() can treat a running thread as ended, so an event
    # tells the end.
    ended = threading.Event()
    threading.Thread(target=target, name="engine build", daemon=True).start()
    interrupt: KeyboardInterrupt | None = None
    while True:
        try:
            if interrupt is not None:
                stop()
            while not ended.wait(_POLL_S):
                pass
            break
        except KeyboardInterrupt as error:
            interrupt = error
    if interrupt is not None:
        raise interrupt
    if errors:
        raise errors[0]
    return cast("Result", results[0])
