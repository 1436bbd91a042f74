"""Traces that all tests of a run share: tracing is nine tenths of an export's time.

What is shared is torch.export's part only, for networks of the same structure; weights, graph,
passes and the check are every export's own. ``tests/exporters/exported.py`` shows that a trace
holds nothing of the weights: it traces networks with other weights than those that it exports.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import onnx
import torch

try:
    import coverage
except ImportError:  # only `make test` needs it
    coverage = None  # type: ignore[assignment]

from swinir_deploy.exporters.onnx import export as onnx_exporter
from swinir_deploy.exporters.onnx.trace import TracedUnit, trace_network
from swinir_deploy.network.swinir import SwinIR

_PLAIN = (bool, int, float, str, tuple, type(None), torch.dtype)
_TRACES: dict[str, dict[str, TracedUnit]] = {}
_OPSETS: set[int] = set()
_folder: Path | None = None


def share_between_processes(folder: Path) -> None:
    """Keep traces in files there, too.

    The folder must be of this run: an older trace would hide a change of the code.
    """
    global _folder
    folder.mkdir(exist_ok=True)
    _folder = folder


def shared_trace(network: SwinIR, opset: int) -> dict[str, TracedUnit]:
    """``trace_network``; networks of one structure give the same object."""
    key = hashlib.sha256(repr((_structure(network), opset)).encode()).hexdigest()
    if key not in _TRACES:
        file = _folder / key if _folder else None
        if file and file.exists():
            _TRACES[key] = _read(file)
        else:
            with _uncovered() if opset in _OPSETS else contextlib.nullcontext():
                _TRACES[key] = trace_network(network, opset)
            _OPSETS.add(opset)
            if file:
                _write(file, _TRACES[key])
    return _TRACES[key]


@contextlib.contextmanager
def _uncovered() -> Iterator[None]:
    """Leave out of the coverage what makes a trace take 1.6 times as long with it.

    The first trace of every operator set in a process counts.
    """
    current = coverage.Coverage.current() if coverage else None
    if current is None:
        yield
        return
    current.stop()
    try:
        yield
    finally:
        current.start()


def shared_traces() -> mock._patch[mock.Mock]:
    """While patched, exports share their traces."""
    return mock.patch.object(onnx_exporter, "trace_network", shared_trace)


def real_traces() -> mock._patch[mock.Mock]:
    """While patched, every export traces its own network, as in the product."""
    return mock.patch.object(onnx_exporter, "trace_network", trace_network)


def _structure(network: SwinIR) -> list[object]:
    """Everything but the values of tensors: classes, plain attributes, dtypes and shapes."""
    found: list[object] = [network.config]
    for name, module in network.named_modules():
        attributes = {
            key: value if isinstance(value, _PLAIN) else type(value).__qualname__
            for key, value in vars(module).items()
            if not key.startswith("_")
        }
        tensors = [
            (key, tensor.dtype, tuple(tensor.shape))
            for own in (module.named_parameters(recurse=False), module.named_buffers(recurse=False))
            for key, tensor in own
        ]
        found.append((name, type(module).__qualname__, sorted(attributes.items()), tensors))
    return found


def _write(file: Path, units: dict[str, TracedUnit]) -> None:
    content = {kind: (unit.graph.SerializeToString(), unit.place) for kind, unit in units.items()}
    part = file.with_suffix(f".{os.getpid()}")
    part.write_bytes(pickle.dumps(content))
    part.replace(file)


def _read(file: Path) -> dict[str, TracedUnit]:
    content = pickle.loads(file.read_bytes())
    return {
        kind: TracedUnit(onnx.GraphProto.FromString(graph), place)
        for kind, (graph, place) in content.items()
    }
