"""The back ends of TensorRT 10.x, 11.x and TensorRT for RTX.

They run an engine that ``swinir-deploy build`` made.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from swinir_deploy.artifacts.engine import EngineMetadata, read_engine_metadata
from swinir_deploy.artifacts.shapes import ShapeProfile
from swinir_deploy.errors import RuntimeClosedError, UsageError
from swinir_deploy.nvidia.cuda import CudaDevice, DeviceArray
from swinir_deploy.nvidia.gpu import gpu_number
from swinir_deploy.nvidia.tensorrt_library import load_library
from swinir_deploy.runtimes.base import Runtime
from swinir_deploy.runtimes.spec import RuntimeSpec
from swinir_deploy.runtimes.tensorrt.context import Lane
from swinir_deploy.runtimes.tensorrt.engine import LoadedEngine, runtime_cache_path
from swinir_deploy.runtimes.tensorrt.profiles import choose_profile, fixed_sizes, widest_profile

__all__ = ["TensorRtRuntime"]


class TensorRtRuntime(Runtime):
    """An engine on an NVIDIA GPU; neither torch nor onnx is needed.

    :meth:`run` copies from and to host memory. :meth:`run_on_gpu` uses a tensor of torch or cupy
    without a copy. Both take every shape that fits one of the profiles of the engine. The ranges in
    ``spec`` are those of the profile with the most shapes; ``spec.other_ranges`` has those of the
    other profiles.

    Args:
        model: path of the engine; its ``.json`` sidecar must be beside it.
        device: ``cuda`` (default) or ``cuda:N``.
        contexts: number of threads that compute at the same time; each has its own memory. If more
            threads call :meth:`run`, they wait.
        cuda_graphs: the largest number of CUDA graphs to keep for each of these threads; 0 records
            none. TensorRT for RTX captures graphs by itself and ignores this value.
        runtime_cache: whether TensorRT for RTX keeps the kernels that it compiles in a file beside
            the engine; or the path of this file.
        onnx: the ONNX file that the engine must have been built from; None skips this check.
        sidecar: the sidecar, if it was read already.

    Raises:
        ArtifactError: the engine is damaged, or was built for another GPU, library or model.
        BackendUnavailableError: the library, cuda-python, the driver or the GPU is missing.
        UsageError: there is no such device.
    """

    def __init__(
        self,
        model: str | os.PathLike[str],
        device: str | None = None,
        *,
        contexts: int = 2,
        cuda_graphs: int = 8,
        runtime_cache: bool | str | os.PathLike[str] = True,
        onnx: str | os.PathLike[str] | None = None,
        sidecar: EngineMetadata | None = None,
    ) -> None:
        self._path = Path(model)
        self._device_index = gpu_number(device)
        if contexts < 1 or cuda_graphs < 0:
            raise UsageError(
                f"contexts is {contexts} and cuda_graphs {cuda_graphs}; they must be at least 1 "
                "and 0."
            )
        self._max_lanes, self._graph_limit = contexts, cuda_graphs
        self._requested_cache, self._onnx, self._sidecar = runtime_cache, onnx, sidecar
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

    # -------------------------------------------------------------------------------- hooks

    def _load(self) -> RuntimeSpec:
        metadata = self._sidecar or read_engine_metadata(self._path)
        library = load_library(metadata.flavour)
        # Without a GPU, some factories of TensorRT return invalid pointers. So the GPU comes first.
        self._device = CudaDevice(self._device_index)
        cache = runtime_cache_path(self._path) if self._requested_cache is True else None
        if not isinstance(self._requested_cache, bool):
            cache = Path(self._requested_cache)
        self._engine = LoadedEngine(
            self._path, metadata, library, self._device.gpu, onnx=self._onnx, runtime_cache=cache
        )
        self._lanes_changed = threading.Condition()
        self._lanes: list[Lane] = []
        self._idle: list[Lane] = []
        self._taken = 0
        profiles = self._engine.profiles
        spec = RuntimeSpec.of_artifact(
            metadata.model,
            metadata.flavour,
            f"cuda:{self._device_index}",
            fixed_sizes(profiles),
        )
        smallest = min(min(spec.batch_height_width(profile.min)[1:]) for profile in profiles)
        widest = widest_profile(profiles)

        def ranges(profile: ShapeProfile) -> tuple[tuple[int, int], ...]:
            low, high = map(spec.batch_height_width, (profile.min, profile.max))
            return tuple(zip(low, high, strict=True))

        (min_batch, max_batch), (min_height, max_height), (min_width, max_width) = ranges(widest)
        return replace(
            spec,
            min_side_px=max(spec.min_side_px, smallest),
            min_batch=min_batch,
            max_batch=max_batch,
            min_height=min_height,
            max_height=max_height,
            min_width=min_width,
            max_width=max_width,
            other_ranges=tuple(ranges(profile) for profile in profiles if profile != widest),
        )

    def _check_range(self, shape: tuple[int, ...]) -> None:
        choose_profile(self._engine.profiles, shape)

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
        self._engine.close()

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
                lane = Lane(self._engine, self._device, self._graph_limit)
                with self._lanes_changed:
                    self._lanes.append(lane)
            yield lane
        finally:
            with self._lanes_changed:
                self._taken -= 1
                if lane is not None:
                    self._idle.append(lane)
                self._lanes_changed.notify_all()
