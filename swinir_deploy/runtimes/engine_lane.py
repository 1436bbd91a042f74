"""Run an engine on a GPU in one thread: its stream, memory, contexts and CUDA graphs.

What an engine does in one thread, and what its memory and its graphs need, is the same whoever
built it. :class:`Context` and :class:`Engine` are what a back end fills in.
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from swinir_deploy.errors import DeviceMemoryError, InferenceError
from swinir_deploy.nvidia.cuda import CudaDevice, CudaGraph, CudaStream, CudaTimer, DeviceArray

__all__ = ["Context", "Engine", "Lane", "Shape"]

Shape = tuple[int, ...]

_REMEMBERED_KEYS = 64
"""So many calls are remembered, to see whether one comes again with the same addresses."""


class Context(Protocol):
    """Runs an engine for one shape at a time, in one stream.

    Attributes:
        activation_bytes: device memory that the chosen shape needs.
    """

    activation_bytes: int

    def choose(self, shape: Shape) -> None:
        """Prepare for an input shape, and set ``activation_bytes``."""

    def use_memory(self, address: int, size: int) -> None:
        """Set the memory for the activations: its address and its size in bytes."""

    def bind(self, input_address: int, output_address: int) -> None:
        """Set the addresses of input and output."""

    def execute(self) -> None:
        """Enqueue one run."""

    def forget(self) -> None:
        """Forget shape and memory after the memory was released."""


class Engine(Protocol):
    """An engine in the memory of a GPU."""

    @property
    def captures_graphs(self) -> bool:
        """Whether its contexts capture CUDA graphs by themselves."""

    @property
    def owns_activations(self) -> bool:
        """Whether its contexts allocate their own device memory."""

    def create_context(self, stream: CudaStream) -> Context:
        """Create a context, for one thread at a time."""


class _Key(NamedTuple):
    """The input shape and the addresses that a CUDA graph is bound to."""

    shape: Shape
    input_address: int
    output_address: int


class _Recordable(NamedTuple):
    """A run from which a graph can be recorded when it has ended."""

    key: _Key
    context: Context


@dataclass
class _Captured:
    """A graph, and the context that it was recorded from; nothing else may change this context."""

    graph: CudaGraph
    context: Context


class Lane:
    """Runs batches one after the other.

    A lane has its own memory for activations, which is only as large as the shapes that came. All
    contexts of the lane share it, because they never run at the same time.

    The second run with the same shape and addresses is recorded as a CUDA graph; later runs replay
    it. Each graph has a context that nothing else changes, as TensorRT requires. Contexts without
    their own memory cost little. If contexts capture graphs by themselves, none are recorded here.

    Args:
        engine: an open engine.
        device: the GPU of the engine. It must be active in the calling thread, here and in every
            call.
        graphs: the largest number of CUDA graphs to keep; 0 records none.

    Attributes:
        graph_error: why no more graphs are recorded, or empty.
        device_ms: time of the last run in milliseconds by the GPU's events; None if it was not
            timed.
    """

    def __init__(self, engine: Engine, device: CudaDevice, graphs: int = 8) -> None:
        self._engine = engine
        self._device = device
        self.graph_error = ""
        self.device_ms: float | None = None
        self._timer: CudaTimer | None = None  # created when it is first needed
        self._limit = 0 if engine.captures_graphs else graphs
        self._stream = device.create_stream()
        self._input, self._output, self._workspace = (device.reserve(self._stream) for _ in "iow")
        self._pinned_input, self._pinned_output = device.reserve_pinned(), device.reserve_pinned()
        try:
            self._context = engine.create_context(self._stream)
        except BaseException:
            self._stream.close()
            raise
        self._graphs: OrderedDict[_Key, _Captured] = OrderedDict()
        self._seen: OrderedDict[_Key, None] = OrderedDict()

    @property
    def captured(self) -> int:
        """Return the number of CUDA graphs."""
        return len(self._graphs)

    def run(self, batch: NDArray[Any], output_shape: Shape, *, timed: bool = False) -> NDArray[Any]:
        """Copy a batch to the GPU, compute, and copy the result into a new array."""
        result_bytes = int(np.prod(output_shape)) * batch.dtype.itemsize
        with self._recovering():
            moved = self._input.grow(batch.nbytes)
            if self._output.grow(result_bytes) or moved:
                self._forget_graphs()
            np.copyto(self._pinned_input.array(batch.shape, batch.dtype), batch)
            result = self._pinned_output.array(output_shape, batch.dtype)
            with self._finished(timed):
                self._stream.copy(self._input.address, self._pinned_input.address, batch.nbytes)
                recordable = self._compute(
                    _Key(batch.shape, self._input.address, self._output.address)
                )
                self._stream.copy(self._pinned_output.address, self._output.address, result_bytes)
            self._record(recordable)
        return np.array(result)  # a copy: the next run overwrites the page-locked memory

    def run_on_gpu(self, tensor: Any, output_shape: Shape, *, timed: bool = False) -> DeviceArray:
        """Compute on a tensor in GPU memory without a copy; the result stays in GPU memory, too."""
        view = self._device.view(tensor, self._stream)
        with self._recovering():
            result = self._device.new_array(output_shape, view.dtype, self._stream)
            with self._finished(timed):
                recordable = self._compute(_Key(tuple(view.shape), view.ptr, result.ptr))
            self._record(recordable)
        return result

    def copy_to_gpu(self, batch: NDArray[Any]) -> DeviceArray:
        """Copy a batch to new GPU memory; the copy is complete when this method returns."""
        with self._recovering():
            copied = self._device.new_array(batch.shape, batch.dtype, self._stream)
            np.copyto(self._pinned_input.array(batch.shape, batch.dtype), batch)
            self._stream.copy(copied.ptr, self._pinned_input.address, batch.nbytes)
            self._stream.synchronize()
        return copied

    def close(self) -> None:
        """Release everything; no run may be in progress."""
        self._forget_graphs()
        del self._context
        for memory in (self._input, self._output, self._workspace):
            memory.close()
        for pinned in (self._pinned_input, self._pinned_output):
            pinned.close()
        self._stream.synchronize()
        if self._timer is not None:
            self._timer.close()
        self._stream.close()

    # -------------------------------------------------------------------------------- inside

    @contextlib.contextmanager
    def _finished(self, timed: bool) -> Iterator[None]:
        """Wait for the work that the block enqueues, and time it on the GPU if ``timed``."""
        self.device_ms = None
        if timed and self._timer is None:
            self._timer = self._device.create_timer(self._stream)
        timer = self._timer if timed else None
        if timer is not None:
            timer.start()
        yield
        if timer is not None:
            timer.stop()
        self._stream.synchronize()
        if timer is not None:
            self.device_ms = timer.elapsed_ms

    def _compute(self, key: _Key) -> _Recordable | None:
        """Enqueue a run, as a graph if there is one.

        Returns:
            What to record as a graph, or None if the run is new or was a graph.
        """
        captured = self._graphs.get(key)
        if captured is not None:
            self._graphs.move_to_end(key)
            captured.graph.launch()
            return None
        if self._limit == 0 or key not in self._seen:
            self._enqueue(self._context, key)
            self._remember(key)
            return None
        context = self._engine.create_context(self._stream)
        # This run computes the result. It also does the work that a library may postpone after a
        # new shape; a graph may only be recorded afterwards.
        self._enqueue(context, key)
        return _Recordable(key, context)

    def _record(self, recordable: _Recordable | None) -> None:
        """Record a run that has ended; its result and its time are already stored."""
        if recordable is None:
            return
        key, context = recordable
        try:
            graph = self._stream.capture(context.execute)
        except InferenceError as error:
            # Runs without graphs are slower but correct, and this result is computed already.
            self.graph_error, self._limit = str(error), 0
            self._forget_graphs()
            return
        self._graphs[key] = _Captured(graph, context)
        while len(self._graphs) > self._limit:
            self._drop(self._graphs.popitem(last=False)[1])

    def _enqueue(self, context: Context, key: _Key) -> None:
        context.choose(key.shape)
        if not self._engine.owns_activations:
            if self._workspace.size < context.activation_bytes:
                self._stream.synchronize()
                self._forget_graphs()
                self._workspace.grow(context.activation_bytes)
            context.use_memory(self._workspace.address, self._workspace.size)
        context.bind(key.input_address, key.output_address)
        context.execute()

    def _remember(self, key: _Key) -> None:
        self._seen[key] = None
        self._seen.move_to_end(key)
        while len(self._seen) > _REMEMBERED_KEYS:
            self._seen.popitem(last=False)

    def _forget_graphs(self) -> None:
        """Drop all graphs, because their memory has moved or the lane is closed."""
        while self._graphs:
            self._drop(self._graphs.popitem()[1])
        self._seen.clear()

    def _drop(self, captured: _Captured) -> None:
        self._stream.synchronize()
        captured.graph.close()

    def _recovering(self) -> contextlib.AbstractContextManager[None]:
        """Clean up after a failure in the block: wait for the stream and release its memory."""
        return _Recovery(self._after_failure)

    def _after_failure(self, error: BaseException) -> None:
        with contextlib.suppress(InferenceError):
            self._stream.synchronize()
        if isinstance(error, DeviceMemoryError):
            self._forget_graphs()
            for memory in (self._input, self._output, self._workspace):
                memory.close()
            self._context.forget()


class _Recovery(contextlib.AbstractContextManager[None]):
    def __init__(self, clean_up: Callable[[BaseException], None]) -> None:
        self._clean_up = clean_up

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None:
            self._clean_up(error)
