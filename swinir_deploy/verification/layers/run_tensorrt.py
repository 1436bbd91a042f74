"""Run an ONNX file in TensorRT or TensorRT for RTX and return every tensor, by Polygraphy.

A finished engine gives only its output, so another engine is built here in which every tensor is
an output. Polygraphy supports both libraries, but only one in a process: it chooses when it is
imported.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swinir_deploy.errors import BackendUnavailableError, CheckFailedError, UsageError
from swinir_deploy.nvidia.gpu import Gpu, choose_gpu, find_gpu, gpu_number
from swinir_deploy.nvidia.tensorrt_api import IBuilderConfig
from swinir_deploy.nvidia.tensorrt_library import FLAVOURS, FlavourName, load_library
from swinir_deploy.runtimes import BACKENDS
from swinir_deploy.verification.layers.marked import (
    MarkedModel,
    Tensors,
    quiet_polygraphy,
    visible_tensors,
)

__all__ = ["gpu_for", "marked_network", "run_on_tensorrt", "select_flavour"]

_SWITCH = "POLYGRAPHY_USE_TENSORRT_RTX"
_SEARCH_PATH = "LD_LIBRARY_PATH"


def run_on_tensorrt(
    marked: MarkedModel, batch: NDArray[Any], *, backend: str, device: str | None = None
) -> Tensors:
    """Build an engine in which every tensor is an output, and run it once.

    FP32 products are computed without TF32. Sizes and masks of integers are left out, because the
    builder computes them in advance.

    Args:
        marked: the model.
        batch: the input, in the model's layout. The engine is built for its shape.
        backend: ``tensorrt`` or ``rtx``.
        device: ``cuda`` (default) or ``cuda:N``.

    Raises:
        BackendUnavailableError: the library, cuda-python, a driver or a GPU is missing.
        CheckFailedError: the library could not build or run the engine.
        UsageError: the device is unknown, or this process uses Polygraphy with the other library.
    """
    flavour: FlavourName = "rtx" if BACKENDS[backend].flavour == "rtx" else "tensorrt"
    gpu = gpu_for(device)
    library = load_library(flavour)
    select_flavour(flavour)
    choose_gpu(gpu)
    _load_cuda_runtime()
    from polygraphy.backend.trt import EngineFromNetwork, TrtRunner

    with _failing(marked, str(library)):
        network, visible = marked_network(marked)
        engine = EngineFromNetwork(network, config=_config(marked, batch, flavour))
        with TrtRunner(engine) as runner:
            values = runner.infer({marked.input_name: batch}, check_inputs=False)
    return Tensors(
        values={node: np.array(values[name]) for name, node in visible.items()},
        ran_on=f"{backend} cuda:{gpu.index}, {marked.metadata.precision}",
        precision=marked.metadata.precision,
        residual_scale_log2=marked.metadata.residual_scale_log2,
    )


def select_flavour(flavour: FlavourName) -> None:
    """Tell Polygraphy which library to use. Call this before Polygraphy is imported.

    Raises:
        UsageError: Polygraphy was imported with the other library.
    """
    use_rtx = flavour == "rtx"
    if "polygraphy" not in sys.modules:
        os.environ[_SWITCH] = "1" if use_rtx else "0"
    import polygraphy.config

    if use_rtx != polygraphy.config.USE_TENSORRT_RTX:
        raise UsageError(
            f"Polygraphy supports one library in a process, and in this one it is not "
            f"{FLAVOURS[flavour].title}. Start another process, or set {_SWITCH}="
            f"{int(use_rtx)} before anything imports polygraphy."
        )


def marked_network(marked: MarkedModel) -> tuple[tuple[Any, ...], dict[str, str]]:
    """Return the builder, network and parser from which Polygraphy builds an engine, without a GPU.

    Returns:
        The three objects, and name of an output -> name of its node in reports.
    """
    from polygraphy.backend.trt import ModifyNetworkOutputs, NetworkFromOnnxBytes
    from polygraphy.backend.trt.util import get_all_tensors

    typed, visible = visible_tensors(marked, floating_only=True)
    parsed = NetworkFromOnnxBytes(typed.SerializeToString(), strongly_typed=True)()
    known = get_all_tensors(parsed[1])  # without constants that the parser folded
    kept = {name: node for name, node in visible.items() if name in known}
    return ModifyNetworkOutputs(parsed, outputs=list(kept))(), kept


def _config(
    marked: MarkedModel, batch: NDArray[Any], flavour: FlavourName, **target: Any
) -> Callable[..., Any]:
    """Return the options of the build. ``target`` can name other GPUs for TensorRT for RTX."""
    from polygraphy.backend.tensorrt_rtx import CreateConfigRTX
    from polygraphy.backend.trt import CreateConfig, PostprocessConfig, Profile

    profiles = [Profile().add(marked.input_name, *(batch.shape,) * 3)]
    if flavour == "tensorrt":
        created: Any = CreateConfig(profiles=profiles)
    else:
        created = CreateConfigRTX(profiles=profiles, **(target or {"use_gpu": True}))
    flag = load_library(flavour).api.BuilderFlag

    def without_tf32(_builder: Any, _network: Any, config: IBuilderConfig) -> None:
        config.clear_flag(flag.TF32)

    configured: Callable[..., Any] = PostprocessConfig(created, without_tf32)
    return configured


def gpu_for(device: str | None) -> Gpu:
    """Return the GPU that ``cuda`` (None, too) or ``cuda:N`` names.

    Raises:
        BackendUnavailableError: cuda-python, a driver or a GPU is missing.
        UsageError: another device, or a number too high.
    """
    return find_gpu(gpu_number(device))


def _load_cuda_runtime() -> None:
    """Load libcudart for Polygraphy, which does not look where pip installs that of CUDA 13."""
    from polygraphy import cuda as polygraphy_cuda

    before = os.environ.get(_SEARCH_PATH)
    try:
        from cuda.pathfinder import load_nvidia_dynamic_lib

        folder = Path(load_nvidia_dynamic_lib("cudart").abs_path).parent
        os.environ[_SEARCH_PATH] = os.pathsep.join([str(folder), before or ""])
        with quiet_polygraphy():
            polygraphy_cuda.wrapper()  # loads it once for the process
    except Exception as error:  # these exceptions share no base class
        raise BackendUnavailableError(
            "Polygraphy runs engines by the CUDA runtime library libcudart, which cannot be loaded "
            f"({' '.join(str(error).split())[:200]}). Install it: pip install nvidia-cuda-runtime"
        ) from error
    finally:
        if before is None:
            os.environ.pop(_SEARCH_PATH, None)
        else:
            os.environ[_SEARCH_PATH] = before


@contextmanager
def _failing(marked: MarkedModel, library: str) -> Iterator[None]:
    """Raise the library's errors with the reasons from Polygraphy's log."""
    from polygraphy.logger import G_LOGGER

    log = io.StringIO()
    try:
        with G_LOGGER.verbosity(G_LOGGER.ERROR), redirect_stdout(log), redirect_stderr(log):
            yield
    except Exception as error:  # their exceptions share no base class
        lines = [line for line in log.getvalue().splitlines() if not line.startswith("[W]")]
        said = " ".join(" ".join(lines or [str(error)]).split())[:500].rstrip(".")
        raise CheckFailedError(
            f"{library} could not build or run {marked.path} with its tensors as outputs ({said}). "
            "Compare the outputs alone: build an engine, and run 'swinir-deploy verify' on it."
        ) from error
