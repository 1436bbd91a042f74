"""The base class of all back ends: it makes the common checks and calls private hooks.

A back end subclasses :class:`Runtime` and implements ``_load``, ``_infer`` and ``_unload``. What a
caller relies on (shape, dtype, state, statistics) is checked here and nowhere else.
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
    """Counts and times since the runtime was opened.

    The times are in milliseconds, from the call of ``run`` to its result.

    Attributes:
        runs: number of runs that succeeded.
        pictures: sum of their batch sizes.
        load_ms: time to open the model.
        first_run_ms: time of the first run, which may compile the model; 0 before it.
        total_run_ms: time of all runs together.
        device_ms: time of the last run by the GPU's own events, from its first work on the GPU to
            its last; None unless :meth:`Runtime.time_device` was called before.

    Example:
        >>> from swinir_deploy import open_runtime
        >>> with open_runtime("tiny-sr-x4") as runtime:
        ...     runtime.warmup(16, 16, batch=2)
        ...     print(runtime.stats.runs, runtime.stats.pictures)
        1 2
    """

    runs: int
    pictures: int
    load_ms: float
    first_run_ms: float
    total_run_ms: float
    device_ms: float | None = None


class Runtime(abc.ABC):
    """A model that is open on one back end; a context manager.

    :func:`swinir_deploy.open_runtime` makes one. The constructor opens the model; :meth:`close` or
    the end of the ``with`` block releases it. :meth:`run` may be called from several threads.

    Example:
        >>> import numpy as np
        >>> from swinir_deploy import open_runtime
        >>> with open_runtime("tiny-sr-x4") as runtime:
        ...     batch = np.zeros((2, 3, 9, 13), np.float32)  # NCHW, RGB in 0..1
        ...     print(runtime.run(batch).shape, runtime.closed)
        (2, 3, 36, 52) False
        >>> runtime.closed
        True
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

    # ---------------------------------------------------------------- what a back end implements

    @abc.abstractmethod
    def _load(self) -> RuntimeSpec:
        """Open the model, and return what it takes and gives."""

    @abc.abstractmethod
    def _infer(self, batch: NDArray[Any]) -> NDArray[Any]:
        """Compute one batch, which was checked and is C-contiguous."""

    @abc.abstractmethod
    def _unload(self) -> None:
        """Release everything; this is called once."""

    def _check_range(self, shape: tuple[int, ...]) -> None:
        """Check a size against the ranges of the spec.

        Raises:
            InputError: the size is outside all ranges.
        """
        if not self._spec.takes(*self._spec.batch_height_width(shape)):
            raise InputError(
                f"run() got shape {list(shape)}; this model takes {self._spec.describe_input()}. "
                "swinir_deploy.Restorer cuts and pads pictures to such sizes."
            )

    def _takes_gpu_memory(self) -> bool:
        """Return whether the back end implements the next three hooks and ``_times_device``.

        If ``_times_device`` is set, ``_infer`` and ``_infer_on_gpu`` time their work, including
        copies, by events of the GPU, and store the milliseconds in ``_device_ms``.
        """
        return False

    def _copy_to_gpu(self, batch: NDArray[Any]) -> Any:
        """Copy one batch, which was checked and is C-contiguous, to the GPU of the back end."""
        raise NotImplementedError

    def _describe_on_gpu(self, tensor: Any) -> tuple[tuple[int, ...], Any]:
        """Return the shape and the NumPy dtype of a DLPack tensor in GPU memory."""
        raise NotImplementedError

    def _infer_on_gpu(self, tensor: Any, shape: tuple[int, ...]) -> Any:
        """Compute one checked batch that is in GPU memory; the result stays there."""
        raise NotImplementedError

    # ------------------------------------------------------------------------ what callers use

    @property
    def spec(self) -> RuntimeSpec:
        """Return what the model takes and gives; this also works after :meth:`close`."""
        return self._spec

    @property
    def stats(self) -> RuntimeStats:
        """Return the counts and times since the model was opened."""
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
        """Return whether :meth:`close` was called."""
        return not self._open

    @property
    def takes_gpu_memory(self) -> bool:
        """Return whether :meth:`run_on_gpu`, :meth:`copy_to_gpu` and :meth:`time_device` work."""
        return self._takes_gpu_memory()

    def time_device(self, on: bool = True) -> bool:
        """Time the following runs by the GPU's own events; ``stats.device_ms`` has the result.

        The time of :meth:`run` includes the copies from and to host memory. A timed run costs two
        events.

        Args:
            on: whether to time them.

        Returns:
            Whether runs are timed. It is always False if ``takes_gpu_memory`` is False.

        Raises:
            RuntimeClosedError: the runtime is closed.
        """
        self._require_open()
        with self._lock:
            self._times_device = on and self._takes_gpu_memory()
            self._device_ms = None
        return self._times_device

    def copy_to_gpu(self, batch: Any) -> Any:
        """Copy a batch to the memory of the back end's GPU, for :meth:`run_on_gpu`.

        Args:
            batch: a batch in host memory, as :meth:`run` takes it.

        Returns:
            An object with ``__dlpack__``. The copy is complete when this method returns.

        Raises:
            InputError: the batch has a wrong dtype or shape.
            DeviceMemoryError: the GPU has not enough memory.
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
            batch: a NumPy array, or any object with ``__dlpack__`` in host memory. If ``spec.io``
                is ``"tensor"``: [batch, channels, height, width] float32 in 0..1. If it is
                ``"image"``: [batch, height, width, channels] uint8. The array is not changed, and
                need not be contiguous.

        Returns:
            A new array of the same layout and dtype, with sides ``spec.scale`` times as long.
            Floats are not clamped.

        Raises:
            InputError: the dtype is wrong, or the model does not take the shape (``spec.ranges``).
            InferenceError: the back end failed.
            DeviceMemoryError: memory ran out. Smaller tiles or batches may fit.
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
        """Restore a batch that is in the memory of the back end's GPU, without a copy.

        Only the back ends ``tensorrt``, ``rtx`` and ``torch`` on CUDA can do this.

        Args:
            tensor: a contiguous tensor with ``__dlpack__`` (torch, cupy, jax); its shape and dtype
                are as in :meth:`run`. The GPU waits for the work in the stream of the tensor.

        Returns:
            The complete result in the memory of the same GPU: an object with ``__dlpack__``, for
            ``torch.from_dlpack`` or ``cupy.from_dlpack``.

        Raises:
            InputError: the shape or dtype is wrong, or the tensor is not contiguous or on another
                device.
            InferenceError: the back end failed.
            DeviceMemoryError: memory ran out. Smaller tiles or batches may fit.
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
        """Raise DeviceMemoryError if an error of a library means that memory ran out."""
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
        """Compare a result with the spec, and count the run."""
        elapsed_ms = (time.perf_counter() - started) * 1e3
        expected = self._spec.output_shape(shape)
        if tuple(result.shape) != expected or not self._is_own_dtype(result.dtype):
            raise InputError(
                f"{self._spec.model_id or 'The model'} on {self._spec.backend} gave "
                f"{list(result.shape)} {result.dtype} for an input of {list(shape)}; its "
                f"metadata promises {list(expected)} {self._spec.dtype}. The file does not match "
                "its metadata: export it again."
            )
        with self._lock:
            if self._runs == 0:
                self._first_run_ms = elapsed_ms
            self._runs += 1
            self._pictures += shape[0]
            self._total_run_ms += elapsed_ms

    def warmup(self, height: int, width: int, batch: int = 1, runs: int = 1) -> None:
        """Run a black batch, so that later runs of this shape need no compilation.

        Args:
            height: height of the input in pixels.
            width: width of the input in pixels.
            batch: number of pictures in the batch.
            runs: number of runs.

        Raises:
            InputError: the model does not take this size.
            DeviceMemoryError: memory ran out.
            RuntimeClosedError: the runtime is closed.
        """
        shape = self._spec.input_shape(batch, height, width)
        for _ in range(runs):
            self.run(np.zeros(shape, self._spec.dtype))

    def close(self) -> None:
        """Release the model. A second call does nothing."""
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
        """Return whether a dtype is that of the spec; other array libraries use the same names."""
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
        if count < 1 or any(only is not None and only != actual for only, actual in fixed):
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
"""DLPack's device types of CUDA memory and of managed CUDA memory."""


def _is_on_gpu(batch: Any) -> bool:
    describe = getattr(batch, "__dlpack_device__", None)
    return describe is not None and describe()[0] in _GPU_DEVICE_TYPES
