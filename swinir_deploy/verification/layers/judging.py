"""Pair the tensors of two sides and decide whether they agree: scales, limits and verdicts."""

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
    """Compare the tensors of two sides.

    Args:
        graph: the candidate's model, whose nodes name the tensors.
        candidate: tensors of the candidate.
        reference: tensors of the reference.
        limit: maximum absolute difference, relative to the tensor's largest value. uint8 tensors,
            which are pictures, may differ by one level more; other integers must be equal.

    Returns:
        A row for each tensor that both sides have, in the order of the graph, and the names of the
        candidate's nodes whose tensor the reference lacks.
    """
    shift = candidate.residual_scale_log2 - reference.residual_scale_log2
    actual, expected, unpaired = _pairs(graph, candidate, reference.values)
    scales = {node: _scale(actual[node], expected[node], shift) for node in actual}
    left = {node: _scaled(actual[node], scales[node]) for node in actual}
    right = {node: _comparable(expected[node]) for node in actual}
    peaks = {node: _peak(right[node]) for node in actual}
    limits = {node: _limit(expected[node].dtype, limit, peaks[node]) for node in actual}
    verdicts = _verdicts(left, right, {n: limits[n] * (peaks[n] or 1.0) for n in actual})
    rows = tuple(
        LayerRow(
            position=graph.positions[node],
            node=node,
            op_type=graph.op_types[node],
            shape=tuple(expected[node].shape),
            max_abs=verdicts[node][0],
            peak=peaks[node],
            scale_log2=scales[node],
            limit=limits[node],
            passed=verdicts[node][1],
        )
        for node in actual
    )
    return rows, unpaired


def _limit(dtype: np.dtype[Any], kept: float, peak: float) -> float:
    """Return the limit of a tensor relative to ``peak``, as :attr:`LayerRow.limit` has it."""
    if np.issubdtype(dtype, np.floating):
        return kept
    # A uint8 picture was also rounded, by at most half a level on each side.
    return kept + 1.0 / (peak or 1.0) if dtype == np.uint8 else 0.0


def _verdicts(
    left: Mapping[str, _Array], right: Mapping[str, _Array], tolerances: Mapping[str, float]
) -> dict[str, tuple[float, bool]]:
    """Return node -> (largest difference, whether it passed), by Polygraphy's comparator."""
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
                infinities_compare_equal=True,  # attention masks may hold -Inf on both sides
            ),
        )
    (outcome,) = judged[0].values()
    return {node: (float(each.max_absdiff), bool(each)) for node, each in outcome[0].items()}


def _pairs(
    graph: MarkedModel, candidate: Tensors, expected: Mapping[str, _Array]
) -> tuple[dict[str, _Array], dict[str, _Array], tuple[str, ...]]:
    """Return the pairs of tensors in the graph's order, and the nodes without a pair."""
    actual = candidate.values
    left: dict[str, _Array] = {}
    right: dict[str, _Array] = {}
    unpaired = []
    for node in sorted(actual, key=graph.positions.__getitem__):
        values, other = actual[node], expected.get(node)
        if other is not None and candidate.of_modules and values.size == other.size:
            values = values.reshape(other.shape)
        if other is not None and values.shape == other.shape and values.size:
            left[node], right[node] = values, other
        else:
            unpaired.append(node)
    return left, right, tuple(unpaired)


def _scale(actual: _Array, expected: _Array, shift: int) -> int:
    """Return 0, or ``shift`` if that brings the candidate nearer to the reference.

    Only tensors of the residual stream are rescaled in half precision.
    """
    if shift == 0 or not np.issubdtype(actual.dtype, np.floating):
        return 0
    target = _comparable(expected)

    def distance(log2: int) -> float:
        with np.errstate(all="ignore"):
            largest = float(np.nanmax(np.abs(_scaled(actual, log2) - target)))
        return largest if np.isfinite(largest) else float("inf")

    return min((0, shift), key=distance)


def _scaled(values: _Array, log2: int) -> _Array:
    comparable = _comparable(values)
    return comparable if log2 == 0 else np.ldexp(comparable, log2)


def _comparable(values: _Array) -> _Array:
    """Return floating-point values as float32, and integers and booleans as int64."""
    if np.issubdtype(values.dtype, np.floating):
        return values.astype(np.float32, copy=False)
    return values.astype(np.int64, copy=False)


def _peak(values: _Array) -> float:
    magnitudes = np.abs(values[np.isfinite(values)].astype(np.float64))
    return float(magnitudes.max(initial=0.0))
