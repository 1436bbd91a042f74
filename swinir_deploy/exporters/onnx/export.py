"""checkpoint -> network -> rewrites -> traced units -> one graph -> simplified, checked ONNX."""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import ml_dtypes
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor

from swinir_deploy._version import __version__
from swinir_deploy.artifacts.metadata import ArtifactMetadata, IoLayout, Precision
from swinir_deploy.artifacts.shapes import DEFAULT_SHAPE, ShapePattern
from swinir_deploy.exporters.onnx.assemble import GraphAssembler, assemble_core
from swinir_deploy.exporters.onnx.check import ShapeCheck, check_against_network, structure_check
from swinir_deploy.exporters.onnx.passes import simplify
from swinir_deploy.exporters.onnx.pre_post import (
    INPUT_NAME,
    OUTPUT_NAME,
    closing_edge,
    opening_edge,
)
from swinir_deploy.exporters.onnx.prove import proved_report
from swinir_deploy.exporters.onnx.recipes import Recipe, check_request
from swinir_deploy.exporters.onnx.rounding import round_every_result
from swinir_deploy.exporters.onnx.trace import trace_network
from swinir_deploy.models.load import LoadedModel, load_model
from swinir_deploy.network.config import SwinIRConfig
from swinir_deploy.network.swinir import SwinIR
from swinir_deploy.precision.plan import PrecisionPlan, deployed_network
from swinir_deploy.precision.prepare import prepare_precision
from swinir_deploy.system.files import atomic_output

__all__ = ["ExportReport", "build_graph", "export_onnx"]

_IR_VERSION = 10
"""Of the ONNX container: read by ONNX Runtime 1.18 and newer, TensorRT 10 and OpenVINO 2024."""


@dataclass(frozen=True)
class ExportReport:
    """What an export wrote and how it was checked.

    Attributes:
        path: the ONNX file.
        size_bytes: of the file.
        seconds: for everything, the check included.
        nodes: in the graph.
        metadata: as the file carries it.
        checks: ONNX Runtime against the network, shape by shape.
    """

    path: Path
    size_bytes: int
    seconds: float
    nodes: int
    metadata: ArtifactMetadata
    checks: tuple[ShapeCheck, ...]

    @property
    def worst(self) -> ShapeCheck:
        """The check with the largest difference."""
        return max(self.checks, key=lambda check: check.comparison.max_abs)


def export_onnx(
    model: LoadedModel | str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    io: IoLayout = "tensor",
    target: str = "any",
    shape: str = DEFAULT_SHAPE,
    opset: int | None = None,
    precision: Precision = "fp32",
    calibrate: str | os.PathLike[str] | None = None,
) -> ExportReport:
    """Export a model to an ONNX file that proved itself before it got its name.

    Args:
        model: catalogue id, alias, checkpoint path, or what :func:`load_model` gave.
        output: the file to write, ending in ``.onnx``; its folder must exist.
        io: ``tensor``: NCHW float32 in 0..1, not clamped; ``image``: NHWC uint8 in and out.
        target: recipe of graph rewrites: ``any``, ``ort``, ``openvino`` or ``tensorrt``.
        shape: batch x channels x height x width; letters are dynamic, digits fixed.
        opset: ONNX operator set, 17 to 23; None is 20, 22 for ``bf16``, and 23 for the target
            ``ort`` in FP32.
        precision: of weights and activations: ``fp32``, ``fp16`` or ``bf16``. What must not be
            half stays FP32: both ends, LayerNorm, softmax (docs/precision.md).
        calibrate: folder with pictures to measure the network with, for ``fp16`` and ``bf16``;
            None takes the built-in ones.

    Raises:
        UsageError: an argument that makes no sense.
        InputError: a checkpoint that cannot be read, or an output that cannot be written.
        CheckFailedError: the graph does not compute what the network does; nothing is written.
    """
    started = time.perf_counter()
    recipe, opset = check_request(
        output, io=io, target=target, precision=precision, opset=opset, calibrate=calibrate
    )
    loaded = model if isinstance(model, LoadedModel) else load_model(model)
    pattern = ShapePattern.parse(shape, loaded.config)

    prepared = None if precision == "fp32" else prepare_precision(loaded, precision, calibrate)
    plan = prepared.plan if prepared else PrecisionPlan()
    graph_model = build_graph(loaded.network, recipe, io, pattern, opset, plan)
    checked = round_every_result(graph_model) if precision == "bf16" else graph_model
    checks = check_against_network(
        checked.SerializeToString(), loaded.network, io, pattern, precision
    )
    precision_report = {}
    if prepared:
        dynamic = _with_sides(graph_model, loaded.config, io, ShapePattern())
        precision_report = proved_report(prepared, dynamic, recipe.rewrites_for(precision, opset))
    metadata = replace(
        _metadata(loaded, checks, io, rounded=checked is not graph_model),
        precision=precision,
        residual_scale_log2=plan.residual_scale_log2,
        precision_report=precision_report,
        target=recipe.name,
        shape=pattern.describe(loaded.config.in_chans),
        opset=opset,
    )
    onnx.helper.set_model_props(graph_model, metadata.to_props())
    structure_check(graph_model)
    with atomic_output(output) as temporary:
        temporary.write_bytes(graph_model.SerializeToString())
    path = Path(output)
    return ExportReport(
        path=path,
        size_bytes=path.stat().st_size,
        seconds=time.perf_counter() - started,
        nodes=len(graph_model.graph.node),
        metadata=metadata,
        checks=tuple(checks),
    )


def _metadata(
    loaded: LoadedModel, checks: Sequence[ShapeCheck], io: IoLayout, *, rounded: bool
) -> ArtifactMetadata:
    """What the model, this package and the check say; what was asked for comes on top."""
    backend = "onnxruntime, cpu"
    if rounded:
        backend += ", every result computed in fp32 and rounded to bf16"
    return ArtifactMetadata(
        io=io,
        scale=loaded.config.upscale,
        in_chans=loaded.config.in_chans,
        window_size=loaded.config.window_size,
        task=loaded.task,
        model_id=loaded.model_id,
        source_sha256=loaded.source_sha256,
        config=loaded.config.to_dict(),
        tools=_tool_versions(),
        parity={
            "reference": "network in PyTorch, fp32",
            "backend": backend,
            "shapes": [list(check.shape) for check in checks],
            "max_abs": max(check.comparison.max_abs for check in checks),
            "unit": "level of 255" if io == "image" else "1.0 = white",
        },
    )


def build_graph(
    network: SwinIR,
    recipe: Recipe,
    io: IoLayout,
    pattern: ShapePattern,
    opset: int,
    plan: PrecisionPlan | None = None,
) -> onnx.ModelProto:
    """The simplified graph of ``network``, which is not changed; neither checked nor described."""
    plan = plan or PrecisionPlan()
    rewritten = deployed_network(network, recipe.rewrites_for(plan.precision, opset), plan)

    weights = {
        name: _to_numpy(tensor)
        for name, tensor in itertools.chain(
            rewritten.named_parameters(remove_duplicate=False),
            rewritten.named_buffers(remove_duplicate=False),
        )
    }
    assembler = GraphAssembler(weights)
    opened = assembler.stamp(
        opening_edge(network.config, io), "opening_edge", {INPUT_NAME: INPUT_NAME}
    )
    restored = assemble_core(
        assembler, rewritten, trace_network(rewritten, opset), opened["padded"]
    )
    closed = assembler.stamp(
        closing_edge(network.config, io),
        "closing_edge",
        {"restored": restored, INPUT_NAME: INPUT_NAME},
    )
    assembler.rename(closed[OUTPUT_NAME], OUTPUT_NAME)

    graph = onnx.helper.make_graph(
        assembler.nodes,
        "SwinIR",
        *_interface(network.config, io, ShapePattern()),
        list(assembler.initializers.values()),
    )
    model = onnx.helper.make_model(
        graph,
        opset_imports=[onnx.helper.make_opsetid("", opset)],
        producer_name="swinir-deploy",
        producer_version=__version__,
        ir_version=_IR_VERSION,
    )
    simplified = simplify(model)
    if pattern == ShapePattern():
        return simplified
    return _with_sides(simplified, network.config, io, pattern)


def _to_numpy(tensor: Tensor) -> NDArray[Any]:
    if tensor.dtype == torch.bfloat16:  # which NumPy itself does not have
        return tensor.detach().cpu().view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return tensor.detach().cpu().numpy()


def _interface(
    config: SwinIRConfig, io: IoLayout, pattern: ShapePattern
) -> tuple[list[onnx.ValueInfoProto], list[onnx.ValueInfoProto]]:
    """Inputs and outputs of the whole graph; sides that ``pattern`` leaves open get symbols."""

    def side(fixed: int | None, symbol: str, scale: int) -> int | str:
        if fixed is not None:
            return fixed * scale
        return symbol if scale == 1 else f"{scale}*{symbol}"

    def value(name: str, scale: int) -> onnx.ValueInfoProto:
        batch: int | str = pattern.batch if pattern.batch is not None else "batch"
        height = side(pattern.height, "height", scale)
        width = side(pattern.width, "width", scale)
        if io == "image":
            shape, dtype = [batch, height, width, config.in_chans], onnx.TensorProto.UINT8
        else:
            shape, dtype = [batch, config.in_chans, height, width], onnx.TensorProto.FLOAT
        return onnx.helper.make_tensor_value_info(name, dtype, shape)

    return [value(INPUT_NAME, 1)], [value(OUTPUT_NAME, config.upscale)]


def _with_sides(
    model: onnx.ModelProto, config: SwinIRConfig, io: IoLayout, pattern: ShapePattern
) -> onnx.ModelProto:
    """A copy with other sides in the interface; the graph inside is the same for all.

    Only after simplifying: onnxsim would fold orders and masks of that size into the file (16 MB
    at 256x256). Every back end folds what it likes when it loads the model.
    """
    inputs, outputs = _interface(config, io, pattern)
    fixed_model = onnx.ModelProto()
    fixed_model.CopyFrom(model)
    graph = fixed_model.graph
    for values, fixed in ((graph.input, inputs), (graph.output, outputs), (graph.value_info, [])):
        del values[:]
        values.extend(fixed)
    return onnx.shape_inference.infer_shapes(fixed_model)


def _tool_versions() -> dict[str, str]:
    versions = {"swinir-deploy": __version__}
    for name in ("torch", "onnx", "onnxscript", "onnxsim", "onnxruntime", "onnxruntime-gpu"):
        # ONNX Runtime is one of several distributions; whichever is there did the check.
        with contextlib.suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions
