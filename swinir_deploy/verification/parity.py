"""Does a back end give the pixels that the FP32 network gives?"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from swinir_deploy.comparison import MIN_PSNR_DB, Comparison, compare, psnr_limit_db
from swinir_deploy.pictures.values import nhwc_levels
from swinir_deploy.runtimes import Runtime, RuntimeSpec, open_runtime
from swinir_deploy.system.packages import require
from swinir_deploy.verification.inputs import parity_inputs
from swinir_deploy.verification.reference import (
    catalogue_id,
    load_reference,
    open_reference,
    require_same_kind,
    require_same_source,
)

if TYPE_CHECKING:
    from swinir_deploy.models.load import LoadedModel

__all__ = ["LIMITS", "Limit", "ParityReport", "ParityRow", "target_note", "verify"]


@dataclass(frozen=True)
class Limit:
    """What a comparison must keep to.

    Attributes:
        max_abs: largest difference relative to the output's range, or None.
        min_psnr_db: lowest PSNR over the output's range, or None.
    """

    max_abs: float | None = None
    min_psnr_db: float | None = None

    def holds(self, comparison: Comparison) -> bool:
        """Whether ``comparison`` is within the limit; false for non-finite outputs."""
        if self.max_abs is not None and not comparison.relative_max <= self.max_abs:
            return False
        return self.min_psnr_db is None or comparison.psnr_db >= self.min_psnr_db

    def describe(self) -> str:
        """Such as ``<= 0.0001 of the range``."""
        parts = []
        if self.max_abs is not None:
            parts.append(f"difference <= {self.max_abs:g} of the range")
        if self.min_psnr_db is not None:
            parts.append(f"PSNR >= {self.min_psnr_db:.4g} dB")
        return " and ".join(parts)


LIMITS: dict[str, Limit] = {
    "fp32": Limit(max_abs=1e-4),
    "fp16": Limit(min_psnr_db=MIN_PSNR_DB["fp16"]),
    "bf16": Limit(min_psnr_db=MIN_PSNR_DB["bf16"]),
}
"""Precision of the artefact -> limit on float outputs. Bytes may differ by one level in FP32, and
in half precision by what rounding adds (:func:`~swinir_deploy.comparison.psnr_limit_db`)."""

_BYTE_LIMIT = Limit(max_abs=1.0 / 255.0)


@dataclass(frozen=True)
class ParityRow:
    """One input.

    Attributes:
        source: ``synthetic`` or the picture's name.
        shape: batch, channels, height and width of the input.
        comparison: the back end's output against the network's.
        passed: whether it is within the report's limit.
    """

    source: str
    shape: tuple[int, int, int, int]
    comparison: Comparison
    passed: bool


@dataclass(frozen=True)
class ParityReport:
    """Every row, and what they had to keep to.

    Attributes:
        model: the file or id that was verified.
        reference: the model that it was compared with, in PyTorch and FP32.
        spec: of the verified runtime.
        limit: that every row had to keep to.
        rows: one for each input.
    """

    model: str
    reference: str
    spec: RuntimeSpec
    limit: Limit
    rows: tuple[ParityRow, ...]

    @property
    def passed(self) -> bool:
        """Whether every row is within the limit."""
        return all(row.passed for row in self.rows)

    @property
    def worst(self) -> ParityRow:
        """The row with the largest difference relative to its range."""
        return max(self.rows, key=lambda row: row.comparison.relative_max)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; infinite figures as text."""
        return {
            "model": self.model,
            "reference": self.reference,
            "passed": self.passed,
            "limit": asdict(self.limit),
            "spec": asdict(self.spec),
            "rows": [
                {
                    "source": row.source,
                    "shape": list(row.shape),
                    "passed": row.passed,
                    **{key: _plain(value) for key, value in asdict(row.comparison).items()},
                }
                for row in self.rows
            ],
        }


def verify(
    model: str | os.PathLike[str],
    *,
    reference: LoadedModel | str | os.PathLike[str] | None = None,
    backend: str | None = None,
    device: str | None = None,
    shapes: Sequence[tuple[int, int]] | None = None,
    pictures: Sequence[str | os.PathLike[str]] | None = None,
    limit: Limit | None = None,
    **options: Any,
) -> ParityReport:
    """Compare a back end with the FP32 network in PyTorch, on odd shapes and real pictures.

    Args:
        model: an exported file (or whatever ``backend`` opens).
        reference: the checkpoint, id or loaded model that it came from; None finds it in the
            catalogue by the id in the file's metadata.
        backend: as in :func:`swinir_deploy.open_runtime`.
        device: likewise.
        **options: likewise.
        shapes: heights and widths of synthetic inputs; None takes seven odd ones.
        pictures: real pictures, compared whole; None takes a crop of the one that is shipped.
        limit: None takes that of the file's precision (:data:`LIMITS`).

    Raises:
        UsageError: no reference is known, or it is not the file's source.
        CheckFailedError: never for a row beyond its limit: read ``passed`` of the report.
    """
    require("export", "Verifying a model")
    with open_runtime(model, backend, device, **options) as runtime:
        spec, name = runtime.spec, os.fspath(model)
        loaded = load_reference(
            catalogue_id(spec.model_id, name) if reference is None else reference
        )
        require_same_source(name, spec.source_sha256, loaded)
        with open_reference(loaded) as network:
            require_same_kind(name, spec, network.spec)
            kept = limit or _limit_for(spec)
            rows = []
            for source, picture in parity_inputs(spec, shapes, pictures):
                comparison = _compare_one(runtime, network, picture)
                batch, channels, height, width = picture.shape
                rows.append(
                    ParityRow(
                        source,
                        (batch, channels, height, width),
                        comparison,
                        kept.holds(comparison),
                    )
                )
            return ParityReport(name, loaded.model_id, spec, kept, tuple(rows))


def _limit_for(spec: RuntimeSpec) -> Limit:
    if spec.io == "tensor":
        return LIMITS[spec.precision]
    if spec.precision == "fp32":
        return _BYTE_LIMIT
    return Limit(min_psnr_db=psnr_limit_db(spec.precision, spec.io))


def _compare_one(runtime: Runtime, network: Runtime, picture: NDArray[np.float32]) -> Comparison:
    wanted = network.run(picture)
    if runtime.spec.io == "tensor":
        return compare(runtime.run(picture), wanted)
    return compare(runtime.run(nhwc_levels(picture)), nhwc_levels(wanted))


def _plain(value: float) -> float | str:
    return value if np.isfinite(value) else str(value)


_MADE_FOR = {"ort": "ort", "openvino": "openvino", "trt": "tensorrt", "trt-rtx": "tensorrt"}
"""Back end -> the recipe of ``export --for`` that is meant for it; checkpoints have none."""


def target_note(spec: RuntimeSpec) -> str | None:
    """A sentence where a file was exported for another target than the one that runs it.

    The pixels are right all the same; only the speed is not what it could be.
    """
    wanted = _MADE_FOR.get(spec.backend)
    if "tensorrt" in spec.provider.lower():
        wanted = "tensorrt"
    if wanted is None or spec.target in ("", "any", wanted):
        return None
    io = " --io image" if spec.io == "image" else ""
    return (
        f"{spec.model_id or 'The model'} was exported for {spec.target} and runs on {spec.backend} "
        f"{spec.device}: its graph is not the one that is fastest there. Export the right one, "
        f"with the other options as before: swinir-deploy export --model "
        f"{spec.model_id or 'MODEL'}{io} --for {wanted}"
    )
