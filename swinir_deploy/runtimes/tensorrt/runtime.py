"""The back ends of TensorRT 10.x, 11.x and TensorRT for RTX.

They run an engine that ``swinir-deploy build`` made.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from swinir_deploy.artifacts.engine import EngineMetadata, read_engine_metadata
from swinir_deploy.artifacts.shapes import ShapeProfile
from swinir_deploy.nvidia.cuda import CudaDevice
from swinir_deploy.nvidia.tensorrt_library import load_library
from swinir_deploy.runtimes.engine_runtime import EngineRuntime
from swinir_deploy.runtimes.spec import RuntimeSpec
from swinir_deploy.runtimes.tensorrt.engine import LoadedEngine, runtime_cache_path
from swinir_deploy.runtimes.tensorrt.profiles import choose_profile, fixed_sizes, widest_profile

__all__ = ["TensorRtRuntime"]


class TensorRtRuntime(EngineRuntime):
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
        self._requested_cache, self._onnx, self._sidecar = runtime_cache, onnx, sidecar
        super().__init__(model, device, contexts, cuda_graphs)

    # -------------------------------------------------------------------------------- hooks

    def _load(self) -> RuntimeSpec:
        metadata = self._sidecar or read_engine_metadata(self._path)
        library = load_library(metadata.tensorrt)
        # Without a GPU, some factories of TensorRT return invalid pointers. So the GPU comes first.
        device = CudaDevice(self._device_index)
        cache = runtime_cache_path(self._path) if self._requested_cache is True else None
        if not isinstance(self._requested_cache, bool):
            cache = Path(self._requested_cache)
        self._engine = LoadedEngine(
            self._path, metadata, library, device.gpu, onnx=self._onnx, runtime_cache=cache
        )
        self._use(device, self._engine)
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

    def _close_engine(self) -> None:
        self._engine.close()
