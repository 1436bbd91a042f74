"""Exact graph passes that simplify an assembled model, and their order."""

from __future__ import annotations

from typing import cast

import onnx
import onnx_ir as ir
import onnxsim
from onnx_ir.passes import common as ir_passes

from swinir_deploy.errors import CheckFailedError

__all__ = [
    "collapse_reshapes",
    "drop_idle_reshapes",
    "read_sizes_from_targets",
    "simplify",
    "static_reshape_targets",
]


def simplify(model: onnx.ModelProto) -> onnx.ModelProto:
    """Simplify a graph for all targets; it still computes the same function.

    Args:
        model: the assembled model. Its sides must still be symbols, because onnxsim folds every
            constant, however large.

    Raises:
        CheckFailedError: onnxsim cannot simplify the graph.
    """
    graph_model = ir.from_proto(model)
    common = ir.passes.Sequential(
        ir_passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        ir_passes.IdentityEliminationPass(),
        ir_passes.CommonSubexpressionEliminationPass(),
        ir_passes.RemoveUnusedNodesPass(),
    )
    common(graph_model)
    read_sizes_from_targets(graph_model)
    common(graph_model)
    static_reshape_targets(graph_model)
    collapse_reshapes(graph_model)
    drop_idle_reshapes(graph_model)
    common(graph_model)
    try:
        simplified, same = onnxsim.simplify(ir.to_proto(graph_model), check_n=0)
    except RuntimeError as error:
        raise CheckFailedError(
            f"onnxsim cannot read the assembled graph: {error}. Nothing was written. Try another "
            "--opset, and report this with the model's configuration."
        ) from error
    if not same:
        raise CheckFailedError(
            "onnxsim reports that its simplified graph differs from the original. "
            "Nothing was written. Try another --opset, and report this with the model's "
            "configuration."
        )
    del simplified.metadata_props[:]  # Internal notes of onnxsim.
    return cast(onnx.ModelProto, simplified)


def read_sizes_from_targets(model: ir.Model) -> None:
    """Replace a size that is read from a reshaped tensor by the entry of the reshape's target.

    Each unit reads the sizes of the tensors that it gets from the unit before. After this pass
    all sizes come from a few nodes at the top, and many reshapes have no effect any more.
    """
    for node in model.graph:
        if node.op_type != "Shape" or node.inputs[0] is None:
            continue
        reshape = node.inputs[0].producer()
        if reshape is None or reshape.op_type != "Reshape" or reshape.inputs[1] is None:
            continue
        concat = reshape.inputs[1].producer()
        if concat is None or concat.op_type != "Concat":
            continue
        start = node.attributes.get_int("start", 0)
        end = node.attributes.get_int("end", len(concat.inputs))
        if end != start + 1 or not 0 <= start < len(concat.inputs):
            continue
        part = concat.inputs[start]
        if part is None or node.outputs[0].is_graph_output():
            continue
        known = ir.convenience.get_const_tensor(part)
        one_each = all(_is_one_size(value) for value in concat.inputs)
        if one_each and (known is None or int(known.numpy().item()) > 0):
            node.outputs[0].replace_all_uses_with(part)


def static_reshape_targets(model: ir.Model) -> None:
    """Give a Reshape a constant target if only one of its sizes is unknown.

    A traced ``reshape`` computes every symbolic size by Shape, Mul and Concat nodes. A single
    unknown size can be -1 instead.
    """
    for node in model.graph:
        target = node.inputs[1] if node.op_type == "Reshape" else None
        producer = target.producer() if target is not None else None
        if producer is None or producer.op_type != "Concat":
            continue
        if not all(_is_one_size(part) for part in producer.inputs):
            continue
        sizes: list[int] = []
        for part in producer.inputs:
            known = ir.convenience.get_const_tensor(part) if part is not None else None
            sizes.append(-1 if known is None else int(known.numpy().item()))
        if sizes.count(-1) != 1 or 0 in sizes:
            continue
        name = f"{node.name}/target"
        value = ir.Value(name=name, const_value=ir.tensor(sizes, ir.DataType.INT64, name=name))
        model.graph.register_initializer(value)
        node.replace_input_with(1, value)


def collapse_reshapes(model: ir.Model) -> None:
    """Make a Reshape of a Reshape read the first one's input, if its target copies no size."""
    for node in model.graph:
        if node.op_type != "Reshape" or node.inputs[0] is None or node.inputs[1] is None:
            continue
        first = node.inputs[0].producer()
        if first is None or first.op_type != "Reshape":
            continue
        known = ir.convenience.get_const_tensor(node.inputs[1])
        zero_copies = node.attributes.get_int("allowzero", 0) == 0
        if zero_copies and (known is None or 0 in known.numpy()):
            continue
        node.replace_input_with(0, first.inputs[0])


def drop_idle_reshapes(model: ir.Model) -> None:
    """Drop each Reshape to [-1, channels] whose input already is a matrix with these channels.

    The pass knows this of Gemm outputs and of their residual sums: Add keeps the columns of its
    operands.
    """
    columns: dict[ir.Value | None, int] = {}  # Only values that are known to be matrices.
    for node in list(model.graph):
        known = _columns_of_result(node, columns)
        if known is None:
            continue
        result = node.outputs[0]
        is_idle = node.op_type == "Reshape" and columns.get(node.inputs[0]) == known
        if is_idle and not result.is_graph_output():
            result.replace_all_uses_with(cast(ir.Value, node.inputs[0]))
        else:
            columns[result] = known


def _columns_of_result(node: ir.Node, columns: dict[ir.Value | None, int]) -> int | None:
    """Return the columns of the result of ``node`` if it is known to be a matrix, else None."""
    if node.op_type == "Add":
        left, right = (columns.get(operand) for operand in node.inputs)
        return left if left == right else None
    if node.op_type not in ("Gemm", "Reshape") or node.inputs[1] is None:
        return None
    constant = ir.convenience.get_const_tensor(node.inputs[1])
    if constant is None:
        return None
    if node.op_type == "Gemm":
        transposed = node.attributes.get_int("transB", 0)
        return int(constant.numpy().shape[0 if transposed else 1])
    target = constant.numpy().tolist()
    return int(target[1]) if len(target) == 2 and target[0] == -1 and target[1] > 0 else None


def _is_one_size(value: ir.Value | None) -> bool:
    """Return whether a part of a target is known to have one element."""
    if value is None:
        return False
    known = ir.convenience.get_const_tensor(value)
    if known is not None:
        return int(known.numpy().size) == 1
    producer = value.producer()
    if producer is None:
        return False
    if producer.op_type == "Shape":
        start = producer.attributes.get_int("start", 0)
        return producer.attributes.get_int("end", -1) == start + 1
    if producer.op_type == "Reshape" and producer.inputs[1] is not None:
        target = ir.convenience.get_const_tensor(producer.inputs[1])
        return (
            target is not None
            and target.numpy().tolist() == [-1]
            and _is_scalar(producer.inputs[0])
        )
    return False


def _is_scalar(value: ir.Value | None) -> bool:
    """Return whether a value is known to be one number: a squeezed size or computed from such."""
    if value is None:
        return False
    known = ir.convenience.get_const_tensor(value)
    if known is not None:
        return int(known.numpy().size) == 1
    producer = value.producer()
    if producer is None:
        return False
    if producer.op_type == "Squeeze":
        return _is_one_size(producer.inputs[0])
    return producer.op_type in ("Add", "Div", "Mul", "Sub") and all(
        _is_scalar(operand) for operand in producer.inputs
    )
