"""Compare the pixels of a back end with those of the FP32 network in PyTorch."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from swinir_deploy.comparison import MIN_PSNR_DB, Comparison, compare, psnr_limit_db
from swinir_deploy.models.origin import model_argument
from swinir_deploy.pictures.values import nhwc_levels
from swinir_deploy.runtimes import Runtime, RuntimeSpec, open_runtime
from swinir_deploy.system.packages import require
from swinir_deploy.verification.inputs import parity_inputs
from swinir_deploy.verification.reference import (
    RecordedWeights,
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
    """The limit of a comparison.

    Attributes:
        max_abs: maximum absolute difference relative to the output's range; None does not limit it.
        min_psnr_db: minimum PSNR in dB over the output's range; None does not limit it.
    """

    max_abs: float | None = None
    min_psnr_db: float | None = None

    def holds(self, comparison: Comparison) -> bool:
        """Return whether ``comparison`` is within the limit; False for non-finite outputs."""
        if self.max_abs is not None and not comparison.relative_max <= self.max_abs:
            return False
        return self.min_psnr_db is None or comparison.psnr_db >= self.min_psnr_db

    def describe(self) -> str:
        """Return the limit as text, such as ``difference <= 0.0001 of the range``."""
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
"""Precision of the exported file -> limit for float outputs. uint8 outputs may differ by one level
in FP32; in half precision, their limit allows for rounding
(:func:`~swinir_deploy.comparison.psnr_limit_db`)."""

_BYTE_LIMIT = Limit(max_abs=1.0 / 255.0)


@dataclass(frozen=True)
class ParityRow:
    """The result of one input.

    Attributes:
        source: ``synthetic`` or the picture's name.
        shape: batch, channels, height and width of the input.
        comparison: comparison of the back end's output with the network's.
        passed: whether the comparison is within the report's limit.
    """

    source: str
    shape: tuple[int, int, int, int]
    comparison: Comparison
    passed: bool


@dataclass(frozen=True)
class ParityReport:
    """The results of all inputs, and their limit.

    Attributes:
        model: the file or id that was verified.
        reference: id of the model that it was compared with, in PyTorch and FP32.
        spec: specification of the verified runtime.
        limit: the limit for every row.
        rows: one row for each input.
    """

    model: str
    reference: str
    spec: RuntimeSpec
    limit: Limit
    rows: tuple[ParityRow, ...]

    @property
    def passed(self) -> bool:
        """Return whether every row is within the limit."""
        return all(row.passed for row in self.rows)

    @property
    def worst(self) -> ParityRow:
        """Return the row with the largest difference relative to its range."""
        return max(self.rows, key=lambda row: row.comparison.relative_max)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON. Infinite numbers and NaN become text."""
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
    show: Callable[[str, NDArray[np.float32], NDArray[Any], NDArray[Any]], None] | None = None,
    **options: Any,
) -> ParityReport:
    """Compare a model on a back end with the FP32 network in PyTorch.

    Args:
        model: an exported file, or any other model that ``backend`` opens.
        reference: the checkpoint, id or loaded model that ``model`` was exported from; None finds
            it in the catalogue by the id in the file's metadata.
        backend: as in :func:`swinir_deploy.open_runtime`.
        device: as in :func:`swinir_deploy.open_runtime`.
        **options: as in :func:`swinir_deploy.open_runtime`.
        shapes: heights and widths in pixels of synthetic inputs; None takes seven odd sizes.
        pictures: files of real pictures, which are compared whole; None takes a crop of the
            picture in the package.
        limit: the limit of every comparison; None takes that of the file's precision
            (:data:`LIMITS`).
        show: called with the name of each input, the input as NCHW float32 in 0..1, the model's
            output and the network's, both in the model's layout.

    Returns:
        A report with a row for each input. An input beyond its limit raises nothing: read the
        report's ``passed``.

    Raises:
        UsageError: no reference is known, or ``model`` was not exported from it.
        CheckFailedError: the two models have different scales, channels or windows.
        BackendUnavailableError: PyTorch or the back end is not installed.

    Example:
        >>> from swinir_deploy import verify
        >>> report = verify("tiny-sr-x4", backend="torch", shapes=[(16, 24)])
        >>> report.passed
        True
    """
    require("export", "Verifying a model")
    with open_runtime(model, backend, device, **options) as runtime:
        spec, name = runtime.spec, os.fspath(model)
        loaded = load_reference(
            catalogue_id(spec.model_id, name) if reference is None else reference,
            recorded=RecordedWeights.of(spec),
        )
        require_same_source(name, spec.source_sha256, loaded)
        with open_reference(loaded) as network:
            require_same_kind(name, spec, network.spec)
            kept = limit or _limit_for(spec)
            rows = []
            for source, picture in parity_inputs(spec, shapes, pictures):
                output, expected = _outputs(runtime, network, picture)
                comparison = compare(output, expected)
                if show is not None:
                    show(source, picture, output, expected)
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


def _outputs(
    runtime: Runtime, network: Runtime, picture: NDArray[np.float32]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the model's output and the network's, in the model's layout."""
    expected = network.run(picture)
    if runtime.spec.io == "tensor":
        return runtime.run(picture), expected
    return runtime.run(nhwc_levels(picture)), nhwc_levels(expected)


def _plain(value: float) -> float | str:
    return value if np.isfinite(value) else str(value)


_MADE_FOR = {"ort": "ort", "openvino": "openvino", "tensorrt": "tensorrt", "rtx": "tensorrt"}
"""Back end -> the recipe of ``export --for`` for it. ``torch`` opens checkpoints and has none."""


def target_note(spec: RuntimeSpec) -> str | None:
    """Return a sentence if a file was exported for another back end than the one that runs it.

    Such a file gives correct pixels, but it may be slower than one exported for the back end.
    """
    recipe = _MADE_FOR.get(spec.backend)
    if "tensorrt" in spec.provider.lower():
        recipe = "tensorrt"
    if recipe is None or spec.target in ("", "any", recipe):
        return None
    io = " --io image" if spec.io == "image" else ""
    source = model_argument(spec.model_id, spec.source_sha256)
    return (
        f"{spec.model_id or 'The model'} was exported for {spec.target} and runs on {spec.backend} "
        f"{spec.device}: its graph is not the one that is fastest there. Export the right one, "
        f"with the other options as before: swinir-deploy export {source}{io} --for {recipe}"
    )
