"""A half-precision graph for a back end that lacks half-precision arithmetic.

ONNX Runtime's CPU provider has no BF16 kernels, and computes FP16 nodes in FP32 without rounding
between some of them. Here every node computes in FP32 and its result is rounded to the type that
the graph gives it, so that what overflows or gets lost in true half precision does so here too.
"""

from __future__ import annotations

import onnx
import onnx_ir as ir

from swinir_deploy.errors import CheckFailedError

__all__ = ["round_every_result"]

_ROUNDED_TYPES = (ir.DataType.FLOAT16, ir.DataType.BFLOAT16)

_OWN_TYPES = ("Cast", "CastLike")
"""Say themselves which type they give; every back end has them for every type."""


def round_every_result(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy in which nodes of half types stand between casts from and to that type.

    Args:
        model: its values' types must be inferable; constants are initialisers.

    Returns:
        The same interface. To be run without graph optimisations, which would take the casts out.

    Raises:
        CheckFailedError: a value has no type, so that it would stay unrounded.
    """
    typed = ir.from_proto(onnx.shape_inference.infer_shapes(model))
    graph = typed.graph
    untyped = [value.name for node in graph for value in node.outputs if value.dtype is None]
    if untyped:
        raise CheckFailedError(
            f"The types of {len(untyped)} values cannot be inferred, such as {untyped[0]!r}; half "
            "precision cannot be proved for this graph."
        )
    for node in list(graph):
        if node.op_type in _OWN_TYPES:
            continue
        for index, value in enumerate(node.inputs):
            if value is not None and value.dtype in _ROUNDED_TYPES:
                widen = _cast(value, ir.DataType.FLOAT)
                graph.insert_before(node, widen)
                node.replace_input_with(index, widen.outputs[0])
        for value in list(node.outputs):
            if value.dtype in _ROUNDED_TYPES:
                narrow = _cast(value, value.dtype)
                uses = [use for use in value.uses() if use.node is not narrow]
                graph.insert_after(node, narrow)
                for use in uses:
                    use.node.replace_input_with(use.idx, narrow.outputs[0])
                value.dtype = ir.DataType.FLOAT
    return ir.to_proto(typed)


def _cast(value: ir.Value, to: ir.DataType) -> ir.Node:
    node = ir.node("Cast", [value], attributes={"to": to})
    node.outputs[0].dtype = to
    node.outputs[0].shape = value.shape
    return node
