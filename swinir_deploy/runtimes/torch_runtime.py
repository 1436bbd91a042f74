"""PyTorch: a checkpoint, without any export."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.dlpack import from_dlpack

from swinir_deploy.artifacts.metadata import Precision
from swinir_deploy.errors import (
    BackendUnavailableError,
    InferenceError,
    InputError,
    UsageError,
)
from swinir_deploy.models.load import LoadedModel, load_model
from swinir_deploy.network.attention import CpuAttention, replace_attentions
from swinir_deploy.network.onednn import onednn_is_faster, use_onednn
from swinir_deploy.network.swinir import SwinIR
from swinir_deploy.precision.plan import DTYPES, PrecisionPlan, deployed_network
from swinir_deploy.precision.prepare import prepare_precision
from swinir_deploy.runtimes.base import Runtime
from swinir_deploy.runtimes.spec import RuntimeSpec
from swinir_deploy.system.choices import unknown_choice
from swinir_deploy.system.device import unknown_device

__all__ = ["TorchRuntime", "find_device"]


_REWRITES = ("fold_attention_scale", "expand_position_bias", "use_fused_attention")


class TorchRuntime(Runtime):
    """A :class:`~swinir_deploy.network.SwinIR` in eval mode, rewritten for speed.

    Args:
        model: a checkpoint, a catalogue id, or what :func:`swinir_deploy.load_model` gave.
        device: ``cpu`` (default), ``cuda``, ``cuda:N`` or ``mps``.
        precision: ``fp32`` (default), ``fp16`` or ``bf16``: of weights and activations, typed and
            rescaled as an export is (docs/precision.md). For GPUs: a CPU is slower with it.
        threads: of one operator on the CPU, for the whole process; None leaves it to torch.
        compile: let ``torch.compile`` make kernels for it; the first run of a shape takes long.
        img_range: as in :func:`swinir_deploy.load_model`.
        offline: never download; an official model that is not here is a DownloadError.
        as_trained: compute the network as it was trained, without the rewrites that make it
            faster: the reference for everything else.

    Raises:
        BackendUnavailableError: torch has no such device here.
        UsageError: torch knows no such device, or there is no such precision.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | LoadedModel,
        device: str | None = None,
        *,
        precision: Precision = "fp32",
        threads: int | None = None,
        compile: bool = False,  # noqa: A002 - torch's own name for it
        img_range: float | None = None,
        offline: bool = False,
        as_trained: bool = False,
    ) -> None:
        self._model = model
        self._offline = offline
        self._img_range = img_range
        self._compile = compile
        self._as_trained = as_trained
        if precision not in DTYPES:
            raise UsageError(unknown_choice("precision", precision, DTYPES))
        self._precision = precision
        self._device = find_device(device or "cpu")
        if threads is not None:
            if threads < 1:
                raise UsageError(f"threads is {threads}; it must be at least 1.")
            torch.set_num_threads(threads)
        super().__init__()

    def _load(self) -> RuntimeSpec:
        loaded = (
            self._model
            if isinstance(self._model, LoadedModel)
            else load_model(self._model, img_range=self._img_range, offline=self._offline)
        )
        config = loaded.config
        network, plan = self._typed(loaded)
        network = network.to(self._device).eval()
        self._home = next(network.parameters()).device  # "cuda" alone has no number
        # Sizes are symbols from the first trace on: a picture of another size compiles nothing.
        self._network = torch.compile(network, dynamic=True) if self._compile else network
        side = config.img_size if config.ape else None
        return RuntimeSpec(
            backend="torch",
            device=str(self._device),
            io="tensor",
            scale=config.upscale,
            in_chans=config.in_chans,
            window_size=config.window_size,
            precision=self._precision,
            min_side_px=config.min_side,
            height=side,
            width=side,
            task=loaded.task,
            model_id=loaded.model_id,
            source_sha256=loaded.source_sha256,
            residual_scale_log2=plan.residual_scale_log2,
            config=config.to_dict(),
        )

    def _typed(self, loaded: LoadedModel) -> tuple[SwinIR, PrecisionPlan]:
        plan = PrecisionPlan("fp32")
        if self._precision != "fp32":
            plan = prepare_precision(loaded, self._precision).plan
        if self._as_trained:
            return deployed_network(loaded.network, plan=plan), plan
        network = deployed_network(loaded.network, _REWRITES, plan)
        if self._device.type == "cpu" and self._precision == "fp32" and not self._compile:
            replace_attentions(network, CpuAttention)
            if onednn_is_faster():
                use_onednn(network)
        return network, plan

    def _infer(self, batch: NDArray[Any]) -> NDArray[Any]:
        if not batch.flags.writeable:
            batch = batch.copy()  # torch.from_numpy warns of memory that it could write to
        with self._timed():
            result = self._forward(torch.from_numpy(batch)).cpu()
        return np.asarray(result.numpy())

    def _takes_gpu_memory(self) -> bool:
        return self._device.type == "cuda"

    def _copy_to_gpu(self, batch: NDArray[Any]) -> torch.Tensor:
        copied = torch.tensor(batch, device=self._home)
        torch.cuda.current_stream(self._home).synchronize()
        return copied

    def _describe_on_gpu(self, tensor: Any) -> tuple[tuple[int, ...], Any]:
        view = from_dlpack(tensor)
        if view.device != self._home:
            raise InputError(
                f"The tensor is on {view.device}, the network on {self._home}. Move one of them."
            )
        if not view.is_contiguous():
            raise InputError(
                f"The tensor of shape {list(view.shape)} has strides {list(view.stride())}; it "
                "must be contiguous. Call contiguous() on it first."
            )
        return tuple(view.shape), view.dtype

    def _infer_on_gpu(self, tensor: Any, shape: tuple[int, ...]) -> torch.Tensor:
        with self._timed():
            result = self._forward(from_dlpack(tensor))
        torch.cuda.current_stream(self._home).synchronize()
        return result

    @contextlib.contextmanager
    def _timed(self) -> Iterator[None]:
        """Between two events in the stream that computes, if that was asked for."""
        if not self._times_device:
            yield
            return
        stream = torch.cuda.current_stream(self._home)
        start = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        stop = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        start.record(stream)
        yield
        stop.record(stream)
        stop.synchronize()
        self._device_ms = start.elapsed_time(stop)

    def _forward(self, batch: torch.Tensor) -> torch.Tensor:
        try:
            with torch.inference_mode():
                result: torch.Tensor = self._network(batch.to(self._device))
                return result
        except RuntimeError as error:
            raise InferenceError(
                f"PyTorch failed on an input of {list(batch.shape)}: {str(error).splitlines()[0]}"
            ) from error

    def _unload(self) -> None:
        del self._network


def find_device(name: str) -> torch.device:
    """A device that this torch can use.

    Raises:
        BackendUnavailableError: it cannot use it here.
        UsageError: it knows no such device.
    """
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(unknown_device(name, "cpu, cuda, cuda:0 or mps", "torch")) from error
    available = {
        "cpu": True,
        "cuda": torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if not available.get(device.type, False):
        raise BackendUnavailableError(
            f"This torch {torch.__version__} has no usable device {name!r}. Use --device cpu, or "
            "install a build of torch for your accelerator."
        )
    return device
