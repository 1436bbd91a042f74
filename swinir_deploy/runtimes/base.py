"""The contract of every back end: checks once for all, private hooks for the rest.

A back end subclasses :class:`Runtime` and fills in ``_load``, ``_infer`` and ``_unload``. What a
caller may rely on (shape, dtype, state, statistics) is enforced here and nowhere else.
"""

from __future__ import annotations

import abc
import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from swinir_deploy.errors import (
    DeviceMemoryError,
    InputError,
    RuntimeClosedError,
    UsageError,
)
from swinir_deploy.runtimes.spec import RuntimeSpec
from swinir_deploy.system.memory import means_out_of_memory

__all__ = ["Runtime", "RuntimeStats"]

RuntimeT = TypeVar("RuntimeT", bound="Runtime")


@dataclass(frozen=True)
class RuntimeStats:
    """Counted since the runtime was opened; times are of ``run`` as the caller sees it.

    Attributes:
        runs: calls of ``run`` that returned.
        pictures: sum of their batch sizes.
        load_ms: time to open the model, in milliseconds.
        first_run_ms: the first run, which may compile; 0 before it.
        total_run_ms: all runs together.
        device_ms: of the run that ended last, by the GPU's own events, from its first piece of work
            there to its last; None unless :meth:`Runtime.time_device` asked for it before.
    """

    runs: int
    pictures: int
    load_ms: float
    first_run_ms: float
    total_run_ms: float
    device_ms: float | None = None


class Runtime(abc.ABC):
    """A model that is open on one back end; a context manager.

    Constructing one opens the model; :meth:`close` (or leaving the ``with`` block) releases it.
    :meth:`run` may be called from several threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open = False
        started = time.perf_counter()
        self._spec = self._load()
        self._load_ms = (time.perf_counter() - started) * 1e3
        self._runs = 0
        self._pictures = 0
        self._first_run_ms = 0.0
        self._total_run_ms = 0.0
        self._times_device = False
        self._device_ms: float | None = None
        self._open = True

    # ------------------------------------------------------------------ what a back end fills in

    @abc.abstractmethod
    def _load(self) -> RuntimeSpec:
        """Open the model and describe it."""

    @abc.abstractmethod
    def _infer(self, batch: NDArray[Any]) -> NDArray[Any]:
        """Compute one checked, C-contiguous batch."""

    @abc.abstractmethod
    def _unload(self) -> None:
        """Release everything. Called once."""

    def _check_range(self, shape: tuple[int, ...]) -> None:
        """Raise InputError for a size outside the spec's ranges; for several ranges, override."""
        if not self._spec.takes(*self._spec.batch_height_width(shape)):
            raise InputError(
                f"run() got shape {list(shape)}; this model takes {self._spec.describe_input()}. "
                "swinir_deploy.Restorer cuts and pads pictures to such sizes."
            )

    def _takes_gpu_memory(self) -> bool:
        """Whether the next three hooks work, and ``_times_device`` is heeded by both ``_infer``.

        A back end that heeds it times the work of a run by events of the GPU, copies included, and
        puts the milliseconds into ``_device_ms``.
        """
        return False

    def _copy_to_gpu(self, batch: NDArray[Any]) -> Any:
        """A copy of one checked, C-contiguous batch in the own GPU's memory."""
        raise NotImplementedError

    def _describe_on_gpu(self, tensor: Any) -> tuple[tuple[int, ...], Any]:
        """Shape and NumPy dtype of a DLPack tensor in GPU memory."""
        raise NotImplementedError

    def _infer_on_gpu(self, tensor: Any, shape: tuple[int, ...]) -> Any:
        """Compute one checked batch in GPU memory; the result stays there."""
        raise NotImplementedError

    # ------------------------------------------------------------------------ what callers use

    @property
    def spec(self) -> RuntimeSpec:
        """What the model takes and gives; stays readable after :meth:`close`."""
        return self._spec

    @property
    def stats(self) -> RuntimeStats:
        """Counters since the model was opened."""
        with self._lock:
            return RuntimeStats(
                self._runs,
                self._pictures,
                self._load_ms,
                self._first_run_ms,
                self._total_run_ms,
                self._device_ms,
            )

    @property
    def closed(self) -> bool:
        """True once :meth:`close` was called."""
        return not self._open

    @property
    def takes_gpu_memory(self) -> bool:
        """Whether :meth:`run_on_gpu`, :meth:`copy_to_gpu` and :meth:`time_device` work here."""
        return self._takes_gpu_memory()

    def time_device(self, on: bool = True) -> bool:
        """Time the runs that begin from now on by the GPU's own events: ``stats.device_ms``.

        Copies from and to host memory are part of what :meth:`run` does, and of its time. A run
        costs two events more; without this, nothing.

        Returns:
            Whether they are timed: always False where ``takes_gpu_memory`` is.

        Raises:
            RuntimeClosedError: the runtime is closed.
        """
        self._require_open()
        with self._lock:
            self._times_device = on and self._takes_gpu_memory()
            self._device_ms = None
        return self._times_device

    def copy_to_gpu(self, batch: Any) -> Any:
        """Put a batch into the memory of the back end's own GPU, for :meth:`run_on_gpu`.

        Args:
            batch: in host memory, as :meth:`run` takes it.

        Returns:
            A copy with ``__dlpack__``; complete when this returns.

        Raises:
            InputError: as :meth:`run` does.
            DeviceMemoryError: the GPU has no memory left for it.
            RuntimeClosedError: the runtime is closed.
            UsageError: this back end reads host memory only.
        """
        self._require_open()
        self._require_gpu_memory()
        array = self._host_array(batch)
        self._check_input(array.shape, array.dtype)
        with self._memory_errors(array.shape):
            return self._copy_to_gpu(np.ascontiguousarray(array))

    def run(self, batch: Any) -> NDArray[Any]:
        """Restore a batch of pictures.

        Args:
            batch: a NumPy array, or any object with ``__dlpack__`` in host memory. ``io ==
                "tensor"``: [batch, channels, height, width] float32 in 0..1; ``"image"``:
                [batch, height, width, channels] uint8. Not changed; strides may be any.

        Returns:
            A new array of the same layout and dtype with sides ``scale`` times as long. Float
            output is not clamped.

        Raises:
            InputError: wrong dtype, or a shape that the model does not take (``spec.ranges``).
            DeviceMemoryError: memory ran out; smaller tiles or batches may fit.
            RuntimeClosedError: the runtime is closed.
        """
        self._require_open()
        array = self._host_array(batch)
        self._check_input(array.shape, array.dtype)
        started = time.perf_counter()
        with self._memory_errors(array.shape):
            result = self._infer(np.ascontiguousarray(array))
        self._check_result(result, array.shape, started)
        return result

    def run_on_gpu(self, tensor: Any) -> Any:
        """Restore a batch that lies in the memory of the back end's own GPU, without a copy.

        Only ``trt``, ``trt-rtx`` and ``torch`` on CUDA can.

        Args:
            tensor: contiguous, with ``__dlpack__`` (torch, cupy, jax); shape and dtype as in
                :meth:`run`. What its own stream still has to compute is waited for on the GPU.

        Returns:
            The result in the same GPU's memory, computed to the end: an object with
            ``__dlpack__``, for ``torch.from_dlpack`` or ``cupy.from_dlpack``.

        Raises:
            InputError: wrong shape or dtype, not contiguous, or on another device.
            RuntimeClosedError: the runtime is closed.
            UsageError: this back end reads host memory only.
        """
        self._require_open()
        if not _is_on_gpu(tensor):
            raise InputError(
                f"run_on_gpu() got {type(tensor).__name__}, which is not in CUDA memory. Use run()."
            )
        self._require_gpu_memory()
        shape, dtype = self._describe_on_gpu(tensor)
        self._check_input(shape, dtype)
        started = time.perf_counter()
        with self._memory_errors(shape):
            result = self._infer_on_gpu(tensor, shape)
        self._check_result(result, shape, started)
        return result

    @contextlib.contextmanager
    def _memory_errors(self, shape: tuple[int, ...]) -> Iterator[None]:
        """Tell memory that ran out, however the library puts it, from other failures."""
        try:
            yield
        except DeviceMemoryError:
            raise
        except Exception as error:
            if not means_out_of_memory(error):
                raise
            raise DeviceMemoryError(
                f"{self._spec.backend} on {self._spec.device} ran out of memory on an input of "
                f"{list(shape)}. Use smaller tiles (--tile) or batches."
            ) from error

    def _check_result(self, result: Any, shape: tuple[int, ...], started: float) -> None:
        """Hold a result to the spec, and count it."""
        elapsed_ms = (time.perf_counter() - started) * 1e3
        wanted = self._spec.output_shape(shape)
        if tuple(result.shape) != wanted or not self._is_own_dtype(result.dtype):
            raise InputError(
                f"{self._spec.model_id or 'The model'} on {self._spec.backend} gave "
                f"{list(result.shape)} {result.dtype} for an input of {list(shape)}; its "
                f"metadata promises {list(wanted)} {self._spec.dtype}. The file does not match "
                "its metadata: export it again."
            )
        with self._lock:
            if self._runs == 0:
                self._first_run_ms = elapsed_ms
            self._runs += 1
            self._pictures += shape[0]
            self._total_run_ms += elapsed_ms

    def warmup(self, height: int, width: int, batch: int = 1, runs: int = 1) -> None:
        """Run ``runs`` times on a black batch, so that later runs of this shape are steady."""
        shape = self._spec.input_shape(batch, height, width)
        for _ in range(runs):
            self.run(np.zeros(shape, self._spec.dtype))

    def close(self) -> None:
        """Release the model. Calling it again does nothing."""
        with self._lock:
            if not self._open:
                return
            self._open = False
        self._unload()

    def __enter__(self: RuntimeT) -> RuntimeT:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # ---------------------------------------------------------------------------------- checks

    def _require_open(self) -> None:
        if not self._open:
            raise RuntimeClosedError(
                f"This {self._spec.backend} runtime is closed. Open it again with open_runtime()."
            )

    def _require_gpu_memory(self) -> None:
        if not self._takes_gpu_memory():
            raise UsageError(
                f"The back end {self._spec.backend!r} on {self._spec.device} reads host memory "
                "only. Give run() a batch in the CPU's memory."
            )

    def _host_array(self, batch: Any) -> NDArray[Any]:
        if isinstance(batch, np.ndarray):
            return batch
        if not hasattr(batch, "__dlpack__"):
            raise InputError(
                f"run() got {type(batch).__name__}; it takes a NumPy array or a DLPack "
                f"tensor: {self._spec.describe_input()}."
            )
        try:
            return np.from_dlpack(batch)
        except (RuntimeError, BufferError, TypeError) as error:
            raise InputError(
                f"run() cannot read this {type(batch).__name__} as host memory: {error}. "
                "Move it to the CPU and detach it first, or use run_on_gpu()."
            ) from error

    def _is_own_dtype(self, dtype: Any) -> bool:
        """Also for the dtypes of other array libraries, which are named alike."""
        return dtype == self._spec.dtype or str(dtype).endswith(f".{self._spec.dtype}")

    def _check_input(self, shape: tuple[int, ...], dtype: Any) -> None:
        spec = self._spec
        if not self._is_own_dtype(dtype):
            raise InputError(f"run() got dtype {dtype}; this model takes {spec.describe_input()}.")
        channel_axis = 1 if spec.io == "tensor" else 3
        if len(shape) != 4 or shape[channel_axis] != spec.in_chans:
            raise InputError(
                f"run() got shape {list(shape)}; this model takes {spec.describe_input()}."
            )
        count, height, width = spec.batch_height_width(shape)
        fixed = ((spec.batch, count), (spec.height, height), (spec.width, width))
        if count < 1 or any(want is not None and want != got for want, got in fixed):
            raise InputError(
                f"run() got shape {list(shape)}; this model takes {spec.describe_input()}."
            )
        if min(height, width) < spec.min_side_px:
            raise InputError(
                f"run() got {width}x{height} pixels; this model needs sides of at least "
                f"{spec.min_side_px}. swinir_deploy.Restorer pads smaller pictures."
            )
        self._check_range(shape)


_GPU_DEVICE_TYPES = (2, 13)
"""DLPack's numbers of CUDA memory and of managed CUDA memory."""


def _is_on_gpu(batch: Any) -> bool:
    describe = getattr(batch, "__dlpack_device__", None)
    return describe is not None and describe()[0] in _GPU_DEVICE_TYPES
