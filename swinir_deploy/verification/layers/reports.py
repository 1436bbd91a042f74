"""The report of a comparison tensor by tensor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["LAYER_LIMITS", "LayerRow", "LayersReport"]

LAYER_LIMITS: dict[str, float] = {"fp32": 1e-4, "fp16": 4e-2, "bf16": 2.5e-1}
"""Precision -> maximum difference of an intermediate tensor, relative to its largest value.

These limits are wider than those for pictures: a single value of an intermediate tensor may differ
by many units in the last place, and later layers average the difference away.
"""


@dataclass(frozen=True)
class LayerRow:
    """The comparison of one tensor that both sides have.

    Attributes:
        position: index of its node in the graph, from 0.
        node: name of the node that makes it: the module's path and the operator.
        op_type: operator of that node.
        shape: shape of the tensor.
        max_abs: largest absolute difference; infinite or NaN where a value is not finite.
        peak: the reference's largest absolute value.
        scale_log2: the candidate's values were multiplied by two to this power before the
            comparison, because a half-precision export rescales the residual stream.
        limit: maximum of ``relative``.
        passed: the verdict of Polygraphy.
    """

    position: int
    node: str
    op_type: str
    shape: tuple[int, ...]
    max_abs: float
    peak: float
    scale_log2: int
    limit: float
    passed: bool

    @property
    def relative(self) -> float:
        """Return ``max_abs / peak``, or ``max_abs`` if the reference is all zeros."""
        return self.max_abs / self.peak if self.peak > 0 else self.max_abs


@dataclass(frozen=True)
class LayersReport:
    """All compared tensors, in the order of the candidate's graph.

    Attributes:
        model: file of the candidate.
        against: file of the reference.
        ran_on: back end, device and precision of the candidate, such as ``openvino cpu, bf16``.
        against_ran_on: back end, device and precision of the reference.
        input_shape: shape of the input of both.
        rows: one row for each tensor that both have.
        unpaired: nodes of the candidate whose tensor the reference lacks, or has in another shape.
    """

    model: str
    against: str
    ran_on: str
    against_ran_on: str
    input_shape: tuple[int, ...]
    rows: tuple[LayerRow, ...]
    unpaired: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Return whether every tensor is within its limit."""
        return self.first is None

    @property
    def first(self) -> LayerRow | None:
        """Return the first tensor in the graph that is beyond its limit; None if all passed."""
        return next((row for row in self.rows if not row.passed), None)

    def worst(self, count: int = 10) -> list[LayerRow]:
        """Return the ``count`` tensors with the largest relative difference, worst first."""

        def badness(row: LayerRow) -> float:
            return row.relative if np.isfinite(row.relative) else float("inf")

        return sorted(self.rows, key=badness, reverse=True)[:count]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON: the worst ten rows, and of all rows the difference."""

        def plain(row: LayerRow) -> dict[str, Any]:
            return {**vars(row), "shape": list(row.shape), "relative": row.relative}

        return {
            "model": self.model,
            "against": self.against,
            "ran_on": self.ran_on,
            "against_ran_on": self.against_ran_on,
            "input_shape": list(self.input_shape),
            "passed": self.passed,
            "tensors": len(self.rows),
            "unpaired": list(self.unpaired),
            "first": plain(self.first) if self.first else None,
            "worst": [plain(row) for row in self.worst()],
            "curve": {
                name: [getattr(row, name) for row in self.rows]
                for name in ("position", "node", "relative", "limit")
            },
        }
