"""Find where two models differ: compare every intermediate tensor.

The two are files of one checkpoint (such as FP16 and FP32, or two recipes), or one file on two
back ends, execution providers or optimisation levels. The reference always runs in ONNX Runtime
on the CPU. Polygraphy makes the tensors outputs, runs the models on most back ends, and compares.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from numpy.typing import NDArray

from swinir_deploy.artifacts.engine import ENGINE_SUFFIX
from swinir_deploy.artifacts.metadata import Precision, coarsest
from swinir_deploy.errors import ArtifactError, BackendUnavailableError, UsageError
from swinir_deploy.runtimes import BACKENDS
from swinir_deploy.system.choices import unknown_choice
from swinir_deploy.system.library_names import library_name
from swinir_deploy.system.packages import require
from swinir_deploy.verification.inputs import layer_input
from swinir_deploy.verification.layers.judging import judge
from swinir_deploy.verification.layers.marked import MarkedModel, Tensors
from swinir_deploy.verification.layers.reports import LAYER_LIMITS, LayersReport
from swinir_deploy.verification.layers.run_ort import (
    OptimizationLevel,
    effective_settings,
    run_on_onnxruntime,
)
from swinir_deploy.verification.reference import require_same_source

if TYPE_CHECKING:
    from swinir_deploy.models.load import LoadedModel

__all__ = ["compare_layers"]

_CHOOSES_PRECISION = ("openvino", "torch")


def compare_layers(
    model: str | os.PathLike[str],
    against: str | os.PathLike[str] | LoadedModel | None = None,
    *,
    backend: str = "ort",
    device: str | None = None,
    precision: Precision | None = None,
    network: LoadedModel | None = None,
    provider: str | None = None,
    optimization: OptimizationLevel | None = None,
    against_optimization: OptimizationLevel = "none",
    picture: str | os.PathLike[str] | None = None,
    shape: tuple[int, int] | None = None,
    limit: float | None = None,
) -> LayersReport:
    """Compare every tensor inside ``model`` with the same tensor inside ``against``.

    Two tensors are compared if their nodes have the same name. A node is named by its module's path
    and its operator, in the same way for every precision. All tensors of both sides are held in
    memory, so the picture is small.

    Args:
        model: an ONNX file, the candidate.
        against: the reference. It is an ONNX file, or the network that ``model`` was exported
            from, which is then exported in FP32. None is ``model`` itself; use it with another
            back end or provider or, in FP32, with another optimisation level.
        backend: the back end that runs the candidate: ``ort``, ``openvino``, ``tensorrt`` or
            ``rtx`` (an engine is built), or ``torch``, which runs ``network`` and compares the
            outputs of its modules.
        device: device of the back end; ``ort`` takes ``provider`` instead.
        precision: precision of the arithmetic, for ``openvino`` and ``torch``; None is FP32. The
            other back ends compute in the precision of the file.
        network: the network that ``model`` was exported from, for ``torch``.
        provider: ONNX Runtime's execution provider for the candidate, as in
            :class:`~swinir_deploy.runtimes.ort_runtime.OnnxRuntime`.
        optimization: ONNX Runtime's graph optimisation of the candidate; None is ``basic``.
        against_optimization: ONNX Runtime's graph optimisation of the reference.
        picture: a file, of which the middle is taken; None makes a synthetic picture.
        shape: height and width of the picture in pixels; None is a small odd size that needs
            padding.
        limit: maximum absolute difference, relative to the tensor's largest value; None takes
            :data:`LAYER_LIMITS` of the coarser precision. uint8 tensors, which are pictures, may
            differ by one level more; other integers and booleans must be equal.

    Returns:
        A report with a row for each tensor. A tensor beyond its limit raises nothing: read the
        report's ``passed``.

    Raises:
        BackendUnavailableError: Polygraphy, onnx, the back end, its GPU or the provider is
            missing, or cannot start.
        ArtifactError: a file is damaged, this package did not export it, or the two files are of
            different kinds.
        UsageError: the back end does not have an option, the files came from different
            checkpoints, or one file would run in the same way on both sides.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from swinir_deploy import compare_layers, export_onnx
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "tiny.onnx"
        ...     report = export_onnx("tiny-sr-x4", path)
        ...     layers = compare_layers(path, optimization="extended")
        >>> layers.passed
        True
    """
    require("layers", "Comparing layers")
    backend = library_name(backend)
    _require_known(model, backend, device, precision, provider, optimization, against_optimization)
    candidate = MarkedModel.read(model)
    reference = _reference(candidate, against)
    if backend == "ort":
        _require_difference(candidate, reference, provider, optimization, against_optimization)
    _require_same_kind(candidate, reference)
    batch = layer_input(candidate.metadata, picture, shape)
    if backend == "ort":
        actual = run_on_onnxruntime(
            candidate, batch, provider=provider, optimization=optimization or "basic"
        )
    else:
        actual = _run_elsewhere(candidate, batch, backend, device, precision, network)
    expected = run_on_onnxruntime(reference, batch, optimization=against_optimization)
    kept = LAYER_LIMITS[coarsest(actual.precision, expected.precision)] if limit is None else limit
    rows, unpaired = judge(candidate, actual, expected, kept)
    return LayersReport(
        model=str(candidate.path),
        against=str(reference.path),
        ran_on=actual.ran_on,
        against_ran_on=expected.ran_on,
        input_shape=batch.shape,
        rows=rows,
        unpaired=unpaired,
    )


def _run_elsewhere(
    candidate: MarkedModel,
    batch: NDArray[Any],
    backend: str,
    device: str | None,
    precision: Precision | None,
    network: LoadedModel | None,
) -> Tensors:
    """Run the candidate on a back end other than ONNX Runtime, and import its packages."""
    if backend == "openvino":
        from swinir_deploy.verification.layers.run_openvino import run_on_openvino

        return run_on_openvino(candidate, batch, device=device, precision=precision)
    if backend == "torch":
        from swinir_deploy.verification.layers.run_torch import run_on_torch

        if network is None:
            raise UsageError(
                "Missing network: comparing layers with PyTorch needs the network that the file "
                "was exported from. Give network=load_model(...)."
            )
        require_same_source(candidate.path, candidate.metadata.source_sha256, network)
        return run_on_torch(candidate, network, batch, device=device, precision=precision)
    from swinir_deploy.verification.layers.run_tensorrt import run_on_tensorrt

    return run_on_tensorrt(candidate, batch, backend=backend, device=device)


def _require_known(
    model: str | os.PathLike[str],
    backend: str,
    device: str | None,
    precision: str | None,
    provider: str | None,
    optimization: str | None,
    against_optimization: str,
) -> None:
    """Check the arguments and the back end before any file is read."""
    if Path(model).suffix.lower() == ENGINE_SUFFIX:
        raise UsageError(
            f"{os.fspath(model)} is an engine, which does not give its intermediate tensors. Give "
            "the ONNX file that it was built from; it is built again with its tensors as outputs: "
            "swinir-deploy verify MODEL.onnx --layers --backend tensorrt (or rtx)"
        )
    if backend not in BACKENDS:
        raise UsageError(unknown_choice("back end", backend, BACKENDS))
    for level in (optimization, against_optimization):
        if level is not None and level not in get_args(OptimizationLevel):
            raise UsageError(
                unknown_choice("optimisation level", level, get_args(OptimizationLevel))
            )
    unused = {
        "device": device if backend == "ort" else None,
        "precision": precision if backend not in _CHOOSES_PRECISION else None,
        "provider": provider if backend != "ort" else None,
        "optimization": optimization if backend != "ort" else None,
    }
    missing = BACKENDS[backend].missing()
    if missing is not None:
        raise BackendUnavailableError(f"Cannot compare layers on {backend}: {missing}.")
    for name, value in unused.items():
        if value is not None:
            raise UsageError(
                f"The back end {backend!r} takes no {name} with --layers (given: {value}). "
                "Leave it out."
            )
    if BACKENDS[backend].flavour is not None:
        from swinir_deploy.verification.layers.run_tensorrt import gpu_for

        gpu_for(device)  # fail before a slow export


def _reference(
    candidate: MarkedModel, against: str | os.PathLike[str] | LoadedModel | None
) -> MarkedModel:
    if against is None:
        return candidate
    if isinstance(against, (str, os.PathLike)):
        return MarkedModel.read(against)
    from swinir_deploy.exporters.onnx.export import export_onnx

    meta = candidate.metadata
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{against.model_id} in fp32.onnx"
        export_onnx(
            against, path, io=meta.io, target=meta.target, shape=meta.shape, opset=meta.opset
        )
        read = MarkedModel.read(path)
    return replace(read, path=Path(path.stem))


def _require_difference(
    candidate: MarkedModel,
    reference: MarkedModel,
    provider: str | None,
    optimization: OptimizationLevel | None,
    against_optimization: OptimizationLevel,
) -> None:
    own, level = effective_settings(candidate, provider, optimization or "basic")
    other, other_level = effective_settings(reference, None, against_optimization)
    if (candidate.path.resolve(), own.name, level) != (
        reference.path.resolve(),
        other.name,
        other_level,
    ):
        return
    precision = candidate.metadata.precision
    next_step = (
        "Give another file with --against, or another --backend, --provider or --optimization."
        if precision == "fp32"
        else f"A CPU runs {precision} without optimisations, whatever --optimization says. Give "
        "the FP32 file with --against, or another --backend or --provider."
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
