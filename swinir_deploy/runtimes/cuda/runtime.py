"""The back end ``cuda``: an engine of this project's own kernels."""

from __future__ import annotations

import os
from dataclasses import replace

from swinir_deploy.artifacts.engine import EngineMetadata, read_engine_metadata
from swinir_deploy.nvidia.cuda import CudaDevice
from swinir_deploy.runtimes.cuda.engine import LoadedCudaEngine
from swinir_deploy.runtimes.engine_runtime import EngineRuntime
from swinir_deploy.runtimes.spec import RuntimeSpec

__all__ = ["CudaRuntime"]


class CudaRuntime(EngineRuntime):
    """An engine that ``swinir-deploy build --target cuda`` made, on an NVIDIA GPU.

    It needs the driver and cuda-core: neither TensorRT, nor torch, nor a compiler. :meth:`run`
    copies from and to host memory. :meth:`run_on_gpu` uses a tensor of torch or cupy without a
    copy. Batch and sides are free.

    Args:
        model: path of the engine; its ``.json`` sidecar must be beside it.
        device: ``cuda`` (default) or ``cuda:N``.
        contexts: number of threads that compute at the same time; each has its own memory. If more
            threads call :meth:`run`, they wait.
        cuda_graphs: the largest number of CUDA graphs to keep for each of these threads; 0 records
            none.
        sidecar: the sidecar, if it was read already.

    Raises:
        ArtifactError: the engine is damaged, or has no machine code for this GPU.
        BackendUnavailableError: cuda-python, the driver or the GPU is missing.
        UsageError: there is no such device.
    """

    def __init__(
        self,
        model: str | os.PathLike[str],
        device: str | None = None,
        *,
        contexts: int = 2,
        cuda_graphs: int = 8,
        sidecar: EngineMetadata | None = None,
    ) -> None:
        self._sidecar = sidecar
        super().__init__(model, device, contexts, cuda_graphs)

    def _load(self) -> RuntimeSpec:
        metadata = self._sidecar or read_engine_metadata(self._path)
        device = CudaDevice(self._device_index)
        self._engine = LoadedCudaEngine(self._path, metadata, device)
        self._use(device, self._engine)
        spec = RuntimeSpec.of_artifact(
            metadata.model, "cuda", f"cuda:{self._device_index}", (None,) * 4
        )
        return replace(
            spec,
            kernels="fused",
            kernels_reason=f"{device.gpu.name} ({device.gpu.architecture}), code for "
            f"{self._engine.architecture} by {metadata.library_version}.",
        )

    def _check_range(self, shape: tuple[int, ...]) -> None:
        self._engine.plan(shape)

    def _close_engine(self) -> None:
        self._engine.close()
