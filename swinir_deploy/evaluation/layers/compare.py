"""Where two models part: every intermediate tensor of one beside that of the other.

Two files of one checkpoint (FP16 beside FP32, another recipe, a damaged copy), or one file on two
execution providers or at two optimisation levels. Polygraphy marks the tensors, runs both sides
and judges; this module pairs the tensors and reads the answer in the order of the graph.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from numpy.typing import NDArray

from swinir_deploy.artifact import coarsest
from swinir_deploy.errors import ArtifactError, UsageError
from swinir_deploy.evaluation.inputs import layer_input
from swinir_deploy.evaluation.marked import (
    MarkedModel,
    OptimizationLevel,
    effective_settings,
    run_marked,
)
from swinir_deploy.extras import require

if TYPE_CHECKING:
    from swinir_deploy.loading import LoadedModel

__all__ = ["LAYER_LIMITS", "LayerRow", "LayersReport", "compare_layers"]

LAYER_LIMITS: dict[str, float] = {"fp32": 1e-4, "fp16": 4e-2, "bf16": 2.5e-1}
"""Precision -> largest difference of an intermediate tensor, relative to its largest value.

Wider than the limits on pictures: a single value of an intermediate tensor may be off by many
units in the last place and be averaged away behind it.
"""

Array = NDArray[Any]


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
        input_shape: of the picture that both were run on.
        rows: one for each tensor of both.
        unpaired: nodes of the candidate whose tensor the reference lacks, or has in another shape.
    """

    model: str
    against: str
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
            "input_shape": list(self.input_shape),
            "passed": self.passed,
            "tensors": len(self.rows),
            "unpaired": list(self.unpaired),
            "first": plain(self.first) if self.first else None,
            "worst": [plain(row) for row in self.worst()],
        }


def compare_layers(
    model: str | os.PathLike[str],
    against: str | os.PathLike[str] | LoadedModel | None = None,
    *,
    provider: str | None = None,
    optimization: OptimizationLevel = "basic",
    against_optimization: OptimizationLevel = "none",
    picture: str | os.PathLike[str] | None = None,
    shape: tuple[int, int] | None = None,
    limit: float | None = None,
) -> LayersReport:
    """Compare every tensor inside ``model`` with the one inside ``against``.

    Tensors belong together when their nodes have one name; nodes are named by their module's path
    and operator, the same for every precision. All tensors of both sides are held in memory, so
    the picture is small.

    Args:
        model: an ONNX file, the candidate.
        against: the reference: an ONNX file; or the network that ``model`` came from, which is
            exported once more in FP32; None is ``model`` itself, which only makes sense with
            another provider or, in FP32, another optimisation level.
        provider: ONNX Runtime's execution provider for the candidate, as in
            :class:`~swinir_deploy.runtimes.onnxruntime.OnnxRuntime`; the reference runs on the
            CPU.
        optimization: ONNX Runtime's graph optimisation of the candidate.
        against_optimization: likewise of the reference.
        picture: a file, whose middle is taken; None makes a picture.
        shape: height and width of what is taken or made; None is a small odd size that needs
            padding.
        limit: largest difference relative to the tensor's largest value; None takes
            :data:`LAYER_LIMITS` of the coarser precision. Bytes, which are pictures, may differ
            by a level; other whole numbers and truth values must be equal.

    Raises:
        BackendUnavailableError: Polygraphy, onnx or the provider is missing, or it cannot start.
        ArtifactError: a file that is damaged or that this package did not make.
        UsageError: two files that no picture fits both, or one file that would run alike on both
            sides.
    """
    require("layers", "Comparing layers")
    for level in (optimization, against_optimization):
        if level not in get_args(OptimizationLevel):
            raise UsageError(
                f"No optimisation level {level!r}; there are "
                f"{', '.join(get_args(OptimizationLevel))}."
            )
    candidate = MarkedModel.read(model)
    reference = _reference(candidate, against)
    _require_difference(candidate, reference, provider, optimization, against_optimization)
    _require_same_kind(candidate, reference)
    batch = layer_input(candidate.metadata, picture, shape)
    found = run_marked(candidate, batch, provider=provider, optimization=optimization)
    wanted = run_marked(reference, batch, provider=None, optimization=against_optimization)

    shift = candidate.metadata.residual_scale_log2 - reference.metadata.residual_scale_log2
    precision = coarsest(candidate.metadata.precision, reference.metadata.precision)
    kept = LAYER_LIMITS[precision] if limit is None else limit
    paired, unpaired = _pairs(candidate, found, wanted)
    scales = {node: _scale(found[node], wanted[node], shift) for node in paired}
    left = {node: _scaled(found[node], scales[node]) for node in paired}
    right = {node: _comparable(wanted[node]) for node in paired}
    peaks = {node: _peak(right[node]) for node in paired}
    limits = {node: _limit(wanted[node].dtype, kept, peaks[node]) for node in paired}
    verdicts = _judge(left, right, {n: limits[n] * (peaks[n] or 1.0) for n in paired})
    rows = tuple(
        LayerRow(
            position=candidate.positions[node],
            node=node,
            op_type=candidate.op_types[node],
            shape=tuple(wanted[node].shape),
            max_abs=verdicts[node][0],
            peak=peaks[node],
            scale_log2=scales[node],
            limit=limits[node],
            passed=verdicts[node][1],
        )
        for node in paired
    )
    return LayersReport(str(candidate.path), str(reference.path), batch.shape, rows, unpaired)


def _limit(dtype: np.dtype[Any], kept: float, peak: float) -> float:
    """Relative to ``peak``, as :attr:`LayerRow.limit`."""
    if np.issubdtype(dtype, np.floating):
        return kept
    return 1.0 / (peak or 1.0) if dtype == np.uint8 else 0.0


def _reference(
    candidate: MarkedModel, against: str | os.PathLike[str] | LoadedModel | None
) -> MarkedModel:
    if against is None:
        return candidate
    if isinstance(against, (str, os.PathLike)):
        return MarkedModel.read(against)
    from swinir_deploy.exporters.onnx import export_onnx

    meta = candidate.metadata
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{against.model_id} in fp32.onnx"
        export_onnx(
            against, path, io=meta.io, target=meta.target, shape=meta.shape, opset=meta.opset
        )
        read = MarkedModel.read(path)
    return replace(read, path=Path(path.stem))


def _judge(
    left: Mapping[str, Array], right: Mapping[str, Array], tolerances: Mapping[str, float]
) -> dict[str, tuple[float, bool]]:
    """Node -> largest difference and verdict, by Polygraphy's comparator."""
    from polygraphy.comparator import (
        Comparator,
        IterationResult,
        RunResults,
        SimpleCompareFunc,
    )

    from swinir_deploy.evaluation.marked import quiet_polygraphy

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
    candidate: MarkedModel, found: Mapping[str, Array], wanted: Mapping[str, Array]
) -> tuple[list[str], tuple[str, ...]]:
    """Nodes of both in the candidate's order, and those of the candidate alone."""
    in_order = sorted(found, key=candidate.positions.__getitem__)
    paired = [
        node
        for node in in_order
        if node in wanted and found[node].shape == wanted[node].shape and found[node].size
    ]
    return paired, tuple(node for node in in_order if node not in set(paired))


def _scale(found: Array, wanted: Array, shift: int) -> int:
    """0, or ``shift`` if that brings the candidate nearer: only the residual stream is rescaled."""
    if shift == 0 or not np.issubdtype(found.dtype, np.floating):
        return 0
    target = _comparable(wanted)

    def distance(log2: int) -> float:
        with np.errstate(all="ignore"):
            largest = float(np.nanmax(np.abs(_scaled(found, log2) - target)))
        return largest if np.isfinite(largest) else float("inf")

    return min((0, shift), key=distance)


def _scaled(values: Array, log2: int) -> Array:
    comparable = _comparable(values)
    return comparable if log2 == 0 else np.ldexp(comparable, log2)


def _comparable(values: Array) -> Array:
    """Half precision as FP32, truth values as numbers."""
    if np.issubdtype(values.dtype, np.floating):
        return values.astype(np.float32, copy=False)
    return values.astype(np.int64, copy=False)


def _peak(values: Array) -> float:
    magnitudes = np.abs(values[np.isfinite(values)].astype(np.float64))
    return float(magnitudes.max(initial=0.0))


def _require_difference(
    candidate: MarkedModel,
    reference: MarkedModel,
    provider: str | None,
    optimization: OptimizationLevel,
    against_optimization: OptimizationLevel,
) -> None:
    own, level = effective_settings(candidate, provider, optimization)
    other, other_level = effective_settings(reference, None, against_optimization)
    if (candidate.path.resolve(), own.name, level) != (
        reference.path.resolve(),
        other.name,
        other_level,
    ):
        return
    precision = candidate.metadata.precision
    next_step = (
        "Give another file with --against, or another --provider or --optimization."
        if precision == "fp32"
        else f"A CPU runs {precision} without optimisations, whatever --optimization says. Give "
        "the FP32 file with --against, or another --provider."
    )
    raise UsageError(
        f"{candidate.path} would be compared with itself: both sides on {own.name}, optimisation "
        f"level {level!r}. {next_step}"
    )


def _require_same_kind(candidate: MarkedModel, reference: MarkedModel) -> None:
    def kind(model: MarkedModel) -> Sequence[Any]:
        meta = model.metadata
        return meta.scale, meta.in_chans, meta.window_size, meta.io

    if kind(candidate) != kind(reference):
        raise ArtifactError(
            f"{candidate.path} has scale, channels, window and io {kind(candidate)}; "
            f"{reference.path} has {kind(reference)}. Compare two files of one kind."
        )
    if candidate.metadata.source_sha256 != reference.metadata.source_sha256:
        raise UsageError(
            f"{candidate.path} and {reference.path} came from different checkpoints (SHA-256 "
            f"{candidate.metadata.source_sha256[:12]} and "
            f"{reference.metadata.source_sha256[:12]}). Compare two files of one checkpoint."
        )
