"""Export a model to ONNX: rewrite, trace the units, assemble, simplify, check and write it."""

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
from swinir_deploy.exporters.onnx.check import (
    ShapeCheck,
    check_against_network,
    check_shapes,
    structure_check,
)
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
from swinir_deploy.system.same_file import check_not_inputs
from swinir_deploy.system.stages import Stages

__all__ = ["ExportReport", "build_graph", "export_onnx", "stages_of_export"]


@dataclass(frozen=True)
class ExportReport:
    """The file that an export wrote, and the result of its check.

    Attributes:
        path: path of the ONNX file.
        size_bytes: size of the file in bytes.
        seconds: time of the whole export in seconds, with the check.
        nodes: number of nodes in the graph.
        metadata: metadata stored in the file.
        checks: comparison of ONNX Runtime with the network, one for each shape.
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
    stages: Stages | None = None,
) -> ExportReport:
    """Export a model to an ONNX file, which is checked before it is written.

    Args:
        model: catalogue id, alias, checkpoint path, or the result of :func:`load_model`.
        output: the file to write, ending in ``.onnx``; its folder must exist.
        io: ``tensor`` for NCHW float32 in 0..1, not clamped; ``image`` for NHWC uint8. Both hold
            for input and output.
        target: recipe of graph rewrites: ``any``, ``ort``, ``openvino`` or ``tensorrt``.
        shape: batch x channels x height x width, such as ``Nx3xHxW``; letters are dynamic, numbers
            are fixed.
        opset: ONNX operator set, 17 to 23. None is 23 for the target ``ort`` in FP32, 22 for
            ``bf16``, and 20 for all others.
        precision: precision of weights and activations: ``fp32``, ``fp16`` or ``bf16``. Input and
            output, LayerNorm and softmax always stay FP32 (docs/precision.md).
        calibrate: folder of pictures to measure the network with, for ``fp16`` and ``bf16``; None
            takes the built-in pictures.
        stages: is told each stage of the export; :func:`stages_of_export` counts them.

    Returns:
        The path, size, metadata and check results of the file.

    Raises:
        UsageError: an argument is unknown, arguments exclude each other, or the output is the
            checkpoint itself.
        InputError: the checkpoint cannot be read, or the output cannot be written.
        CheckFailedError: the graph's output differs from the network's; nothing is written.
        BackendUnavailableError: onnxruntime is not installed.

    Example:
        >>> from swinir_deploy import export_onnx
        >>> report = export_onnx("tiny-sr-x4", "x4.onnx")
        >>> report.path.name, report.metadata.scale, report.metadata.precision
        ('x4.onnx', 4, 'fp32')
        >>> report.worst.comparison.max_abs < 1e-4
        True
    """
    started = time.perf_counter()
    recipe, opset = check_request(
        output, io=io, target=target, precision=precision, opset=opset, calibrate=calibrate
    )
    loaded = model if isinstance(model, LoadedModel) else load_model(model)
    check_not_inputs(output, [loaded.path])
    pattern = ShapePattern.parse(shape, loaded.config)

    stages = stages or Stages()
    prepared = (
        None
        if precision == "fp32"
        else prepare_precision(loaded, precision, calibrate, stages=stages)
    )
    plan = prepared.plan if prepared else PrecisionPlan()
    stages.begin("Tracing the network and simplifying its graph")
    graph_model = build_graph(loaded.network, recipe, io, pattern, opset, plan)
    checked = round_every_result(graph_model) if precision == "bf16" else graph_model
    shapes = len(check_shapes(loaded.network, pattern))
    stages.begin(f"Checking against PyTorch at {shapes} shape{'s' if shapes > 1 else ''}", shapes)
    checks = check_against_network(
        checked.SerializeToString(), loaded.network, io, pattern, precision, stages.step
    )
    precision_report = {}
    if prepared:
        dynamic = _with_sides(graph_model, loaded.config, io, ShapePattern())
        rewrites = recipe.rewrites_for(precision, opset)
        precision_report = proved_report(prepared, dynamic, rewrites, stages)
    stages.close()
    metadata = replace(
        _metadata(loaded, checks, io, rounded=checked is not graph_model),
        precision=precision,
        residual_scale_log2=plan.residual_scale_log2,
        precision_report=precision_report,
        target=recipe.name,
        shape=pattern.describe(loaded.config.in_chans),
        opset=opset,
    )
    if prepared:  # as the proof, in dB
        lowest = min(check.comparison.psnr_db for check in checks)
        metadata.parity["psnr_db"] = round(min(lowest, 200.0), 1)
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


def stages_of_export(precision: Precision) -> int:
    """Return the number of stages that :func:`export_onnx` goes through."""
    return {"fp32": 2, "bf16": 3, "fp16": 4}[precision]


def _metadata(
    loaded: LoadedModel, checks: Sequence[ShapeCheck], io: IoLayout, *, rounded: bool
) -> ArtifactMetadata:
    """Return the metadata from model, package and check; the caller adds those of the request."""
    backend = "onnxruntime, cpu"
    if rounded:
        backend += ", every result computed in fp32 and rounded to bf16"
    return ArtifactMetadata(
        io=io,
        scale=loaded.config.upscale,
        in_chans=loaded.config.in_chans,
        out_chans=loaded.config.out_chans or 0,
        window_size=loaded.config.side_multiple,
        weights=loaded.weights,
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
    """Build the simplified graph of a network, without check and metadata.

    Args:
        network: the network in FP32, which is not changed.
        recipe: the recipe that names the rewrites.
        io: layout of input and output: ``tensor`` or ``image``.
        pattern: the fixed sides of the input.
        opset: ONNX operator set.
        plan: precision of the graph; None is FP32.
    """
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
    opset_imports = [onnx.helper.make_opsetid("", opset)]
    model = onnx.helper.make_model(
        graph,
        opset_imports=opset_imports,
        producer_name="swinir-deploy",
        producer_version=__version__,
        # The oldest file format that may hold the operator set: older runtimes open it.
        ir_version=onnx.helper.find_min_ir_version_for(opset_imports),
    )
    simplified = simplify(model)
    if pattern == ShapePattern():
        return simplified
    return _with_sides(simplified, network.config, io, pattern)


def _to_numpy(tensor: Tensor) -> NDArray[Any]:
    if tensor.dtype == torch.bfloat16:  # NumPy itself has no such type.
        return tensor.detach().cpu().view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return tensor.detach().cpu().numpy()


def _interface(
    config: SwinIRConfig, io: IoLayout, pattern: ShapePattern
) -> tuple[list[onnx.ValueInfoProto], list[onnx.ValueInfoProto]]:
    """Return inputs and outputs of the graph; sides that ``pattern`` does not fix get symbols."""

    def side(fixed: int | None, symbol: str, scale: int) -> int | str:
        if fixed is not None:
            return fixed * scale
        return symbol if scale == 1 else f"{scale}*{symbol}"

    def value(name: str, scale: int, channels: int) -> onnx.ValueInfoProto:
        batch: int | str = pattern.batch if pattern.batch is not None else "batch"
        height = side(pattern.height, "height", scale)
        width = side(pattern.width, "width", scale)
        if io == "image":
            shape, dtype = [batch, height, width, channels], onnx.TensorProto.UINT8
        else:
            shape, dtype = [batch, channels, height, width], onnx.TensorProto.FLOAT
        return onnx.helper.make_tensor_value_info(name, dtype, shape)

    return (
        [value(INPUT_NAME, 1, config.in_chans)],
        [value(OUTPUT_NAME, config.upscale, config.channels_out)],
    )


def _with_sides(
    model: onnx.ModelProto, config: SwinIRConfig, io: IoLayout, pattern: ShapePattern
) -> onnx.ModelProto:
    """Return a copy with other sides in the interface; the nodes stay the same.

    Call this only after simplifying. Otherwise onnxsim would fold orders and masks of that size
    into the file (16 MB at 256x256). Back ends fold such constants when they load the model.
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
        # ONNX Runtime has several distributions; the installed one did the check.
        with contextlib.suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions
