"""Which tensors belong together, and whether they agree: pairs, scales, limits and the verdict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swinir_deploy.verification.layers.marked import MarkedModel, Tensors, quiet_polygraphy
from swinir_deploy.verification.layers.reports import LayerRow

__all__ = ["judge"]

_Array = NDArray[Any]


def judge(
    graph: MarkedModel, candidate: Tensors, reference: Tensors, limit: float
) -> tuple[tuple[LayerRow, ...], tuple[str, ...]]:
    """Compare what two sides gave.

    Args:
        graph: whose nodes the candidate's tensors are named after.
        candidate: one side.
        reference: the other one.
        limit: largest difference relative to the tensor's largest value. Bytes, which are
            pictures, may differ by a level more; other whole numbers must be equal.

    Returns:
        A row for each tensor of both, in the order of the graph, and the candidate's nodes whose
        tensor the reference lacks.
    """
    shift = candidate.residual_scale_log2 - reference.residual_scale_log2
    found, wanted, unpaired = _pairs(graph, candidate, reference.values)
    scales = {node: _scale(found[node], wanted[node], shift) for node in found}
    left = {node: _scaled(found[node], scales[node]) for node in found}
    right = {node: _comparable(wanted[node]) for node in found}
    peaks = {node: _peak(right[node]) for node in found}
    limits = {node: _limit(wanted[node].dtype, limit, peaks[node]) for node in found}
    verdicts = _verdicts(left, right, {n: limits[n] * (peaks[n] or 1.0) for n in found})
    rows = tuple(
        LayerRow(
            position=graph.positions[node],
            node=node,
            op_type=graph.op_types[node],
            shape=tuple(wanted[node].shape),
            max_abs=verdicts[node][0],
            peak=peaks[node],
            scale_log2=scales[node],
            limit=limits[node],
            passed=verdicts[node][1],
        )
        for node in found
    )
    return rows, unpaired


def _limit(dtype: np.dtype[Any], kept: float, peak: float) -> float:
    """Relative to ``peak``, as :attr:`LayerRow.limit`."""
    if np.issubdtype(dtype, np.floating):
        return kept
    # A picture in bytes was rounded on top of what came before it: by half a level on each side.
    return kept + 1.0 / (peak or 1.0) if dtype == np.uint8 else 0.0


def _verdicts(
    left: Mapping[str, _Array], right: Mapping[str, _Array], tolerances: Mapping[str, float]
) -> dict[str, tuple[float, bool]]:
    """Node -> largest difference and verdict, by Polygraphy's comparator."""
    from polygraphy.comparator import (
        Comparator,
        IterationResult,
        RunResults,
        SimpleCompareFunc,
    )

    with quiet_polygraphy(), np.errstate(all="ignore"):
        results = RunResults(
            [
                ("candidate", [IterationResult(dict(left), runner_name="candidate")]),
                ("reference", [IterationResult(dict(right), runner_name="reference")]),
            ]
        )
        judged = Comparator.compare_accuracy(
            results,
            compare_func=SimpleCompareFunc(
                atol=dict(tolerances),
                rtol=0.0,
                check_error_stat="max",
                infinities_compare_equal=True,  # a mask may hold -Inf on both sides
            ),
        )
    (outcome,) = judged[0].values()
    return {node: (float(each.max_absdiff), bool(each)) for node, each in outcome[0].items()}


def _pairs(
    graph: MarkedModel, candidate: Tensors, wanted: Mapping[str, _Array]
) -> tuple[dict[str, _Array], dict[str, _Array], tuple[str, ...]]:
    """Tensors of both in the graph's order, and the nodes that only the candidate has."""
    found = candidate.values
    left: dict[str, _Array] = {}
    right: dict[str, _Array] = {}
    unpaired = []
    for node in sorted(found, key=graph.positions.__getitem__):
        values, other = found[node], wanted.get(node)
        if other is not None and candidate.of_modules and values.size == other.size:
            values = values.reshape(other.shape)
        if other is not None and values.shape == other.shape and values.size:
            left[node], right[node] = values, other
        else:
            unpaired.append(node)
    return left, right, tuple(unpaired)


def _scale(found: _Array, wanted: _Array, shift: int) -> int:
    """0, or ``shift`` if that brings the candidate nearer: only the residual stream is rescaled."""
    if shift == 0 or not np.issubdtype(found.dtype, np.floating):
        return 0
    target = _comparable(wanted)

    def distance(log2: int) -> float:
        with np.errstate(all="ignore"):
            largest = float(np.nanmax(np.abs(_scaled(found, log2) - target)))
        return largest if np.isfinite(largest) else float("inf")

    return min((0, shift), key=distance)


def _scaled(values: _Array, log2: int) -> _Array:
    comparable = _comparable(values)
    return comparable if log2 == 0 else np.ldexp(comparable, log2)


def _comparable(values: _Array) -> _Array:
    """Half precision as FP32, truth values as numbers."""
    if np.issubdtype(values.dtype, np.floating):
        return values.astype(np.float32, copy=False)
    return values.astype(np.int64, copy=False)


def _peak(values: _Array) -> float:
    magnitudes = np.abs(values[np.isfinite(values)].astype(np.float64))
    return float(magnitudes.max(initial=0.0))
