"""What a comparison tensor by tensor found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["LAYER_LIMITS", "LayerRow", "LayersReport"]

LAYER_LIMITS: dict[str, float] = {"fp32": 1e-4, "fp16": 4e-2, "bf16": 2.5e-1}
"""Precision -> largest difference of an intermediate tensor, relative to its largest value.

Wider than the limits on pictures: a single value of an intermediate tensor may be off by many
units in the last place and be averaged away behind it.
"""


@dataclass(frozen=True)
class LayerRow:
    """One tensor that both sides have.

    Attributes:
        position: of its node in the graph, from 0.
        node: name of the node that makes it: the module's path and the operator.
        op_type: of that node.
        shape: of the tensor.
        max_abs: largest difference; infinite or NaN where a value is not finite.
        peak: the reference's largest absolute value.
        scale_log2: the candidate's values were multiplied by two to this power before they were
            compared: a rescaled residual stream carries a power of two on purpose.
        limit: that ``relative`` must keep to.
        passed: what Polygraphy says.
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
        """``max_abs / peak``; of a tensor of zeros, ``max_abs``."""
        return self.max_abs / self.peak if self.peak > 0 else self.max_abs


@dataclass(frozen=True)
class LayersReport:
    """Every tensor that was compared, in the order of the candidate's graph.

    Attributes:
        model: the candidate.
        against: the reference.
        ran_on: back end, device and precision of the candidate, such as ``openvino cpu, bf16``.
        against_ran_on: the same of the reference.
        input_shape: of the picture that both were run on.
        rows: one for each tensor of both.
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
        """Whether every tensor is within its limit."""
        return self.first is None

    @property
    def first(self) -> LayerRow | None:
        """The first tensor past its limit, in the order of the graph."""
        return next((row for row in self.rows if not row.passed), None)

    def worst(self, count: int = 10) -> list[LayerRow]:
        """The tensors that differ most, relative to their range, worst first."""

        def badness(row: LayerRow) -> float:
            return row.relative if np.isfinite(row.relative) else float("inf")

        return sorted(self.rows, key=badness, reverse=True)[:count]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; the worst ten rows instead of all."""

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
        }
