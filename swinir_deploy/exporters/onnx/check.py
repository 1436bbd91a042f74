"""Compare an exported model in ONNX Runtime with the network in PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from swinir_deploy.artifacts.metadata import IoLayout, Precision
from swinir_deploy.artifacts.shapes import ShapePattern
from swinir_deploy.comparison import Comparison, compare, psnr_limit_db, sample_picture
from swinir_deploy.errors import CheckFailedError
from swinir_deploy.exporters.onnx.pre_post import INPUT_NAME, OUTPUT_NAME
from swinir_deploy.network.swinir import SwinIR
from swinir_deploy.pictures.values import nchw_values, nhwc_levels
from swinir_deploy.system.packages import require
from swinir_deploy.system.processors import one_thread
from swinir_deploy.system.telemetry import without_telemetry

if TYPE_CHECKING:
    import onnxruntime

__all__ = [
    "ShapeCheck",
    "check_against_network",
    "check_shapes",
    "open_session",
    "structure_check",
]

_FLOAT_LIMIT = 1e-4
"""Largest allowed difference of FP32 outputs, relative to their largest value (at least 1)."""


_NOTHING_WRITTEN = (
    "Nothing was written. Try another --opset or --for, and report this with the model's "
    "configuration."
)


@dataclass(frozen=True)
class ShapeCheck:
    """The result of the check at one shape.

    Attributes:
        shape: batch, channels, height and width of the input picture.
        comparison: ONNX Runtime's output against the network's output; in levels of 255 for
            ``io="image"``.
    """

    shape: tuple[int, int, int, int]
    comparison: Comparison


def check_shapes(network: SwinIR, pattern: ShapePattern) -> list[tuple[int, int, int, int]]:
    """Return the input shapes of the check as (batch, channels, height, width).

    A dynamic graph is checked at the smallest size, at a whole window, at sizes that are no
    multiple of the window in either direction, with batches, and at a size that is neither the
    traced one nor a multiple of it. Fixed sides of the pattern replace these sizes.
    """
    window, minimum = network.config.side_multiple, network.config.min_side
    sizes = [
        (1, minimum, minimum),
        (1, window, window),
        (2, window + 1, 2 * window - 1),
        (1, 4 * window, minimum),
        (3, 2 * window + 3, 3 * window + 5),
        (1, 5 * window - 1, 4 * window + 2),
        (2, 3 * window, 5 * window),
    ]
    channels = network.config.in_chans
    fixed = [
        (pattern.batch or batch, channels, pattern.height or height, pattern.width or width)
        for batch, height, width in sizes
    ]
    return list(dict.fromkeys(fixed))


def check_against_network(
    model: bytes,
    network: SwinIR,
    io: IoLayout,
    pattern: ShapePattern,
    precision: Precision = "fp32",
    step: Callable[[], None] = lambda: None,
) -> list[ShapeCheck]:
    """Run the exported model at every shape of :func:`check_shapes` and compare.

    Args:
        model: the serialized ONNX model, exactly as it will be written to the file.
        network: the network as it was loaded, without rewrites, in eval mode.
        io: layout of input and output: ``tensor`` or ``image``.
        pattern: the fixed sides of the input.
        precision: precision of the graph. A BF16 graph must come from
            :func:`~swinir_deploy.exporters.onnx.rounding.round_every_result`, because ONNX
            Runtime's CPU provider cannot run BF16.
        step: called after each shape.

    Returns:
        One result for each shape.

    Raises:
        CheckFailedError: ONNX Runtime cannot run the graph, an output has a wrong shape, or it
            differs from the network by more than the limit. The limit in FP32 is
            :data:`_FLOAT_LIMIT` for ``tensor``; for ``image`` half a level is added for the
            rounding. In half precision it is
            :func:`~swinir_deploy.comparison.psnr_limit_db`. The error is also raised if the
            network's own output is not finite.
        BackendUnavailableError: onnxruntime is not installed.
    """
    session = open_session(model, optimise=precision != "bf16")
    results = []
    for shape in check_shapes(network, pattern):
        picture = sample_picture(*shape)
        fed: NDArray[Any] = picture
        if io == "image":
            fed = nhwc_levels(picture)
            picture = nchw_values(fed)
        with torch.inference_mode(), one_thread():
            expected = network(torch.from_numpy(picture)).numpy()
        if not np.isfinite(expected).all():
            raise CheckFailedError(
                f"The network itself gives NaN or Inf at input {list(picture.shape)}: its weights "
                "are damaged. Nothing was written. Use another checkpoint."
            )
        unrounded = np.clip(expected, 0, 1).transpose(0, 2, 3, 1) * 255
        peak = max(1.0, float(np.abs(expected).max()))
        if io == "image":
            expected = np.round(unrounded).astype(np.uint8)
        try:
            actual = session.run([OUTPUT_NAME], {INPUT_NAME: fed})[0]
        except Exception as error:
            raise CheckFailedError(
                f"The exported graph fails at input {list(fed.shape)}: {error}. {_NOTHING_WRITTEN}"
            ) from error
        if actual.shape != expected.shape:
            raise CheckFailedError(
                f"The exported graph gives {list(actual.shape)} for input {list(fed.shape)}; the "
                f"network gives {list(expected.shape)}. {_NOTHING_WRITTEN}"
            )
        comparison = compare(actual, expected)
        if precision == "fp32":
            distance, limit = comparison.max_abs, _FLOAT_LIMIT * peak
            if io == "image":
                distance, limit = float(np.abs(actual - unrounded).max()), 0.5 + 255 * limit
            if not distance <= limit:
                raise CheckFailedError(
                    f"The exported graph differs from the network by {distance:.3g} at input "
                    f"{list(fed.shape)}; the limit is {limit:.3g}. {_NOTHING_WRITTEN}"
                )
        elif not comparison.psnr_db >= (limit := psnr_limit_db(precision, io)):
            raise CheckFailedError(
                f"The exported {precision} graph has {comparison.psnr_db:.1f} dB against the "
                f"network at input {list(fed.shape)}; the limit is {limit:.1f} dB. "
                "Nothing was written. Use --precision fp32."
            )
        results.append(ShapeCheck(shape, comparison))
        step()
    return results


def open_session(model: bytes, optimise: bool = True) -> onnxruntime.InferenceSession:
    """Load a model into ONNX Runtime on the CPU.

    Args:
        model: the serialized ONNX model.
        optimise: let ONNX Runtime fuse nodes and drop casts.

    Raises:
        BackendUnavailableError: onnxruntime is not installed.
        CheckFailedError: ONNX Runtime cannot load the graph.
    """
    require("export", "An export, which checks itself with ONNX Runtime,")
    with without_telemetry():
        import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if not optimise:
        level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.graph_optimization_level = level
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # The exceptions of onnxruntime have no common public base.
        raise CheckFailedError(
            f"ONNX Runtime {onnxruntime.__version__} cannot load the exported graph: {error}. "
            "Nothing was written. Try another --opset."
        ) from error


def structure_check(model: onnx.ModelProto) -> None:
    """Run onnx.checker with full shape inference.

    Raises:
        CheckFailedError: onnx.checker refuses the model.
    """
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise CheckFailedError(
            f"onnx.checker refuses the exported graph: {error}. {_NOTHING_WRITTEN}"
        ) from error
