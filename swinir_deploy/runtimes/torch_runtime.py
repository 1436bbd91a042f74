"""PyTorch: a checkpoint, without any export."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import Any, Literal, get_args

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
from swinir_deploy.kernels.fused import FusedSwinIR
from swinir_deploy.kernels.served import triton_version, why_not_fused
from swinir_deploy.models.load import LoadedModel, load_model
from swinir_deploy.network.attention import CpuAttention, replace_attentions
from swinir_deploy.network.config import SwinIRConfig
from swinir_deploy.network.onednn import onednn_is_faster, use_onednn
from swinir_deploy.network.swinir import SwinIR
from swinir_deploy.precision.plan import DTYPES, PrecisionPlan, deployed_network
from swinir_deploy.precision.prepare import prepare_precision
from swinir_deploy.runtimes.base import Runtime
from swinir_deploy.runtimes.spec import RuntimeSpec
from swinir_deploy.runtimes.torch_graphs import GraphedNetwork
from swinir_deploy.system.choices import unknown_choice
from swinir_deploy.system.device import unknown_device
from swinir_deploy.system.memory import means_out_of_memory

__all__ = ["Kernels", "TorchRuntime", "find_device"]

Kernels = Literal["auto", "fused", "plain"]

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
        kernels: ``fused``: one or two kernels of this package for each block, in FP16 or BF16 on an
            NVIDIA GPU (docs/gpu.md); ``plain``: PyTorch's own; ``auto`` (default): fused where that
            can be had, else plain. ``spec.kernels`` and ``spec.kernels_reason`` say which and why.
        cuda_graphs: most shapes whose fused kernels are kept as a CUDA graph; 0 records none.
        img_range: as in :func:`swinir_deploy.load_model`.
        mean: as in :func:`swinir_deploy.load_model`.
        key: as in :func:`swinir_deploy.load_model`.
        prefix: as in :func:`swinir_deploy.load_model`.
        offline: never download; an official model that is not here is a DownloadError.
        as_trained: compute the network as it was trained, without the rewrites that make it
            faster: the reference for everything else.

    Raises:
        BackendUnavailableError: torch has no such device here, or fused kernels were asked for by
            name and cannot be had.
        UsageError: torch knows no such device, there is no such precision, or options that exclude
            each other.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | LoadedModel,
        device: str | None = None,
        *,
        precision: Precision = "fp32",
        threads: int | None = None,
        compile: bool = False,  # noqa: A002 - torch's own name for it
        kernels: Kernels = "auto",
        cuda_graphs: int = 8,
        img_range: float | None = None,
        mean: Sequence[float] | None = None,
        key: str | None = None,
        prefix: str | None = None,
        offline: bool = False,
        as_trained: bool = False,
    ) -> None:
        self._model = model
        self._offline = offline
        self._weights: dict[str, Any] = {
            "img_range": img_range,
            "mean": mean,
            "key": key,
            "prefix": prefix,
        }
        self._compile = compile
        self._as_trained = as_trained
        if precision not in DTYPES:
            raise UsageError(unknown_choice("precision", precision, DTYPES))
        if kernels not in get_args(Kernels):
            raise UsageError(unknown_choice("kind of kernels", kernels, get_args(Kernels)))
        if kernels == "fused" and (compile or as_trained):
            other = "compile" if compile else "as_trained"
            raise UsageError(
                f"kernels='fused' and {other} exclude each other: fused kernels are compiled "
                "already, and are a rewrite. Give one of them."
            )
        if cuda_graphs < 0:
            raise UsageError(f"cuda_graphs is {cuda_graphs}; it must be at least 0.")
        self._kernels = kernels
        self._graph_limit = cuda_graphs
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
            else load_model(self._model, offline=self._offline, **self._weights)
        )
        config = loaded.config
        reason = self._why_plain(config)
        plan = self._plan(loaded)
        self._fused: GraphedNetwork | None = None
        if reason is None:
            reason = self._open_fused(loaded, plan)
        if self._fused is None:
            if self._kernels == "fused":
                raise BackendUnavailableError(
                    f"kernels='fused' cannot be had for {loaded.model_id}: {reason} Leave it out, "
                    "or give kernels='plain'."
                )
            self._open_plain(loaded, plan)
        side = config.img_size if config.ape else None
        return RuntimeSpec(
            backend="torch",
            device=str(self._device),
            io="tensor",
            scale=config.upscale,
            in_chans=config.in_chans,
            out_chans=config.out_chans or 0,
            window_size=config.side_multiple,
            precision=self._precision,
            min_side_px=config.min_side,
            height=side,
            width=side,
            task=loaded.task,
            model_id=loaded.model_id,
            source_sha256=loaded.source_sha256,
            residual_scale_log2=plan.residual_scale_log2,
            config=config.to_dict(),
            weights=loaded.weights,
            kernels="plain" if self._fused is None else "fused",
            kernels_reason=reason,
        )

    def _why_plain(self, config: SwinIRConfig) -> str | None:
        """Return why the plain form runs, as far as is known before the network is measured."""
        if self._kernels == "plain":
            return "Plain kernels were asked for."
        if self._as_trained:
            return "The network computes as it was trained."
        if self._compile:
            return "torch.compile makes the kernels."
        return why_not_fused(config, self._precision, self._device)

    def _plan(self, loaded: LoadedModel) -> PrecisionPlan:
        if self._precision == "fp32":
            return PrecisionPlan("fp32")
        return prepare_precision(loaded, self._precision).plan

    def _open_fused(self, loaded: LoadedModel, plan: PrecisionPlan) -> str:
        """Compile and try the fused kernels; return what they run on, or why they cannot."""
        network, config = loaded.network, loaded.config
        reason = why_not_fused(
            config,
            self._precision,
            self._device,
            keep_fp32=plan.keep_fp32,
            spare_channels=network.spare_channels,
        )
        if reason is not None:
            return reason
        try:
            fused = FusedSwinIR(
                network,
                DTYPES[self._precision],
                plan.residual_scale_log2,
                device=self._device,
            )
            self._home = fused.device
            graphed = GraphedNetwork(fused, self._home, self._graph_limit)
            side = config.side_multiple
            with torch.inference_mode():
                graphed.run(torch.zeros(1, config.in_chans, side, side), to_host=True)
        except Exception as error:  # the compiler's and the driver's share no base
            if means_out_of_memory(error):
                raise
            return f"The fused kernels do not run here: {_first_line(error)}."
        self._fused = graphed
        return f"{_describe_gpu(self._home)}, Triton {triton_version() or 'of unknown version'}."

    def _open_plain(self, loaded: LoadedModel, plan: PrecisionPlan) -> None:
        network = self._typed(loaded, plan).to(self._device).eval()
        self._home = next(network.parameters()).device  # "cuda" alone has no number
        # Sizes are symbols from the first trace on: a picture of another size compiles nothing.
        self._network = torch.compile(network, dynamic=True) if self._compile else network

    def _typed(self, loaded: LoadedModel, plan: PrecisionPlan) -> SwinIR:
        if self._as_trained:
            return deployed_network(loaded.network, plan=plan)
        network = deployed_network(loaded.network, _REWRITES, plan)
        if self._device.type == "cpu" and self._precision == "fp32" and not self._compile:
            replace_attentions(network, CpuAttention)
            if onednn_is_faster():
                use_onednn(network)
        return network

    @property
    def captured_graphs(self) -> int:
        """CUDA graphs that are kept; 0 for plain kernels."""
        return 0 if self._fused is None else len(self._fused)

    @property
    def graph_errors(self) -> tuple[str, ...]:
        """Why CUDA graphs were given up; empty if they were not."""
        return () if self._fused is None or not self._fused.error else (self._fused.error,)

    def _infer(self, batch: NDArray[Any]) -> NDArray[Any]:
        if not batch.flags.writeable:
            batch = batch.copy()  # torch.from_numpy warns of memory that it could write to
        with self._timed():
            result = self._forward(torch.from_numpy(batch), to_host=True)
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
            result = self._forward(from_dlpack(tensor), to_host=False)
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

    def _forward(self, batch: torch.Tensor, *, to_host: bool) -> torch.Tensor:
        try:
            with torch.inference_mode():
                if self._fused is not None:
                    return self._fused.run(batch, to_host=to_host)
                result: torch.Tensor = self._network(batch.to(self._device))
                return result.cpu() if to_host else result
        except RuntimeError as error:
            raise InferenceError(
                f"PyTorch failed on an input of {list(batch.shape)}: {_first_line(error)}"
            ) from error

    def _unload(self) -> None:
        if self._fused is None:
            del self._network
        else:
            self._fused.close()


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


def _describe_gpu(device: torch.device) -> str:
    """Such as ``NVIDIA H100 (sm90)``."""
    major, minor = torch.cuda.get_device_capability(device)
    return f"{torch.cuda.get_device_name(device)} (sm{major}{minor})"


def find_device(name: str) -> torch.device:
    """Return a device that this torch can use.

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
