"""Runs a network of fused kernels, and replays shapes that come again as CUDA graphs."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from swinir_deploy.artifacts.launch_program import Plan
from swinir_deploy.system.memory import means_out_of_memory

__all__ = ["GraphedNetwork", "Launchable"]

_REMEMBERED = 256
"""Shapes that are known to have come once."""


class Launchable(Protocol):
    """What :class:`~swinir_deploy.kernels.fused.FusedSwinIR` offers to be run here."""

    @property
    def dtype(self) -> torch.dtype:
        """Of the arena."""

    def plan(self, batch: int, height: int, width: int) -> Plan:
        """Return what is launched for pictures of a size."""

    def launch(self, picture: Tensor, arena: Tensor, output: Tensor) -> None:
        """Compute into memory that is given."""


class GraphedNetwork:
    """A network in memory of its own; it may be called from several threads.

    All shapes share one arena, one input and one output, which grow to what the largest shape
    needs. A shape that comes for the second time is recorded as a CUDA graph and replayed from then
    on; those that come once, as in a folder of many sizes, cost no recording. When memory must
    grow, the graphs are dropped, because they hold its addresses.

    Args:
        network: for [batch, channels, height, width] in FP32.
        device: a CUDA device, with its number.
        limit: most graphs to keep, those that were used last; 0 records none.

    Attributes:
        error: why recording was given up, or empty.
    """

    def __init__(self, network: Launchable, device: torch.device, limit: int = 8) -> None:
        self.error = ""
        self._network = network
        self._device = device
        self._limit = limit
        self._lock = threading.Lock()
        self._graphs: OrderedDict[tuple[int, ...], torch.cuda.CUDAGraph] = OrderedDict()
        self._seen: OrderedDict[tuple[int, ...], None] = OrderedDict()
        self._input = torch.empty(0, dtype=torch.float32, device=device)
        self._output = torch.empty(0, dtype=torch.float32, device=device)
        self._arena = torch.empty(0, dtype=network.dtype, device=device)

    def __len__(self) -> int:
        """Return how many CUDA graphs there are."""
        return len(self._graphs)

    @property
    def held_bytes(self) -> int:
        """Bytes of device memory that are held between two runs, weights not counted."""
        return sum(t.numel() * t.element_size() for t in (self._input, self._output, self._arena))

    def run(self, batch: Tensor, *, to_host: bool) -> Tensor:
        """Compute one batch.

        Args:
            batch: [batch, channels, height, width] in FP32, in host memory or on the device.
            to_host: give the result in host memory, or on the device.

        Returns:
            A tensor of its own, complete: no later run writes to it.
        """
        shape = tuple(batch.shape)
        with self._lock:
            plan = self._network.plan(shape[0], shape[2], shape[3])
            self._grow(math.prod(shape), math.prod(plan.output_shape), plan.arena_elements)
            picture = _view(self._input, shape)
            output = _view(self._output, plan.output_shape)
            picture.copy_(batch)
            graph = self._graph(shape, picture, output)
            if graph is None:
                self._network.launch(picture, self._arena, output)
            else:
                graph.replay()
            result = self._copied(output, to_host)
            # Before the lock opens: another thread may compute in another stream.
            torch.cuda.current_stream(self._device).synchronize()
            return result

    def close(self) -> None:
        """Give back all memory. The network cannot be run afterwards."""
        with self._lock:
            self._forget_graphs()
            self._seen.clear()
            del self._input, self._output, self._arena, self._network

    def _copied(self, output: Tensor, to_host: bool) -> Tensor:
        """Return a copy that is complete when the stream is."""
        if not to_host:
            return output.clone()
        # Page-locked memory needs no further copy by the driver. PyTorch keeps what is given back
        # for the next result.
        locked = self._device.type == "cuda"
        result = torch.empty(output.shape, dtype=output.dtype, pin_memory=locked)
        return result.copy_(output, non_blocking=True)

    def _graph(
        self, shape: tuple[int, ...], picture: Tensor, output: Tensor
    ) -> torch.cuda.CUDAGraph | None:
        """Return the graph of a shape, recorded now if the shape was seen before, or None."""
        graph = self._graphs.get(shape)
        if graph is not None:
            self._graphs.move_to_end(shape)
            return graph
        if self._limit == 0:
            return None
        if shape not in self._seen:
            self._seen[shape] = None
            if len(self._seen) > _REMEMBERED:
                self._seen.popitem(last=False)
            return None
        graph = self._record(picture, output)
        if graph is not None:
            self._graphs[shape] = graph
            while len(self._graphs) > self._limit:
                self._graphs.popitem(last=False)[1].reset()
        return graph

    def _record(self, picture: Tensor, output: Tensor) -> torch.cuda.CUDAGraph | None:
        """Record what has run before: kernels are compiled, and nothing is allocated."""
        graph = torch.cuda.CUDAGraph()
        stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        try:
            # Other threads may allocate or copy meanwhile: only this one's calls are watched.
            with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
                self._network.launch(picture, self._arena, output)
        except Exception as error:
            if means_out_of_memory(error):
                raise
            self.error, self._limit = str(error).partition("\n")[0], 0
            self._forget_graphs()
            return None
        return graph

    def _grow(self, inputs: int, outputs: int, arena: int) -> None:
        """Make room for so many elements of each."""
        for name, elements in (("_input", inputs), ("_output", outputs), ("_arena", arena)):
            old: Tensor = getattr(self, name)
            if old.numel() >= elements:
                continue
            self._forget_graphs()
            # The old memory goes first: both together might not fit.
            setattr(self, name, old.new_empty(0))
            device, dtype = old.device, old.dtype
            del old
            setattr(self, name, torch.empty(elements, dtype=dtype, device=device))

    def _forget_graphs(self) -> None:
        while self._graphs:
            self._graphs.popitem()[1].reset()


def _view(memory: Tensor, shape: Sequence[int]) -> Tensor:
    return memory[: math.prod(shape)].view(*shape)
