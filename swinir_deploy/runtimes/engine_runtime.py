"""What back ends that run an engine on an NVIDIA GPU share: threads, memory and tensors."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from swinir_deploy.errors import RuntimeClosedError, UsageError
from swinir_deploy.nvidia.cuda import CudaDevice, DeviceArray
from swinir_deploy.nvidia.gpu import gpu_number
from swinir_deploy.runtimes.base import Runtime
from swinir_deploy.runtimes.engine_lane import Engine, Lane

__all__ = ["EngineRuntime"]


class EngineRuntime(Runtime):
    """An engine on an NVIDIA GPU.

    A back end's ``_load`` opens the GPU and the engine, and passes them to :meth:`_use`.

    Args:
        model: path of the engine.
        device: ``cuda`` (default) or ``cuda:N``.
        contexts: number of threads that compute at the same time; each has its own memory. If more
            threads call :meth:`run`, they wait.
        cuda_graphs: the largest number of CUDA graphs to keep for each of these threads; 0 records
            none.

    Raises:
        UsageError: there is no such device, or a number is impossible.
    """

    def __init__(
        self,
        model: str | os.PathLike[str],
        device: str | None,
        contexts: int,
        cuda_graphs: int,
    ) -> None:
        self._path = Path(model)
        self._device_index = gpu_number(device)
        if contexts < 1 or cuda_graphs < 0:
            raise UsageError(
                f"contexts is {contexts} and cuda_graphs {cuda_graphs}; they must be at least 1 "
                "and 0."
            )
        self._max_lanes, self._graph_limit = contexts, cuda_graphs
        self._lanes_changed = threading.Condition()
        self._lanes: list[Lane] = []
        self._idle: list[Lane] = []
        self._taken = 0
        super().__init__()

    @property
    def captured_graphs(self) -> int:
        """Return the number of CUDA graphs that were recorded, without those that RTX captures."""
        with self._lanes_changed:
            return sum(lane.captured for lane in self._lanes)

    @property
    def graph_errors(self) -> tuple[str, ...]:
        """Return the errors because of which no more CUDA graphs are recorded; () without any."""
        with self._lanes_changed:
            return tuple(lane.graph_error for lane in self._lanes if lane.graph_error)

    def _use(self, device: CudaDevice, engine: Engine) -> None:
        """Take the GPU and the engine that the lanes run."""
        self._device = device
        self._lane_engine = engine

    def _close_engine(self) -> None:
        """Release the engine; its lanes are closed already."""
        raise NotImplementedError

    # -------------------------------------------------------------------------------- hooks

    def _infer(self, batch: NDArray[Any]) -> NDArray[Any]:
        with self._lane() as lane:
            result = lane.run(batch, self._spec.output_shape(batch.shape), timed=self._times_device)
            self._device_ms = lane.device_ms
        return result

    def _takes_gpu_memory(self) -> bool:
        return True

    def _copy_to_gpu(self, batch: NDArray[Any]) -> DeviceArray:
        with self._lane() as lane:
            return lane.copy_to_gpu(batch)

    def _describe_on_gpu(self, tensor: Any) -> tuple[tuple[int, ...], Any]:
        self._device.activate()
        view = self._device.view(tensor, None)
        return tuple(view.shape), view.dtype

    def _infer_on_gpu(self, tensor: Any, shape: tuple[int, ...]) -> DeviceArray:
        with self._lane() as lane:
            result = lane.run_on_gpu(
                tensor, self._spec.output_shape(shape), timed=self._times_device
            )
            self._device_ms = lane.device_ms
        return result

    def _unload(self) -> None:
        self._device.activate()
        with self._lanes_changed:
            # Wait for the runs that had begun when close() was called.
            self._lanes_changed.wait_for(lambda: self._taken == 0)
            for lane in self._lanes:
                lane.close()
            self._lanes, self._idle = [], []
        self._close_engine()

    @contextlib.contextmanager
    def _lane(self) -> Iterator[Lane]:
        """Yield a lane for this thread alone; wait while all lanes are in use."""
        self._device.activate()
        lane: Lane | None = None
        with self._lanes_changed:
            self._lanes_changed.wait_for(lambda: self._taken < self._max_lanes)
            if self.closed:
                raise RuntimeClosedError(
                    f"{self._path} was closed while this run waited for it. Open it again."
                )
            self._taken += 1
            if self._idle:
                lane = self._idle.pop()
        try:
            if lane is None:
                lane = Lane(self._lane_engine, self._device, self._graph_limit)
                with self._lanes_changed:
                    self._lanes.append(lane)
            yield lane
        finally:
            with self._lanes_changed:
                self._taken -= 1
                if lane is not None:
                    self._idle.append(lane)
                self._lanes_changed.notify_all()
